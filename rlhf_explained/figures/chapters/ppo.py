"""PPO: the loop, and its two formulas."""

from __future__ import annotations

import math
import textwrap
from statistics import fmean
from typing import Any

from rlhf_explained.figures import colours, draw, labels
from rlhf_explained.figures.colours import FAINT, INK, MUTED, NOKL, PPO, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.of_run import usual_answer
from rlhf_explained.measured.text import number, share
from rlhf_explained.pipeline import Run

# The original lesson's four answers: reward model score and KL in nats. The third one is the hack.
SCENARIOS = {"great": (9.5, 0.8), "good": (8.0, 0.5), "hacked": (10.0, 5.0), "safe": (7.0, 0.2)}
KINDS = "helpful", "rambling", "anything else"  # of answers; the last are all the others
# The three tokens that the page on PPO by hand computes with: rewards, and the critic's guesses.
REWARDS = {"paris": -0.07, ".": -0.01, "<eos>": 2.02}
GUESSES = {"paris": 1.00, ".": 1.50, "<eos>": 1.80}
GAE_LAMBDA = 0.95


def one_step(run: Run) -> Table:
    """One step of gradient ascent on a policy with three kinds of answer, without sampling.

    The policy is a softmax whose probabilities are the SFT model's shares of the kinds; the reward
    of a kind is its mean gold reward. The slope of the mean reward is p (reward − mean) in each
    logit. The step is as long as the slope.
    """
    answers = run.responses["sft"]
    kinds = {name: [one for one in answers if one["category"] == name] for name in KINDS[:-1]}
    kinds[KINDS[-1]] = [one for one in answers if one["category"] not in kinds]
    before = [len(kinds[name]) / len(answers) for name in KINDS]
    rewards = [fmean([one["gold"] for one in kinds[name]] or [0.0]) for name in KINDS]
    mean = sum(p * reward for p, reward in zip(before, rewards, strict=True))
    raised = [p * math.exp(p * (reward - mean)) for p, reward in zip(before, rewards, strict=True)]
    rows = [
        (name, 100 * p, reward, 100 * weight / sum(raised))
        for name, p, reward, weight in zip(KINDS, before, rewards, raised, strict=True)
    ]
    headings = "answer", "before (%) .0", "reward", "after (%) .0"
    lines = {"mean reward": mean}
    return Table.of("rl-step", "One step of a policy gradient", headings, rows, lines)


@figure(
    "rl-step",
    numbers=one_step,
    alt="A policy answers, receives a reward, and changes its probabilities. Three kinds of answer "
    "are shown, each with its reward and with its probability before and after one step. Answers "
    "with a reward above the mean become more likely, and the others less likely. Before the "
    "step, {sft-helpful} of the SFT model's answers are helpful and {sft-rambling} ramble.",
)
def step(run: Run, table: Table) -> draw.Figure:
    """Reinforcement learning in one picture: answer, reward, other probabilities."""
    figure, axes = draw.page(310)
    small: draw.Manner = {"size": draw.SMALL}
    heading: draw.Manner = {**small, "bold": True, "colour": PPO}
    draw.box(axes, (4, 8, 126, 44), PPO, ("POLICY", heading), ("the model answers", small))
    name = ("REWARD", {**heading, "colour": REWARD})
    draw.box(axes, (184, 8, 136, 44), REWARD, name, ("a number comes back", small))
    draw.arrow(axes, (130, 30), (184, 30))
    draw.arrow(axes, (252, 52), (252, 70), (67, 70), (67, 52))
    draw.words(axes, 160, 86, "the probabilities change", MUTED, ha="center", size=draw.SMALL)
    left, full = 4.0, draw.WIDTH - 124
    for place, (name, before, reward, after) in enumerate(table.rows):
        top = 116 + 60 * place
        draw.words(axes, left, top, name.capitalize(), bold=True)
        said = f"reward {number(reward)}"
        draw.words(axes, draw.WIDTH - 4, top, said, REWARD, ha="right", size=draw.SMALL)
        for row, (percent, when, colour) in enumerate(
            ((before, "before", SFT), (after, "after one step", PPO))
        ):
            middle, length = top + 14 + 17 * row, full * percent / 100
            draw.bar(axes, (left, middle, length, 12), colour, solid=row == 1)
            text = f"{share(percent / 100)} {when}"
            draw.words(axes, left + length + 5, middle + 4, text, colour, size=draw.SMALL)
    mean = number(table.line("mean reward"))
    draw.notes(figure, f"mean reward before the step: {mean} · seed {run.config.seed}")
    return figure


