"""The reward model: what it learns from, what it computes, and how well."""

from __future__ import annotations

import math

from rlhf_explained.figures import colours, draw, labels
from rlhf_explained.figures.colours import FAINT, INK, MUTED, REWARD
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.text import share
from rlhf_explained.pipeline import Run

# The original lesson's scores of two answers; only their difference means anything.
ILLUSTRATIVE_SCORES = (7.2, 3.1)
BINS = 24  # of the histogram, about


@figure(
    "preference-and-reward-model",
    illustrative=True,
    alt="Step 1: a person compares two answers to “How do I learn Python?” and prefers the one "
    "with advice to act on. Step 2: the reward model reads the prompt together with one "
    "response and gives one score; it is trained so that the preferred answer scores higher. "
    "The scores 7.2 and 3.1 are illustrative.",
)
def preference_and_reward_model(run: Run) -> draw.Figure:
    """One comparison by a person, and the model that learns to predict such comparisons."""
    figure, axes = draw.page(474)
    middle, wide = draw.WIDTH / 2, draw.WIDTH - 80
    bold: draw.Manner = {"bold": True}
    small: draw.Manner = {"size": draw.SMALL}
    remark: draw.Manner = {**small, "ha": "center", "style": "italic"}

    draw.words(axes, 4, 15, "Step 1: collect human preferences", size=draw.TITLE, bold=True)
    draw.box(axes, (40, 26, wide, 32), MUTED, ("“How do I learn Python?”", bold))
    answers = (
        (4.0, REWARD, "Response A", ("“Start with basics", "like variables and", "loops …”")),
        (168.0, MUTED, "Response B", ("“Python is a", "programming language", "used for …”")),
    )
    for left, colour, name, text in answers:
        lines = [(name, {**bold, "colour": colour}), *((line, small) for line in text)]
        dash = colours.DASHED if colour == MUTED else "-"
        draw.box(axes, (left, 82, 152, 78), colour, *lines, gap=16, linestyle=dash)
        draw.arrow(axes, (left + 76, 58), (left + 76, 82))
    draw.words(axes, 80, 179, "✓ preferred", REWARD, bold=True, ha="center")
    draw.words(axes, middle + 82, 179, "not preferred", MUTED, ha="center")
    draw.words(axes, middle, 202, "A person: “A is better!” It is advice to act on.", **remark)
    axes.plot([4, draw.WIDTH - 4], [218, 218], color=FAINT, linewidth=1)

    draw.words(axes, 4, 243, "Step 2: train the reward model", size=draw.TITLE, bold=True)
    draw.box(axes, (4, 256, 134, 32), MUTED, "the prompt")
    draw.box(axes, (186, 256, 134, 32), MUTED, "one response")
    name = ("REWARD MODEL", {**bold, "colour": REWARD})
    task = "RM(prompt, response) → score"
    draw.box(axes, (40, 316, wide, 52), REWARD, name, task, gap=18, linewidth=2)
    draw.arrow(axes, (71, 288), (71, 316))
    draw.arrow(axes, (253, 288), (253, 316))
    better, worse = ILLUSTRATIVE_SCORES
    draw.arrow(axes, (71, 368), (71, 392), colour=REWARD)
    draw.arrow(axes, (253, 368), (253, 392), linestyle=colours.DASHED)
    draw.words(axes, 71, 407, f"score(A) = {better}", REWARD, ha="center", bold=True)
    draw.words(axes, 253, 407, f"score(B) = {worse}", MUTED, ha="center", bold=True)
    loss = -math.log(1 / (1 + math.exp(worse - better)))
    sum_ = f"loss = −log σ({better} − {worse}) = {loss:.3f}"
    draw.words(axes, middle, 430, sum_, REWARD, ha="center")
    draw.words(axes, middle, 449, "Only the difference counts, not the scores.", **remark)
    draw.notes(figure, "scores illustrative")
    return figure


