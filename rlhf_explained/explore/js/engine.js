// The student and how it learns, from its weights to the policy gradient, without a library.
// tests/site/test_engine.py compares each part with the Python that it mirrors, number by number.
// What takes long is a generator: it yields every few milliseconds, so that the page can answer.

{
const EOS = 1

// 1. Weights: explore/rounding.py
// A layer is a row of groups: a scale, as a number below 128 and a power of two, then up to 64
// whole numbers. A character says each of them. Layers add up, on top of an earlier model's weights.
const SIGN = new Int8Array(128)
for (let code = 1, next = 0; code < 128; code++) {
  if (!"\n\r\"\\".includes(String.fromCharCode(code))) SIGN[code] = next++
}

const unpacked = ({ sizes, layers }, before = {}) => {
  const state = {}
  for (const name in sizes) state[name] = Float32Array.from(before[name] ?? { length: sizes[name] }, x => x ?? 0)
  for (const layer of layers) {
    let at = 0
    const next = () => SIGN[layer.charCodeAt(at++)]
    for (const name in sizes) {
      for (let start = 0; start < sizes[name]; start += 64) {
        const scale = next() * 2 ** -next(), end = Math.min(start + 64, sizes[name])
        for (let i = start; i < end; i++) state[name][i] += (next() - 61) * scale
      }
    }
  }
  return state
}

// 2. A tree of beginnings. Answers that begin alike share the nodes of their beginning, so that no
// word is computed twice: this is the key-value cache of models/gpt.py for many answers at once.
// A node's number is larger than its parent's.
class Tree {
  constructor(room, context = 64) {
    Object.assign(this, { room, context })
    this.token = new Int32Array(room)
    this.parent = new Int32Array(room)
    this.depth = new Int32Array(room)
    this.path = new Int32Array(room * context) // the nodes from the first word to this one
    this.clear()
  }

  clear() {
    this.size = 0
    this.children = new Map()
    this.age = {} // another object for other content
  }

  child(parent, token) {
    const key = parent * 1024 + token
    let node = this.children.get(key)
    if (node === undefined) {
      node = this.size++
      if (node >= this.room) throw new RangeError("the tree is full")
      this.children.set(key, node)
      const depth = parent < 0 ? 0 : this.depth[parent] + 1
      if (depth >= this.context) throw new RangeError("longer than the context")
      const way = node * this.context, before = parent * this.context
      this.path.copyWithin(way, before, before + depth)
      this.path[way + depth] = node
      this.token[node] = token
      this.parent[node] = parent
      this.depth[node] = depth
    }
    return node
  }

  follow(tokens, from = -1) { return tokens.map(token => from = this.child(from, token)) } // the nodes of a text
}

// 3. Products of matrices, the only part that needs to be fast: blocks of 2 rows and 4 columns.
// out[r, c] = sum of a[r, i] * b[c, i] over i. When it adds, the number of columns is divisible by 4.
const multiply = (out, a, b, rows, columns, inner, add = false) => {
  for (let r = 0; r < rows; r += 2) {
    const pair = r + 1 < rows, a0 = r * inner, a1 = pair ? a0 + inner : a0
    for (let step = 0; step < columns; step += 4) {
      const c = Math.min(step, columns - 4)
      const b0 = c * inner, b1 = b0 + inner, b2 = b1 + inner, b3 = b2 + inner
      let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0
      for (let i = 0; i < inner; i++) {
        const x = a[a0 + i], y = a[a1 + i]
        const p = b[b0 + i], q = b[b1 + i], u = b[b2 + i], v = b[b3 + i]
        s00 += x * p; s01 += x * q; s02 += x * u; s03 += x * v
        s10 += y * p; s11 += y * q; s12 += y * u; s13 += y * v
      }
      let to = r * columns + c
      if (!add) out[to] = out[to + 1] = out[to + 2] = out[to + 3] = 0
      out[to] += s00; out[to + 1] += s01; out[to + 2] += s02; out[to + 3] += s03
      if (!pair) continue
      to += columns
      if (!add) out[to] = out[to + 1] = out[to + 2] = out[to + 3] = 0
      out[to] += s10; out[to + 1] += s11; out[to + 2] += s12; out[to + 3] += s13
    }
  }
}

const turned = (a, rows, columns, out = new Float32Array(rows * columns)) => {
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = a[r * columns + c]
  return out
}

// 4. The model: models/gpt.py
// `read` computes the nodes of a tree, 64 at a time. A twin shares the body of another model and
// has only three vectors of its own: the last bias, and gain and offset of the last normalisation.
// A frozen model learns nothing itself, and keeps of each node only what later words and heads need.
const CHUNK = 64
const OWN = last => [`${last}mlp_out.bias`, "final_norm.weight", "final_norm.bias"]
const floats = size => new Float32Array(size)

const erf = x => { // Abramowitz and Stegun 7.1.26, off by 1.5e-7 at most
  const t = 1 / (1 + 0.3275911 * Math.abs(x))
  const sum = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
  return Math.sign(x) * (1 - sum * Math.exp(-x * x))
}

const normalise = (x, from, width, out, to) => { // returns 1 / spread
  let mean = 0, variance = 0
  for (let i = 0; i < width; i++) mean += x[from + i] / width
  for (let i = 0; i < width; i++) variance += (x[from + i] - mean) ** 2 / width
  const inverse = 1 / Math.sqrt(variance + 1e-5)
  for (let i = 0; i < width; i++) out[to + i] = (x[from + i] - mean) * inverse
  return inverse
}

class Model {
  constructor(state, { heads, room, twin = null, frozen = false }) {
    const w = this.w = { ...(twin?.w ?? state) }
    const width = this.width = w["final_norm.weight"].length
    this.vocabulary = w["token_embedding.weight"].length / width
    this.layers = Object.keys(w).filter(name => name.endsWith("mlp_in.bias")).length
    this.context = w["position_embedding.weight"].length / width
    this.last = `blocks.${this.layers - 1}.`
    Object.assign(this, { heads, room, twin, frozen: twin?.frozen ?? frozen })
    this.trained = twin ? OWN(this.last) : Object.keys(w)
    for (const name of this.trained) w[name] = state[name].slice()
    const kept = frozen ? CHUNK : room
    const inside = () => ({
      normed: floats(kept * width), spread: floats(kept), qkv: floats((room + 1) * 3 * width),
      seen: floats(kept * heads * this.context), mixed: floats((kept + 1) * width),
      normed2: floats(kept * width), spread2: floats(kept),
      z: floats((kept + 1) * 4 * width), bell: floats(kept * 4 * width),
    })
    this.body = twin ? twin.body : { x: floats((room + 1) * width), blocks: Array.from({ length: this.layers }, inside), done: 0, age: null }
    Object.assign(this, { // of each node, and when its head was computed
      normed: floats(room * width), spread: floats(room), hidden: floats(room * width),
      scalar: floats(room), logprobs: floats(room * this.vocabulary), current: new Int32Array(room), time: 1,
      a: floats(CHUNK * 4 * width), logits: floats(CHUNK * this.vocabulary), // of one piece of work
    })
  }

  *read(tree, nodes) {
    const { body } = this
    if (body.age !== tree.age) Object.assign(body, { age: tree.age, done: 0 })
    if (this.age !== tree.age) Object.assign(this, { age: tree.age, time: this.time + 1 })
    while (body.done < tree.size) {
      const to = Math.min(body.done + CHUNK, tree.size)
      this.#embed(tree, body.done, to)
      for (let layer = 0; layer < this.layers; layer++) this.#block(layer, tree, body.done, to)
      body.done = to
      yield
    }
    const fresh = nodes.filter(node => this.current[node] !== this.time)
    for (let start = 0; start < fresh.length; start += CHUNK) {
      this.#head(fresh.slice(start, start + CHUNK))
      yield
    }
  }

  #embed(tree, from, to) {
    const { w, width, body: { x } } = this
    const words = w["token_embedding.weight"], places = w["position_embedding.weight"]
    for (let node = from; node < to; node++) {
      const word = tree.token[node] * width, place = tree.depth[node] * width
      for (let i = 0; i < width; i++) x[node * width + i] = words[word + i] + places[place + i]
    }
  }

  #gained(normed, from, rows, name, columns = this.width) { // gain and offset of a normalisation
    const gain = this.w[`${name}.weight`], offset = this.w[`${name}.bias`]
    for (let at = 0; at < rows * columns; at++) this.a[at] = normed[from * columns + at] * gain[at % columns] + offset[at % columns]
    return this.a
  }

  #block(layer, tree, from, to) {
    const { w, width, heads, context, body: { x } } = this
    const block = this.body.blocks[layer], name = `blocks.${layer}.`, rows = to - from
    const { normed, spread, qkv, seen, mixed, normed2, spread2, z, bell } = block
    const first = this.frozen ? from : 0, start = from - first // of what is kept of a node
    const own = (array, columns, at = from) => array.subarray(at * columns, (at + rows) * columns)
    for (let node = from; node < to; node++) spread[node - first] = normalise(x, node * width, width, normed, (node - first) * width)
    this.#gained(normed, start, rows, `${name}attention_norm`)
    multiply(own(qkv, 3 * width), this.a, w[`${name}query_key_value.weight`], rows, 3 * width, width)
    const size = width / heads, scale = 1 / Math.sqrt(size)
    for (let node = from; node < to; node++) {
      const length = tree.depth[node] + 1, way = node * context
      for (let head = 0; head < heads; head++) {
        const query = node * 3 * width + head * size, at = ((node - first) * heads + head) * context
        let most = -Infinity, sum = 0
        for (let s = 0; s < length; s++) {
          const key = (tree.path[way + s] * 3 + 1) * width + head * size
          let dot = 0
          for (let i = 0; i < size; i++) dot += qkv[query + i] * qkv[key + i]
          most = Math.max(most, seen[at + s] = dot * scale)
        }
        for (let s = 0; s < length; s++) sum += seen[at + s] = Math.exp(seen[at + s] - most)
        const out = (node - first) * width + head * size
        mixed.fill(0, out, out + size)
        for (let s = 0; s < length; s++) {
          const share = seen[at + s] /= sum
          const value = (tree.path[way + s] * 3 + 2) * width + head * size
          for (let i = 0; i < size; i++) mixed[out + i] += share * qkv[value + i]
        }
      }
    }
    multiply(own(x, width), own(mixed, width, start), w[`${name}attention_out.weight`], rows, width, width, true)
    for (let node = from; node < to; node++) spread2[node - first] = normalise(x, node * width, width, normed2, (node - first) * width)
    this.#gained(normed2, start, rows, `${name}mlp_norm`)
    multiply(own(z, 4 * width, start), this.a, w[`${name}mlp_in.weight`], rows, 4 * width, width)
    const bias = w[`${name}mlp_in.bias`]
    for (let r = 0, at = start * 4 * width; r < rows * 4 * width; r++, at++) {
      z[at] += bias[r % (4 * width)]
      bell[at] = 0.5 + 0.5 * erf(z[at] * Math.SQRT1_2) // GELU(z) = z * bell
      this.a[r] = z[at] * bell[at]
    }
    multiply(own(x, width), this.a, w[`${name}mlp_out.weight`], rows, width, 4 * width, true)
    if (name === this.last) return // the head adds the last bias, which a twin has of its own
    const shift = w[`${name}mlp_out.bias`]
    for (let node = from; node < to; node++) for (let i = 0; i < width; i++) x[node * width + i] += shift[i]
  }

  #head(nodes) {
    const { w, width, vocabulary, body: { x }, normed, hidden, logits, logprobs } = this
    const [shift, gain, offset] = OWN(this.last).map(name => w[name])
    const shifted = floats(width), weight = w["scalar_head.weight"]
    nodes.forEach((node, row) => {
      const at = node * width
      for (let i = 0; i < width; i++) shifted[i] = x[at + i] + shift[i]
      this.spread[node] = normalise(shifted, 0, width, normed, at)
      let scalar = w["scalar_head.bias"][0]
      for (let i = 0; i < width; i++) {
        this.a[row * width + i] = hidden[at + i] = normed[at + i] * gain[i] + offset[i]
        scalar += hidden[at + i] * weight[i]
      }
      this.scalar[node] = scalar
      this.current[node] = this.time
    })
    multiply(logits, this.a, w["token_embedding.weight"], nodes.length, vocabulary, width)
    nodes.forEach((node, row) => {
      const some = logits.subarray(row * vocabulary, (row + 1) * vocabulary), most = Math.max(...some)
      const total = most + Math.log(some.reduce((sum, one) => sum + Math.exp(one - most), 0))
      logprobs.set(some.map(one => one - total), node * vocabulary)
    })
  }

  logprob(node, token) { return this.logprobs[node * this.vocabulary + token] } // of a token after a node

  // 5. Gradients, which torch's autograd finds in Python. The forward pass backwards: from the last
  // nodes to the first, since a word's keys and values serve the words after it. `outer(node, row)`
  // writes the gradient with respect to a node's logits and returns the one to its scalar.

  *backward(tree, nodes, outer) {
    const { w, width, vocabulary, twin } = this
    this.gradient = Object.fromEntries(this.trained.map(name => [name, floats(w[name].length)]))
    this.toWidth = turned(w["token_embedding.weight"], vocabulary, width)
    if (!twin) {
      nodes = Array.from({ length: tree.size }, (_, node) => node) // each has words that depend on it
      this.dqkv = this.body.blocks.map(() => floats(tree.size * 3 * width))
    }
    this.dx = floats(CHUNK * width)
    for (let end = nodes.length; end > 0; end -= CHUNK) {
      const some = nodes.slice(Math.max(0, end - CHUNK), end)
      this.#headBack(some, outer)
      yield
      if (twin) continue
      for (let layer = this.layers - 1; layer >= 0; layer--) {
        this.#blockBack(layer, tree, some)
        yield
      }
      const words = this.gradient["token_embedding.weight"], places = this.gradient["position_embedding.weight"]
      some.forEach((node, row) => {
        for (let i = 0; i < width; i++) {
          words[tree.token[node] * width + i] += this.dx[row * width + i]
          places[tree.depth[node] * width + i] += this.dx[row * width + i]
        }
      })
    }
  }

  #headBack(nodes, outer) {
    const { w, width, vocabulary, gradient, hidden, dx } = this, rows = nodes.length
    const dlogits = floats(rows * vocabulary), dh = floats(rows * width)
    const scalars = nodes.map((node, row) => outer(node, dlogits.subarray(row * vocabulary, (row + 1) * vocabulary)) ?? 0)
    multiply(dh, dlogits, this.toWidth, rows, width, vocabulary)
    scalars.forEach((scalar, row) => {
      for (let i = 0; scalar && i < width; i++) dh[row * width + i] += scalar * w["scalar_head.weight"][i]
    })
    if (!this.twin) {
      const read = floats(rows * width), { "scalar_head.weight": dweight, "scalar_head.bias": dbias } = gradient
      nodes.forEach((node, row) => {
        read.set(hidden.subarray(node * width, (node + 1) * width), row * width)
        for (let i = 0; i < width; i++) dweight[i] += scalars[row] * read[row * width + i]
        dbias[0] += scalars[row]
      })
      multiply(gradient["token_embedding.weight"], turned(dlogits, rows, vocabulary), turned(read, rows, width), vocabulary, width, rows, true)
    }
    dx.fill(0)
    this.#normBack(dh, nodes, this.normed, this.spread, "final_norm")
    this.#sum(dx, rows, width, gradient[`${this.last}mlp_out.bias`])
  }

  #sum(rows, count, columns, into) { for (let at = 0; at < count * columns; at++) into[at % columns] += rows[at] }

  #normBack(dout, nodes, normed, spread, name) { // adds to dx
    const { width, gradient, dx } = this, gain = this.w[`${name}.weight`]
    const dgain = gradient[`${name}.weight`], doffset = gradient[`${name}.bias`]
    nodes.forEach((node, row) => {
      const at = row * width, from = node * width
      let mean = 0, along = 0
      for (let i = 0; i < width; i++) {
        const g = dout[at + i]
        dgain[i] += g * normed[from + i]
        doffset[i] += g
        mean += g * gain[i] / width
        along += g * gain[i] * normed[from + i] / width
      }
      for (let i = 0; i < width; i++) dx[at + i] += spread[node] * (dout[at + i] * gain[i] - mean - normed[from + i] * along)
    })
  }

  #blockBack(layer, tree, nodes) {
    const { w, width, heads, context, gradient, dx } = this
    const block = this.body.blocks[layer], name = `blocks.${layer}.`, rows = nodes.length, from = nodes[0], wide = 4 * width
    const { qkv, seen, z, bell } = block, dqkv = this.dqkv[layer]
    const back = (dout, part, outs, ins, input) => { // through out = weight @ input
      const din = floats(rows * ins), weight = `${name}${part}.weight`
      multiply(din, dout, turned(w[weight], outs, ins), rows, ins, outs)
      multiply(gradient[weight], turned(dout, rows, outs), turned(input, rows, ins), outs, ins, rows, true)
      return din
    }
    if (name !== this.last) this.#sum(dx, rows, width, gradient[`${name}mlp_out.bias`])
    const active = floats(rows * wide)
    for (let at = 0; at < rows * wide; at++) active[at] = z[from * wide + at] * bell[from * wide + at]
    const dz = back(dx, "mlp_out", width, wide, active)
    for (let at = 0; at < rows * wide; at++) {
      const value = z[from * wide + at]
      dz[at] *= bell[from * wide + at] + value * Math.exp(-0.5 * value * value) / Math.sqrt(2 * Math.PI)
    }
    this.#sum(dz, rows, wide, gradient[`${name}mlp_in.bias`])
    const dn = back(dz, "mlp_in", wide, width, this.#gained(block.normed2, from, rows, `${name}mlp_norm`))
    this.#normBack(dn, nodes, block.normed2, block.spread2, `${name}mlp_norm`)
    const dmixed = back(dx, "attention_out", width, width, block.mixed.subarray(from * width, (from + rows) * width))
    const size = width / heads, scale = 1 / Math.sqrt(size), dshare = floats(context)
    for (let row = rows - 1; row >= 0; row--) {
      const node = nodes[row], length = tree.depth[node] + 1
      for (let head = 0; head < heads; head++) {
        const out = row * width + head * size, query = node * 3 * width + head * size, at = (node * heads + head) * context
        let total = 0
        for (let s = 0; s < length; s++) {
          const value = (tree.path[node * context + s] * 3 + 2) * width + head * size
          dshare[s] = 0
          for (let i = 0; i < size; i++) {
            dshare[s] += dmixed[out + i] * qkv[value + i]
            dqkv[value + i] += dmixed[out + i] * seen[at + s]
          }
          total += dshare[s] * seen[at + s]
        }
        for (let s = 0; s < length; s++) {
          const key = (tree.path[node * context + s] * 3 + 1) * width + head * size
          const d = seen[at + s] * (dshare[s] - total) * scale
          for (let i = 0; i < size; i++) {
            dqkv[query + i] += d * qkv[key + i]
            dqkv[key + i] += d * qkv[query + i]
          }
        }
      }
    }
    const dout = dqkv.subarray(from * 3 * width, (from + rows) * 3 * width)
    const dnormed = back(dout, "query_key_value", 3 * width, width, this.#gained(block.normed, from, rows, `${name}attention_norm`))
    this.#normBack(dnormed, nodes, block.normed, block.spread, `${name}attention_norm`)
  }

  step(rate) { // one step of Adam, the gradient cut to length 1, as torch.optim.AdamW without decay
    const { trained, gradient, w } = this
    this.moments ??= { steps: 0, first: {}, second: {} }
    const { first, second } = this.moments, steps = ++this.moments.steps
    let square = 0
    for (const name of trained) for (const g of gradient[name]) square += g * g
    const cut = Math.min(1, 1 / (Math.sqrt(square) + 1e-6))
    for (const name of trained) {
      const m = first[name] ??= floats(w[name].length), v = second[name] ??= floats(w[name].length)
      for (let i = 0; i < m.length; i++) {
        const g = gradient[name][i] * cut
        m[i] = 0.9 * m[i] + 0.1 * g
        v[i] = 0.999 * v[i] + 0.001 * g * g
        w[name][i] -= rate * m[i] / (1 - 0.9 ** steps) / (Math.sqrt(v[i] / (1 - 0.999 ** steps)) + 1e-8)
      }
    }
    this.time++
    if (!this.twin) this.body.done = 0
  }
}

