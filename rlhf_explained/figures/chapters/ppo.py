"""PPO: the loop, and its two formulas."""

from __future__ import annotations

from typing import Any

from rlhf_explained.figures import colours, draw, labels
from rlhf_explained.figures.colours import FAINT, INK, MUTED, NOKL, PPO, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run

# The original lesson's four answers: reward model score and KL in nats. The third one is the hack.
SCENARIOS = {"great": (9.5, 0.8), "good": (8.0, 0.5), "hacked": (10.0, 5.0), "safe": (7.0, 0.2)}


@figure(
    "ppo-loop",
    illustrative=True,
    alt="The PPO loop: a prompt goes to the policy, which generates a response; the reward model "
    "reads prompt and response and scores 7.3; the policy's and the frozen reference's "
    "log-probabilities of the response give a KL penalty of 0.5; the total reward is 6.8; the "
    "PPO update improves the policy, and the loop repeats. The numbers are illustrative.",
)
def loop(run: Run) -> draw.Figure:
    """One round of PPO; the lines show what each box needs, and none crosses another."""
    figure, axes = draw.page(446)
    small = {"size": draw.SMALL}

    def step(
        left: draw.Real, top: draw.Real, colour: str, name: str, *lines: str, **edge: Any
    ) -> None:
        frame = (left, top, 130, 26 + 18 * len(lines))
        heading = (name, {**small, "bold": True, "colour": colour})
        draw.box(axes, frame, colour, heading, *((line, small) for line in lines), gap=15, **edge)

    left, right = 4.0, 150.0
    step(left, 4, MUTED, "1 PROMPT", "“How do I …?”")
    step(right, 4, PPO, "2 POLICY", "the LLM answers")
    step(right, 76, MUTED, "3 RESPONSE", "“You should …”")
    step(right, 148, SFT, "REFERENCE", "frozen SFT policy", linestyle=colours.DASHED)
    step(right, 220, MUTED, "5 KL PENALTY", "policy against", "reference: −0.5")
    step(left, 220, REWARD, "4 REWARD MODEL", "prompt + response", "score: 7.3")
    step(77, 312, INK, "6 TOTAL REWARD", "7.3 − 0.5 = 6.8", linewidth=2)
    step(77, 380, PPO, "7 PPO UPDATE", "improve the policy")

    draw.arrow(axes, (left + 130, 26), (right, 26))  # prompt to policy
    draw.arrow(axes, (215, 48), (215, 76))  # policy to response
    draw.arrow(axes, (215, 120), (215, 148))  # response to reference
    draw.arrow(axes, (215, 192), (215, 220))  # the reference's log-probabilities
    draw.arrow(axes, (34, 48), (34, 220))  # the reward model reads the prompt …
    draw.arrow(axes, (right, 98), (98, 98), (98, 220))  # … and the response
    draw.arrow(axes, (280, 38), (294, 38), (294, 251), (280, 251))  # the policy's log-probs
    draw.arrow(axes, (69, 282), (69, 297), (112, 297), (112, 312))  # score to total
    draw.arrow(axes, (215, 282), (215, 297), (172, 297), (172, 312))  # penalty to total
    draw.arrow(axes, (142, 356), (142, 380))  # reward to update
    draw.arrow(axes, (207, 402), (312, 402), (312, 16), (280, 16), colour=PPO, linewidth=2)
    draw.words(axes, 256, 396, "REPEAT", PPO, bold=True, ha="center")
    draw.notes(figure, "numbers illustrative")
    return figure


def crossing(first: tuple[float, float], second: tuple[float, float]) -> float:
    """The β at which two answers have the same total reward, score − β·KL."""
    return (first[0] - second[0]) / (first[1] - second[1])


def totals(run: Run) -> Table:
    """The four answers, and the β at which each overtakes the hack."""
    hacked = SCENARIOS["hacked"]
    rows = [
        (name, score, kl, score - kl, None if name == "hacked" else crossing(hacked, (score, kl)))
        for name, (score, kl) in SCENARIOS.items()
    ]
    names = "answer", "score: total at β = 0 .1", "KL (nats) .1", "total at β = 1 .1"
    headings = *names, "β from which it beats the hack .3"
    return Table.of("beta-sweep", "Four illustrative answers", headings, rows)


