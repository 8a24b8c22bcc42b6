"""What figures are drawn of: pages and panels, words and boxes, lines and bars.

A figure is one page, or several: below each other on a phone, side by side where there is room.
Each is drawn once, in points. Of two pages each is 324 points wide, of three 216, so that a point
is no smaller than a pixel, and text of 11 points readable, on a phone and side by side. Matplotlib
is imported where it draws, so that the process that builds the site knows the figures without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rlhf_explained.figures.colours import DASHED, FAINT, INK, MUTED, PAPER
from rlhf_explained.figures.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
    from matplotlib.text import Text
else:
    Axes = Figure = FancyArrowPatch = FancyBboxPatch = Text = Any

WIDTH = 324.0  # points, of a page alone or beside one other
THIRD = 216.0  # of each of three side by side
SMALL, BODY, TITLE = 11.0, 12.0, 13.0  # font sizes in points; nothing is set smaller
RAW = 0.75  # opacity of single measurements: with less, some colour has no contrast of 3:1
WINDOW = 5  # steps that a smoothed line averages over
TINT = 0.2  # opacity of a fill; its outline has the contrast

SETTINGS = {
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.xmargin": 0.0,
    "figure.dpi": 72,  # a point on the paper is a unit of the drawing
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # measures; the browser sets the text in the page's own font
    "font.size": BODY,
    "hatch.linewidth": 0.8,
    "lines.solid_capstyle": "butt",
    "path.simplify": False,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.color": MUTED,
    "ytick.labelsize": SMALL,
}

Real = float | int  # the run-time type checks of the tests take no int for a float
Reals = Sequence[Real]
Point = tuple[Real, Real]
Dash = str | tuple[Real, tuple[Real, ...]]
Frame = tuple[Real, Real, Real, Real]  # left, top, width and height
Manner = dict[str, Any]  # settings of `words`
Line = str | tuple[str, Manner]


def styled() -> AbstractContextManager[None]:
    """The settings under which all is drawn and written; afterwards the caller's hold again."""
    import matplotlib.style

    return matplotlib.style.context(["default", SETTINGS])


def page(height: Real, width: Real = WIDTH) -> tuple[Figure, Axes]:
    """An empty page with one invisible set of axes in points, the origin at the top left."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def words(
    axes: Axes, x: Real, y: Real, text: str, colour: str = INK, *, bold: bool = False, **manner: Any
) -> Text:
    """One line of text on its baseline, in matplotlib's manner. Several lines are several calls.

    Matplotlib places the lines of one text by its own font's widths, a browser by another's; a
    line of its own keeps its anchor in both.
    """
    usual = {"size": BODY, "weight": "bold" if bold else "normal", "rotation_mode": "anchor"}
    return axes.text(x, y, text, color=colour, va="baseline", **usual | manner)


def box(
    axes: Axes, frame: Frame, colour: str, *lines: Line, gap: Real = 14, **edge: Any
) -> FancyBboxPatch:
    """A rounded box in the colour, filled with a tint of it, lines of text in its middle."""
    from matplotlib.patches import FancyBboxPatch

    left, top, width, height = frame
    look = {"boxstyle": "round,pad=0,rounding_size=6", "facecolor": (colour, 0.1)}
    look |= {"edgecolor": colour, "linewidth": 1.3, **edge}
    patch = FancyBboxPatch((left, top), width, height, **look)
    axes.add_patch(patch)
    first = top + height / 2 - gap * (len(lines) - 1) / 2 + 4
    for place, line in enumerate(lines):
        text, manner = (line, {}) if isinstance(line, str) else line
        words(axes, left + width / 2, first + gap * place, text, **{"ha": "center", **manner})
    return patch


def arrow(axes: Axes, *points: Point, colour: str = MUTED, **look: Any) -> FancyArrowPatch:
    """An arrow along a line of straight pieces, its head at the last point."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    look = {"color": colour, "linewidth": 1.4, "joinstyle": "round", "capstyle": "butt"} | look
    style = "-|>,head_length=5,head_width=2.6"
    patch = FancyArrowPatch(path=Path(points), arrowstyle=style, mutation_scale=1, **look)
    axes.add_patch(patch)
    return patch


def panel(
    figure: Figure, frame: Frame, title: str, unit: str = "", xlabel: str = "", *, room: Real = 9
) -> Axes:
    """Axes without a frame, in points from the top left, the y label lying above them.

    Without an `xlabel` the panel has no numbers on its x axis: the panel below has them.
    """
    left, top, width, height = frame
    across, down = size(figure)
    place = (left / across, 1 - (top + height) / down, width / across, height / down)
    axes = figure.add_axes(place)
    axes.tick_params(length=0, pad=4)
    axes.tick_params(axis="x", length=3, labelbottom=bool(xlabel))
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_capstyle("butt")
    axes.locator_params(nbins=5, steps=[1, 2, 5, 10])
    axes.locator_params(axis="x", integer=True)
    around = figure.axes[0]
    start = words(around, 4, top - room, title, bold=True)
    words(around, 4 + width_of(start) + 6, top - room, unit, MUTED, size=SMALL)
    words(around, left + width, top + height + 30, xlabel, MUTED, ha="right", size=SMALL)
    return axes


def size(figure: Figure) -> tuple[float, float]:
    """The width and the height of a page in points."""
    return figure.get_figwidth() * 72, figure.get_figheight() * 72


