"""Watch it cheat: both PPO runs round by round, after a bet on when the true reward is highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rlhf_explained.explore import recordings
from rlhf_explained.explore.fence import Kind, table
from rlhf_explained.measured.text import number, share
from rlhf_explained.pipeline import Run

RUNS = {"ppo": "with the penalty", "ppo_no_kl": "without the penalty"}
HEADS = ("judge’s score", "true reward ± standard error", "KL (nats)", "helpful")
_DRAWN = {"proxy": "judge’s score", "gold": "true reward"}
_STAGES = {"ppo": "ppo", "ppo_no_kl": "nokl"}  # the ends of the stylesheet's classes
_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH, _HEIGHT = 22, 98, 10, 32, 340, 170  # of a drawing

Recorded = Mapping[str, Any]
Answer = Mapping[str, Any]


def rounds(run: Run) -> dict[str, Any]:
    """What the script shows.

    Args:
        run: Whose rounds.

    Returns:
        `after`, the numbers of rounds; `best`, the place of the one with the highest true reward
        without the penalty; `outcome`, the sentences that say so; `names` of the PPO runs, and
        `heads` of what was measured; `runs`, by PPO run and number of rounds what it was, as text;
        `asked`, the first held-out question of each kind; `said`, all answers to them, as text and
        category; `answers`, by PPO run and number of rounds the place in `said` of the first answer
        to each question.
    """
    kept = recordings.recorded(run)
    said: dict[tuple[str, str], int] = {}
    answers = {
        name: [
            [
                said.setdefault((one["response"].strip() or "(nothing)", _category(one)), len(said))
                for one in _first_answers(row["answers"])
            ]
            for row in kept[name]
        ]
        for name in RUNS
    }
    return {
        "after": [row["iteration"] for row in kept["ppo"]],
        "best": kept["ppo_no_kl"].index(best(kept["ppo_no_kl"])),
        "outcome": outcome(kept),
        "names": RUNS,
        "heads": [*HEADS],
        "runs": {name: [texts(row) for row in kept[name]] for name in RUNS},
        "asked": [one["prompt"] for one in _first_answers(kept["ppo"][0]["answers"])],
        "said": [*said],
        "answers": answers,
    }


def texts(row: Recorded) -> list[str]:
    """What was measured in a round, as `HEADS` has it."""
    gold = f"{number(row['gold'])} ± {number(row['stderr']['gold'])}"
    return [number(row["proxy"]), gold, number(row["kl"]), share(row["helpful"])]


def _category(answer: Answer) -> str:
    return answer["category"].replace("_", "-")


def _first_answers(answers: Sequence[Answer]) -> list[Answer]:
    """The first answer to the first question of each kind, in the order of the evaluation."""
    first: dict[str, Answer] = {}
    for answer in answers:
        first.setdefault(answer["kind"], answer)
    return list(first.values())


def best(rows: Sequence[Recorded]) -> Recorded:
    """The round with the highest true reward."""
    return max(rows, key=lambda row: row["gold"])


def outcome(kept: Mapping[str, Any]) -> str:
    """What came out, in two sentences; each is true whatever came out."""
    free, held = kept["ppo_no_kl"], kept["ppo"][-1]
    high, last = best(free), free[-1]
    gold, proxy = number(last["gold"]), number(last["proxy"])
    if high == last:
        told = f"Recorded: without the penalty the true reward rises to the last round, to {gold}"
    else:
        told = (
            f"Recorded: without the penalty the true reward is highest after {count(high)}, at "
            f"{number(high['gold'])}. After {count(last)} it is {gold}, and the judge’s score "
            f"has gone from {number(high['proxy'])} to {proxy}"
        )
    ends = f"With the penalty the true reward is {number(held['gold'])} after {count(held)}."
    return f"{told}. {ends}"


def recorded(run: Run, options: Mapping[str, str]) -> str:
    """The recorded rounds: two drawings, a sentence, the numbers, and answers.

    The true reward is folded away on a screen where scripts run, since a reader may bet on it. It
    is open where none do, on paper and in the plain text.

    Args:
        run: Whose rounds.
        options: None.

    Returns:
        HTML.
    """
    kept = recordings.recorded(run)
    exam = kept["ppo"][0]
    again = "" if kept["identical"] else ", repeated on another kind of processor"
    rule = (
        f"Recorded: {exam['responses']} answers to {exam['questions']} held-out questions after "
        f"each of these rounds, run seed {run.config.seed}{again}. Standard errors are across "
        "the questions. For each kind of question, the first answer to the first question is shown."
    )
    numbers = "".join(_numbers(name, kept[name]) for name in RUNS)
    return (
        f'<div class="panels">{_drawing("proxy", kept)}</div>'
        '<details class="outcome"><summary>The true reward, as it was recorded</summary>'
        f"<div>{_drawing('gold', kept)}<p>{outcome(kept)}</p>{_answers(kept)}{numbers}"
        f'<p class="rule">{rule}</p></div></details>'
    )


def count(row: Recorded) -> str:
    """After how many rounds it was measured."""
    after = row["iteration"]
    return f"{after} round" if after == 1 else f"{after} rounds"


def _numbers(name: str, rows: Sequence[Recorded]) -> str:
    """All recorded numbers of one PPO run."""
    title = f"The recorded PPO run {RUNS[name]}"
    told = ((f"{row['iteration']}", texts(row), "") for row in rows)
    return table(title, f"{title}.", ("rounds", *HEADS), told)


def _answers(kept: Mapping[str, Any]) -> str:
    """The same questions before, at the best round without the penalty, and at the end of both."""
    free, held = kept["ppo_no_kl"], kept["ppo"]
    shown = {
        "SFT, before the first round": ("sft", held[0]),
        f"With the penalty, after {count(held[-1])}": ("ppo", held[-1]),
        f"Without it, after {count(best(free))}": ("nokl", best(free)),
        f"Without it, after {count(free[-1])}": ("nokl", free[-1]),
    }
    heads = "".join(
        f'<th scope="col" class="stage-{stage}">{head}</th>' for head, (stage, _) in shown.items()
    )
    columns = [
        (head, stage, _first_answers(row["answers"])) for head, (stage, row) in shown.items()
    ]
    rows = "".join(
        f'<tr><th scope="row">{escape(columns[0][2][place]["prompt"])}</th>'
        + "".join(
            f'<td data-label="{head}" class="stage-{stage}">{_said(answers[place])}</td>'
            for head, stage, answers in columns
        )
        + "</tr>"
        for place in range(len(columns[0][2]))
    )
    return (
        '<div class="samples" role="region" aria-label="Recorded answers" tabindex="0">'
        f'<table class="rows"><thead><tr><th scope="col">Question</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _said(answer: Answer) -> str:
    words, category = escape(answer["response"].strip()) or "(nothing)", _category(answer)
    mark = "✓" if category == "helpful" else "✗"
    return f'<p class="response">{words}</p><p class="category {category}">{mark} {category}</p>'


def _drawing(what: str, kept: Mapping[str, Any]) -> str:
    """A quantity of both PPO runs over the rounds; the script finds scales in the attributes."""
    after = [row["iteration"] for row in kept["ppo"]]
    values = {name: [row[what] for row in kept[name]] for name in RUNS}
    every = [value for some in values.values() for value in some]
    low, high = min(0, min(every)), max(every) * 1.05

    def x(count: int) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * count / max(after[-1], 1), 1)

    def y(value: float | int) -> float:
        return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low), 1)

    title = _DRAWN[what]
    marks = [tick for tick in range(int(low) - 1, int(high) + 1) if low <= tick <= high]
    parts = [
        f'<line class="line-faint" x1="{_LEFT}" x2="{x(after[-1])}" y1="{y(tick)}" y2="{y(tick)}"/>'
        f'<text class="fill-muted" x="{_LEFT - 7}" y="{y(tick) + 4}" text-anchor="end">'
        f"{number(float(tick), 0)}</text>"
        for tick in marks
    ]
    parts += [
        f'<text class="fill-muted" x="{x(count)}" y="{_HEIGHT - 17}" text-anchor="middle">'
        f"{count}</text>"
        for count in sorted({0, after[-1], *range(0, after[-1], 10)})
    ]
    middle = (_LEFT + x(after[-1])) / 2
    parts.append(
        f'<text class="fill-muted" x="{middle}" y="{_HEIGHT - 3}" text-anchor="middle">'
        "rounds of PPO</text>"
    )
    ends = {name: y(some[-1]) for name, some in values.items()}
    upper, lower = sorted(ends, key=lambda name: ends[name])
    gap = max(0.0, 14 - (ends[lower] - ends[upper])) / 2
    ends[upper], ends[lower] = ends[upper] - gap, ends[lower] + gap
    for name, some in values.items():
        stage = _STAGES[name]
        points = " ".join(f"{x(a)},{y(b)}" for a, b in zip(after, some, strict=True))
        dashes = ' stroke-dasharray="5 3"' if name == "ppo_no_kl" else ""
        parts.append(f'<polyline class="line-{stage}" points="{points}"{dashes}/>')
        parts.append(
            f'<text class="fill-{stage}" x="{x(after[-1]) + 6}" y="{ends[name] + 4:.1f}">'
            f"{RUNS[name].removesuffix(' the penalty')} penalty</text>"
        )
    told = "; ".join(
        f"{RUNS[name]} from {number(some[0])} to {number(some[-1])}, highest "
        f"{number(max(some))} after {count(kept[name][some.index(max(some))])}"
        for name, some in values.items()
    )
    alt = f"Recorded: the {title} over {after[-1]} rounds of PPO: {told}."
    scales = " ".join(f"{x(count)}" for count in after)
    return (
        f'<div class="panel"><p>Recorded {title}</p>'
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" data-x="{scales}" '
        f'data-y="{_TOP} {_HEIGHT - _BOTTOM}">'
        f"<title>{alt}</title>{''.join(parts)}</svg></div>"
    )


KIND = Kind("cheat", "Place your bet", recorded, ("cheat",), {"rounds": rounds})
