// Watch it cheat: a bet on when the true reward is highest, then both PPO runs round by round. All
// numbers were recorded in the run; their texts come ready from rlhf_explained/explore/cheat.py.
explore.kinds.cheat = figure => {
  const { after, best, outcome, names, heads, runs, asked, said, answers } = explore.data.rounds
  const [panels, details] = figure.querySelectorAll(".panels, .outcome")
  const both = Object.keys(names)

  /** An element with its attributes and what it holds. */
  const make = (name, about, ...inside) => {
    const element = document.createElement(name)
    for (const key in about) element.setAttribute(key, about[key])
    element.append(...inside)
    return element
  }
  const rounds = at => `after ${after[at]} ${after[at] === 1 ? "round" : "rounds"}`

  /** A slider over the rounds; `moved` is called with the place of a round, at once too. */
  const slider = (label, at, moved) => {
    const about = { type: "range", min: 0, max: after.length - 1, value: at }
    const [input, text] = [make("input", about), make("span", {})]
    input.oninput = () => {
      text.textContent = rounds(input.value)
      input.setAttribute("aria-valuetext", text.textContent)
      moved(+input.value)
    }
    input.oninput()
    return [make("label", {}, label, input), text]
  }

  /** A vertical line in a drawing, which can be put at a round. */
  const line = (drawing, look) => {
    const mark = document.createElementNS("http://www.w3.org/2000/svg", "line")
    const [top, bottom] = drawing.dataset.y.split(" ")
    const put = at => {
      const x = drawing.dataset.x.split(" ")[at]
      for (const [key, value] of Object.entries({ class: look, x1: x, x2: x, y1: top, y2: bottom }))
        mark.setAttribute(key, value)
    }
    drawing.append(mark)
    return put
  }

  const cells = (tag, texts, about = {}) => texts.map(text => make(tag, about, text))

  /** What both runs measured after some rounds. */
  const numbers = at => {
    const head = make("tr", {}, ...cells("th", ["PPO", ...heads], { scope: "col" }))
    const rows = both.map(run => make("tr", {},
      make("th", { scope: "row" }, names[run]), ...cells("td", runs[run][at])))
    const caption = make("caption", {}, `Recorded ${rounds(at)}.`)
    return make("table", { class: "plain" },
      caption, make("thead", {}, head), make("tbody", {}, ...rows))
  }

  /** What both runs answered then. */
  const replies = at => {
    const look = run => ({ class: run === "ppo" ? "stage-ppo" : "stage-nokl" })
    const title = run => make("th", { scope: "col", ...look(run) }, `${names[run]}, ${rounds(at)}`)
    const reply = (run, place) => {
      const [text, category] = said[answers[run][at][place]]
      const mark = `${category === "helpful" ? "✓" : "✗"} ${category}`
      return make("td", { "data-label": names[run], ...look(run) }, make("p", { class: "response" }, text),
        make("p", { class: `category ${category}` }, mark))
    }
    const rows = asked.map((question, place) => make("tr", {},
      make("th", { scope: "row" }, question), ...both.map(run => reply(run, place))))
    const head = make("tr", {}, make("th", { scope: "col" }, "Question"), ...both.map(title))
    return make("table", { class: "rows" }, make("thead", {}, head), make("tbody", {}, ...rows))
  }

  const scroll = label => ({ role: "region", "aria-label": label, tabindex: 0 })
  const told = make("p", { role: "status" })
  const live = make("div", { class: "live" }, told)
  let bet = 0

  const reveal = event => {
    event.preventDefault()
    form.remove()
    panels.append(details.querySelector(".panel"))
    const drawings = [...panels.querySelectorAll("svg")]
    line(drawings[1], "line-rm bet")(bet)
    const cursors = drawings.map(drawing => line(drawing, "line-ink"))
    const measured = make("div", { class: "numbers", ...scroll("Recorded numbers") })
    const answered = make("div", { class: "samples", ...scroll("Recorded answers") })
    const controls = slider("Rounds of PPO", bet, at => {
      for (const put of cursors) put(at)
      measured.replaceChildren(numbers(at))
      answered.replaceChildren(replies(at))
    })
    live.append(make("p", { class: "controls" }, ...controls), measured, answered)
    const there = `Your bet: ${rounds(bet)} the recorded true reward is ${runs.ppo_no_kl[bet][1]}.`
    told.textContent = `${there} ${bet === best ? "That is the right round. " : ""}${outcome}`
    live.querySelector("input").focus()
  }

  const question = "Without the penalty, when is the true reward highest?"
  const form = make("form", { class: "controls" },
    ...slider(question, after.length >> 1, at => { bet = at }),
    make("button", { class: "md-button md-button--primary" }, "Bet"))
  form.onsubmit = reveal
  live.append(form)
  panels.after(live)
  form.querySelector("input").focus()
}