def fit(run: Run) -> tuple[Table, Table]:
    """The reward model's loss and accuracy over the steps, and its scores of held-out pairs.

    Few steps are recorded, so the loss of each one's batch stands as it is.
    """
    report = run.reward_model
    steps = Table.of(
        "reward-model-training",
        "Training of the reward model",
        ("step", "loss (nats per pair) .3", "held-out accuracy (%) .1"),
        [(at["step"], at["loss"], 100.0 * at["accuracy"]) for at in run.history["reward_model"]],
        {
            "loss of guessing (nats per pair) .3": math.log(2),
            "ceiling of the accuracy (%) .1": 100.0 * report["accuracy_ceiling"],
        },
    )
    both = zip(report["chosen_scores"], report["rejected_scores"], strict=True)
    leads = [chosen - rejected for chosen, rejected in both]
    wide = (max(*leads, 0.0) - min(*leads, 0.0)) / BINS or 1.0
    places = [math.floor(lead / wide) for lead in leads]  # so that an edge lies at zero
    every = range(min(*places, -1), max(*places, 0) + 1)
    title = "Held-out pairs by how far the chosen response scores above the rejected one"
    headings = "difference of scores from", "to", "pairs"
    rows = [(wide * place, wide * (place + 1), places.count(place)) for place in every]
    return steps, Table.of("reward-model-scores", title, headings, rows)


@figure(
    "reward-model-training",
    numbers=fit,
    alt="Three panels. The reward model's loss on single batches over the training steps, beside "
    "that of guessing. Its accuracy on held-out pairs, which ends at {rm-accuracy}, beside the "
    "ceiling of {rm-ceiling} that the noise of the labels sets. And how far the chosen response of "
    "each held-out pair scores above the rejected one: it scores higher in {rm-accuracy} of them.",
)
def training(run: Run, table: Table, scores: Table) -> tuple[draw.Figure, ...]:
    """Loss, held-out accuracy under its ceiling, and how the scores order held-out pairs."""
    steps, loss, percent = table["step"], table["loss"], table["held-out accuracy"]
    guess, ceiling = table.line("loss of guessing"), table.line("ceiling of the accuracy")
    (first, _), (second, _), (third, page) = (draw.page(214, draw.THIRD) for _ in range(3))
    xlabel = "optimiser step"

    axes = draw.panel(first, (42, 38, 96, 112), "Loss", "nats per pair", xlabel, room=22)
    axes.locator_params(axis="x", nbins=3)
    axes.plot(steps, loss, color=REWARD, linewidth=0.8)
    draw.dots(axes, steps, loss, REWARD, size=5)
    draw.level(axes, guess, MUTED)
    draw.limits(axes, steps, [*loss, guess])
    labels.end_labels(axes, [(loss[-1], "one batch", REWARD), (guess, "guessing", MUTED)])

    said = "Accuracy", "% of held-out pairs", xlabel
    axes = draw.panel(second, (32, 38, 96, 112), *said, room=22)
    axes.locator_params(axis="x", nbins=3)
    axes.plot(steps, percent, color=REWARD, linewidth=2)
    draw.dots(axes, steps, percent, REWARD, size=5)
    draw.level(axes, ceiling, INK)
    draw.limits(axes, steps, [*percent, ceiling])
    end = (percent[-1], f"RM {share(percent[-1] / 100)}", REWARD)
    labels.end_labels(axes, [end, (ceiling, f"ceiling {share(ceiling / 100)}", INK)])

    said = "Score differences", "held-out pairs", "chosen − rejected"
    axes = draw.panel(third, (36, 38, 170, 112), *said, room=22)
    edges = [*scores["difference of scores from"], scores["to"][-1]]
    zero = min(range(len(edges)), key=lambda place: abs(edges[place]))
    looks = {"facecolor": "none", "edgecolor": MUTED, "hatch": "/////", "linewidth": 1.2}
    axes.stairs(scores["pairs"][:zero], edges[: zero + 1], fill=True, **looks)
    looks = {"facecolor": (REWARD, draw.TINT), "edgecolor": REWARD, "linewidth": 1.5}
    axes.stairs(scores["pairs"][zero:], edges[zero:], fill=True, **looks)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_ylim(0, 1.05 * max(scores["pairs"]))
    axes.set_xlim(edges[0], edges[-1])
    right = run.reward_model["heldout_accuracy"]
    draw.words(page, 36, 32, f"wrong {share(1 - right)}", MUTED, size=draw.SMALL)
    draw.words(page, 206, 32, f"right {share(right)}", REWARD, size=draw.SMALL, ha="right")
    draw.notes(third, f"{run.reward_model['heldout_pairs']:,} pairs · seed {run.config.seed}")
    return first, second, third
