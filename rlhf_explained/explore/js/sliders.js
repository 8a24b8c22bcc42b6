// What sliders change is computed in the page by a closed formula: policies of a world in which all
// answers are listed, as in rlhf_explained/world/exact.py and optima.py, and the credit of each
// token of an answer, as in rlhf_explained/formulas/advantages.py. The numbers take the places of
// the recorded ones (rlhf_explained/explore/sliders.py).
{
const sum = numbers => numbers.reduce((total, number) => total + number, 0)
const number = (value, digits = 2) => value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−")
const percent = part => `${number(100 * part, 1)}\u00a0%`

/** The best policy under the KL penalty with coefficient β: log-probabilities of all answers. */
explore.tilted = (reference, rewards, beta) => {
  const raised = reference.map((one, i) => one + rewards[i] / beta)
  const most = Math.max(...raised)
  const all = most + Math.log(sum(raised.map(one => Math.exp(one - most))))
  return raised.map(one => one - all)
}

/** The policy that draws n answers and keeps the best: log-probabilities of all answers. */
explore.bestOf = (reference, rewards, n) => {
  const order = rewards.map((_, i) => i).sort((a, b) => rewards[a] - rewards[b]), best = []
  for (let start = 0, end = 0, less = 0; start < order.length; start = end) {
    let mass = 0
    while (rewards[order[end]] === rewards[order[start]]) mass += Math.exp(reference[order[end++]])
    const atMost = end === order.length ? 1 : less + mass
    for (const i of order.slice(start, end)) best[i] = reference[i] + Math.log((atMost ** n - less ** n) / mass)
    less = atMost
  }
  return best
}

/** What a policy earns more than the reference, and how far it is from it in nats. */
explore.measured = (policy, reference, rewards) => ({
  gained: sum(policy.map((one, i) => (Math.exp(one) - Math.exp(reference[i])) * rewards[i])),
  kl: sum(policy.map((one, i) => one === -Infinity ? 0 : Math.exp(one) * (one - reference[i]))),
})

/** The most that can be gained at a distance: by the best policy whose price halving finds. */
explore.most = (kl, reference, rewards) => {
  let near = 1e3, far = 1e-3
  for (let i = 0; i < 60; i++) {
    const between = Math.sqrt(near * far)
    const spent = explore.measured(explore.tilted(reference, rewards, between), reference, rewards).kl
    if (spent < kl) near = between
    else far = between
  }
  return explore.measured(explore.tilted(reference, rewards, near), reference, rewards).gained
}

const LOOK = `
.md-typeset .live .sliders { position: sticky; top: 2.4rem; z-index: 1; padding: .3em 0; background: var(--paper); }
.md-typeset .live .sliders .controls { position: static; margin: 0; padding: .2em 0; gap: 0 .7em; white-space: nowrap; font-size: .86em; }
.md-typeset .live .sliders label { font-size: 1em; }
.md-typeset .live .sliders input { width: auto; flex: 1 1 5rem; }
.md-typeset .live .sliders span { min-width: 4.5em; }
.live .computed .numbers { font-size: .86em; }
.live .computed .numbers :is(th, td) { padding-inline: .25em; }
.live .computed .numbers thead th { min-width: 0; }
`
const SIGNS = { beta: "β", lambda: "λ", n: "n" }

// Sliders above the recorded result, whose numbers `changed` rewrites. It gets the settings by name,
// and returns a sentence, which a screen reader is told when the sliders have come to rest.
const play = (figure, asked, changed) => {
  const { make, replace } = explore
  if (!document.getElementById("sliders-look")) document.head.append(make("style", { id: "sliders-look" }, LOOK))
  const shown = figure.querySelector(".recorded").cloneNode(true)
  shown.className = "computed"
  for (const row of shown.querySelectorAll("[data-recorded]")) row.remove()
  for (const one of shown.querySelectorAll("[data-live]")) one.textContent = one.dataset.live
  const status = make("p", { class: "fine", role: "status" }), settings = {}
  let rest
  const controls = asked.map(({ name, label, values, start }) => {
    const input = make("input", { type: "range", min: 0, max: values.length - 1, value: start }), text = make("span")
    const put = () => {
      settings[name] = values[input.value]
      text.textContent = `${SIGNS[name]} = ${settings[name]}`
      input.setAttribute("aria-valuetext", text.textContent)
    }
    put()
    input.addEventListener("input", () => {
      put()
      const sentence = changed(settings, shown)
      clearTimeout(rest)
      rest = setTimeout(() => { status.textContent = sentence }, 400)
    })
    return make("p", { class: "controls" }, make("label", {}, label, input), text)
  })
  changed(settings, shown)
  replace(figure, make("div", { class: "sliders" }, controls), shown, status)
  figure.querySelector("input").focus()
}

explore.kinds.frontier = figure => {
  const { answers, shown, start, ...values } = explore.data.listed
  const rewards = answers.map(([, reward]) => reward), reference = answers.map(([, , logprob]) => logprob)
  const asked = [["beta", "KL penalty"], ["n", "Answers drawn"]]
  play(figure, asked.map(([name, label]) => ({ name, label, values: values[name], start: start[name] })), ({ beta, n }, part) => {
    const policies = [explore.tilted(reference, rewards, beta), explore.bestOf(reference, rewards, n)]
    const names = [`best policy, β = ${beta}`, `best of ${n}`]
    const [gains, shares] = part.querySelectorAll("table"), svg = part.querySelector("svg")
    const [left, bottom, width, height] = svg.dataset.scale.split(" ").map(Number)
    const told = policies.map((policy, i) => {
      const { gained, kl } = explore.measured(policy, reference, rewards)
      const whole = i && kl > 1e-9 ? gained / explore.most(kl, reference, rewards) : 1
      const texts = [names[i], number(gained), number(kl), percent(whole)]
      ;[...gains.tBodies[0].rows[i + 1].cells].forEach((cell, k) => { cell.textContent = texts[k] })
      svg.querySelectorAll("[data-mark]")[i].setAttribute("transform", `translate(${left + width * Math.sqrt(Math.max(kl, 0))} ${bottom - height * gained})`)
      svg.querySelectorAll("[data-key] text")[i].textContent = names[i]
      shares.tHead.rows[0].cells[i + 3].textContent = i ? names[i] : `β = ${beta}`
      const parts = shown.map(place => Math.exp(policy[place]))
      ;[...parts, 1 - sum(parts)].forEach((one, row) => { shares.tBodies[0].rows[row].cells[i + 3].textContent = percent(one) })
      return `${names[i]}: gains ${texts[1]} for ${texts[2]} nats`
    })
    return `Computed: ${told.join("; ")}.`
  })
}

/** The reward of each token of an answer, the critic's surprise at it, its advantage and return. */
explore.credit = ({ logprobs, ref_logprobs, values, score, gamma }, { beta, lambda }) => {
  const last = values.length - 1, advantages = []
  const rewards = values.map((_, t) => beta * (ref_logprobs[t] - logprobs[t]) + (t === last ? score : 0))
  const deltas = rewards.map((reward, t) => reward + gamma * (values[t + 1] ?? 0) - values[t])
  for (let t = last, after = 0; t >= 0; t--) after = advantages[t] = deltas[t] + gamma * lambda * after
  return { rewards, deltas, advantages, returns: advantages.map((one, t) => one + values[t]) }
}

explore.kinds.credit = figure => {
  const { start, ...given } = explore.data.credited
  const asked = [["beta", "KL penalty"], ["lambda", "Look-ahead"]]
  play(figure, asked.map(([name, label]) => ({ name, label, values: given[name], start: start[name] })), (settings, part) => {
    const { rewards, deltas, advantages, returns } = explore.credit(given, settings)
    const rows = part.querySelector("tbody").rows, bars = part.querySelectorAll("[data-bar]")
    const [zero, unit] = part.querySelector("svg").dataset.scale.split(" ").map(Number)
    const put = (row, column, value) => { rows[row].cells[column].textContent = number(value) }
    const columns = { 2: rewards, 4: deltas, 5: advantages, 6: returns }
    for (const column in columns) columns[column].forEach((value, t) => put(t, column, value))
    for (const column of [2, 4]) put(rewards.length, column, sum(columns[column]))
    deltas.forEach((delta, t) => [delta, advantages[t]].forEach((value, i) => {
      bars[2 * t + i].setAttribute("x", zero + Math.min(0, unit * value))
      bars[2 * t + i].setAttribute("width", Math.abs(unit * value))
    }))
    const { beta, lambda } = settings, name = rows[0].cells[0].textContent
    return `Computed: with β = ${beta} and λ = ${lambda} the rewards sum to ${number(sum(rewards))}, and the first token, “${name}”, has an advantage of ${number(advantages[0])}.`
  })
}
}
