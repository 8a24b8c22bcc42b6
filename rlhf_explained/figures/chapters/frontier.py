"""Where the methods stand under the frontier of the exact world."""

from __future__ import annotations

from typing import Any

from rlhf_explained.figures import draw, labels
from rlhf_explained.figures.colours import ALIGNED, INK, MUTED, PPO, REWARD
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored

# The methods of the study by setting, with colour and marker; the last ones need no training.
METHODS = {
    "ppo": ("PPO", PPO, "o"),
    "group": ("RLOO", INK, "s"),
    "dpo": ("DPO", ALIGNED, "D"),
    "k2": ("k2 in the loss", MUTED, "<"),
    "ratio_k3": ("ratio × k3", MUTED, "^"),
    "grpo_no_std": ("GRPO, no std", MUTED, "v"),
    "grpo": ("GRPO", INK, "v"),
    "best_of_4": ("best of 4", REWARD, "."),
    "best_of_64": ("best of 64", REWARD, "."),
}
# Names in the first panel: whose mark they stand at, and how far from it, clear of others.
NAMED = {
    "PPO, RLOO, DPO": ("ppo", (-56, 6), INK),
    "k2, ratio × k3": ("k2", (56, -16), MUTED),
    "GRPO": ("grpo", (23, -4), INK),
    "GRPO, no std": ("grpo_no_std", (48, -4), MUTED),
}


def rewards(run: Run) -> tuple[Table, Table]:
    """Reward and KL in the first exact world; shares of the frontier's reward in all of them."""
    study = stored("frontier")
    kinds = {"frontier": ("frontier", "β"), "best_of": ("best-of-n", "n")}
    rows: list[tuple[Any, ...]] = [("frontier", "", 0.0, 0.0)]
    for setting in study.config:
        kind, _, at = setting.rpartition("_")
        if kind in kinds or setting in METHODS:
            policy, name = kinds[kind] if kind in kinds else (METHODS[setting][0], "")
            where = study.values(setting, "kl")[0], study.values(setting, "gained")[0]
            rows.append((policy, f"{name} = {at}" if name else "", *where))
    world = "Reward and KL in the first exact world"
    shares = []
    for setting, (name, *_) in METHODS.items():
        found = (study.values(setting, quantity) for quantity in ("kl", "gained", "most"))
        for seed, spent, gained, most in zip(study.seeds, *found, strict=True):
            shares.append((name, seed, spent, 100.0 * gained / most))
    title = "Reward gained, as a share of what the frontier gains at the same KL"
    headings = "method", "world", "KL (nats)", "share of the frontier (%) .1"
    return (
        Table.of("frontier", world, ("policy", "at", "KL (nats)", "reward gained"), rows),
        Table.of("frontier-shares", title, headings, shares),
    )


@figure(
    "frontier",
    numbers=rewards,
    studies=("frontier",),
    alt="Two panels. The first shows reward against KL from the reference in one exact world. The "
    "frontier rises from the reference and becomes flatter. PPO, RLOO and DPO lie on it, at the "
    "same place. Best-of-n, for n up to 64, lies a little below it. GRPO lies further right and "
    "further below it. Without the division by the standard deviation, GRPO lies less far right, "
    "but also below it. The second panel shows, for five worlds, the reward of each method as a "
    "share of the frontier's reward at the same KL.",
)
def frontier(run: Run, world: Table, shares: Table) -> tuple[draw.Figure, ...]:
    """Reward against KL in one world, and how near each method is to the frontier in all."""
    (one, _), (every, _), study = draw.page(292), draw.page(292), stored("frontier")
    _one_world(one, world)
    _all_worlds(every, shares)
    draw.notes(one, f"every method at β = {study.config['dpo']['beta']}")
    draw.notes(every, study.origin)
    return one, every


def _one_world(figure: draw.Figure, table: Table) -> None:
    """The frontier, best-of-n along it, and what was trained."""
    import numpy as np

    said = "above the reference, first world", "KL from the reference, nats, root scale"
    axes = draw.panel(figure, (44, 24, draw.WIDTH - 58, 210), "Reward", *said)

    def points(policy: str) -> list[tuple[float, float]]:
        return [row[2:] for row in table.where("policy", policy).rows]

    line, steps = points("frontier"), points("best-of-n")
    axes.plot(*zip(*line, strict=True), color=MUTED, linewidth=1.6)
    axes.plot(*zip(*steps, strict=True), color=REWARD, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.plot(*zip(*steps, strict=True), ".", color=REWARD, markersize=6, linewidth=0)
    most = table.where("policy", "best-of-n")["at"][-1]
    names = [(most, steps[-1], (-31, 11), REWARD), ("best-of-n", steps[3], (41, -4), REWARD)]
    names.append(("frontier", line[-4], (-34, 8), MUTED))
    for setting, (method, colour, marker) in METHODS.items():
        if not setting.startswith("best_of"):
            xs, ys = zip(*points(method), strict=True)
            draw.marks(axes, xs, ys, colour, marker)
    for text, (setting, away, colour) in NAMED.items():
        names.append((text, *points(METHODS[setting][0]), away, colour))
    for name in names:
        labels.write(axes, *name, xycoords="data")
    draw.limits(axes, [0, 1.1 * steps[-1][0]], [0, 1.05 * steps[-1][1]])
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set_xticks([0, 0.1, 0.5, 1, 2, 3], ["0", "0.1", "0.5", "1", "2", "3"])


def _all_worlds(figure: draw.Figure, table: Table) -> None:
    """A mark for each method and world."""
    title, frame = "Share of the frontier’s reward at the same KL", (104, 24, draw.WIDTH - 118, 210)
    axes = draw.panel(figure, frame, title, xlabel="%")
    rows = [
        (name, table.where("method", name)["share of the frontier"], colour, marker)
        for name, colour, marker in METHODS.values()
    ]
    draw.rows_of_marks(axes, rows)
    axes.set_xlim(min(table["share of the frontier"]) - 2, 101)
