"""What PPO did to this run, with the KL penalty and without it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored


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
    """The ways of both runs through KL and gold on held-out questions, at two rates."""
    means, seeds, stops = numbers.gold_against_kl(run)
    figure, _ = style.page(2 * 250 + 48)
    golds, kls = seeds["gold"], seeds["KL"]
    for place, speed in enumerate(numbers.SPEEDS):
        rate = stored("early_stopping").config[f"{speed}_free"]["learning_rate"]
        axes = style.panel(
            figure,
            44,
            24 + 250 * place,
            style.WIDTH - 58,
            186,
            title="Gold",
            unit=f"held-out questions, learning rate {rate:g}",
            xlabel="KL from SFT, nats per response, root scale",
        )
        style.limits(axes, kls, golds)
        axes.set_xscale("function", functions=(_signed_root, _signed_square))
        axes.set_xlim(min(0.0, *kls), max(kls) * 1.05)
        ticks = [tick for tick in TICKS if tick <= max(kls) * 1.05]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        marks, points = [], []
        for policy, penalty in numbers.PENALTY.items():
            one = numbers.every_tenth(seeds.where("rate", speed).where("KL penalty", penalty))
            colour, square = style.COLOURS[policy], policy == "ppo_no_kl"
            style.dots(axes, one["KL"], one["gold"], colour, square=square)
            mean = means.where("rate", speed).where("KL penalty", penalty)
            path = list(zip(mean["KL"], mean["gold"], strict=True))
            axes.plot(
                *zip(*path, strict=True),
                color=colour,
                linewidth=1.8,
                linestyle=style.DASHES[policy],
            )
            axes.plot(*path[-1], style.MARKERS[policy], color=colour, markersize=7)
            marks.append((*path[-1], penalty, colour))
            points += [*style.along(path), *zip(one["KL"], one["gold"], strict=True)]
        chosen = stops.where("rate", speed)
        kl, gold = (math.fsum(chosen[name]) / len(chosen.rows) for name in ("KL", "gold"))
        axes.plot(
            kl,
            gold,
            "D",
            markersize=8,
            markerfacecolor=style.PAPER,
            markeredgecolor=style.NOKL,
            markeredgewidth=1.6,
            zorder=4,
        )
        marks.append((kl, gold, "stopped", style.NOKL))
        style.place_labels(axes, marks, clear_of=points)
    style.note(figure, "KL penalty: with and without · ◇ where it is stopped", above=37)
    style.remark(figure, "lines: means · dots: seeds, every tenth iteration")
    style.note(figure, stored("early_stopping").origin)
    return figure


@style.drawn
def temperatures(run: Run) -> Figure:
    """Gold of every policy against the temperature at which it answers."""
    (table,) = numbers.temperatures(run)
    figure, _ = style.page(286)
    axes = style.panel(
        figure,
        44,
        24,
        166,
        186,
        title="Gold",
        unit="true reward, held-out questions",
        xlabel="temperature",
    )
    labels, values = [], []
    names = {**numbers.NAMES, "ppo_no_kl": "without penalty"}
    for policy, name in names.items():
        rows, colour = table.where("model", name), style.COLOURS[policy]
        xs, means, errors = (rows[column] for column in ("temperature", "gold", "± gold"))
        axes.plot(
            xs,
            means,
            color=colour,
            linewidth=1.8,
            linestyle=style.DASHES[policy],
            marker=style.MARKERS[policy],
            markersize=4.5,
        )
        for x, mean, error in zip(xs, means, errors, strict=True):
            axes.plot([x, x], [mean - error, mean + error], color=colour, linewidth=1)
            values += mean - error, mean + error
        labels.append((means[-1], name, colour))
    style.limits(axes, [-0.04, 1.04], values)
    axes.set_xticks([0, 0.3, 0.5, 0.7, 1], ["0", "0.3", "0.5", "0.7", "1"])
    style.end_labels(axes, labels)
    style.remark(figure, "bars: one standard error, clustered by question")
    style.note(figure, f"{run.evaluation['ppo']['questions']} questions · seed {run.config.seed}")
    return figure


TICKS = (0, 0.5, 2, 5, 10, 20)


def _signed_root(kl: np.ndarray) -> np.ndarray:
    """Gao et al. 2022 plot gold against the root of KL; an estimate of KL may be negative."""
    return np.sign(kl) * np.sqrt(np.abs(kl))


def _signed_square(root: np.ndarray) -> np.ndarray:
    return np.sign(root) * np.square(root)