def width_of(text: Text) -> float:
    """The width of a text in points, in the font that measures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = text.get_figure(root=True)
    assert figure is not None
    return text.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width


def smoothed(values: Reals) -> list[float]:
    """The mean of the values around each one; near an end, that of the nearest full window.

    Args:
        values: A measurement of each step.

    Returns:
        As many means, each over `WINDOW` values.
    """
    size = min(WINDOW, len(values))
    starts = (min(max(0, place - size // 2), len(values) - size) for place in range(len(values)))
    return [math.fsum(values[start : start + size]) / size for start in starts]


def centred(count: int) -> slice:
    """The places of so many that have a full window of `smoothed` around them; or else all."""
    margin = WINDOW // 2 if count > WINDOW else 0
    return slice(margin, count - margin)


def curve(axes: Axes, xs: Reals, ys: Reals, colour: str, dash: Dash, *, raw: Reals = ()) -> None:
    """A line, over a thinner one through what was measured before it was smoothed.

    A smoothed line is drawn where a full window lies around each of its points.
    """
    if raw:
        axes.plot(xs, raw, color=(colour, RAW), linewidth=0.7)
        middle = centred(len(xs))
        xs, ys = xs[middle], ys[middle]
    mark = "o" if len(xs) == 1 else ""  # one point makes no line
    axes.plot(xs, ys, marker=mark, markersize=4, color=colour, linewidth=2, linestyle=dash)


def means(
    axes: Axes, xs: Reals, rows: Table, name: str, look: tuple[str, Dash, str]
) -> list[float]:
    """A line through the means of a column, with an upright bar for each interval.

    Args:
        axes: Of the panel.
        xs: Where each row stands.
        rows: Means in the column `name`, and how far they may be off in `± name`.
        name: Of the column.
        look: The line's colour, dash and marker.

    Returns:
        The ends of all bars.
    """
    colour, dash, marker = look
    ys, ends = rows[name], []
    axes.plot(xs, ys, color=colour, linestyle=dash, linewidth=1.8, marker=marker, markersize=4.5)
    for x, y, reach in zip(xs, ys, rows[f"± {name}"], strict=True):
        axes.plot([x, x], [y - reach, y + reach], color=colour, linewidth=1)
        ends += [y - reach, y + reach]
    return ends


def marks(axes: Axes, xs: Reals, ys: Reals, colour: str, marker: str) -> None:
    """Hollow marks, so that none hides another, whole also at the panel's edge."""
    look = {"markerfacecolor": PAPER, "markeredgewidth": 1.4, "markersize": 6.5, "linewidth": 0}
    axes.plot(xs, ys, marker, color=colour, clip_on=False, **look)


def rows_of_marks(axes: Axes, rows: Sequence[tuple[str, Reals, str, str]]) -> None:
    """A row for each name, from the top: the name, where its marks stand, their colour and kind."""
    for row, (_, xs, colour, marker) in enumerate(rows):
        marks(axes, xs, [row] * len(xs), colour, marker)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows], color=INK)


def level(axes: Axes, y: Real, colour: str) -> None:
    """A dashed line across the whole panel."""
    axes.axhline(y, color=colour, linewidth=1.2, linestyle=DASHED)


def bar(
    axes: Axes, frame: Frame, colour: str, *, solid: bool = False, hatched: bool = False
) -> None:
    """A bar to the right of a place, outlined: filled, hatched, or with a tint of its colour.

    Args:
        axes: Where to.
        frame: Its left end, its middle line, its length and its height.
        colour: Of the outline, and of what fills it.
        solid: Whether it is filled.
        hatched: Whether it is hatched.
    """
    left, middle, length, height = frame
    face = "none" if hatched else (colour, 1.0 if solid else TINT)
    looks = {"facecolor": face, "edgecolor": colour, "hatch": "//////" if hatched else None}
    axes.barh(middle, length, left=left, height=height, linewidth=1, **looks)


def limits(axes: Axes, xs: Reals, ys: Reals) -> None:
    """Room for all points and a little more, also when they are all the same."""
    low, high = min(ys), max(ys)
    margin = 0.06 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(min(xs) - (len(set(xs)) == 1), max(xs) + (len(set(xs)) == 1))


def dots(
    axes: Axes, xs: Reals, ys: Reals, colour: str, *, square: bool = False, size: Real = 2.4
) -> None:
    """Many small dots as one path of strokes without length: a tenth of the bytes of markers."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points = [point for point in zip(xs, ys, strict=True) for _ in range(2)]
    path = Path(points, [Path.MOVETO, Path.LINETO] * len(xs))
    cap = "projecting" if square else "round"
    patch = PathPatch(path, edgecolor=(colour, RAW), fill=False, linewidth=size, capstyle=cap)
    axes.add_patch(patch)


def notes(figure: Figure, *lines: str) -> None:
    """Small lines in the corner. The last one says the run's seed, or that all is illustrative.

    A line that is too wide for the page goes on in the next one, from its last ` · `.
    """
    (width, y), left = size(figure), list(lines)
    while left:
        text = words(figure.axes[0], width - 4, y - 5, left[-1], MUTED, size=SMALL, ha="right")
        start, dot, rest = left.pop().rpartition(" · ")
        if dot and width_of(text) > width - 8:
            text.set_text(rest)
            left.append(start)
        y -= 16
