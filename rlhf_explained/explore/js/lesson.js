// Teach it your taste, without the page: panels of answers, a judge from the reader's choices, and a
// student who practises against that judge.

{
const PANEL = 4, SAMPLES = 16, QUESTIONS = 24, GROUP = 16, PROMPTS = 8, ROUNDS = 40, RATE = 0.01, RIDGE = 0.05
const ROOM = 4096

class Lesson {
  constructor(world, seed = 1, room = ROOM) {
    this.world = world
    this.random = explore.randomness(seed)
    this.tree = new explore.Tree(room)
    this.sft = explore.model("sft", room)
    this.choices = []
    this.differences = []
    this.shown = new Set()
  }

  questions(count) { // practised ones, by their shares
    return Array.from({ length: count }, () => {
      let left = this.random()
      const kind = Object.keys(this.world.shares).find(one => (left -= this.world.shares[one]) < 0) ?? "capital"
      const some = this.world.questions.filter(question => question.kind === kind && !question.held_out)
      return some[Math.floor(this.random() * some.length)]
    })
  }

  mean(answer) { // what the judge sees of an answer: the SFT model's features, averaged over its words
    const { width, hidden } = this.sft, mean = new Float64Array(width)
    for (const node of answer.nodes) for (let i = 0; i < width; i++) mean[i] += hidden[node * width + i] / answer.nodes.length
    return mean
  }

  *prepare() { // answers of the SFT model to choose from
    this.pool = []
    for (const question of new Set(this.questions(2 * QUESTIONS))) {
      this.tree.clear()
      const drawn = yield* explore.sample(this.sft, this.tree, [this.world.encode(question.text)], SAMPLES, this.random)
      yield* this.sft.read(this.tree, Array.from({ length: this.tree.size }, (_, node) => node))
      const texts = new Set()
      for (const answer of drawn) {
        const text = this.world.decode(answer.tokens)
        if (!answer.ended || texts.has(text)) continue
        texts.add(text)
        this.pool.push({ question, text, raw: this.mean(answer) })
      }
      if (new Set(this.pool.map(one => one.question)).size === QUESTIONS) break
    }
    const { width } = this.sft, count = this.pool.length
    this.centre = Float64Array.from({ length: width }, (_, i) => explore.sum(this.pool.map(one => one.raw[i])) / count)
    this.unit = this.centre.map((centre, i) => Math.sqrt(explore.sum(this.pool.map(one => (one.raw[i] - centre) ** 2)) / count * width) + 1e-3)
    for (const one of this.pool) one.features = this.features(one.raw)
    this.fit()
  }

  features(raw) { return raw.map((x, i) => (x - this.centre[i]) / this.unit[i]) }

  panel() { // the answers to a question that differ most from each other
    const open = [...new Set(this.pool.map(one => one.question))].filter(question =>
      !this.shown.has(question) && this.pool.filter(one => one.question === question).length >= PANEL)
    if (!open.length) { this.shown.clear(); return this.panel() }
    const question = open[Math.floor(this.random() * open.length)]
    this.shown.add(question)
    const all = this.pool.filter(one => one.question === question)
    const distance = (one, other) => explore.sum(Array.from(one.features, (x, i) => (x - other.features[i]) ** 2))
    const some = [all[Math.floor(this.random() * all.length)]]
    while (some.length < PANEL) {
      const nearest = all.map(one => Math.min(...some.map(other => distance(one, other))))
      some.push(all[nearest.indexOf(Math.max(...nearest))])
    }
    for (let i = PANEL - 1; i > 0; i--) { // in any order
      const j = Math.floor(this.random() * (i + 1));
      [some[i], some[j]] = [some[j], some[i]]
    }
    return some
  }

  choose(panel, best) { // the best of a panel is preferred to each of the others
    for (const other of panel) {
      if (other === panel[best]) continue
      this.choices.push({ prompt: panel[best].question.text, chosen: panel[best].text, rejected: other.text })
      this.differences.push(panel[best].features.map((x, i) => x - other.features[i]))
    }
    this.fit()
  }

  fit() {
    this.weights = explore.bradleyTerry(this.differences, this.sft.width, RIDGE)
    const values = this.pool.map(one => this.value(one.features))
    this.middle = explore.sum(values) / values.length
    this.spread = Math.sqrt(explore.sum(values.map(value => (value - this.middle) ** 2)) / values.length) || 1
  }

  value(features) { return explore.sum(Array.from(features, (x, i) => x * this.weights[i])) }

  score(features) { return (this.value(features) - this.middle) / this.spread } // in standard deviations of SFT's

  likes() { // the pool, best first, each kind of beginning once
    const seen = new Set()
    const ranked = [...this.pool].sort((one, other) => this.value(other.features) - this.value(one.features))
    return ranked.filter(({ question, text }) => {
      const key = this.world.categorise(question, text) + text.slice(0, 8)
      return !seen.has(key) && seen.add(key)
    })
  }

  student() { return explore.model("sft", ROOM, this.sft) }

  *train(model, kl, watch) { // RLOO against the judge, on a student's 192 numbers
    const frozen = { weights: this.weights, middle: this.middle, spread: this.spread }
    const lesson = this
    function* judge(answers) {
      yield* lesson.sft.read(lesson.tree, [...new Set(answers.flatMap(answer => answer.nodes))])
      return answers.map(answer => {
        const features = lesson.features(lesson.mean(answer))
        return (explore.sum(Array.from(features, (x, i) => x * frozen.weights[i])) - frozen.middle) / frozen.spread
      })
    }
    yield* this.practise(model, kl, judge, watch)
  }

  *practise(model, kl, judge, watch, { rounds = ROUNDS, rate = RATE, ...settings } = {}) { // `watch` may have work, too
    this.tree.clear()
    for (let round = 0; round < rounds; round++) {
      const prompts = this.questions(PROMPTS).map(question => this.world.encode(question.text))
      const { score, kl: distance } = yield* explore.rloo({
        model, reference: this.sft, judge, tree: this.tree, prompts, group: GROUP,
        random: this.random, kl, rate: rate * (1 - 0.8 * round / rounds), ...settings,
      })
      yield* watch({ round: round + 1, rounds, score, kl: distance }) ?? []
      yield
    }
  }

  *examine(model, seed = 9) { // what it answers to the questions held out, four times each
    const random = explore.randomness(seed), given = []
    for (const question of this.world.questions.filter(one => one.held_out)) {
      this.tree.clear()
      for (const answer of yield* explore.sample(model, this.tree, [this.world.encode(question.text)], 4, random)) {
        given.push({ question, text: this.world.decode(answer.tokens) })
      }
    }
    return given
  }
}

explore.Lesson = Lesson
}
