"""Names at lines and points, kept clear of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf_explained.figures.colours import MUTED
from rlhf_explained.figures.draw import SMALL, Axes, Point, Real, Reals, width_of, words


def spread(positions: Reals, gap: Real, low: Real, high: Real) -> list[float]:
    """Move positions as little as needed to stand `gap` apart between `low` and `high`."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    placed: list[float] = []
    for place, index in enumerate(order):
        floor = low if not placed else placed[-1] + gap
        ceiling = high - gap * (len(order) - 1 - place)
        placed.append(float(min(max(positions[index], floor), max(ceiling, floor))))
    for place in range(len(placed) - 2, -1, -1):  # what was pushed down may have room above
        wanted = positions[order[place]]
        placed[place] = min(max(placed[place], wanted), placed[place + 1] - gap)
    back = dict(zip(order, placed, strict=True))
    return [back[index] for index in range(len(positions))]


def write(axes: Axes, text: str, at: Point, away: Point, colour: str, **where: Any) -> None:
    """A text some points away from a place, which is given in shares of the panel by default."""
    where = {"xycoords": "axes fraction", "ha": "center"} | where
    manner = {"textcoords": "offset points", "color": colour, "size": SMALL}
    axes.annotate(text, at, away, **where, **manner)


def end_labels(axes: Axes, labels: Sequence[tuple[Real, str, str]], *, gap: Real = 13) -> None:
    """Name lines at their right ends: (y in data, text, colour), moved apart where they meet."""
    frame = axes.get_window_extent()
    heights = [axes.transData.transform((0.0, y))[1] - frame.y0 for y, _, _ in labels]
    heights = spread(heights, gap, 0, frame.height)
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        write(axes, text, (1, height / frame.height), (6, -4), colour, ha="left")


def turn(page: Axes, axes: Axes, x: Real, said: str, colour: str) -> None:
    """An upright line where something turns, and words over it, which stay on the page."""
    frame, width = axes.get_window_extent(), page.get_xlim()[1]
    axes.axvline(x, color=MUTED, linewidth=0.8)  # as the axis
    across = axes.transData.transform((x, 0.0))[0]
    text = words(page, across, page.get_ylim()[0] - frame.y1 - 5, said, colour, size=SMALL)
    half = width_of(text) / 2
    text.set(x=min(max(across, half + 4), width - half - 4), ha="center")
