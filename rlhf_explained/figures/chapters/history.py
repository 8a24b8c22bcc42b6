"""Seventeen years of learning from what people prefer."""

from __future__ import annotations

from rlhf_explained.figures import draw
from rlhf_explained.figures.colours import ALIGNED, INK, MUTED, PPO, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run

# First public date: a paper's first version, or a release. Last: the kind of work.
EVENTS = (
    ("2008-08", "TAMER", "people reward an agent by hand", "people"),
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
    alt="A timeline of learning from human preferences, from TAMER in 2008 by way of Christiano "
    "et al. 2017, Ziegler et al. 2019, Stiennon et al. 2020, InstructGPT and ChatGPT in 2022 "
    "and DPO in 2023 to DeepSeek-R1 in January 2025.",
)
def timeline(run: Run, table: Table) -> draw.Figure:
    """Each event on a scale of years, its words where there is room."""
    gap, top, axis, text = 34.0, 18.0, 46.0, 100.0
    bottom = top + gap * len(table.rows) - 12
    figure, axes = draw.page(bottom + 66)
    resumes, final = 2017, 2026  # between 2009 and 2017 the scale is broken
    small: draw.Manner = {"size": draw.SMALL}
    date: draw.Manner = {**small, "ha": "right"}

    def y(year: draw.Real) -> float:
        if year < 2009:
            return top - 8 + 26 * (year - 2008)
        return top + 46 + (bottom - top - 50) * (year - resumes) / (final - resumes)

    for start, end in ((2008, 2008.99), (resumes, final)):
        axes.plot([axis, axis], [y(start), y(end)], color=INK, linewidth=1.6)
    broken = [y(2008.99), y(resumes)]
    axes.plot([axis, axis], broken, color=INK, linewidth=1.6, linestyle=(0, (1, 2.5)))
    for year in (2008, *range(resumes, final + 1)):
        axes.plot([axis - 5, axis], [y(year)] * 2, color=INK, linewidth=1)
        draw.words(axes, axis - 9, y(year) + 4, str(year), MUTED, **date)
    looks = {name: (mark, colour) for name, mark, colour in KINDS.values()}
    for place, (when, name, about, kind) in enumerate(table.rows):
        year, month = (int(part) for part in when.split("-"))
        mark, colour = looks[kind]
        at, line = y(year + (month - 0.5) / 12), top + gap * place
        path = [axis, axis + 6, text - 26, text - 16]
        axes.plot(path, [at, at, line - 4, line - 4], color=colour, linewidth=1)
        axes.plot(text - 10, line - 4, mark, color=colour, markersize=7)
        draw.words(axes, text, line, name, colour, bold=True)
        draw.words(axes, draw.WIDTH - 4, line, f"{MONTHS[month - 1]} {year}", MUTED, **date)
        draw.words(axes, text, line + 14, about, **small)
    for number, (name, mark, colour) in enumerate(KINDS.values()):
        across, down = 4 + 170 * (number % 2), bottom + 36 + 17 * (number // 2)
        axes.plot(across + 5, down - 4, mark, color=colour, markersize=7)
        draw.words(axes, across + 15, down, name, **small)
    return figure