@figure(
    "beta-sweep",
    numbers=totals,
    illustrative=True,
    alt="Total reward of four illustrative answers against β: each is a falling line, the hacked "
    "answer's the steepest. It starts highest and crosses the great answer at β = 0.119, the "
    "good one at 0.444 and the safe one at 0.625.",
)
def beta_sweep(run: Run, table: Table) -> draw.Figure:
    """Total reward of the four answers against β, and where the hack stops paying."""
    dashes = "-", colours.DASH_DOT, colours.DASHED, (0, (1, 1.5))
    figure, page = draw.page(262)
    unit, xlabel = "score − β · KL", "β, the weight of the KL penalty"
    axes = draw.panel(figure, (30, 40, 230, 170), "Total reward", unit, xlabel, room=25)
    ends = []
    for (name, score, kl, end, beta), dash in zip(table.rows, dashes, strict=True):
        colour, width = (NOKL, 2.4) if name == "hacked" else (INK, 1.8)
        axes.plot([0, 1], [score, end], color=colour, linestyle=dash, linewidth=width)
        ends.append((end, name, colour))
        if beta is not None:
            total = score - beta * kl
            axes.plot([beta, beta], [total, 10.4], color=FAINT, linewidth=1, zorder=1)
            axes.plot(beta, total, "o", color=NOKL, markersize=6, zorder=2.1)
            place = ("data", "axes fraction")
            labels.write(axes, number(beta, 3), (beta, 1), (0, 3), NOKL, xycoords=place)
    axes.set(xlim=(0, 1), ylim=(4.5, 10.4))
    axes.locator_params(axis="x", integer=False)
    draw.words(page, 4, 36, "β =", NOKL, size=draw.SMALL)
    labels.end_labels(axes, ends)
    draw.notes(figure, "scores and KL illustrative")
    return figure


@figure(
    "ppo-clip",
    alt="PPO's clipped objective against the probability ratio, for a clip range of 0.2: with a "
    "positive advantage it rises to a ratio of 1.2 and is flat beyond; with a negative "
    "advantage it is flat below 0.8 and falls beyond.",
)
def clip(run: Run) -> draw.Figure:
    """The clipped objective of one token against its probability ratio, by the real formula."""
    import torch  # slow to import, and only this drawing needs it

    from rlhf_explained.formulas import ppo_policy_loss

    clip_range = 0.2
    ratios = [step / 20 for step in range(1, 41)]

    def objective(ratio: float, advantage: float) -> float:
        new = torch.tensor([[ratio]], dtype=torch.float64).log()
        old, advantages = torch.zeros_like(new), torch.full_like(new, advantage)
        mask = torch.ones_like(new, dtype=torch.bool)
        return -ppo_policy_loss(new, old, advantages, mask, clip_range=clip_range).item()

    figure, _ = draw.page(262)
    unit, xlabel = "of one token, in units of |A|", "ratio of new to old probability"
    axes = draw.panel(figure, (30, 30, 230, 180), "Clipped objective", unit, xlabel)
    ends = []
    for advantage, colour, dash in ((1.0, PPO, "-"), (-1.0, INK, colours.DASHED)):
        plain = [ratio * advantage for ratio in ratios]
        axes.plot(ratios, plain, color=MUTED, linewidth=1.2, linestyle=colours.DOTTED)
        ys = [objective(ratio, advantage) for ratio in ratios]
        axes.plot(ratios, ys, color=colour, linewidth=2.2, linestyle=dash)
        ends.append((ys[-1], f"A = {advantage:+g}".replace("-", "−"), colour))
        ends += [(plain[-1], "unclipped", MUTED)] if advantage > 0 else []
    for edge in (1 - clip_range, 1 + clip_range):
        axes.axvline(edge, color=FAINT, linewidth=1)
    axes.plot(1, 1, "o", color=PPO, markersize=5)
    axes.plot(1, -1, "o", color=INK, markersize=5)
    axes.set(xlim=(0, 2), ylim=(-2.1, 2.1))
    axes.set_xticks([0, 0.8, 1, 1.2, 2], ["0", "0.8", "1", "1.2", "2"])
    labels.end_labels(axes, ends)
    draw.notes(figure, f"clip range {clip_range:g}; dots: before the update")
    return figure
