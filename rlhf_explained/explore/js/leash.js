// Cut the leash: all weights of the SFT model practise against the run's own judge, in the page, and
// are evaluated on the way. What the run recorded stays beside it.

explore.kinds.leash = async figure => {
  for (const name of ["base", "sft", "reward_model"]) { // unpacked one by one, so that the page answers meanwhile
    explore.state(name)
    await explore.pause()
  }
  const { make, mark, sum, percent, data } = explore
  const ROOM = 2048, RATE = 0.002, ANSWERS = 2, KEPT = 2
  const UNFINISHED = -6 // the score of an answer that was cut off, as in PPOConfig of stages/ppo.py
  const { after, runs: recorded, names } = data.rounds, ROUNDS = after.at(-1)
  const EXAMS = new Set([0, ...after.filter((round, place) => (after.length - place) % 2)])
  const MEASURED = { score: "judge’s score", gold: "true reward", kl: "KL from the SFT model, in nats" }
  const world = new explore.World(data.world), lesson = new explore.Lesson(world, Date.now() % 100000, ROOM)
  const judge = explore.model("reward_model", ROOM), heldOut = world.questions.filter(question => question.held_out)
  const mean = numbers => sum(numbers) / numbers.length
  const text = (number, digits = 2) => number.toFixed(digits).replace("-", "−")
  const stage = beta => beta ? "ppo" : "nokl"
  const counted = round => `${round} ${round === 1 ? "round" : "rounds"}`
  const penalty = beta => `β = ${beta ? text(beta, 1) : 0}`

  function* scores(answers) { // by the run's reward model, at the last word
    const ends = answers.map(answer => answer.nodes.at(-1))
    yield* judge.read(lesson.tree, ends)
    return ends.map(node => judge.scalar[node])
  }

  function* examined(model, round) { // as the recorded evaluation, with fewer answers
    const random = explore.randomness(9), questions = []
    for (const question of heldOut) {
      lesson.tree.clear()
      const answers = yield* explore.sample(model, lesson.tree, [world.encode(question.text)], ANSWERS, random)
      yield* lesson.sft.read(lesson.tree, [...new Set(answers.flatMap(explore.before))])
      const texts = answers.map(answer => world.decode(answer.tokens))
      questions.push({
        question, text: texts[0], score: mean(yield* scores(answers)),
        kl: mean(answers.map(answer => explore.logRatio(model, lesson.sft, answer))),
        gold: mean(texts.map(one => world.gold(question, one))),
        helpful: mean(texts.map(one => +(world.categorise(question, one) === "helpful"))),
      })
    }
    const row = { round, questions }
    for (const what of ["score", "gold", "kl", "helpful"]) row[what] = mean(questions.map(one => one[what]))
    const spread = sum(questions.map(one => (one.gold - row.gold) ** 2)) / (questions.length - 1)
    return { ...row, error: Math.sqrt(spread / questions.length) }
  }

  // What is drawn: recorded lines are dashed, live ones are not

  const PLACE = { score: 0, gold: 1, kl: 2 } // in the recorded texts
  const past = (run, what) => recorded[run].map((texts, place) => [after[place], parseFloat(texts[PLACE[what]].replace("−", "-"))])

  const chart = (what, title) => {
    const lines = [["ppo_no_kl", 0], ["ppo", world.kl_coef]].map(([run, beta]) => ({ look: stage(beta), dashed: "4 3", label: `recorded, ${penalty(beta)}`, points: past(run, what) }))
    for (const { beta, rows } of runs) lines.push({ look: stage(beta), label: `live, ${penalty(beta)}`, points: rows.map(row => [row.round, row[what]]) })
    const values = lines.flatMap(one => one.points.map(([, value]) => value)), low = Math.min(0, ...values), high = Math.max(1, ...values)
    const x = round => 34 + 190 * round / ROUNDS, y = value => 12 + 118 * (high - value) / (high - low)
    const ends = lines.map(({ look, label, points }) => ({ look, label, y: y(points.at(-1)[1]) })).sort((one, other) => one.y - other.y)
    ends.forEach((end, i) => end.y = Math.max(end.y, i ? ends[i - 1].y + 14 : 0)) // no two labels in one place
    ends.reverse().forEach((end, i) => end.y = Math.min(end.y, i ? ends[i - 1].y - 14 : 134))
    const told = lines.slice(2).map(({ label, points }) => `${label}: from ${text(points[0][1])} to ${text(points.at(-1)[1])}`)
    return make("figure", { class: "chart" },
      make("svg", { viewBox: "0 0 340 160", role: "img", "aria-label": `${title}, ${told.join("; ") || "recorded"}` },
        [low, high].map(value => [make("line", { x1: 34, x2: x(ROUNDS), y1: y(value), y2: y(value) }), make("text", { x: 29, y: y(value) + 4, "text-anchor": "end" }, text(value, 1))]),
        lines.map(({ look, dashed, points }) => make("polyline", { class: `line-${look}`, "stroke-dasharray": dashed, points: points.map(([round, value]) => `${x(round).toFixed(1)},${y(value).toFixed(1)}`).join(" ") })),
        ends.map(end => make("text", { class: `fill-${end.look}`, x: x(ROUNDS) + 6, y: end.y + 4 }, end.label)),
        make("text", { x: 129, y: 154, "text-anchor": "middle" }, `rounds, 0 to ${ROUNDS}`)),
      make("figcaption", {}, make("p", {}, `Live and recorded: ${title}`)))
  }

  const table = (caption, heads, rows) => make("div", { class: "numbers", role: "region", tabindex: 0, "aria-label": caption }, make("table", {},
    make("caption", {}, caption), make("thead", {}, make("tr", {}, heads.map(head => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map(([head, ...cells]) => make("tr", {}, make("th", { scope: "row" }, head), cells.map(cell => make("td", {}, cell)))))))

  const numbers = () => make("details", {}, make("summary", {}, "The live numbers"), runs.map(({ beta, rows }) => table(
    `Live, ${penalty(beta)}: means of ${ANSWERS * heldOut.length} answers to held-out questions`,
    ["rounds", ...data.rounds.heads],
    rows.map(row => [row.round, text(row.score), `${text(row.gold)} ± ${text(row.error)}`, text(row.kl), percent(row.helpful)]))))

  const answers = () => {
    const kinds = new Set(), shown = heldOut.map((question, i) => i).filter(i => !kinds.has(heldOut[i].kind) && kinds.add(heldOut[i].kind))
    const columns = [["SFT, before the first round", runs[0].rows[0]], ...runs.map(({ beta, rows }) => [`${penalty(beta)}, round ${rows.at(-1).round}`, rows.at(-1)])]
    return table("Live: one answer to the first question of each kind", ["Question", ...columns.map(([head]) => head)], shown.map(i =>
      [heldOut[i].text, ...columns.map(([, row]) => [make("p", {}, row.questions[i].text || "(nothing)"), mark(world.categorise(heldOut[i], row.questions[i].text))])]))
  }

  // Training

  let runs = [], stop = false
  const strength = make("span", {}, "0.0")
  const leash = make("input", { type: "range", min: 0, max: 1, step: 0.1, value: 0, oninput: () => strength.textContent = (+leash.value).toFixed(1) })
  const go = make("button", { type: "button", class: "md-button md-button--primary", onclick: () => train() }, "Train again")
  const halt = make("button", { type: "button", class: "md-button", hidden: true, onclick: () => stop = true }, "Stop")
  const progress = make("progress", { max: ROUNDS, value: 0, hidden: true, "aria-label": "Rounds of practice" })
  const status = make("p", { class: "fine", role: "status" }), charts = make("div", { class: "charts" }), results = make("div", { tabindex: -1 })
  const draw = () => charts.replaceChildren(...Object.entries(MEASURED).map(([what, title]) => chart(what, title)))

  const train = async () => {
    const beta = +leash.value, rows = [], model = explore.model("sft", ROOM, null, false), stopped = () => stop
    runs = [...runs.filter(one => one.beta !== beta), { beta, rows }].slice(-KEPT)
    stop = false
    go.disabled = leash.disabled = true
    halt.hidden = progress.hidden = false
    halt.focus()
    results.replaceChildren()
    status.textContent = `The student practises, ${penalty(beta)}. This takes less than half a minute on a laptop, and longer on a phone.`
    function* exam(round) {
      rows.push(yield* examined(model, round))
      draw()
    }
    const watch = ({ round }) => {
      progress.value = round
      return EXAMS.has(round) ? exam(round) : null
    }
    function* work() {
      yield* exam(0)
      yield* lesson.practise(model, beta, scores, watch, { rounds: ROUNDS, rate: RATE, unfinished: UNFINISHED })
    }
    let failed = ""
    try { await explore.drive(work(), { stopped }) } catch { failed = "This browser could not continue the training. " }
    go.disabled = leash.disabled = false
    halt.hidden = progress.hidden = true
    if (!rows.length) runs = runs.filter(one => one.rows !== rows)
    draw()
    if (runs.length) results.replaceChildren(numbers(), answers())
    const last = rows.at(-1), best = rows.reduce((one, other) => other.gold > one.gold ? other : one, rows[0])
    const came = last && `Live, ${penalty(beta)}: after ${counted(last.round)} the judge’s score went from ${text(rows[0].score)} to ${text(last.score)}, and the true reward from ${text(rows[0].gold)} to ${text(last.gold)}. It was highest after ${counted(best.round)}, at ${text(best.gold)}.`
    status.textContent = `${failed}${stop ? "Stopped. " : ""}${came ?? "There was no time for an evaluation."}`
    if (stop || failed) go.focus()
    else results.focus()
  }

  explore.replace(figure,
    make("p", { class: "fine" }, `Dashed: PPO ${names.ppo} and ${names.ppo_no_kl}, recorded in the run. Solid: live, computed in this page.`),
    make("div", { class: "row" }, make("label", {}, "Strength of the KL penalty, β ", leash, " ", strength), go, halt, progress),
    status, charts, results)
  draw()
  train()
}
