"""Why RLHF works: what writing and comparing take, and how much of each has been collected."""

from __future__ import annotations

from itertools import groupby
from math import comb, log10

from rlhf_explained.figures import draw
from rlhf_explained.figures.colours import DASHED, FAINT, MUTED, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run

# InstructGPT, Ouyang et al. 2022, section 3.5 and table 6 (training prompts); Llama 2, Touvron et
# al. 2023, section 3.1 and table 6 (Meta's own comparisons).
INSTRUCTGPT = {"demonstrations": 12_725, "ranked prompts": 33_207}
ANSWERS = (4, 9)  # fewest and most that InstructGPT's labelers ranked of a prompt
LLAMA_2 = {"demonstrations": 27_540, "comparisons": 1_418_091}
# WebGPT, Nakano et al. 2021; clips of a game or a simulated robot, Christiano et al. 2017.
TIMES = {
    "write": (("about 15 minutes", "to write an answer", "with sources"),),
    "compare": (
        ("about 10 minutes", "to compare two of these"),
        ("3–5 seconds", "for two short clips"),
    ),
}


def collected(run: Run) -> Table:
    """How many demonstrations and comparisons have been collected."""
    ours = {"demonstrations": int(run.facts["demonstrations"]), "comparisons": run.facts["pairs"]}
    pairs = [INSTRUCTGPT["ranked prompts"] * comb(count, 2) for count in ANSWERS]
    rows = [
        *(("InstructGPT, 2022", what, count, None) for what, count in INSTRUCTGPT.items()),
        ("InstructGPT, 2022", "pairs in them", *pairs),
        *(("Llama 2, 2023", what, count, None) for what, count in LLAMA_2.items()),
        *(("This site’s model", what, int(count), None) for what, count in ours.items()),
    ]
    headings = "collected for", "what", "how many", "at most"
    return Table.of("demonstrations-preferences", "Human data collected", headings, rows)


@figure(
    "demonstrations-preferences",
    numbers=collected,
    alt="Demonstrations are compared with preferences. It took about 15 minutes to write an "
    "answer with sources, about 10 minutes to compare two such answers, and 3–5 seconds to "
    "compare two short clips. InstructGPT used 12,725 SFT prompts and 33,207 reward-model "
    "prompts, each with 4 to 9 ranked answers. Llama 2 used 27,540 demonstrations and 1,418,091 "
    "comparisons.",
)
def demonstrations_preferences(run: Run, table: Table) -> tuple[draw.Figure, draw.Figure]:
    """The two kinds of human data: what one item costs, and how many have been collected."""
    (asked, axes), (counted, below) = draw.page(224), draw.page(292)
    half = draw.WIDTH / 2
    small: draw.Manner = {"size": draw.SMALL}
    cards = (
        (4.0, SFT, "Demonstrations", "“Write the perfect", "answer”"),
        (half + 4, REWARD, "Preferences", "“Which response", "is better?”"),
    )
    for (left, colour, title, *saying), times in zip(cards, TIMES.values(), strict=True):
        centre, bold = left + (half - 8) / 2, {"bold": True}
        draw.words(axes, centre, 16, title, colour, size=draw.TITLE, bold=True, ha="center")
        for place, line in enumerate(saying):
            draw.words(axes, centre, 38 + 15 * place, line, style="italic", ha="center")
        lines = [
            (text, bold if not at else small) for time in times for at, text in enumerate(time)
        ]
        edge = DASHED if colour == REWARD else "-"
        draw.box(axes, (left, 70, half - 8, 130), colour, *lines, gap=22, linestyle=edge)

    draw.words(below, 4, 16, "How many were collected", size=draw.TITLE, bold=True)
    left, right, low, high = 116.0, draw.WIDTH - 8, 2.0, 7.0

    def x(count: draw.Real) -> float:
        return left + (right - left) * (log10(count) - low) / (high - low)

    for exponent in range(2, 8):
        below.plot([x(10**exponent)] * 2, [26, 234], color=FAINT, linewidth=0.8)
    for count in (100, 10_000, 1_000_000):
        draw.words(below, x(count), 250, f"{count:,}", ha="center", **small)
    draw.words(below, right, 267, "items, logarithmic scale", MUTED, ha="right", **small)

    y = 39.0
    for name, rows in groupby(table.rows, key=lambda row: row[0]):
        draw.words(below, 4, y, name, bold=True)
        for _, label, count, most in rows:
            y += 20
            mark, colour = ("o", SFT) if label == "demonstrations" else ("D", REWARD)
            draw.words(below, left - 8, y, label, ha="right", **small)
            end = x(count)
            if most is not None:
                look = {"color": colour, "linewidth": 3, "linestyle": (0, (2, 1))}
                below.plot([end, x(most)], [y - 4] * 2, **look)
                text = f"{count / 1e6:.1f}–{most / 1e6:.1f} million"
            else:
                below.plot(end, y - 4, mark, color=colour, markersize=6)
                text = f"{count:,}"
            is_left = end < (left + right) / 2 + 12
            across, align = (end + 9, "left") if is_left else (end - 9, "right")
            draw.words(below, across, y, text, ha=align, **small)
        y += 26
    few, many = ANSWERS
    pairs = f"{few}–{many} answers make {comb(few, 2)}–{comb(many, 2)} pairs"
    draw.notes(counted, f"{pairs} · seed {run.config.seed}")
    return asked, counted
