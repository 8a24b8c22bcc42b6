// What `ask` and `first-words` share: a question in the student's words, and which word comes next.

{
const KINDS = { capital: "Capitals", sum: "Sums", make: "Recipes", learn: "Skills", joke: "Jokes", haiku: "Haiku", harm: "Harmful requests" }
const LIKELIEST = 5

const split = text => text.toLowerCase().replace(/[?.,!:]/g, " $& ").split(/\s+/).filter(Boolean)

// Fields for a question, chosen or typed; `read` returns it, or says what is wrong and returns null.
const question = (figure, world, context, ask) => {
  const { make } = explore
  const first = figure.querySelector(".prompt > :last-child")?.textContent
  const option = one => make("option", { value: one.text, selected: one.text === first }, one.text)
  const groups = Object.entries(KINDS).map(([kind, label]) => make("optgroup", { label }, world.questions.filter(one => one.kind === kind).map(option)))
  const list = make("datalist", { id: `${figure.id}-words` })
  const wrong = make("p", { class: "wrong", role: "alert" })
  const select = make("select", { onchange: () => { typed.value = ""; ask() } }, groups)
  const complete = () => { // the last word, from the words there are
    const words = split(typed.value), begun = /\s$|^$/.test(typed.value) ? "" : words.pop()
    const fitting = world.words.slice(2).filter(word => word.startsWith(begun))
    list.replaceChildren(...fitting.slice(0, 12).map(word => make("option", { value: [...words, word].join(" ") })))
  }
  const typed = make("input", { type: "text", list: list.id, autocomplete: "off", spellcheck: "false", oninput: complete })
  const read = () => {
    const words = split(typed.value.trim() ? typed.value : select.value)
    const unknown = words.find(word => !world.tokenOf.has(word)), room = context - world.limit
    if (unknown) wrong.textContent = `The student does not know the word “${unknown}”. It knows ${world.words.length - 2} words, and a list of them opens while you type.`
    else if (words.length > room) wrong.textContent = `The student has room for a question of ${room} words.`
    else wrong.textContent = ""
    if (wrong.textContent) typed.focus()
    return wrong.textContent ? null : words.join(" ")
  }
  complete()
  const fields = make("div", { class: "row" },
    make("label", { class: "wide" }, "Choose a question", select),
    make("label", { class: "wide" }, "or type one, in the student’s words", typed, list))
  return { read, select, typed, wrong, fields }
}

const word = (world, token) => token === 1 ? "⏎" : world.words[token]

// The likeliest words after a node of a tree as bars, and `chosen` too; `go` makes buttons of them.
const chances = (world, model, node, caption, chosen, go) => {
  const { make, percent } = explore
  const from = node * model.vocabulary
  const likely = model.logprobs.subarray(from, from + model.vocabulary)
  const best = Array.from(likely.keys()).sort((a, b) => likely[b] - likely[a]).slice(0, LIKELIEST)
  if (chosen !== undefined && !best.includes(chosen)) best.push(chosen)
  const rows = best.map(token => {
    const bar = make("span", { class: "bar", "aria-hidden": "true" }), share = Math.exp(likely[token])
    bar.style.inlineSize = `${(4 * share).toFixed(2)}em`
    const name = token === 1 ? "⏎ (end)" : word(world, token)
    const button = go && token !== 1 && make("button", { type: "button", class: "word", onclick: () => go(token) }, name)
    return make("tr", { class: token === chosen && "chosen" }, make("th", { scope: "row" }, button || name), make("td", {}, bar, percent(share)))
  })
  return make("table", { class: "chances" }, make("caption", {}, caption), make("tbody", {}, rows))
}

Object.assign(explore, { question, word, chances })
}
