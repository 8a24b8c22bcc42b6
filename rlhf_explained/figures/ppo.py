"""PPO: the loop, what it did to this run with and without the KL penalty, and its two formulas."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from matplotlib.figure import Figure

from rlhf_explained.figures import style
from rlhf_explained.measured import number, smoothed
from rlhf_explained.pipeline import Run

RUNS = (("ppo", "with"), ("ppo_no_kl", "without"))
# The original lesson's four answers: reward model score and KL in nats. The third one is the hack.
SCENARIOS = (
    ("great", 9.5, 0.8),
    ("good", 8.0, 0.5),
    ("hacked", 10.0, 5.0),
    ("safe", 7.0, 0.2),
)


@style.drawn
def loop(run: Run) -> Figure:
    """One round of PPO; the lines show what each box needs, and none crosses another."""
    figure, axes = style.page(446)
    small = {"size": style.SMALL}

    def step(
        left: style.Real,
        top: style.Real,
        height: style.Real,
        colour: str,
        name: str,
        *lines: str,
        **manner: bool,
    ) -> None:
        patch = style.box(axes, left, top, 130, height, colour, **manner)
        heading = (name, {**small, "bold": True, "colour": colour})
        style.lines_in(axes, patch, heading, *((line, small) for line in lines), gap=15)

    left, right = 4.0, 150.0
    step(left, 4, 44, style.MUTED, "1 PROMPT", "“How do I …?”")
    step(right, 4, 44, style.PPO, "2 POLICY", "the LLM answers")
    step(right, 76, 44, style.MUTED, "3 RESPONSE", "“You should …”")
    step(right, 148, 44, style.SFT, "REFERENCE", "frozen SFT policy", dashed=True)
    step(right, 220, 62, style.MUTED, "5 KL PENALTY", "policy against", "reference: −0.5")
    step(left, 220, 62, style.REWARD, "4 REWARD MODEL", "prompt + response", "score: 7.3")
    step(77, 312, 44, style.INK, "6 TOTAL REWARD", "7.3 − 0.5 = 6.8", heavy=True)
    step(77, 380, 44, style.PPO, "7 PPO UPDATE", "improve the policy")

    style.arrow(axes, (left + 130, 26), (right, 26))  # prompt to policy
    style.arrow(axes, (215, 48), (215, 76))  # policy to response
    style.arrow(axes, (215, 120), (215, 148))  # response to reference
    style.arrow(axes, (215, 192), (215, 220))  # the reference's log-probabilities
    style.arrow(axes, (34, 48), (34, 220))  # the reward model reads the prompt …
    style.arrow(axes, (right, 98), (98, 98), (98, 220))  # … and the response
    style.arrow(axes, (280, 38), (294, 38), (294, 251), (280, 251))  # the policy's log-probs
    style.arrow(axes, (69, 282), (69, 297), (112, 297), (112, 312))  # score to total
    style.arrow(axes, (215, 282), (215, 297), (172, 297), (172, 312))  # penalty to total
    style.arrow(axes, (142, 356), (142, 380))  # reward to update
    style.arrow(axes, (207, 402), (312, 402), (312, 16), (280, 16), colour=style.PPO, width=2)
    style.words(axes, 256, 396, "REPEAT", bold=True, colour=style.PPO, align="center")
    style.note(figure, "numbers illustrative")
    return figure


@style.drawn
def curves(run: Run) -> Figure:
    """Reward model score, gold reward and KL over the iterations, with the penalty and without."""
    panels = (
        ("proxy", "Proxy", "reward model score, mean", ""),
        ("gold", "Gold", "true reward, mean", ""),
        ("kl", "KL from SFT", "nats per response", "iteration"),
    )
    figure, _ = style.page(3 * 158 + 38)
    for place, (name, title, unit, xlabel) in enumerate(panels):
        axes = style.panel(
            figure, 44, 24 + 158 * place, 222, 116, title=title, unit=unit, xlabel=xlabel
        )
        _both_runs(run, axes, name)
    style.note(figure, f"KL penalty: with and without · seed {run.config.seed}")
    return figure


@style.drawn
def response_length(run: Run) -> Figure:
    """Mean response length over the iterations, with the penalty and without."""
    figure, _ = style.page(246)
    axes = style.panel(
        figure, 44, 24, 222, 150, title="Response length", unit="tokens, mean", xlabel="iteration"
    )
    start = run.evaluation["sft"]["length"]
    axes.axhline(start, color=style.SFT, linewidth=1.4, linestyle=style.DASHES["sft"])
    _both_runs(run, axes, "length", (start, "SFT", style.SFT))
    style.remark(figure, "SFT: held-out prompts; curves: training prompts")
    style.note(figure, f"KL penalty: with and without · seed {run.config.seed}")
    return figure


def _both_runs(run: Run, axes: style.Axes, name: str, *others: tuple[float, str, str]) -> None:
    """A quantity of both runs over the iterations, the lines named at their ends."""
    labels, iterations, values = list(others), [], [y for y, _, _ in others]
    for policy, label in RUNS:
        rows = run.history[policy]
        xs, ys = [row["iteration"] for row in rows], [row[name] for row in rows]
        colour = style.COLOURS[policy]
        style.curve(axes, xs, ys, colour=colour, dash=style.DASHES[policy], raw=True)
        labels.append((style.last(ys), label, colour))
        iterations += xs
        values += ys
    style.limits(axes, iterations, values)
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
    paths = {}
    kls, golds = [0.0], [run.evaluation["sft"]["gold"]]
    for policy, _ in RUNS:
        rows = run.history[policy]
        kl, gold = [row["kl"] for row in rows], [row["gold"] for row in rows]
        colour = style.COLOURS[policy]
        style.dots(axes, kl, gold, colour)
        paths[policy] = list(zip(smoothed(kl), smoothed(gold), strict=True))
        kls += kl
        golds += gold
    ends = {policy: run.evaluation[policy] for policy in ("sft", "ppo", "ppo_no_kl")}
    kls += [end["kl"] for end in ends.values()]
    golds += [end["gold"] for end in ends.values()]

    best = list(accumulate(sorted(p for path in paths.values() for p in path), _higher))
    axes.plot(*zip(*best, strict=True), color=style.MUTED, linewidth=6, alpha=0.25, zorder=1)
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
        rows, colour = run.history[policy], style.COLOURS[policy]
        every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200) if 3 * step >= len(path))
        for index in range(every - 1, len(path), every):
            axes.plot(*path[index], "o", color=colour, markersize=3.5)
            marks.append((*path[index], f"{rows[index]['iteration']:g}", colour))
    named = {"sft": "SFT", **dict(RUNS)}
    for policy, end in ends.items():
        axes.errorbar(
            end["kl"],
            end["gold"],
            yerr=end["stderr"]["gold"],
            fmt=style.MARKERS[policy],
            color=style.COLOURS[policy],
            markerfacecolor=style.PAPER,
            markeredgewidth=1.6,
            markersize=8,
            elinewidth=1.2,
            zorder=4,
        )
        marks.insert(0, (end["kl"], end["gold"], named[policy], style.COLOURS[policy]))
        points.append((end["kl"], end["gold"]))
    style.place_labels(axes, marks, clear_of=points)
    style.remark(figure, "△ ○ ✕ held-out result · small numbers: iteration")
    style.note(figure, f"KL penalty: with and without · seed {run.config.seed}")
    return figure


def _signed_root(kl: np.ndarray) -> np.ndarray:
    """Gao et al. 2022 plot gold against the root of KL; an estimate of KL may be negative."""
    return np.sign(kl) * np.sqrt(np.abs(kl))


def _signed_square(root: np.ndarray) -> np.ndarray:
    return np.sign(root) * np.square(root)


def _higher(best: tuple[float, float], point: tuple[float, float]) -> tuple[float, float]:
    return point[0], max(best[1], point[1])


def crossing(first: tuple[str, float, float], second: tuple[str, float, float]) -> float:
    """The β at which two answers have the same total reward, score − β·KL."""
    return (first[1] - second[1]) / (first[2] - second[2])


@style.drawn
def beta_sweep(run: Run) -> Figure:
    """Total reward of the four answers against β, and where the hack stops paying."""
    hacked = next(scenario for scenario in SCENARIOS if scenario[0] == "hacked")
    looks = {
        "great": (style.INK, "-"),
        "good": (style.INK, (0, (6, 2, 1, 2))),
        "safe": (style.INK, (0, (1, 1.5))),
        "hacked": (style.NOKL, (0, (4, 2))),
    }
    figure, _ = style.page(262)
    axes = style.panel(
        figure, 30, 40, 230, 170, title="Total reward", unit="score − β · KL",
        xlabel="β, the weight of the KL penalty", headroom=25,
    )  # fmt: skip
    labels = []
    for name, score, kl in SCENARIOS:
        colour, dash = looks[name]
        width = 2.4 if name == "hacked" else 1.8
        axes.plot([0, 1], [score, score - kl], color=colour, linestyle=dash, linewidth=width)
        labels.append((score - kl, name, colour))
    axes.set(xlim=(0, 1), ylim=(4.5, 10.4))
    axes.xaxis.set_major_locator(style.MaxNLocator(5))
    for scenario in SCENARIOS:
        if scenario is hacked:
            continue
        beta = crossing(hacked, scenario)
        total = scenario[1] - beta * scenario[2]
        axes.plot([beta, beta], [total, 10.4], color=style.FAINT, linewidth=1, zorder=1)
        axes.plot(beta, total, "o", color=style.NOKL, markersize=6)
        axes.annotate(
            number(beta, 3),
            (beta, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            size=style.SMALL,
            color=style.NOKL,
        )
    style.words(figure.axes[0], 4, 36, "β =", size=style.SMALL, colour=style.NOKL)
    style.end_labels(axes, labels)
    style.note(figure, "scores and KL illustrative")
    return figure


@style.drawn
def clip(run: Run) -> Figure:
    """The clipped objective of one token against its probability ratio, by the real formula."""
    import torch  # slow to import, and only this drawing needs it

    from rlhf_explained.formulas import ppo_policy_loss

    clip_range = 0.2
    ratios = [step / 20 for step in range(1, 41)]

    def objective(ratio: float, advantage: float) -> float:
        logprobs = torch.tensor([[ratio]], dtype=torch.float64).log()
        loss = ppo_policy_loss(
            logprobs,
            torch.zeros_like(logprobs),
            torch.full_like(logprobs, advantage),
            torch.ones_like(logprobs, dtype=torch.bool),
            clip_range=clip_range,
        )
        return -loss.item()

    figure, _ = style.page(262)
    axes = style.panel(
        figure, 30, 30, 230, 180, title="Clipped objective", unit="of one token, in units of |A|",
        xlabel="ratio of new to old probability",
    )  # fmt: skip
    labels = []
    for advantage, colour, dash in ((1.0, style.PPO, "-"), (-1.0, style.INK, (0, (4, 2)))):
        plain = [ratio * advantage for ratio in ratios]
        axes.plot(ratios, plain, color=style.MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        ys = [objective(ratio, advantage) for ratio in ratios]
        axes.plot(ratios, ys, color=colour, linewidth=2.2, linestyle=dash)
        labels.append((ys[-1], f"A = {advantage:+g}".replace("-", "−"), colour))
        labels += [(plain[-1], "unclipped", style.MUTED)] if advantage > 0 else []
    for edge in (1 - clip_range, 1 + clip_range):
        axes.axvline(edge, color=style.FAINT, linewidth=1)
    axes.plot(1, 1, "o", color=style.PPO, markersize=5)
    axes.plot(1, -1, "o", color=style.INK, markersize=5)
    axes.set(xlim=(0, 2), ylim=(-2.1, 2.1))
    axes.set_xticks([0, 1 - clip_range, 1, 1 + clip_range, 2])
    axes.set_xticklabels(["0", "0.8", "1", "1.2", "2"])
    style.end_labels(axes, labels)
    style.note(figure, f"clip range {clip_range:g}; dots: before the update")
    return figure