def one_round(run: Run) -> Table:
    """The policy's most frequent answer to the first held-out question, and its total reward."""
    answer, times, of = usual_answer(run, "ppo")
    beta, score, log_ratio = run.facts["kl_coef"], answer["proxy"], answer["kl"]
    penalty = beta * log_ratio
    said = answer["prompt"], answer["response"].strip()
    cells = (*said, times, of, score, log_ratio, beta, penalty)
    headings = "prompt", "response", "times", "of", "score", "log-ratio (nats)", "β .1", "penalty"
    total = "total reward"
    return Table.of("ppo-loop", "One round", (*headings, total), [(*cells, score - penalty)])


def wrapped(text: str, width: int = 20, lines: int = 3) -> list[str]:
    """A text as lines of a box, in quotation marks."""
    return textwrap.wrap(f"“{text}”", width, max_lines=lines, placeholder=" …”")


@figure(
    "ppo-loop",
    numbers=one_round,
    alt="The PPO loop. A prompt goes to the policy, which generates a response. The reward model "
    "reads the prompt and the response and assigns a score. The policy and the frozen reference "
    "each compute the log-probability of the response, and the difference times β is the KL "
    "penalty. The total reward is the score minus the penalty. The PPO update improves the "
    "policy, and the loop repeats. The boxes and the table below show the numbers of one real "
    "answer.",
)
def loop(run: Run, table: Table) -> draw.Figure:
    """One round of PPO with a real answer; the lines show what each box needs, and none cross."""
    figure, axes = draw.page(490)
    small = {"size": draw.SMALL}
    prompt, response, times, of, score, log_ratio, beta, penalty, total = table.rows[0]

    def step(
        left: draw.Real, top: draw.Real, colour: str, name: str, *lines: str, **edge: Any
    ) -> None:
        frame = (left, top, 134, 26 + 18 * len(lines))
        heading = (name, {**small, "bold": True, "colour": colour})
        draw.box(axes, frame, colour, heading, *((line, small) for line in lines), gap=15, **edge)

    left, right = 4.0, 150.0
    step(left, 4, MUTED, "1 PROMPT", *[*wrapped(prompt, lines=2), ""][:2])
    step(right, 13, PPO, "2 POLICY", "the LLM answers")
    step(right, 86, MUTED, "3 RESPONSE", *[*wrapped(response), "", ""][:3])
    step(right, 194, SFT, "REFERENCE", "frozen SFT model", linestyle=colours.DASHED)
    step(right, 266, MUTED, "5 KL PENALTY", f"{number(beta, 1)} × {number(log_ratio)}")
    step(left, 266, REWARD, "4 REWARD MODEL", f"score: {number(score)}")
    sign = "−" if number(penalty)[0] != "−" else "+"
    sum_ = f"{number(score)} {sign} {number(abs(penalty))} = {number(total)}"
    step(77, 350, INK, "6 TOTAL REWARD", sum_, linewidth=2)
    step(77, 424, PPO, "7 PPO UPDATE", "improve the policy")

    draw.arrow(axes, (left + 134, 35), (right, 35))  # prompt to policy
    draw.arrow(axes, (217, 57), (217, 86))  # policy to response
    draw.arrow(axes, (217, 166), (217, 194))  # response to reference
    draw.arrow(axes, (217, 238), (217, 266))  # the reference's log-probabilities
    draw.arrow(axes, (34, 66), (34, 266))  # the reward model reads the prompt …
    draw.arrow(axes, (right, 126), (98, 126), (98, 266))  # … and the response
    draw.arrow(axes, (284, 46), (298, 46), (298, 288), (284, 288))  # the policy's log-probs
    draw.arrow(axes, (69, 310), (69, 330), (112, 330), (112, 350))  # score to total
    draw.arrow(axes, (217, 310), (217, 330), (172, 330), (172, 350))  # penalty to total
    draw.arrow(axes, (144, 394), (144, 424))  # reward to update
    draw.arrow(axes, (211, 446), (314, 446), (314, 24), (284, 24), colour=PPO, linewidth=2)
    draw.words(axes, 260, 440, "REPEAT", PPO, bold=True, ha="center")
    draw.notes(figure, f"{times} of {of} answers · seed {run.config.seed}")
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
    alt="The total reward of four illustrative answers against β. The line of each answer falls. "
    "The line of the hacked answer starts highest and is the steepest. It crosses the line of the "
    "great answer at β = 0.119, that of the good answer at 0.444 and that of the safe one at "
    "0.625.",
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
    alt="PPO's clipped objective against the probability ratio, for a clip range of 0.2. With a "
    "positive advantage the objective rises up to a ratio of 1.2 and is flat beyond it. With a "
    "negative advantage it is flat below a ratio of 0.8 and falls beyond it.",
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


