"""How good a reward model gets with more comparisons, and with worse labelers."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from rlhf_explained.figures import numbers, style
from rlhf_explained.figures.table import Table
from rlhf_explained.measured import number, share
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored

LEFT, ROOM = 34.0, 92.0  # points beside a panel, ROOM for the names of its lines
# Colour, dash, marker, and how far a line is moved aside, so that no interval hides another.
LOOKS = {
    "careful": (style.REWARD, "-", "o", 1.0),
    "distracted": (style.INK, (0, (4, 2)), "s", 1.1),
    "hesitant": (style.MUTED, (0, (1, 2)), "^", 0.9),
}


@style.drawn
def over_pairs(run: Run) -> Figure:
    """Held-out accuracy under its ceiling, and what best-of-16 makes of it."""
    (table,) = numbers.reward_data(run)
    ceiling, any_, best = (table.line(name) for name in numbers.REWARD_DATA_LINES)
    accuracy, by_gold, gold = (table[name][-1] for name in numbers.REWARD_DATA_CURVES)
    figure, _ = style.page(452)

    axes = panel(figure, 36, 150, "Accuracy", "held-out pairs ordered rightly, %")
    measured(axes, table, "accuracy", *LOOKS["careful"])
    measured(axes, table, "gold accuracy", style.INK, (0, (6, 2, 1, 2)), "D", 1.1)
    axes.axhline(ceiling, color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
    scale(axes, table, ("accuracy", "gold accuracy"), ceiling)
    labels = [
        (ceiling, f"ceiling {share(ceiling / 100)}", style.MUTED),
        (by_gold, f"by gold {share(by_gold / 100)}", style.INK),
        (accuracy, f"labeler {share(accuracy / 100)}", style.REWARD),
    ]
    style.end_labels(axes, labels)

    axes = panel(figure, 234, 150, "Gold", "of the answer it likes best of 16", xlabel=True)
    measured(axes, table, "best-of-16 gold", *LOOKS["careful"])
    for level in (best, any_):
        axes.axhline(level, color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
    scale(axes, table, ("best-of-16 gold",), any_, best)
    labels = [
        (best, f"perfect {number(best)}", style.MUTED),
        (gold, f"judge {number(gold)}", style.REWARD),
        (any_, f"no judge {number(any_)}", style.MUTED),
    ]
    style.end_labels(axes, labels)
    style.remark(figure, "bars: 95 % interval of the mean")
    style.note(figure, stored("reward_data").origin)
    return figure


@style.drawn
def by_labeler(run: Run) -> Figure:
    """Accuracy by the gold reward's order, for three labelers of one taste."""
    (table,) = numbers.label_noise(run)
    figure, _ = style.page(302)
    axes = panel(figure, 36, 198, "Accuracy", "held-out pairs ordered as gold does, %", xlabel=True)
    labels = []
    for labeler, look in LOOKS.items():
        rows = table.where("labeler", labeler)
        measured(axes, rows, "gold accuracy", *look)
        labels.append((rows["gold accuracy"][-1], labeler, look[0]))
    scale(axes, table, ("gold accuracy",))
    style.end_labels(axes, labels)
    style.remark(figure, "bars: 95 % interval of the mean")
    style.note(figure, stored("reward_data").origin)
    return figure


def panel(
    figure: Figure,
    top: style.Real,
    height: style.Real,
    title: str,
    unit: str,
    *,
    xlabel: bool = False,
) -> Axes:
    """A panel over the number of pairs, on a scale of doublings."""
    name = "preference pairs, doubling" if xlabel else ""
    width = style.WIDTH - LEFT - ROOM
    axes = style.panel(figure, LEFT, top, width, height, title=title, unit=unit, xlabel=name)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([50, 400, 3200, 12800], ["50", "400", "3,200", "12,800"])
    return axes


def measured(
    axes: Axes,
    table: Table,
    name: str,
    colour: str,
    dash: str | tuple[style.Real, tuple[style.Real, ...]],
    marker: str,
    aside: float,
) -> None:
    """A line through the means, with an upright bar for each interval."""
    pairs, means = [aside * count for count in table["pairs"]], table[name]
    axes.plot(
        pairs, means, color=colour, linewidth=2, linestyle=dash, marker=marker, markersize=4.5
    )
    for x, mean, reach in zip(pairs, means, table[f"± {name}"], strict=True):
        axes.plot([x, x], [mean - reach, mean + reach], color=colour, linewidth=1)


def scale(axes: Axes, table: Table, names: Sequence[str], *levels: float) -> None:
    """Room for all intervals and levels, and for markers at both ends."""
    values, pairs = list(levels), table["pairs"]
    for name in names:
        for mean, reach in zip(table[name], table[f"± {name}"], strict=True):
            values += mean - reach, mean + reach
    style.limits(axes, pairs, values)
    axes.set_xlim(min(pairs) / 1.2, max(pairs) * 1.2)