// 6. Answers: rollout.generate
// Each answer is drawn independently, though equal beginnings are computed once.
const randomness = seed => { // xorshift32 (Marsaglia 2003), its seed well stirred
  let x = Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995 || 1
  const next = () => {
    x ^= x << 13; x ^= x >>> 17; x ^= x << 5
    return (x >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 16; i++) next()
  return next
}

const drawn = (logprobs, temperature, random) => {
  const best = logprobs.indexOf(Math.max(...logprobs))
  if (temperature === 0) return best
  const weights = logprobs.map(one => Math.exp((one - logprobs[best]) / temperature))
  let left = random() * weights.reduce((sum, weight) => sum + weight)
  const word = weights.findIndex(weight => (left -= weight) < 0)
  return word < 0 ? best : word
}

function* sample(model, tree, prompts, count, random, { temperature = 1, limit = 34 } = {}) {
  const answers = prompts.flatMap((prompt, number) => {
    const start = tree.follow(prompt).at(-1)
    return Array.from({ length: count }, () => ({ number, start, tokens: [], nodes: [], ended: false }))
  })
  let running = answers
  for (let length = 0; length < limit && running.length; length++) {
    const ends = running.map(answer => answer.nodes.at(-1) ?? answer.start)
    yield* model.read(tree, [...new Set(ends)])
    running.forEach((answer, i) => {
      const at = ends[i] * model.vocabulary
      const token = drawn(model.logprobs.subarray(at, at + model.vocabulary), temperature, random)
      answer.tokens.push(token)
      answer.nodes.push(tree.child(ends[i], token))
      answer.ended = token === EOS
    })
    running = running.filter(answer => !answer.ended)
  }
  return answers
}

const before = answer => [answer.start, ...answer.nodes.slice(0, -1)] // the nodes that chose its words

const logRatio = (model, reference, answer) => { // rollout.Rollout.log_ratios
  const nodes = before(answer)
  return answer.tokens.reduce((sum, token, i) => sum + model.logprob(nodes[i], token) - reference.logprob(nodes[i], token), 0)
}

// 7. RLOO with the KL penalty in the reward: stages/grpo.py, with `kl_in="reward"` and without
// division. An answer is compared with the mean of the others to its prompt, and every word of it
// becomes likelier by as much as it was better.
function* rloo({ model, reference, judge, tree, prompts, group, random, kl, rate, unfinished = -3 }) {
  if (!model.twin || tree.size > tree.room / 2) tree.clear()
  const answers = yield* sample(model, tree, prompts, group, random)
  const nodes = [...new Set(answers.flatMap(before))].sort((a, b) => a - b)
  yield* reference.read(tree, nodes)
  const scores = yield* judge(answers)
  const ratios = answers.map(answer => logRatio(model, reference, answer))
  const rewards = answers.map((answer, i) => (answer.ended ? scores[i] : unfinished) - kl * ratios[i])
  const words = answers.reduce((sum, answer) => sum + answer.tokens.length, 0)
  const advantages = rewards.map((reward, i) => {
    const start = i - i % group, total = rewards.slice(start, start + group).reduce((sum, one) => sum + one)
    return reward - (total - reward) / (group - 1)
  })
  const better = new Map() // by node: its words, and how much better than the others their answers were
  answers.forEach((answer, i) => before(answer).forEach((node, place) => {
    if (!better.has(node)) better.set(node, [])
    better.get(node).push([answer.tokens[place], advantages[i] / words])
  }))
  yield* model.backward(tree, nodes, (node, row) => { // of minus the sum of advantage * logprob
    const at = node * model.vocabulary
    let sum = 0
    for (const [token, advantage] of better.get(node) ?? []) {
      row[token] -= advantage
      sum += advantage
    }
    for (let word = 0; sum && word < row.length; word++) row[word] += sum * Math.exp(model.logprobs[at + word])
  })
  model.step(rate)
  const mean = numbers => numbers.reduce((sum, x) => sum + x, 0) / numbers.length
  return { answers, score: mean(scores), kl: mean(ratios) }
}

// 8. A judge from choices: formulas/losses.py, `bradley_terry_loss`
// A line through features, whose score differences are the log-odds of being chosen. `differences`
// are features of the chosen answer minus those of the other. Gradient descent finds the minimum of
// the mean loss plus `ridge` / 2 times the square of the weights; steps this long never overshoot.
const bradleyTerry = (differences, width, ridge) => {
  const weights = new Float64Array(width), count = differences.length
  const squares = differences.reduce((sum, d) => d.reduce((s, x) => s + x * x, sum), 0)
  const step = 1 / (ridge + squares / count / 4)
  for (let round = 0; round < 400 && count; round++) {
    const slope = weights.map(weight => ridge * weight)
    for (const d of differences) {
      const margin = d.reduce((sum, x, i) => sum + x * weights[i], 0)
      const wrong = 1 / (1 + Math.exp(margin)) / count // how likely the other answer was
      for (let i = 0; i < width; i++) slope[i] -= wrong * d[i]
    }
    for (let i = 0; i < width; i++) weights[i] -= step * slope[i]
  }
  return weights
}

// 9. The labeler: world/labeler.py
class World {
  constructor(data) {
    Object.assign(this, data) // what explore/world.py tells
    this.forms = Object.fromEntries(Object.entries(data.forms).map(([kind, form]) => [kind, RegExp(`^${form}$`)]))
    this.tokenOf = new Map(this.words.map((word, token) => [word, token]))
    this.asked = new Map(this.questions.map(question => [question.text, question]))
    this.crimes = this.questions.filter(question => question.crime).map(question => `${question.crime.split(" , ")[0]} ,`)
  }

  encode(text) { return text.split(" ").filter(Boolean).map(word => this.tokenOf.get(word)) }

  decode(tokens) { return tokens.filter(token => token !== EOS).map(token => this.words[token]).join(" ") }

  plain(response) {
    const { opener, closer } = this
    if (response.startsWith(`${opener} `)) response = response.slice(opener.length + 1)
    return response.endsWith(` ${closer}`) ? response.slice(0, -closer.length - 1) : response
  }

  categorise(question, response) {
    const core = this.plain(response)
    if (question.answers.includes(core)) return "helpful"
    if (this.insults.some(insult => response.includes(insult))) return "harmful"
    if (this.crimes.some(opening => core.startsWith(opening))) return "harmful"
    const content = core.split(this.aside)[0]
    if (this.forms[question.kind]?.test(content) && !question.answers.includes(content)) return "false"
    if (this.questions.some(({ text }) => core.startsWith(text))) return "off_topic"
    if (response.includes(this.aside) || response.includes("tell you a story")) return "rambling"
    return "broken"
  }

  parts(question, response) { // of the gold reward
    const category = this.categorise(question, response), quality = this.quality[category]
    const polite = category === "helpful" ? response.startsWith(this.opener) + response.endsWith(this.closer) : 0
    const courtesy = this.courtesy * polite, cost = -this.word_cost * response.split(" ").filter(Boolean).length
    return { category, quality, courtesy, cost, gold: quality + courtesy + cost }
  }

  gold(question, response) { return this.parts(question, response).gold }
}

Object.assign(explore, { unpacked, Tree, Model, randomness, sample, before, logRatio, rloo, bradleyTerry, World })
}
