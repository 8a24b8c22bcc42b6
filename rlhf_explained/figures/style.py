"""How every figure looks.

A figure is drawn once, in points, 324 of them wide: on a phone one point is about one pixel, so
text of 11 points stays readable there. Colours are sentinels while matplotlib draws and CSS
variables in the SVG, so one drawing serves the light and the dark theme.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ParamSpec

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from rlhf_explained.measured import number, verdicts

WIDTH = 324.0  # points, of every figure
SMALL, BODY, TITLE = 11.0, 12.0, 13.0  # font sizes in points; nothing is set smaller
RAW = 0.75  # opacity of single measurements: with less, some colour has no contrast of 3:1
TINT = 0.2  # opacity of a fill; its outline has the contrast

INK, MUTED, FAINT, PAPER = "#010203", "#010204", "#010205", "#010206"
BASE, SFT, REWARD, PPO, ALIGNED, NOKL = (
    "#010207",
    "#010208",
    "#010209",
    "#01020a",
    "#01020b",
    "#01020c",
)
# What each sentinel becomes: the end of a class in the site's stylesheet, and the colour of the
# light theme for a reader who has the drawing alone.
SENTINELS = {
    INK: ("ink", "#1f2328"),
    MUTED: ("muted", "#5b6067"),
    FAINT: ("faint", "#dcdcd6"),
    PAPER: ("paper", "#fff"),
    BASE: ("base", "#c62828"),
    SFT: ("sft", "#1565c0"),
    REWARD: ("rm", "#ad4e00"),
    PPO: ("ppo", "#2e7031"),
    ALIGNED: ("aligned", "#7b1fa2"),
    NOKL: ("nokl", "#5d4037"),
}
# A policy is told by its name, its dash and its marker as well as by its colour.
COLOURS = {"base": BASE, "sft": SFT, "ppo": PPO, "ppo_no_kl": NOKL}
DASHES = {"base": (0, (1, 2)), "sft": (0, (6, 2, 1, 2)), "ppo": "-", "ppo_no_kl": (0, (4, 2))}
MARKERS = {"base": "s", "sft": "^", "ppo": "o", "ppo_no_kl": "X"}
NAMES = {
    "base": "Pretrained (base)",
    "sft": "SFT",
    "ppo": "RLHF (PPO)",
    "ppo_no_kl": "PPO without KL penalty",
}

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
P = ParamSpec("P")


def drawn(function: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under this module's settings, whatever the caller's are, and put those back."""

    @functools.wraps(function)
    def draw(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", SETTINGS]):
            return function(*args, **kwargs)

    return draw


def page(height: Real) -> tuple[Figure, Axes]:
    """An empty figure with one invisible set of axes in points, the origin at the top left."""
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def words(
    axes: Axes,
    x: Real,
    y: Real,
    text: str,
    *,
    size: Real = BODY,
    colour: str = INK,
    align: str = "left",
    bold: bool = False,
    italic: bool = False,
    upright: bool = True,
) -> Text:
    """One line of text on its baseline. Several lines are several calls.

    Matplotlib places the lines of one text by its own font's widths, a browser by another's; a
    line of its own keeps its anchor in both.
    """
    return axes.text(
        x,
        y,
        text,
        size=size,
        color=colour,
        ha=align,
        va="baseline",
        weight="bold" if bold else "normal",
        style="italic" if italic else "normal",
        rotation=0 if upright else 90,
        rotation_mode="anchor",
    )


def box(
    axes: Axes,
    left: Real,
    top: Real,
    width: Real,
    height: Real,
    colour: str,
    *,
    dashed: bool = False,
    heavy: bool = False,
) -> FancyBboxPatch:
    """A rounded box in the colour, filled with a tint of it."""
    patch = FancyBboxPatch(
        (left, top),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=6",
        facecolor=to_rgba(colour, 0.1),
        edgecolor=to_rgba(colour, 1),
        linewidth=2 if heavy else 1.3,
        linestyle=(0, (4, 2)) if dashed else "-",
    )
    axes.add_patch(patch)
    return patch


Line = str | tuple[str, Mapping[str, Any]]  # a line of text, with settings of `words`


def lines_in(axes: Axes, patch: FancyBboxPatch, *lines: Line, gap: Real = 14) -> None:
    """Centre lines of text in a box, one under the other."""
    centre = patch.get_x() + patch.get_width() / 2
    first = patch.get_y() + patch.get_height() / 2 - gap * (len(lines) - 1) / 2 + 4
    for place, line in enumerate(lines):
        text, manner = (line, {}) if isinstance(line, str) else line
        words(axes, centre, first + gap * place, text, align="center", **manner)


def arrow(
    axes: Axes,
    *points: tuple[Real, Real],
    colour: str = MUTED,
    dashed: bool = False,
    width: Real = 1.4,
) -> FancyArrowPatch:
    """An arrow along a line of straight pieces, its head at the last point."""
    patch = FancyArrowPatch(
        path=Path(points),
        arrowstyle="-|>,head_length=5,head_width=2.6",
        mutation_scale=1,
        color=colour,
        linewidth=width,
        linestyle=(0, (4, 2)) if dashed else "-",
        joinstyle="round",
        capstyle="butt",
    )
    axes.add_patch(patch)
    return patch


def panel(
    figure: Figure,
    left: Real,
    top: Real,
    width: Real,
    height: Real,
    *,
    title: str,
    unit: str = "",
    xlabel: str = "",
    ticks: int = 5,
    headroom: Real = 9,
) -> Axes:
    """Axes without a frame, in points from the top left, the y label lying above them.

    Without an `xlabel` the panel has no numbers on its x axis: the panel below has them.
    """
    total = figure.get_figheight() * 72
    axes = figure.add_axes(
        (left / WIDTH, 1 - (top + height) / total, width / WIDTH, height / total)
    )
    axes.tick_params(length=0, pad=4)
    axes.tick_params(axis="x", length=3)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    page_axes = figure.axes[0]
    start = words(page_axes, 4, top - headroom, title, bold=True)
    if unit:
        words(page_axes, 4 + width_of(start) + 6, top - headroom, unit, size=SMALL, colour=MUTED)
    if not xlabel:
        axes.tick_params(axis="x", labelbottom=False)
    else:
        y = top + height + 30
        words(page_axes, left + width, y, xlabel, size=SMALL, colour=MUTED, align="right")
    return axes


def width_of(text: Text) -> float:
    """The width of a text in points, in the font that measures."""
    figure = text.get_figure(root=True)
    assert figure is not None
    return text.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width


def spread(positions: Sequence[Real], gap: Real, low: Real, high: Real) -> list[float]:
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
    result = [0.0] * len(positions)
    for index, position in zip(order, placed, strict=True):
        result[index] = position
    return result


def end_labels(axes: Axes, labels: Sequence[tuple[Real, str, str]], *, gap: Real = 13) -> None:
    """Name lines at their right ends: (y in data, text, colour), moved apart where they meet."""
    if not labels:
        return
    frame = axes.get_window_extent()
    heights = [axes.transData.transform((0.0, y))[1] - frame.y0 for y, _, _ in labels]
    heights = spread(heights, gap, 0, frame.height)
    for height, (_, text, colour) in zip(heights, labels, strict=True):
        axes.annotate(
            text,
            (1, height / frame.height),
            xycoords="axes fraction",
            xytext=(6, -4),
            textcoords="offset points",
            color=colour,
            size=SMALL,
        )


def centred(count: int) -> slice:
    """The places of so many that have a full window of `smoothed` around them; or else all."""
    margin = verdicts.WINDOW // 2 if count > verdicts.WINDOW else 0
    return slice(margin, count - margin)


def curve(
    axes: Axes,
    xs: Sequence[Real],
    ys: Sequence[Real],
    *,
    colour: str,
    dash: str | tuple[Real, tuple[Real, ...]],
    raw: Sequence[Real] = (),
) -> None:
    """A line, over a thinner one through what was measured before it was smoothed.

    A smoothed line is drawn where a full window lies around each of its points.
    """
    if raw:
        axes.plot(xs, raw, color=to_rgba(colour, RAW), linewidth=0.7)
        middle = centred(len(xs))
        xs, ys = xs[middle], ys[middle]
    mark = "o" if len(xs) == 1 else ""  # one point makes no line
    axes.plot(xs, ys, marker=mark, markersize=4, color=colour, linewidth=2, linestyle=dash)


def bar(
    axes: Axes,
    left: Real,
    middle: Real,
    length: Real,
    height: Real,
    colour: str,
    *,
    solid: bool = False,
    hatched: bool = False,
) -> None:
    """A bar to the right, outlined: filled, hatched, or with a tint of its colour."""
    face = "none" if hatched else to_rgba(colour, 1.0 if solid else TINT)
    hatch = "//////" if hatched else None
    axes.barh(
        middle,
        length,
        left=left,
        height=height,
        facecolor=face,
        edgecolor=to_rgba(colour, 1),
        hatch=hatch,
        linewidth=1,
    )


def whisker(
    axes: Axes, ends: Sequence[Real], end: Real, middle: Real, *, solid: bool = False
) -> None:
    """A standard error on both sides of a bar's end; on a solid bar in the colour of the paper."""
    axes.plot(ends, [middle] * 2, color=INK, linewidth=1.2)
    if solid:
        axes.plot([ends[0], end], [middle] * 2, color=PAPER, linewidth=1.6)


def limits(axes: Axes, xs: Sequence[Real], ys: Sequence[Real]) -> None:
    """Room for all points and a little more, also when they are all the same."""
    low, high = min(ys), max(ys)
    margin = 0.06 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(min(xs) - (len(set(xs)) == 1), max(xs) + (len(set(xs)) == 1))


def mean_marks(axes: Axes, means: Sequence[tuple[Real, str, str]]) -> None:
    """Dashed lines at means, each named with its value above the panel: (x, name, colour)."""
    frame = axes.get_window_extent()
    places = [axes.transData.transform((x, 0.0))[0] - frame.x0 for x, _, _ in means]
    labels = [f"{name} {number(x)}" for x, name, _ in means]
    gap = 7.4 * max(len(label) for label in labels)
    spots = spread(places, gap, gap / 2, frame.width - gap / 2)
    for (x, _, colour), label, spot in zip(means, labels, spots, strict=True):
        axes.axvline(x, color=colour, linewidth=1.4, linestyle=(0, (4, 2)))
        axes.annotate(
            label,
            (spot / frame.width, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            color=colour,
            size=SMALL,
        )


def dots(
    axes: Axes, xs: Sequence[Real], ys: Sequence[Real], colour: str, *, square: bool = False
) -> None:
    """Many small dots as one path of strokes without length: a tenth of the bytes of markers."""
    points = [point for point in zip(xs, ys, strict=True) for _ in range(2)]
    path = Path(points, [Path.MOVETO, Path.LINETO] * len(xs))
    cap = "projecting" if square else "round"
    axes.add_patch(
        PathPatch(path, edgecolor=to_rgba(colour, RAW), fill=False, linewidth=2.4, capstyle=cap)
    )


def along(line: Sequence[tuple[Real, Real]]) -> list[tuple[float, float]]:
    """Points close together on a line, for labels to keep clear of."""
    shares = [step / 12 for step in range(12)]
    between = [(start, end, t) for start, end in pairwise(line) for t in shares]
    points = [(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for (x0, y0), (x1, y1), t in between]
    return [*points, *((float(x), float(y)) for x, y in line[-1:])]


def place_labels(
    axes: Axes,
    marks: Sequence[tuple[Real, Real, str, str]],
    clear_of: Sequence[tuple[Real, Real]],
) -> None:
    """Name points where there is room, the first ones first: (x, y, text, colour) in data.

    A label stands inside the panel, clear of the labels before it and, where that can be, of the
    points in `clear_of`; one that finds no room is left out.
    """
    frame, taken = axes.get_window_extent(), []
    points = [axes.transData.transform(point) for point in clear_of]
    for x, y, text, colour in marks:
        across, up = axes.transData.transform((x, y))
        width = 7.2 * len(text)
        spots = []
        for away in (1.0, 1.6, 2.4):
            for right, above in _AROUND:
                middle = across + right * (3 + 6 * away + width / 2)
                spot = Bbox.from_bounds(middle - width / 2, up + 15 * away * above - 6.5, width, 13)
                inside = frame.x0 <= spot.x0 and spot.x1 <= frame.x1 + 8
                inside = inside and frame.y0 <= spot.y0 and spot.y1 <= frame.y1 + 6
                if inside and not any(spot.overlaps(other) for other in taken):
                    spots.append(spot)
        if spots:
            spot = min(spots, key=lambda spot: spot.count_contains(points))
            taken.append(spot)
            axes.annotate(
                text,
                (x, y),
                xytext=((spot.x0 + spot.x1) / 2 - across, spot.y0 + 2.5 - up),
                textcoords="offset points",
                ha="center",
                color=colour,
                size=SMALL,
            )


_AROUND = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def note(figure: Figure, text: str, *, above: Real = 5) -> None:
    """The small line in the corner: the run's seed, or that a figure is illustrative."""
    bottom = figure.get_figheight() * 72
    words(figure.axes[0], WIDTH - 4, bottom - above, text, size=SMALL, colour=MUTED, align="right")


def remark(figure: Figure, text: str) -> None:
    """A small line above the note."""
    note(figure, text, above=21)
