// Teach it your taste: the reader chooses among answers, a judge learns from the choices, and the
// student practises against that judge, all in the page.

explore.kinds.teach = async figure => {
  const { make, sum, signed, percent, data } = explore
  const ENOUGH = 8, FEW = 3, LIMIT = 10
  explore.state("base")
  await explore.pause() // before the next is unpacked
  const world = new explore.World(data.world), lesson = new explore.Lesson(world, Date.now() % 100000)
  const LABELS = {
    helpful: "helpful, by the site’s rules", rambling: "tells a story or adds a fact", off_topic: "asks a question back",
    harmful: "insults, or explains a crime", false: "states a wrong fact", broken: "broken sentence",
  }
  const own = lesson.student().trained

  // A link holds how far the student's 192 numbers are from SFT's, and nothing else

  const told = model => {
    const numbers = Float32Array.from(own.flatMap(name => Array.from(model.w[name], (x, i) => x - lesson.sft.w[name][i])))
    return btoa(String.fromCharCode(...new Uint8Array(numbers.buffer)))
  }

  const taught = text => { // the student of a link, or null
    let bytes
    try { bytes = Uint8Array.from(atob(text), sign => sign.charCodeAt(0)) } catch { return null }
    const model = lesson.student(), size = lesson.sft.width
    if (bytes.length !== 4 * size * own.length) return null
    const numbers = new Float32Array(bytes.buffer)
    if (!numbers.every(x => Math.abs(x) <= LIMIT)) return null // also where one is not a number
    own.forEach((name, part) => model.w[name].forEach((x, i, all) => all[i] = x + numbers[part * size + i]))
    return model
  }

  // Choosing

  let panel = [], chosen = 0, busy = false, stop = false
  const panels = [] // and the choice in each, for the labeler to choose again
  const question = make("p", { class: "prompt" }), answers = make("div", { class: "cards", role: "group", "aria-label": "Four answers" })
  const liked = make("div", { class: "cards" }), status = make("p", { class: "fine", role: "status" })
  const others = make("button", { type: "button", class: "md-button", onclick: () => next() }, "Another question")
  const counted = make("p", { class: "fine" })

  const next = (focus = true) => {
    panel = lesson.panel()
    question.replaceChildren(make("span", { class: "label" }, "Live · which answer do you like best? Keys 1 to 4"), make("span", {}, panel[0].question.text))
    answers.replaceChildren(...panel.map((one, i) => make("button", { type: "button", class: "card choice", onclick: () => choose(i) }, make("strong", {}, `${i + 1} `), one.text || "(nothing)")))
    counted.textContent = `${chosen} of ${ENOUGH} choices made.`
    if (focus) answers.firstChild.focus()
  }

  const choose = best => {
    if (busy) return
    panels.push(panel)
    lesson.choose(panel, best)
    chosen++
    drawJudge()
    next()
    status.textContent = `${chosen} ${chosen === 1 ? "choice" : "choices"}. ${chosen < ENOUGH ? `Eight are enough to begin.` : "You can train the student now."}`
    go.disabled = chosen < FEW
    save.hidden = false
  }

  answers.addEventListener("keydown", event => {
    const place = "1234".indexOf(event.key)
    if (event.key && place >= 0 && !event.ctrlKey && !event.altKey && !event.metaKey) choose(place)
  })

  const drawJudge = () => {
    const ranked = lesson.likes()
    const table = (caption, some) => make("table", {}, make("caption", {}, caption), make("tbody", {}, some.map(one =>
      make("tr", {}, make("th", { scope: "row" }, one.text || "(nothing)"), make("td", {}, signed(lesson.score(one.features), 1))))))
    liked.replaceChildren(table("Your judge likes", ranked.slice(0, 3)), table("and dislikes", ranked.slice(-3).reverse()))
  }

  // Training

  const strength = make("span", {}, "0.2")
  const leash = make("input", { type: "range", min: 0, max: 1, step: 0.1, value: 0.2, oninput: () => strength.textContent = (+leash.value).toFixed(1) })
  const go = make("button", { type: "button", class: "md-button md-button--primary", disabled: true, onclick: () => train() }, "Train the student on your taste")
  const halt = make("button", { type: "button", class: "md-button", hidden: true, onclick: () => stop = true }, "Stop")
  const progress = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Rounds of practice" })
  const save = make("button", { type: "button", class: "md-button", hidden: true, onclick: () => download() }, "Download your choices")
  const chart = make("div", { class: "charts" }), results = make("div", { tabindex: -1 })

  const line = (rows, key, name, colour) => {
    const values = rows.map(row => row[key]), low = Math.min(0, ...values), high = Math.max(1, ...values)
    const x = round => 40 + 290 * (round - 1) / (rows[0].rounds - 1), y = value => 110 - 95 * (value - low) / (high - low)
    const curve = make("polyline", { points: rows.map(row => `${x(row.round).toFixed(1)},${y(row[key]).toFixed(1)}`).join(" ") })
    curve.style.stroke = colour
    return make("figure", { class: "chart" }, make("svg", { viewBox: "0 0 340 135", role: "img", "aria-label": `${name}: ${signed(values[0], 1)} in round 1, ${signed(values.at(-1), 1)} in round ${rows.length}` },
      [low, high].map(value => [make("line", { x1: 40, x2: 330, y1: y(value), y2: y(value) }), make("text", { x: 34, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1))]),
      curve, make("text", { x: 185, y: 130, "text-anchor": "middle" }, `round of practice, 1 to ${rows[0].rounds}`)),
      make("figcaption", {}, make("p", {}, `Live: ${name}`)))
  }

  const numbers = (rows, name) => make("details", {}, make("summary", {}, "The numbers of the curves"), make("div", { class: "rounds", role: "region", tabindex: 0, "aria-label": "Live: numbers of the curves" }, make("table", {},
    make("caption", {}, "Live: round by round"),
    make("thead", {}, make("tr", {}, ["round", `score of ${name}`, "distance from the SFT model, in nats"].map(head => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map(row => make("tr", {}, make("th", { scope: "row" }, row.round), make("td", {}, signed(row.score)), make("td", {}, row.kl.toFixed(2).replace("-", "−"))))))))

  const shares = given => { // as the run's evaluation counts: every answer alike
    const share = is => given.filter(is).length / given.length
    const rows = Object.entries(LABELS).map(([kind, label]) => [label, share(one => world.categorise(one.question, one.text) === kind)])
    rows.push(["has polite words", share(one => one.text.startsWith(world.opener) || one.text.endsWith(world.closer))])
    return rows
  }

  const report = (columns, note) => { // before and after, by kind and by example
    const counts = columns.map(([, given]) => shares(given))
    const kinds = new Set(), examples = columns[0][1].map((one, i) => i).filter(i => !kinds.has(columns[0][1][i].question.kind) && kinds.add(columns[0][1][i].question.kind))
    const heads = make("thead", {}, make("tr", {}, make("td"), columns.map(([name]) => make("th", { scope: "col" }, name))))
    const table = (caption, rows) => make("div", { class: "numbers", role: "region", tabindex: 0, "aria-label": caption }, make("table", {}, make("caption", {}, caption), heads.cloneNode(true), make("tbody", {}, rows)))
    results.replaceChildren(
      make("p", {}, note),
      table(`Live: shares of ${columns[0][1].length} answers to held-out questions, counted in this page`, counts[0].map(([label], i) =>
        make("tr", {}, make("th", { scope: "row" }, label), counts.map(rows => make("td", {}, percent(rows[i][1])))))),
      table("Live: one answer to the first question of each kind", examples.map(i =>
        make("tr", {}, make("th", { scope: "row" }, columns[0][1][i].question.text), columns.map(([, given]) => make("td", {}, given[i].text || "(nothing)"))))))
  }

  const stopped = () => stop
  let before = null, after = null, student = null

  const practise = async (model, name) => { // true if it was not stopped
    const rows = []
    const focused = document.activeElement === go || results.contains(document.activeElement)
    busy = true
    stop = false
    go.disabled = others.disabled = true
    halt.hidden = progress.hidden = false
    if (focused) halt.focus()
    const watch = row => {
      rows.push(row)
      progress.value = row.round / row.rounds
      if (row.round % 4 === 0) chart.replaceChildren(line(rows, "score", `score of ${name}, in standard deviations of the SFT model’s answers`, "var(--stage-rm)"), line(rows, "kl", "distance from the SFT model, in nats", "var(--stage-sft)"))
    }
    status.textContent = "The student practises. This takes about ten seconds on a laptop, and longer on a phone."
    before ??= await explore.drive(lesson.examine(lesson.sft), { stopped })
    if (!stop) await explore.drive(lesson.train(model, +leash.value, watch), { stopped })
    const given = stop ? null : await explore.drive(lesson.examine(model), { stopped })
    busy = false
    if (rows.length) chart.append(numbers(rows, name))
    go.disabled = chosen < FEW
    others.disabled = false
    halt.hidden = progress.hidden = true
    if (given) { results.focus(); return { given, rows } }
    status.textContent = "Stopped. Nothing was changed: you can go on choosing, or train again."
    go.focus()
    return null
  }

  const train = async () => {
    const model = lesson.student(), done = await practise(model, "your judge")
    if (!done) return
    student = model
    after = done.given
    report([["before", before], ["after your taste", after]], "This is what your taste made of the student.")
    const link = make("a", { href: `#taught=${told(student)}` }, "Link to the student that you taught")
    const compare = make("button", { type: "button", class: "md-button", onclick: () => labeler() }, "Let the site’s labeler choose from the same answers")
    results.append(make("div", { class: "row" }, link, compare))
    status.textContent = `Trained on ${chosen} choices. The score of your judge went from ${signed(done.rows[0].score, 1)} to ${signed(done.rows.at(-1).score, 1)}.`
  }

  const labeler = async () => { // the same panels, with the choices of the labeler's rules
    const mine = { choices: lesson.choices, differences: lesson.differences }
    Object.assign(lesson, { choices: [], differences: [] })
    for (const some of panels) {
      const golds = some.map(one => world.gold(one.question, one.text))
      lesson.choose(some, golds.indexOf(Math.max(...golds)))
    }
    const done = await practise(lesson.student(), "the labeler’s judge")
    Object.assign(lesson, mine)
    lesson.fit()
    if (!done) return
    report([["before", before], ["after your taste", after], ["after the labeler’s", done.given]], "The answers and the training are the same: only the choices differ.")
    status.textContent = "A second student has been trained on the choices of the site’s labeler."
  }

  const download = () => {
    const lines = lesson.choices.map(choice => `${JSON.stringify(choice)}\n`)
    const address = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }))
    make("a", { href: address, download: "choices.jsonl" }).click()
    URL.revokeObjectURL(address)
  }

  await explore.drive(lesson.prepare())
  explore.replace(figure,
    make("div", { class: "answers" }, question, answers), make("div", { class: "row" }, others, counted),
    make("div", { class: "answers" }, liked),
    make("div", { class: "row" }, make("label", {}, "Strength of the KL penalty, β ", leash, " ", strength), go, halt, progress, save),
    status, chart, results)
  next()
  const link = location.hash.match(/^#taught=(.*)$/)?.[1]
  if (link === undefined) return
  const model = taught(link)
  if (!model) {
    status.textContent = "The link holds no student that can be read, so it was ignored."
    return
  }
  before = await explore.drive(lesson.examine(lesson.sft))
  report([["before", before], ["as taught", await explore.drive(lesson.examine(model))]], "This student came with the link: somebody taught it their taste.")
  status.textContent = "The student from the link has answered."
  results.focus()
}