def surprises(run: Run) -> Table:
    """The critic's surprise at each of three tokens, and the advantage that GAE makes of them."""
    values = [*GUESSES.values(), 0.0]
    deltas = [
        reward + after - before
        for reward, before, after in zip(REWARDS.values(), values[:-1], values[1:], strict=True)
    ]
    rows, advantage = [], 0.0
    for token, delta in reversed(list(zip(REWARDS, deltas, strict=True))):
        advantage = delta + GAE_LAMBDA * advantage
        rows.append((token, delta, advantage))
    headings = "token", "surprise δ", "advantage A"
    return Table.of("ppo-advantages", "Three illustrative tokens", headings, reversed(rows))


@figure(
    "ppo-advantages",
    numbers=surprises,
    illustrative=True,
    alt="Two bars for each of three tokens. The critic's surprise is 0.43 at “paris”, 0.29 at the "
    "full stop and 0.22 at the end. The advantage is the surprise plus the later surprises, which "
    "count less: 0.90, 0.50 and 0.22. The numbers are illustrative.",
)
def advantages(run: Run, table: Table) -> draw.Figure:
    """The surprise at each token, and the advantage: this surprise and those after it."""
    figure, axes = draw.page(194)
    left, full = 74.0, 190.0
    draw.bar(axes, (left, 14, 14, 10), MUTED, hatched=True)
    draw.words(axes, left + 20, 18, "surprise δ", MUTED, size=draw.SMALL)
    draw.bar(axes, (left + 106, 14, 14, 10), PPO, solid=True)
    draw.words(axes, left + 126, 18, "advantage A", PPO, size=draw.SMALL)
    most = max(*table["advantage A"], *table["surprise δ"])
    for place, (token, *both) in enumerate(table.rows):
        top = 42 + 46 * place
        draw.words(axes, left - 8, top + 14, token, ha="right", bold=True)
        for row, (value, colour) in enumerate(zip(both, (MUTED, PPO), strict=True)):
            middle, length = top + 17 * row, full * value / most
            draw.bar(axes, (left, middle, length, 12), colour, solid=row == 1, hatched=row == 0)
            text = number(value)
            draw.words(axes, left + length + 5, middle + 4, text, colour, size=draw.SMALL)
    draw.notes(figure, "rewards and guesses illustrative")
    return figure
