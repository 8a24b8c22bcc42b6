"""Over-optimisation: Goodhart's law in four invented answers, and the habit that PPO found."""

from __future__ import annotations

from itertools import pairwise
from math import exp, fsum, log

from rlhf_explained.figures import draw, labels
from rlhf_explained.figures.colours import COLOURS, DASHED, INK, MUTED, NAMES, PPO, REWARD
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.of_run import courteous
from rlhf_explained.measured.text import number, share
from rlhf_explained.names import POLICIES
from rlhf_explained.pipeline import Run

# The page's invented answers: how often the SFT model gives each, its proxy and its gold reward.
ANSWERS = {
    "rambling": (0.50, 0.0, 0.0),
    "plain": (0.40, 1.0, 1.0),
    "careful": (0.09, 2.0, 2.0),
    "flattering": (0.01, 4.0, -1.0),
}
BETAS = (100.0, 5.0, 2.0, 1.5, 1.0, 0.5, 0.2)  # those that the page prints
BETWEEN = 12  # points of the line from each of them to the next


def optimum(beta: float) -> tuple[float, float, float, float]:
    """KL, proxy, gold and share of flattery of the best policy at a weight of the penalty."""
    tilted = [often * exp(proxy / beta) for often, proxy, _ in ANSWERS.values()]
    policy = [weight / fsum(tilted) for weight in tilted]
    apart = [
        now * log(now / often) for now, (often, *_) in zip(policy, ANSWERS.values(), strict=True)
    ]
    proxy, gold = (
        fsum(now * about[of] for now, about in zip(policy, ANSWERS.values(), strict=True))
        for of in (1, 2)
    )
    return fsum(apart), proxy, gold, policy[-1]


def optima(run: Run) -> Table:
    """The best policies from a large weight of the penalty to a small one."""
    between = [
        one * (other / one) ** (step / BETWEEN)
        for one, other in pairwise(BETAS)
        for step in range(BETWEEN)
    ]
    rows = []
    for beta in (*between, BETAS[-1]):
        kl, proxy, gold, flattering = optimum(beta)
        rows.append((beta, kl, proxy, gold, 100 * flattering))
    headings = "β", "KL (nats)", "proxy", "gold", "flattering (%) .0"
    return Table.of("goodhart", "Best policies of four invented answers", headings, rows)


@figure(
    "goodhart",
    numbers=optima,
    illustrative=True,
    alt="The proxy and the gold reward of the best policy against its KL from the SFT model, for "
    "four invented answers. The proxy rises throughout. The gold reward rises with it at first, "
    "soon begins to fall, and ends far below its value at the start. Meanwhile the share of "
    "flattering answers grows from one in a hundred to nearly all of them.",
)
def goodhart(run: Run, table: Table) -> draw.Figure:
    """Proxy and gold of the best policy against the KL that it takes."""
    figure, _ = draw.page(300)
    said = "Reward", "of the best policy", "KL from the SFT model, nats"
    axes = draw.panel(figure, (34, 24, draw.WIDTH - 84, 200), *said)
    looks = {"proxy": (REWARD, DASHED, "D"), "gold": (PPO, "-", "o")}
    for name, (colour, dash, marker) in looks.items():
        draw.curve(axes, table["KL"], table[name], colour, dash)
        at_betas = table["KL"][::BETWEEN], table[name][::BETWEEN]
        axes.plot(*at_betas, marker, color=colour, markersize=5, linewidth=0)
    draw.limits(axes, [0, table["KL"][-1]], table["proxy"] + table["gold"])
    axes.axhline(table["gold"][0], color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
    best = max(range(len(table.rows)), key=lambda row: table["gold"][row])
    at = table["KL"][best], table["gold"][best]
    turn = f"gold is best at {number(at[0], 1)} nats,", "and falls from there on"
    for place, line in enumerate(turn):
        labels.write(axes, line, at, (46, 19 - 13 * place), INK, xycoords="data", ha="left")
    start = table["KL"][-1], table["gold"][0]
    labels.write(axes, "gold at the start", start, (0, -12), MUTED, xycoords="data", ha="right")
    ends = [(table[name][-1], name, colour) for name, (colour, *_) in looks.items()]
    labels.end_labels(axes, ends)
    draw.notes(
        figure, "marks: the values of β in the output above", "answers and rewards illustrative"
    )
    return figure


PARTS = ("helpful", "false")  # kinds of courteous answers that have a part of their own


def courtesies(run: Run) -> Table:
    """How many of each policy's answers are courteous, and what those are."""
    rows = []
    for policy in POLICIES:
        polite = [answer["category"] for answer in courteous(run, policy)]
        every = len(run.responses[policy])
        parts = [100 * polite.count(category) / every for category in PARTS]
        whole = 100 * len(polite) / every
        rows.append((NAMES[policy], whole, *parts, whole - sum(parts)))
    headings = "model", "courteous (%) .1", "helpful (%) .1", "false (%) .1", "neither (%) .1"
    return Table.of("courteous-answers", "Courteous answers to held-out questions", headings, rows)


@figure(
    "courteous-answers",
    numbers=courtesies,
    alt="How many answers to held-out questions contain polite words: {base-courteous} of the "
    "pretrained model's answers, {sft-courteous} after SFT, {ppo-courteous} after RLHF and "
    "{ppo-no-kl-courteous} after PPO without the penalty. Of these polite answers, "
    "{base-courteous-false-share}, {sft-courteous-false-share}, {ppo-courteous-false-share} and "
    "{ppo-no-kl-courteous-false-share} are false.",
)
def courtesy(run: Run, table: Table) -> draw.Figure:
    """A bar for each policy: courteous answers that are helpful, false, and neither."""
    block, y = 52.0, 52.0
    figure, axes = draw.page(y + block * len(table.rows) + 18)
    draw.words(axes, 4, 14, "Answers with “sure !” or “happy to help !”", bold=True)
    left, keys = 4.0, {"solid": "helpful", "hatched": "false", "tint": "neither"}
    for look, name in keys.items():
        draw.bar(axes, (left, 31, 14, 11), INK, **_look(look))
        text = draw.words(axes, left + 20, 35, name, size=draw.SMALL)
        left += 20 + draw.width_of(text) + 22
    for policy, (name, whole, *parts) in zip(POLICIES, table.rows, strict=True):
        colour = COLOURS[policy]
        draw.words(axes, 4, y + 12, name, colour, bold=True)
        text = f"{share(whole / 100)} courteous"
        if whole:
            text += f" · {share(parts[1] / whole)} of them false"
        draw.words(axes, draw.WIDTH - 4, y + 12, text, size=draw.SMALL, ha="right")
        start, width = 4.0, draw.WIDTH - 8
        axes.plot([start, start + width], [y + 37] * 2, color=MUTED, linewidth=0.8)
        for look, part in zip(keys, parts, strict=True):
            length = width * part / 100
            draw.bar(axes, (start, y + 27, length, 17), colour, **_look(look))
            start += length
        y += block
    count = len(run.responses["ppo"])
    draw.notes(figure, f"line: all {count:,} answers of a model · seed {run.config.seed}")
    return figure


def _look(name: str) -> dict[str, bool]:
    return {name: True} if name != "tint" else {}
