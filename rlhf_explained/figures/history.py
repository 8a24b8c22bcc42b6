"""Seventeen years of learning from what people prefer."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.pipeline import Run

# The look of each kind of work.
LOOKS = {
    "RL from human feedback": ("o", style.PPO),
    "RL from AI feedback": ("D", style.REWARD),
    "without RL": ("s", style.SFT),
    "RL for reasoning": ("^", style.ALIGNED),
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@style.drawn
def timeline(run: Run) -> Figure:
    """Each event on a scale of years, its words where there is room."""
    (table,) = numbers.timeline(run)
    events = table.rows
    gap, top, axis, text = 34.0, 18.0, 46.0, 100.0
    bottom = top + gap * len(events) - 12
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
    for place, (date, name, about, kind) in enumerate(events):
        year, month = (int(part) for part in date.split("-"))
        mark, colour = LOOKS[kind]
        at, line = y(year + (month - 0.5) / 12), top + gap * place
        path = [axis, axis + 6, text - 26, text - 16]
        axes.plot(path, [at, at, line - 4, line - 4], color=colour, linewidth=1)
        axes.plot(text - 10, line - 4, mark, color=colour, markersize=7)
        style.words(axes, text, line, name, bold=True, colour=colour)
        when = f"{MONTHS[month - 1]} {year}"
        style.words(axes, style.WIDTH - 4, line, when, **label)
        style.words(axes, text, line + 14, about, size=style.SMALL)
    for number, (words, (mark, colour)) in enumerate(LOOKS.items()):
        across, down = 4 + 170 * (number % 2), bottom + 36 + 17 * (number // 2)
        axes.plot(across + 5, down - 4, mark, color=colour, markersize=7)
        style.words(axes, across + 15, down, words, size=style.SMALL)
    return figure
