"""The reward model: what it learns from, what it computes, and how well."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.measured import share
from rlhf_explained.pipeline import Run

# The original lesson's scores of two answers; only their difference means anything.
ILLUSTRATIVE_SCORES = (7.2, 3.1)


@style.drawn
def preference_and_reward_model(run: Run) -> Figure:
    """One comparison by a person, and the model that learns to predict such comparisons."""
    figure, axes = style.page(474)
    middle = style.WIDTH / 2
    bold, small = {"bold": True}, {"size": style.SMALL}

    style.words(axes, 4, 15, "Step 1: collect human preferences", size=style.TITLE, bold=True)
    prompt = style.box(axes, 40, 26, style.WIDTH - 80, 32, style.MUTED)
    style.lines_in(axes, prompt, ("“How do I learn Python?”", bold))
    answers = (
        (4.0, style.REWARD, "Response A", ("“Start with basics", "like variables and", "loops …”")),
        (168.0, style.MUTED, "Response B", ("“Python is a", "programming language", "used for …”")),
    )
    for left, colour, name, text in answers:
        answer = style.box(axes, left, 82, 152, 78, colour, dashed=colour == style.MUTED)
        lines = [(line, small) for line in text]
        style.lines_in(axes, answer, (name, {**bold, "colour": colour}), *lines, gap=16)
        style.arrow(axes, (left + 76, 58), (left + 76, 82))
    style.words(axes, 80, 179, "✓ preferred", bold=True, colour=style.REWARD, align="center")
    style.words(axes, middle + 82, 179, "not preferred", colour=style.MUTED, align="center")
    person = "A person: “A is better!” It is advice to act on."
    style.words(axes, middle, 202, person, size=style.SMALL, italic=True, align="center")
    axes.plot([4, style.WIDTH - 4], [218, 218], color=style.FAINT, linewidth=1)

    style.words(axes, 4, 243, "Step 2: train the reward model", size=style.TITLE, bold=True)
    given = style.box(axes, 4, 256, 134, 32, style.MUTED)
    style.lines_in(axes, given, "the prompt")
    answer = style.box(axes, 186, 256, 134, 32, style.MUTED)
    style.lines_in(axes, answer, "one response")
    judge = style.box(axes, 40, 316, style.WIDTH - 80, 52, style.REWARD, heavy=True)
    style.lines_in(
        axes,
        judge,
        ("REWARD MODEL", {**bold, "colour": style.REWARD}),
        "RM(prompt, response) → score",
        gap=18,
    )
    style.arrow(axes, (71, 288), (71, 316))
    style.arrow(axes, (253, 288), (253, 316))
    better, worse = ILLUSTRATIVE_SCORES
    style.arrow(axes, (71, 368), (71, 392), colour=style.REWARD)
    style.arrow(axes, (253, 368), (253, 392), dashed=True)
    scored = {**bold, "align": "center"}
    style.words(axes, 71, 407, f"score(A) = {better}", **scored, colour=style.REWARD)
    style.words(axes, 253, 407, f"score(B) = {worse}", **scored, colour=style.MUTED)
    loss = -math.log(1 / (1 + math.exp(worse - better)))
    style.words(
        axes,
        middle,
        430,
        f"loss = −log σ({better} − {worse}) = {loss:.3f}",
        align="center",
        colour=style.REWARD,
    )
    style.words(
        axes,
        middle,
        449,
        "Only the difference counts, not the scores.",
        size=style.SMALL,
        italic=True,
        align="center",
    )
    style.note(figure, "scores illustrative")
    return figure


@style.drawn
def training(run: Run) -> Figure:
    """Loss, held-out accuracy under its ceiling, and the scores of held-out pairs."""
    table, scores = numbers.reward_model_training(run)
    steps, loss = table["step"], table["loss"]
    percent = table["held-out accuracy"]
    guess, ceiling = table.line("loss of guessing"), table.line("ceiling of the accuracy")
    left, width = 40.0, 200.0
    figure, _ = style.page(536)

    axes = style.panel(figure, left, 30, width, 110, title="Loss", unit="nats per pair")
    style.curve(axes, steps, loss, colour=style.REWARD, dash="-")
    axes.axhline(guess, color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
    style.limits(axes, steps, [*loss, guess])
    ends = [(loss[-1], "one batch", style.REWARD), (guess, "guessing", style.MUTED)]
    style.end_labels(axes, ends)

    axes = style.panel(
        figure,
        left,
        178,
        width,
        110,
        title="Accuracy",
        unit="share of held-out pairs, %",
        xlabel="optimiser step",
    )
    style.curve(axes, steps, percent, colour=style.REWARD, dash="-")
    axes.axhline(ceiling, color=style.INK, linewidth=1.2, linestyle=(0, (4, 2)))
    style.limits(axes, steps, [*percent, ceiling])
    style.end_labels(
        axes,
        [
            (percent[-1], f"RM {share(percent[-1] / 100)}", style.REWARD),
            (ceiling, f"ceiling {share(ceiling / 100)}", style.INK),
        ],
    )

    axes = style.panel(
        figure,
        left,
        386,
        style.WIDTH - left - 12,
        92,
        title="Scores",
        unit="number of held-out responses",
        xlabel="reward model score",
        headroom=28,
    )
    edges = [*scores["score from"], scores["to"][-1]]
    axes.stairs(scores["rejected"], edges, fill=True, facecolor="none", edgecolor=style.MUTED,
                hatch="/////", linewidth=1.2)  # fmt: skip
    axes.stairs(scores["chosen"], edges, fill=True, facecolor=(style.REWARD, style.TINT),
                edgecolor=style.REWARD, linewidth=1.5)  # fmt: skip
    axes.set_ylim(0, 1.05 * (max(*scores["rejected"], *scores["chosen"]) or 1))
    axes.set_xlim(edges[0], edges[-1])
    means = (scores.line(f"mean of the {name}") for name in ("rejected", "chosen"))
    looks = (("rejected", style.MUTED), ("chosen", style.REWARD))
    style.mean_marks(axes, [(mean, *look) for mean, look in zip(means, looks, strict=True)])
    pairs = run.reward_model["heldout_pairs"]
    style.note(figure, f"{pairs:,} held-out pairs · seed {run.config.seed}")
    return figure
