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
BINS = 24  # of the scores' histogram


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
    chosen, rejected = report["chosen_scores"], report["rejected_scores"]
    low, high = min(chosen + rejected), max(chosen + rejected)
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = [low + (high - low) * step / BINS for step in range(BINS + 1)]
    counts = (_counts(scores, low, high) for scores in (chosen, rejected))
    scores = Table.of(
        "reward-model-scores",
        "Scores of held-out responses",
        ("score from", "to", "chosen", "rejected"),
        zip(edges[:-1], edges[1:], *counts, strict=True),
        {
            "mean of the chosen": math.fsum(chosen) / len(chosen),
            "mean of the rejected": math.fsum(rejected) / len(rejected),
        },
    )
    return steps, scores


def _counts(scores: list[float], low: float, high: float) -> list[int]:
    """How many scores lie in each bin; what lies on an edge counts above it, but for the last."""
    places = [min(int(BINS * (score - low) / (high - low)), BINS - 1) for score in scores]
    return [places.count(place) for place in range(BINS)]


@figure(
    "reward-model-training",
    numbers=fit,
    alt="Three panels. The reward model's loss on single batches over the training steps, beside "
    "that of guessing. Its accuracy on held-out pairs, which ends at {rm-accuracy}, beside the "
    "ceiling of {rm-ceiling} that the noise of the labels sets. Its scores on held-out pairs: "
    "chosen responses get {rm-chosen-score} on average, rejected ones {rm-rejected-score}.",
)
def training(run: Run, table: Table, scores: Table) -> draw.Figure:
    """Loss, held-out accuracy under its ceiling, and the scores of held-out pairs."""
    steps, loss, percent = table["step"], table["loss"], table["held-out accuracy"]
    guess, ceiling = table.line("loss of guessing"), table.line("ceiling of the accuracy")
    figure, _ = draw.page(536)

    axes = draw.panel(figure, (40, 30, 200, 110), "Loss", "nats per pair")
    draw.curve(axes, steps, loss, REWARD, "-")
    draw.level(axes, guess, MUTED)
    draw.limits(axes, steps, [*loss, guess])
    labels.end_labels(axes, [(loss[-1], "one batch", REWARD), (guess, "guessing", MUTED)])

    unit = "share of held-out pairs, %"
    axes = draw.panel(figure, (40, 178, 200, 110), "Accuracy", unit, "optimiser step")
    draw.curve(axes, steps, percent, REWARD, "-")
    draw.level(axes, ceiling, INK)
    draw.limits(axes, steps, [*percent, ceiling])
    end = (percent[-1], f"RM {share(percent[-1] / 100)}", REWARD)
    labels.end_labels(axes, [end, (ceiling, f"ceiling {share(ceiling / 100)}", INK)])

    frame, unit = (40, 386, draw.WIDTH - 52, 92), "number of held-out responses"
    axes = draw.panel(figure, frame, "Scores", unit, "reward model score", room=28)
    edges = [*scores["score from"], scores["to"][-1]]
    looks = {"facecolor": "none", "edgecolor": MUTED, "hatch": "/////", "linewidth": 1.2}
    axes.stairs(scores["rejected"], edges, fill=True, **looks)
    looks = {"facecolor": (REWARD, draw.TINT), "edgecolor": REWARD, "linewidth": 1.5}
    axes.stairs(scores["chosen"], edges, fill=True, **looks)
    axes.set_ylim(0, 1.05 * (max(*scores["rejected"], *scores["chosen"]) or 1))
    axes.set_xlim(edges[0], edges[-1])
    means = (("rejected", MUTED), ("chosen", REWARD))
    labels.mean_marks(axes, [(scores.line(f"mean of the {n}"), n, colour) for n, colour in means])
    pairs = run.reward_model["heldout_pairs"]
    draw.notes(figure, f"{pairs:,} held-out pairs · seed {run.config.seed}")
    return figure
