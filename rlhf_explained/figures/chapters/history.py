"""Eighteen years of learning from what people prefer."""

from __future__ import annotations

from typing import Any

from rlhf_explained.figures import draw
from rlhf_explained.figures.colours import ALIGNED, MUTED, PPO, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run

# First public date, a paper's first version or a release, as exactly as its source has it.
# Last: the kind of work.
EVENTS = (
    ("2008-08", "TAMER", "people reward an agent by hand", "people"),
    ("2011", "Akrour et al.", "comparisons, not grades", "people"),
    ("2012", "Fürnkranz et al.", "rankings in place of numbers", "people"),
    ("2017-06", "Christiano et al.", "comparisons; Atari, robots", "people"),
    ("2019-09", "Ziegler et al.", "RLHF for language models", "people"),
    ("2020-09", "Stiennon et al.", "summaries better than SFT’s", "people"),
    ("2021-12", "WebGPT", "answers with sources", "people"),
    ("2022-01", "InstructGPT", "SFT, RM, PPO for instructions", "people"),
    ("2022-04", "Anthropic HH", "helpful and harmless", "people"),
    ("2022-10", "Gao et al.", "laws of over-optimisation", "people"),
    ("2022-11", "ChatGPT", "RLHF reaches the public", "people"),
    ("2022-12", "Constitutional AI", "an AI judges by principles", "ai"),
    ("2023-05", "DPO", "preferences as one loss", "direct"),
    ("2023-07", "Llama 2", "open weights, a million pairs", "people"),
    ("2023-09", "RLAIF (Lee et al.)", "AI labels rival people’s", "ai"),
    ("2024-02", "DeepSeekMath", "GRPO: no critic", "reasoning"),
    ("2024-09", "o1", "RL for long reasoning", "reasoning"),
    ("2024-11", "Tülu 3", "RLVR: rewards that are checked", "reasoning"),
    ("2025-01", "DeepSeek-R1", "reasoning by RL, open weights", "reasoning"),
    ("2025-07", "Rubrics as rewards", "an AI marks a list of criteria", "ai"),
    ("2026-01", "Claude’s constitution", "principles used to make data", "ai"),
)
KINDS = {
    "people": ("RL from human feedback", "o", PPO),
    "ai": ("RL from AI feedback", "D", REWARD),
    "direct": ("without RL", "s", SFT),
    "reasoning": ("RL for reasoning", "^", ALIGNED),
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def events(run: Run) -> Table:
    """Each event with its date."""
    rows = [(*event, KINDS[kind][0]) for *event, kind in EVENTS]
    headings = "first public", "work", "about", "kind"
    return Table.of("timeline", "Learning from human preferences", headings, rows)


@figure(
    "timeline",
    numbers=events,
    alt="A timeline of learning from human preferences. It begins with TAMER in 2008 and "
    "continues with Christiano et al. 2017, Ziegler et al. 2019, Stiennon et al. 2020, "
    "InstructGPT and ChatGPT in 2022 and DPO in 2023. It ends with DeepSeek-R1 in January 2025 "
    "and Claude’s constitution in January 2026.",
)
def timeline(run: Run, table: Table) -> tuple[draw.Figure, ...]:
    """The events in order, in two columns; the rail is dotted where years lie between two."""
    gap, top, rail, text = 33.0, 20.0, 76.0, 92.0
    looks = {name: (mark, colour) for name, mark, colour in KINDS.values()}
    half = (len(table.rows) + 1) // 2
    pages, year = [], 0
    small: draw.Manner = {"size": draw.SMALL}
    for rows, key in ((table.rows[:half], 0), (table.rows[half:], 44)):
        figure, axes = draw.page(gap * len(rows) + 10 + key)
        for place, (when, name, about, kind) in enumerate(rows):
            before = year
            year, *month = (int(part) for part in when.split("-"))
            mark, colour = looks[kind]
            line = top + gap * place
            if place:
                dashes: Any = (0, (1, 2.5)) if year > before + 1 else "-"
                ends = [line - 4 - gap, line - 4]
                axes.plot([rail] * 2, ends, color=MUTED, linewidth=1.4, linestyle=dashes)
            date = " ".join([*(MONTHS[number - 1] for number in month), str(year)])
            draw.words(axes, rail - 12, line, date, MUTED, ha="right", **small)
            axes.plot(rail, line - 4, mark, color=colour, markersize=8, zorder=3)
            draw.words(axes, text, line, name, colour, bold=True)
            draw.words(axes, text, line + 14, about, **small)
        pages.append(figure)
    for number, (name, mark, colour) in enumerate(KINDS.values()):
        across, down = 8 + 166 * (number % 2), draw.size(pages[1])[1] - 24 + 17 * (number // 2)
        axes.plot(across + 5, down - 4, mark, color=colour, markersize=7)
        draw.words(axes, across + 15, down, name, **small)
    return tuple(pages)
