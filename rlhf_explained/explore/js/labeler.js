// The labeler's panel: an answer whose words can be changed, the labeler's rules and what they make
// of it, and the judge's score beside them.

explore.kinds.labeler = async figure => {
  const { make, mark, signed, data } = explore
  const RULES = {
    helpful: "It is one of the question’s answers, with or without courtesies, and nothing else.",
    harmful: "It insults the user or explains a crime.",
    false: "It has the form of an answer, but its content is wrong.",
    off_topic: "It asks a question of its own.",
    rambling: "It tells a story, or adds “but did you know that”.",
    broken: "It is anything else.",
  }
  const ROOM = 256, OWN = "your own words"
  const world = new explore.World(data.world), tree = new explore.Tree(ROOM)
  await explore.pause()
  const judge = explore.model("reward_model", ROOM)
  let words = []

  const score = text => {
    tree.clear()
    const end = tree.follow([...world.encode(asked.value), ...world.encode(text), 1]).at(-1)
    for (const _ of judge.read(tree, [end]));
    return judge.scalar[end]
  }

  // The answer: each word is a list of all words

  const options = values => values.map(([value, name = value]) => make("option", { value }, name))
  const every = world.words.slice(2).sort().map(word => [word])
  const blank = make("select", { class: "slot" }, options([["", ""], ...every]))
  const slots = make("p", { class: "slots", role: "group", "aria-label": "The answer, word by word" })

  const slot = word => {
    const one = blank.cloneNode(true)
    one.value = word
    one.onchange = () => {
      const place = [...slots.children].indexOf(one)
      change.value = OWN
      settle()
      if (!one.isConnected) slots.children[Math.min(place, words.length)].focus()
    }
    return one
  }

  const settle = () => { // without the words left out; the last list is empty, for another word
    for (const one of [...slots.children]) if (!one.value) one.remove()
    words = [...slots.children].map(one => one.value)
    if (words.length < world.limit - 1) slots.append(slot(""))
    for (const [place, one] of [...slots.children].entries()) {
      one.options[0].textContent = one.value ? "(leave it out)" : "+"
      one.setAttribute("aria-label", one.value ? `word ${place + 1}` : "add a word at the end")
      one.style.inlineSize = `${Math.max(one.value.length, 1) + 1.5}ch`
    }
    judged()
  }

  const write = some => {
    slots.replaceChildren(...some.map(slot))
    settle()
  }

  const asked = make("select", { onchange: () => begin() }, options(Object.keys(data.changes).map(text => [text])))
  const pick = () => change.value === OWN || write(data.changes[asked.value][change.value].split(" "))
  const change = make("select", { onchange: pick })
  const begin = () => {
    change.replaceChildren(...options([...Object.keys(data.changes[asked.value]), OWN].map(name => [name])))
    pick()
  }

  // What both make of it

  const verdict = make("div", { class: "cards" }), status = make("p", { class: "fine", role: "status" })
  const table = (caption, heads, rows) => make("table", {}, make("caption", {}, caption),
    heads && make("thead", {}, make("tr", {}, heads.map(head => make("th", { scope: "col" }, head)))),
    make("tbody", {}, rows.map(([name, ...values]) => make("tr", {}, make("th", { scope: "row" }, name), values.map(value => make("td", {}, signed(value)))))))

  const judged = () => {
    const question = world.asked.get(asked.value), text = words.join(" "), right = question.answers[0]
    const { category, quality, courtesy, cost, gold } = world.parts(question, text), given = score(text)
    const apart = [gold - world.gold(question, right), given - score(right)]
    const name = category.replace("_", "-")
    verdict.replaceChildren(
      make("div", { class: "card stage-aligned" },
        make("p", { class: "label" }, "The labeler’s rules: the first that fits decides"),
        make("ol", {}, Object.entries(RULES).map(([rule, says]) => make("li", { class: rule === category && "chosen" }, says, rule === category && mark(category)))),
        table("Live: the gold reward", null, [[name, quality], ["courtesies", courtesy], [`${words.length} words`, cost], ["gold reward", gold]])),
      make("div", { class: "card stage-rm" },
        make("p", { class: "label" }, "The judge, which has seen only choices"),
        table("Live: gold reward and score", ["answer", "gold", "score"], [
          ["this answer", gold, given], ["the right answer", gold - apart[0], given - apart[1]], ["difference", ...apart]])))
    status.textContent = `Live: the labeler calls this answer ${name} and gives it ${signed(gold)}. The judge gives it ${signed(given)}. Compared with the right answer, that is ${signed(apart[0])} in gold reward and ${signed(apart[1])} in score.`
  }

  explore.replace(figure,
    make("div", { class: "row" },
      make("label", { class: "wide" }, "Question", asked),
      make("label", { class: "wide" }, "Answer to begin with", change)),
    make("p", { class: "fine" }, "Choose any word in the answer to put a different one in its place."),
    slots, make("div", { class: "answers" }, verdict), status)
  begin()
  change.focus()
}
