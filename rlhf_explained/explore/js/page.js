// What the live parts share: elements, models, marks, the look that comes with the press.

{
const SVG = ["svg", "path", "line", "text", "polyline", "title"]

// An element: attributes by name, those that begin with `on` as listeners, then what is in it.
const make = (tag, attributes = {}, ...inside) => {
  const svg = SVG.includes(tag)
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, "")
    else if (value !== false && value != null) element.setAttribute(name, value)
  }
  element.append(...inside.flat(2).filter(part => part != null && part !== false))
  return element
}

const NAMES = { base: "Pretrained (base)", sft: "SFT", ppo: "RLHF (PPO)", ppo_no_kl: "PPO without KL penalty" }
const BEFORE = { sft: "base", ppo: "sft", ppo_no_kl: "sft", reward_model: "sft" }
const states = {}

const state = name => states[name] ??= explore.unpacked(explore.data[name], BEFORE[name] && state(BEFORE[name]))

const model = (name, room, twin, frozen = true) => new explore.Model(twin ? twin.w : state(name), { heads: explore.data.world.heads, room, twin, frozen })

const mark = category => {
  const helpful = category === "helpful", name = category.replace("_", "-")
  return make("p", { class: `category ${name}` }, `${helpful ? "✓" : "✗"} ${name}`)
}

const signed = (number, digits = 2) => {
  const size = Math.abs(number).toFixed(digits)
  return `${number < 0 && +size ? "−" : "+"}${size}`
}
const percent = share => share > 0 && share < 0.005 ? "under 1 %" : `${Math.round(100 * share)} %`
const sum = numbers => numbers.reduce((total, number) => total + number, 0)

// Puts the live part in place of the recorded result, with a button that leads back and forth.
const replace = (figure, ...inside) => {
  const recorded = figure.querySelector(".recorded"), part = make("div", {}, inside)
  const turn = make("button", { type: "button", class: "turn", onclick: () => {
    recorded.hidden = !recorded.hidden
    part.hidden = !part.hidden
    turn.textContent = part.hidden ? "Back to the live part" : "Show the recorded result"
  } }, "Show the recorded result")
  recorded.hidden = true
  recorded.after(make("div", { class: "live" }, part, turn))
}

// Work goes on in slices of 12 milliseconds; between them the page may answer.

const pause = () => new Promise(resolve => {
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = () => resolve(port1.close())
  port2.postMessage(0)
})

const drive = async (work, { stopped = () => false, slice = () => {} } = {}) => {
  for (;;) {
    const start = performance.now()
    do {
      const { done, value } = work.next()
      if (done) return value
    } while (performance.now() - start < 12)
    slice(performance.now() - start)
    await pause()
    if (stopped()) return
  }
}

