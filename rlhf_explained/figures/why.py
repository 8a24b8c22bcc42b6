"""Why RLHF works: comparing is cheaper than writing, as an idea and in published numbers."""

from __future__ import annotations

from itertools import groupby
from math import comb, log10

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.pipeline import Run


@style.drawn
def demonstrations_preferences(run: Run) -> Figure:
    """The two kinds of human data: what one item costs, and how many have been collected."""
    figure, axes = style.page(460)
    half = style.WIDTH / 2
    cards = (
        (4.0, style.SFT, "Demonstrations", ("“Write the perfect", "answer”")),
        (half + 4, style.REWARD, "Preferences", ("“Which response", "is better?”")),
    )
    costs = (
        ("an expert writes it", "5–10 minutes each", "$$$ · hard to scale"),
        ("a person compares", "30 seconds each", "$ · scales easily"),
    )
    invented = ("illustrative", {"size": style.SMALL, "colour": style.MUTED, "italic": True})
    for (left, colour, title, saying), (work, *cost) in zip(cards, costs, strict=True):
        centre = left + (half - 8) / 2
        heading = {"size": style.TITLE, "bold": True, "colour": colour, "align": "center"}
        style.words(axes, centre, 16, title, **heading)
        for place, line in enumerate(saying):
            style.words(axes, centre, 34 + 15 * place, line, italic=True, align="center")
        card = style.box(axes, left, 60, half - 8, 92, colour, dashed=colour == style.REWARD)
        style.lines_in(axes, card, (work, {"bold": True}), *cost, invented, gap=20)

    style.words(axes, 4, 186, "How many were collected", size=style.TITLE, bold=True)
    left, right, low, high = 116.0, style.WIDTH - 8, 2.0, 7.0

    def x(count: style.Real) -> float:
        return left + (right - left) * (log10(count) - low) / (high - low)

    for exponent in range(2, 8):
        axes.plot([x(10**exponent)] * 2, [196, 404], color=style.FAINT, linewidth=0.8)
    for count in (100, 10_000, 1_000_000):
        style.words(axes, x(count), 420, f"{count:,}", size=style.SMALL, align="center")
    style.words(
        axes,
        right,
        437,
        "items, logarithmic scale",
        size=style.SMALL,
        colour=style.MUTED,
        align="right",
    )

    (table,) = numbers.demonstrations_preferences(run)
    y = 209.0
    for name, rows in groupby(table.rows, key=lambda row: row[0]):
        style.words(axes, 4, y, name, bold=True)
        for _, label, count, most in rows:
            y += 20
            demonstrations = label == "demonstrations"
            mark, colour = ("o", style.SFT) if demonstrations else ("D", style.REWARD)
            style.words(axes, left - 8, y, label, size=style.SMALL, align="right")
            if most is not None:
                ends = [x(count), x(most)]
                axes.plot(ends, [y - 4] * 2, color=colour, linewidth=3, linestyle=(0, (2, 1)))
                text = f"{count / 1e6:.1f}–{most / 1e6:.1f} million"
            else:
                axes.plot(x(count), y - 4, mark, color=colour, markersize=6)
                text = f"{count:,}"
            end = x(count)
            across = end + 9 if end < (left + right) / 2 + 12 else end - 9
            style.words(
                axes, across, y, text, size=style.SMALL, align="left" if across > end else "right"
            )
        y += 26
    few, many = numbers.INSTRUCTGPT["answers each"]
    pairs = f"{few}–{many} answers make {comb(few, 2)}–{comb(many, 2)} pairs"
    style.note(figure, f"{pairs} · seed {run.config.seed}")
    return figure
