"""Where the methods stand under the frontier of the exact world."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored

# Of each method that was trained: colour and marker.
LOOKS = {
    "PPO": (style.PPO, "o"),
    "RLOO": (style.INK, "s"),
    "DPO": (style.ALIGNED, "D"),
    "GRPO": (style.INK, "v"),
    "GRPO, no std": (style.MUTED, "v"),
    "ratio × k3": (style.MUTED, "^"),
    "k2 in the loss": (style.MUTED, "<"),
}


@style.drawn
def frontier(run: Run) -> Figure:
    """Reward against KL in one world, and how near each method is to the frontier in all."""
    world, shares = numbers.frontier(run)
    figure, _ = style.page(524)
    _one_world(figure, world)
    _all_worlds(figure, shares)
    study = stored("frontier")
    style.remark(figure, f"every method at β = {study.config['dpo']['beta']}")
    style.note(figure, study.origin)
    return figure


def _one_world(figure: Figure, table: Table) -> None:
    """The frontier, best-of-n along it, and what was trained."""
    axes = style.panel(
        figure,
        44,
        24,
        style.WIDTH - 58,
        210,
        title="Reward",
        unit="above the reference, first world",
        xlabel="KL from the reference, nats, root scale",
    )
    curve, drawn = table.where("policy", "frontier"), table.where("policy", "best-of-n")
    line = list(zip(curve["KL"], curve["reward gained"], strict=True))
    axes.plot(*zip(*line, strict=True), color=style.MUTED, linewidth=1.6)
    steps = list(zip(drawn["KL"], drawn["reward gained"], strict=True))
    axes.plot(*zip(*steps, strict=True), color=style.REWARD, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.plot(*zip(*steps, strict=True), ".", color=style.REWARD, markersize=6, linewidth=0)
    marks, points = [], [*style.along(line), *style.along(steps)]
    for method, (colour, marker) in LOOKS.items():
        (kl,), (gained,) = (table.where("policy", method)[name] for name in ("KL", "reward gained"))
        _mark(axes, [kl], [gained], colour, marker)
        marks.append((kl, gained, method, colour))
        points.append((kl, gained))
    marks += [(*steps[-1], drawn["at"][-1], style.REWARD), (*steps[3], "best-of-n", style.REWARD)]
    marks.append((*line[-4], "frontier", style.MUTED))
    style.limits(axes, [0, 1.1 * steps[-1][0]], [0, 1.05 * steps[-1][1]])
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set_xticks([0, 0.1, 0.5, 1, 2, 3], ["0", "0.1", "0.5", "1", "2", "3"])
    style.place_labels(axes, marks, clear_of=points)


def _all_worlds(figure: Figure, table: Table) -> None:
    """A dot for each method and world."""
    names = list(dict.fromkeys(table["method"]))
    axes = style.panel(
        figure,
        96,
        300,
        style.WIDTH - 110,
        17 * len(names),
        title="Share of the frontier’s reward at the same KL",
        xlabel="%",
    )
    for row, name in enumerate(names):
        found = table.where("method", name)["share of the frontier"]
        colour, marker = LOOKS.get(name, (style.REWARD, "."))
        _mark(axes, found, [row] * len(found), colour, marker)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, color=style.INK)
    every = table["share of the frontier"]
    axes.set_xlim(min(every) - 2, 101)


def _mark(
    axes: style.Axes, xs: list[float], ys: list[float] | list[int], colour: str, marker: str
) -> None:
    axes.plot(
        xs,
        ys,
        marker,
        linewidth=0,
        color=colour,
        markerfacecolor=style.PAPER,
        markeredgewidth=1.4,
        markersize=6.5,
        clip_on=False,
    )
