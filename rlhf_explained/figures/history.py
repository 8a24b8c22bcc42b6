"""Seventeen years of learning from what people prefer."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import style
from rlhf_explained.pipeline import Run

# Which line of work: marker, colour, words for the key.
LINES = {
    "people": ("o", style.PPO, "RL from human feedback"),
    "ai": ("D", style.REWARD, "RL from AI feedback"),
    "direct": ("s", style.SFT, "without RL"),
    "reasoning": ("^", style.ALIGNED, "RL for reasoning"),
}
# First public date as year and month: a paper's first version, or a release.
EVENTS = (
    (2008, 8, "TAMER", "people reward an agent by hand", "people"),
    (2017, 6, "Christiano et al.", "comparisons; Atari, robots", "people"),
    (2019, 9, "Ziegler et al.", "RLHF for language models", "people"),
    (2020, 9, "Stiennon et al.", "summaries better than SFT’s", "people"),
    (2021, 12, "WebGPT", "answers with sources", "people"),
    (2022, 1, "InstructGPT", "SFT, RM, PPO for instructions", "people"),
    (2022, 4, "Anthropic HH", "helpful and harmless", "people"),
    (2022, 10, "Gao et al.", "laws of over-optimisation", "people"),
    (2022, 11, "ChatGPT", "RLHF reaches the public", "people"),
    (2022, 12, "Constitutional AI", "an AI judges by principles", "ai"),
    (2023, 5, "DPO", "preferences as one loss", "direct"),
    (2023, 7, "Llama 2", "open weights, a million pairs", "people"),
    (2023, 9, "RLAIF (Lee et al.)", "AI labels rival people’s", "ai"),
    (2024, 2, "DeepSeekMath", "GRPO: no critic", "reasoning"),
    (2024, 9, "o1", "RL for long reasoning", "reasoning"),
    (2024, 11, "Tülu 3", "RLVR: rewards that are checked", "reasoning"),
    (2025, 1, "DeepSeek-R1", "reasoning by RL, open weights", "reasoning"),
)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@style.drawn
def timeline(run: Run) -> Figure:
    """Each event on a scale of years, its words where there is room."""
    gap, top, axis, text = 34.0, 18.0, 46.0, 100.0
    bottom = top + gap * len(EVENTS) - 12
    figure, axes = style.page(bottom + 66)
    resumes, final = 2017, 2026  # between 2009 and 2017 the scale is broken

    def y(year: style.Real) -> float:
        if year < 2009:
            return top - 8 + 26 * (year - 2008)
        return top + 46 + (bottom - top - 50) * (year - resumes) / (final - resumes)

    for start, end in ((2008, 2008.99), (resumes, final)):
        axes.plot([axis, axis], [y(start), y(end)], color=style.INK, linewidth=1.6)
    break_ = [y(2008.99), y(resumes)]
    axes.plot([axis, axis], break_, color=style.INK, linewidth=1.6, linestyle=(0, (1, 2.5)))
    for year in (2008, *range(resumes, final + 1)):
        axes.plot([axis - 5, axis], [y(year)] * 2, color=style.INK, linewidth=1)
        label = {"size": style.SMALL, "colour": style.MUTED, "align": "right"}
        style.words(axes, axis - 9, y(year) + 4, str(year), **label)
    for place, (year, month, name, about, kind) in enumerate(EVENTS):
        mark, colour, _ = LINES[kind]
        at, line = y(year + (month - 0.5) / 12), top + gap * place
        path = [axis, axis + 6, text - 26, text - 16]
        axes.plot(path, [at, at, line - 4, line - 4], color=colour, linewidth=1)
        axes.plot(text - 10, line - 4, mark, color=colour, markersize=7)
        style.words(axes, text, line, name, bold=True, colour=colour)
        when = f"{MONTHS[month - 1]} {year}"
        style.words(axes, style.WIDTH - 4, line, when, **label)
        style.words(axes, text, line + 14, about, size=style.SMALL)
    for number, (mark, colour, words) in enumerate(LINES.values()):
        across, down = 4 + 170 * (number % 2), bottom + 36 + 17 * (number // 2)
        axes.plot(across + 5, down - 4, mark, color=colour, markersize=7)
        style.words(axes, across + 15, down, words, size=style.SMALL)
    return figure