const LOOK = `
.md-typeset .live :is(select, input, button) { font: inherit; max-width: 100%; }
.md-typeset .live :is(select, input, .word) { color: inherit; }
.md-typeset .live :is(select, input[type="text"], input[type="number"]) { display: block; width: 100%; padding: .35em .5em; background: var(--paper); border: 1px solid var(--md-default-fg-color--light); border-radius: .3rem; box-sizing: border-box; }
.md-typeset .live input[type="number"] { width: 5.5em; }
.md-typeset .live input[type="range"] { accent-color: var(--accent); vertical-align: middle; width: 7em; }
.md-typeset .live label { font-size: .86em; }
.md-typeset .live .row { display: flex; flex-wrap: wrap; gap: .6rem 1rem; align-items: end; margin: .6em 0; }
.md-typeset .live .row > .wide { flex: 1 1 14rem; min-width: 0; }
.md-typeset .live .md-button { padding: .4em 1em; cursor: pointer; }
.md-typeset .live [hidden] { display: none; }
.md-typeset .live .md-button[disabled] { opacity: .55; cursor: default; }
.md-typeset .live .turn { margin-top: .6em; text-decoration: underline; cursor: pointer; color: var(--accent); font-size: .86em; }
.md-typeset .live .fine { font-size: .8em; color: var(--md-default-fg-color--light); margin: .4em 0; }
.md-typeset .live .wrong { color: var(--stage-base); font-weight: 600; margin: .3em 0; }
.md-typeset .live .wrong:empty { display: none; }
.md-typeset .live .answers { width: auto; margin: 1em 0 0; text-align: start; }
.md-typeset .live .word { padding: .05em .1em; margin: 0; border-radius: .2em; cursor: pointer; text-decoration: underline dotted from-font; text-underline-offset: .2em; }
.md-typeset .live .word[aria-pressed="true"] { background: var(--stage, var(--accent)); color: var(--paper); text-decoration: none; }
.md-typeset .live .slots select.slot { display: inline-block; appearance: none; min-width: 26px; min-height: 26px; padding: .1em .15em; border: 0; border-bottom: 1px dotted; border-radius: 0; background: none; cursor: pointer; }
.md-typeset .live ol { font-size: .8em; margin: 0 0 .6em 1.4em; }
.md-typeset .live li { margin: 0 0 .2em; }
.md-typeset .live li.chosen { font-weight: 700; }
.md-typeset .live .strip { letter-spacing: .05em; line-height: 1.2; font-size: .8em; overflow-wrap: anywhere; margin: .5em 0 0; }
.md-typeset .live details:is(details, #x) { font-size: .8em; margin: .2em 0 0; padding: 0; border: 0; background: none; }
.md-typeset .live summary:is(summary, #x) { display: inline-block; min-height: 0; margin: 0; padding: 0; font-weight: 400; text-decoration: underline; text-underline-offset: .18em; }
.md-typeset .live summary:is(summary, #x)::before { content: "▸ "; display: inline; position: static; background: none !important; mask: none; }
.md-typeset .live [open] > summary:is(summary, #x)::before { content: "▾ "; }
.md-typeset .live summary:is(summary, #x)::after { display: none; }
.live .answers .cards { grid-template-columns: repeat(auto-fit, minmax(min(11rem, 100%), 1fr)); }
.md-typeset .live table:not([class]) { display: table; width: 100%; font-size: .8em; border: 0; background: none; box-shadow: none; }
.md-typeset .live table:not([class]) caption { text-align: start; font-weight: 600; color: var(--stage, inherit); caption-side: top; }
.md-typeset .live table:not([class]) :is(th, td) { padding: .15em .3em; border: 0; min-width: 0; text-align: start; vertical-align: middle; background: none; font-weight: 400; }
.md-typeset .live table:not([class]) .chosen { font-weight: 700; }
.md-typeset .live details :is(ol, table:not([class])) { font-size: .9em; }
.live .cards:has([open]) { align-items: start; }
.md-typeset .live .answers .choice { display: block; text-align: start; cursor: pointer; color: inherit; border-top: 4px solid var(--accent); }
.live :is(.numbers, .rounds) { overflow-x: auto; margin: 1em 0; }
.md-typeset .live .numbers :is(th, td):is(th, td, #x) { white-space: normal; }
.live .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(13rem, 100%), 1fr)); gap: 0 1rem; }
.md-typeset .live figure.chart { width: auto; max-width: none; margin: 1em 0; display: block; text-align: start; }
.live .charts > details { grid-column: 1 / -1; }
.live .chart { overflow-x: auto; }
.live .chart svg { width: 100%; min-width: 14rem; height: auto; font-size: 13px; }
.live .chart text { fill: var(--md-default-fg-color--light); }
.live .chart polyline { fill: none; stroke-width: 2.5; }
.live .chart line { stroke: var(--rule); }
`

if (!document.getElementById("live-look")) document.head.append(make("style", { id: "live-look" }, LOOK))

Object.assign(explore, { pause, drive, make, NAMES, state, model, mark, signed, percent, sum, replace })
}
