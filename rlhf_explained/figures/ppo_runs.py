"""What PPO did to this run, with the KL penalty and without it."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run

ROOM = 20  # between points of a path that are numbered


@style.drawn
def curves(run: Run) -> Figure:
    """Reward model score, gold reward and KL over the iterations, with the penalty and without."""
    panels = (
        ("proxy", "Proxy", "reward model score, mean", ""),
        ("gold", "Gold", "true reward, mean", ""),
        ("KL", "KL from SFT", "nats per response", "iteration"),
    )
    (table,) = numbers.ppo_curves(run)
    figure, _ = style.page(3 * 158 + 38)
    for place, (name, title, unit, xlabel) in enumerate(panels):
        axes = style.panel(
            figure, 44, 24 + 158 * place, 222, 116, title=title, unit=unit, xlabel=xlabel
        )
        _both_runs(table, axes, name)
    style.note(figure, f"KL penalty: with and without · seed {run.config.seed}")
    return figure


@style.drawn
def response_length(run: Run) -> Figure:
    """Mean response length over the iterations, with the penalty and without."""
    figure, _ = style.page(246)
    axes = style.panel(
        figure, 44, 24, 222, 150, title="Response length", unit="tokens, mean", xlabel="iteration"
    )
    (table,) = numbers.response_length(run)
    start = table.line("SFT")
    axes.axhline(start, color=style.SFT, linewidth=1.4, linestyle=style.DASHES["sft"])
    _both_runs(table, axes, "length", (start, "SFT", style.SFT))
    style.remark(figure, "SFT: held-out prompts; curves: training prompts")
    style.note(figure, f"KL penalty: with and without · seed {run.config.seed}")
    return figure


def _both_runs(table: Table, axes: style.Axes, name: str, *others: tuple[float, str, str]) -> None:
    """A quantity of both runs over the iterations, the lines named at their ends."""
    labels, values = list(others), [y for y, _, _ in others]
    for policy, label in numbers.PENALTY.items():
        rows, look = table.where("KL penalty", label), (style.COLOURS[policy], style.DASHES[policy])
        xs, ys, smooth = rows["iteration"], rows[name], rows[f"{name}, smoothed"]
        style.curve(axes, xs, smooth, colour=look[0], dash=look[1], raw=ys)
        labels.append((smooth[-1], label, look[0]))
        values += ys
    style.limits(axes, table["iteration"], values)
    style.end_labels(axes, labels)


@style.drawn
def gold_against_kl(run: Run) -> Figure:
    """The paths of both runs through KL and gold, and the best gold within each KL."""
    figure, _ = style.page(358)
    axes = style.panel(
        figure,
        44,
        24,
        style.WIDTH - 58,
        256,
        title="Gold",
        unit="true reward, mean",
        xlabel="KL from SFT, nats per response, root scale",
    )
    table, ends = numbers.gold_against_kl(run)
    runs = {policy: table.where("KL penalty", name) for policy, name in numbers.PENALTY.items()}
    paths = {
        policy: list(zip(rows["KL, smoothed"], rows["gold, smoothed"], strict=True))
        for policy, rows in runs.items()
    }
    for policy, rows in runs.items():
        colour, square = style.COLOURS[policy], policy == "ppo_no_kl"
        style.dots(axes, rows["KL"], rows["gold"], colour, square=square)
    kls, golds = table["KL"] + ends["KL"], table["gold"] + ends["gold"]

    best = sorted(zip(table["KL, smoothed"], table["best gold within this KL"], strict=True))
    style.band(axes, best)
    for policy, path in paths.items():
        colour = style.COLOURS[policy]
        xs, ys = zip(*path, strict=True)
        axes.plot(xs, ys, color=colour, linewidth=1.8, linestyle=style.DASHES[policy])
    low, high = min(kls), max(kls)
    margin = 0.04 * (high - low) or 0.5
    style.limits(axes, kls, golds)
    axes.set_xscale("function", functions=(_signed_root, _signed_square))
    axes.set_xlim(low - margin / 10, high + margin)
    roots = style.MaxNLocator(5).tick_values(*_signed_root(np.array(axes.get_xlim())))
    ticks = _signed_square(np.asarray(roots))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xticks([tick for tick in ticks if low - margin / 10 <= tick <= high + margin])

    marks, points = [], [point for line in (best, *paths.values()) for point in style.along(line)]
    marks.append((*best[-1], "best gold within this KL", style.MUTED))
    for policy, path in paths.items():
        iterations, colour = runs[policy]["iteration"], style.COLOURS[policy]
        every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if 3 * step >= len(path))
        numbered = range(every - 1, len(path), every)
        steps = np.diff(axes.transData.transform([path[index] for index in numbered]), axis=0)
        if (np.hypot(*steps.T) < ROOM).any():
            continue  # a tangle
        for index in numbered:
            axes.plot(*path[index], "o", color=colour, markersize=3.5)
            marks.append((*path[index], f"{iterations[index]:g}", colour))
    names = {"sft": "SFT", **numbers.PENALTY}
    for (policy, name), (_, kl, gold, error) in zip(names.items(), ends.rows, strict=True):
        axes.errorbar(
            kl,
            gold,
            yerr=error,
            fmt=style.MARKERS[policy],
            color=style.COLOURS[policy],
            markerfacecolor=style.PAPER,
            markeredgewidth=1.6,
            markersize=8,
            elinewidth=1.2,
            zorder=4,
        )
        marks.insert(0, (kl, gold, name, style.COLOURS[policy]))
        points.append((kl, gold))
    points += zip(table["KL"], table["gold"], strict=True)
    style.place_labels(axes, marks, clear_of=points)
    style.remark(figure, "△ ○ ✕ held-out result · small numbers: iteration")
    style.note(figure, f"KL penalty: with and without · seed {run.config.seed}")
    return figure


def _signed_root(kl: np.ndarray) -> np.ndarray:
    """Gao et al. 2022 plot gold against the root of KL; an estimate of KL may be negative."""
    return np.sign(kl) * np.sqrt(np.abs(kl))


def _signed_square(root: np.ndarray) -> np.ndarray:
    return np.sign(root) * np.square(root)
