// Watch it cheat: a bet on the round in which the true reward peaks, then both runs round by round.
explore.kinds.cheat = (figure) => {
  const words = document.createElement("p")
  words.textContent = `Recorded rounds: ${explore.data.rounds.ppo.gold.length}`
  figure.prepend(words)
}
