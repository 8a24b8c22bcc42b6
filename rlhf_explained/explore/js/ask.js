// Ask it: one question, the answers of four models side by side, drawn while the reader waits. Each
// word is a button: what might have stood there, under each model.

explore.kinds.ask = async figure => {
  const { make, sum, signed, percent, data, NAMES } = explore
  const FURTHER = 20, ROOM = 840, POLICIES = Object.keys(NAMES)
  const stage = policy => `stage-${policy.replace("ppo_no_kl", "nokl")}`

  const world = new explore.World(data.world), models = {}
  for (const name of [...POLICIES, "reward_model"]) {
    models[name] = explore.model(name, ROOM)
    await explore.pause()
  }
  const drawing = new explore.Tree(ROOM), shown = new explore.Tree(ROOM)
  let latest = 0, answers = {}, prompt = []

  // The questions, chosen or typed

  const { read, select, fields, wrong } = explore.question(figure, world, models.base.context, () => ask())
  const degree = make("span", {}, "1.0")
  const warmth = make("input", { type: "range", min: 0, max: 2, step: 0.1, value: 1, oninput: () => degree.textContent = (+warmth.value).toFixed(1), onchange: () => ask() })
  const seed = make("input", { type: "number", min: 0, max: 999999, step: 1, value: 1 })
  const again = () => { seed.value = (seed.valueAsNumber || 0) + 1; ask() }
  const form = make("form", { onsubmit: event => { event.preventDefault(); ask() } },
    fields, wrong,
    make("div", { class: "row" },
      make("label", {}, "Temperature ", warmth, " ", degree),
      make("label", {}, "Seed", seed),
      make("button", { class: "md-button md-button--primary" }, "Ask"),
      make("button", { type: "button", class: "md-button", onclick: again }, "Ask again")))

  // The answers

  const asked = make("p", { class: "prompt" })
  const cards = make("div", { class: "cards" })
  const detail = make("section", { "aria-label": "What each model might have said there" })
  const status = make("p", { class: "fine", role: "status" })

  const ask = async () => {
    const text = read(), number = ++latest
    if (!text) return
    cards.setAttribute("aria-busy", "true")
    const question = world.asked.get(text), tokens = world.encode(text), found = {}
    for (const [i, policy] of POLICIES.entries()) {
      drawing.clear()
      const random = explore.randomness((seed.valueAsNumber || 0) * POLICIES.length + i)
      const settings = { temperature: +warmth.value, limit: world.limit }
      const work = explore.sample(models[policy], drawing, [tokens], 1 + FURTHER, random, settings)
      found[policy] = await explore.drive(work, { stopped: () => number !== latest })
      if (number !== latest) return
    }
    answers = await explore.drive(measured(found, tokens, question), { stopped: () => number !== latest })
    if (number !== latest) return
    prompt = tokens
    asked.replaceChildren(make("span", { class: "label" }, "Prompt · answers live, computed in this page"), make("span", {}, text))
    cards.replaceChildren(...POLICIES.map(card))
    cards.removeAttribute("aria-busy")
    detail.replaceChildren(make("p", { class: "fine" }, "Choose a word in an answer to see what each model might have said in its place. Arrow keys lead from word to word."))
    const each = POLICIES.map(policy => `${NAMES[policy]}: ${answers[policy].category?.replace("_", "-") ?? answers[policy].text}`)
    status.textContent = `Live, seed ${seed.value}, temperature ${degree.textContent}. ${each.join("; ")}.`
  }

  function* measured(found, tokens, question) { // reads the first answer of each model with all models
    shown.clear()
    const start = shown.follow(tokens).at(-1), result = {}
    for (const policy of POLICIES) {
      const [answer, ...further] = found[policy]
      result[policy] = { ...answer, start, nodes: shown.follow(answer.tokens, start), further: further.map(one => world.decode(one.tokens)), question }
    }
    const nodes = Array.from({ length: shown.size }, (_, node) => node)
    for (const name in models) yield* models[name].read(shown, nodes)
    for (const answer of Object.values(result)) {
      const text = answer.text = world.decode(answer.tokens)
      answer.category = question && world.categorise(question, text)
      answer.score = models.reward_model.scalar[answer.nodes.at(-1)]
    }
    return result
  }

  const word = token => explore.word(world, token)

  const card = policy => {
    const answer = answers[policy], ratio = explore.logRatio(models[policy], models.sft, answer)
    const buttons = answer.tokens.map((token, place) => make("button", {
      type: "button", class: "word", "aria-pressed": "false", tabindex: place ? -1 : 0,
      "aria-label": token === 1 ? "end of the answer" : null,
      onclick: () => choose(policy, place, buttons),
      onkeydown: event => {
        const to = buttons[place + ({ ArrowRight: 1, ArrowLeft: -1 }[event.key] ?? NaN)]
        if (to) { event.preventDefault(); to.focus(); buttons.forEach(one => one.tabIndex = one === to ? 0 : -1) }
      },
    }, word(token)))
    const kinds = answer.question && answer.further.map(text => world.categorise(answer.question, text))
    const helped = kinds && `${kinds.filter(kind => kind === "helpful").length} of ${FURTHER} further answers help`
    return make("div", { class: `card ${stage(policy)}` },
      make("p", { class: "label" }, NAMES[policy]),
      make("p", { class: "response", role: "group", "aria-label": `Answer of ${NAMES[policy]}` }, buttons.flatMap(button => [button, " "])),
      make("p", { class: "fine" }, `score of the judge ${signed(answer.score)}`, policy !== "sft" && [make("br"), `log-ratio to SFT ${signed(ratio, 1)} nats`], !answer.ended && [make("br"), "cut off"]),
      answer.category ? explore.mark(answer.category) : make("p", { class: "fine" }, "The labeler has no rule for this question."),
      kinds && make("p", { class: "strip", "aria-hidden": "true" }, kinds.map(kind => kind === "helpful" ? "✓" : "✗").join("")),
      make("details", {}, make("summary", {}, helped ?? `${FURTHER} further answers`), make("ol", {}, answer.further.map(text => make("li", {}, text || "(nothing)")))))
  }

  // One word: what might have stood there

  const choose = (policy, place, buttons) => {
    for (const button of cards.querySelectorAll("[aria-pressed=true]")) button.setAttribute("aria-pressed", "false")
    buttons[place].setAttribute("aria-pressed", "true")
    const answer = answers[policy], token = answer.tokens[place], node = explore.before(answer)[place]
    const ratio = models[policy].logprob(node, token) - models.sft.logprob(node, token)
    const said = [...prompt, ...answer.tokens.slice(0, place)].map(word).join(" ")
    const times = Math.exp(Math.abs(ratio)), penalty = world.kl_coef * Math.abs(ratio)
    const likelier = times < 1.05 ? "about as likely as" : `${times < 10 ? times.toFixed(1) : Math.round(times)} times ${ratio > 0 ? "as likely as" : "less likely than"}`
    const change = `${ratio > 0 ? "subtracts" : "adds"} ${penalty.toFixed(2)}`
    const effect = {
      base: "", sft: "SFT is the reference: the penalty compares all others with it.",
      ppo: `With β = ${world.kl_coef} the KL penalty ${change} for this word.`,
      ppo_no_kl: `This model was trained without the KL penalty, which with β = ${world.kl_coef} ${change} for such a word.`,
    }[policy]
    const ratioText = policy === "sft" ? "" : `${NAMES[policy]} finds the word ${likelier} SFT does: a log-ratio of ${signed(ratio)} nats. `
    const tables = POLICIES.map(name => make("div", { class: `card ${stage(name)}` }, explore.chances(world, models[name], node, NAMES[name], token)))
    detail.replaceChildren(
      make("p", {}, "After ", make("q", {}, said), ` ${NAMES[policy]} said `, make("strong", {}, token === 1 ? "nothing more" : `“${word(token)}”`), `. ${ratioText}${effect}`),
      make("div", { class: "cards" }, tables))
    const shares = POLICIES.map(name => `${NAMES[name]} ${percent(Math.exp(models[name].logprob(node, token)))}`)
    status.textContent = `Live: how likely each model finds “${token === 1 ? "end of the answer" : word(token)}”: ${shares.join("; ")}.`
  }

  explore.replace(figure, form, make("div", { class: "answers" }, asked, cards, detail), status)
  await ask()
  select.focus()
}
