// The first word: how likely each model finds the words that may come next, as bars. A reader who
// takes one of them goes on with it, word by word.

explore.kinds["first-words"] = async figure => {
  const { make, percent, word, data, NAMES } = explore
  const POLICIES = ["base", "sft", "ppo"], ROOM = 256
  const world = new explore.World(data.world), models = {}, tree = new explore.Tree(ROOM)
  for (const name of POLICIES) {
    models[name] = explore.model(name, ROOM)
    await explore.pause()
  }
  let asked = "", said = []

  const { read, select, fields, wrong } = explore.question(figure, world, models.base.context, () => ask())
  const form = make("form", { onsubmit: event => { event.preventDefault(); ask() } }, fields, wrong,
    make("div", { class: "row" }, make("button", { class: "md-button md-button--primary" }, "Ask")))
  const begun = make("p", { class: "prompt" }), cards = make("div", { class: "cards", style: "grid-template-columns: repeat(auto-fit, minmax(min(9rem, 100%), 1fr))" })
  const back = make("button", { type: "button", class: "md-button", onclick: () => go(said.slice(0, -1)) }, "Take the last word back")
  const status = make("p", { class: "fine", role: "status" })

  const ask = () => {
    const text = read()
    if (!text) return
    asked = text
    go([])
  }

  const go = tokens => { // with these words said
    const focused = cards.contains(document.activeElement) || document.activeElement === back
    const place = [...cards.children].findIndex(card => card.contains(document.activeElement))
    said = tokens
    tree.clear()
    const node = tree.follow([...world.encode(asked), ...said]).at(-1)
    for (const name of POLICIES) for (const _ of models[name].read(tree, [node]));
    const text = said.map(token => word(world, token)).join(" ")
    begun.replaceChildren(make("span", { class: "label" }, "Prompt · live, computed in this page"), make("span", {}, asked), text && make("strong", {}, ` ${text} …`))
    const further = said.length < world.limit - 1 ? token => go([...said, token]) : null
    cards.replaceChildren(...POLICIES.map(name => make("div", { class: `card stage-${name}` }, explore.chances(world, models[name], node, NAMES[name], undefined, further))))
    back.hidden = !said.length
    if (focused) (cards.children[Math.max(place, 0)].querySelector("button") ?? back).focus()
    const first = POLICIES.map(name => {
      const from = node * world.words.length, likely = models[name].logprobs.subarray(from, from + world.words.length)
      const best = likely.indexOf(Math.max(...likely))
      return `${NAMES[name]} “${best === 1 ? "end of the answer" : word(world, best)}” ${percent(Math.exp(likely[best]))}`
    })
    status.textContent = `Live: the likeliest ${said.length ? "next" : "first"} words are ${first.join("; ")}. Choose a word to continue from it.`
  }

  explore.replace(figure, form, make("div", { class: "answers" }, begun, cards), make("div", { class: "row" }, back), status)
  ask()
  select.focus()
}
