"""PPO: the loop, and its two formulas."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.measured import number
from rlhf_explained.pipeline import Run


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
def beta_sweep(run: Run) -> Figure:
    """Total reward of the four answers against β, and where the hack stops paying."""
    (table,) = numbers.beta_sweep(run)
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
    for name, score, _, end, _ in table.rows:
        colour, dash = looks[name]
        width = 2.4 if name == "hacked" else 1.8
        axes.plot([0, 1], [score, end], color=colour, linestyle=dash, linewidth=width)
        labels.append((end, name, colour))
    axes.set(xlim=(0, 1), ylim=(4.5, 10.4))
    axes.xaxis.set_major_locator(style.MaxNLocator(5))
    for _, score, kl, _, beta in table.rows:
        if beta is None:
            continue
        total = score - beta * kl
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
        axes.plot(ratios, plain, color=style.MUTED, linewidth=1.2, linestyle=(0, (1, 2)))
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
