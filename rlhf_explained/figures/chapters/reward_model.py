"""The reward model: what it learns from, what it computes, and how well."""

from __future__ import annotations

import math
import textwrap
from statistics import fmean

from rlhf_explained.figures import colours, draw, labels
from rlhf_explained.figures.colours import INK, MUTED, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured import verdicts
from rlhf_explained.measured.of_run import usual_answer
from rlhf_explained.measured.text import number, share
from rlhf_explained.pipeline import Run

# The original lesson's scores of two answers; only their difference means anything.
ILLUSTRATIVE_SCORES = (7.2, 3.1)
BINS = 24  # of the histogram, about
SMALL: draw.Manner = {"size": draw.SMALL}


@figure(
    "preference-and-reward-model",
    illustrative=True,
    alt="In step 1, a person compares two answers to “How do I learn Python?” and prefers the one "
    "that says how to begin. In step 2, the reward model reads the prompt together with one "
    "response and gives one score. It is trained so that the preferred answer gets the higher "
    "score. The scores 7.2 and 3.1 are illustrative.",
)
def preference_and_reward_model(run: Run) -> tuple[draw.Figure, draw.Figure]:
    """One comparison by a person, and the model that learns to predict such comparisons."""
    (first, axes), (second, below) = draw.page(246), draw.page(246)
    middle, wide = draw.WIDTH / 2, draw.WIDTH - 80
    bold: draw.Manner = {"bold": True}
    remark: draw.Manner = {**SMALL, "ha": "center", "style": "italic"}

    draw.words(axes, 4, 15, "Step 1: collect human preferences", size=draw.TITLE, bold=True)
    draw.box(axes, (40, 28, wide, 32), MUTED, ("“How do I learn Python?”", bold))
    answers = (
        (4.0, REWARD, "Response A", ("“Start with basics", "like variables and", "loops …”")),
        (168.0, MUTED, "Response B", ("“Python is a", "programming language", "used for …”")),
    )
    for left, colour, name, text in answers:
        lines = [(name, {**bold, "colour": colour}), *((line, SMALL) for line in text)]
        dash = colours.DASHED if colour == MUTED else "-"
        draw.box(axes, (left, 92, 152, 84), colour, *lines, gap=16, linestyle=dash)
        draw.arrow(axes, (left + 76, 60), (left + 76, 92))
    draw.words(axes, 80, 196, "✓ preferred", REWARD, bold=True, ha="center")
    draw.words(axes, middle + 82, 196, "not preferred", MUTED, ha="center")
    draw.words(axes, middle, 221, "A person: “A is better. It says how to begin.”", **remark)

    draw.words(below, 4, 15, "Step 2: train the reward model", size=draw.TITLE, bold=True)
    draw.box(below, (4, 28, 134, 32), MUTED, "the prompt")
    draw.box(below, (186, 28, 134, 32), MUTED, "one response")
    name = ("REWARD MODEL", {**bold, "colour": REWARD})
    task = "RM(prompt, response) → score"
    draw.box(below, (40, 88, wide, 52), REWARD, name, task, gap=18, linewidth=2)
    draw.arrow(below, (71, 60), (71, 88))
    draw.arrow(below, (253, 60), (253, 88))
    better, worse = ILLUSTRATIVE_SCORES
    draw.arrow(below, (71, 140), (71, 164), colour=REWARD)
    draw.arrow(below, (253, 140), (253, 164), linestyle=colours.DASHED)
    draw.words(below, 71, 179, f"score(A) = {better}", REWARD, ha="center", bold=True)
    draw.words(below, 253, 179, f"score(B) = {worse}", MUTED, ha="center", bold=True)
    loss = -math.log(1 / (1 + math.exp(worse - better)))
    sum_ = f"loss = −log σ({better} − {worse}) = {loss:.3f}"
    draw.words(below, middle, 202, sum_, REWARD, ha="center")
    draw.words(below, middle, 221, "Only the difference counts, not the scores.", **remark)
    draw.notes(second, "scores illustrative")
    return first, second


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
    alt="Three panels. The first shows the reward model's loss on single batches during training, "
    "with a line for the loss of guessing. The second shows its accuracy on held-out pairs, which "
    "ends at {rm-accuracy}, below the ceiling of {rm-ceiling} that the noise of the labels sets. "
    "The third counts the held-out pairs by the difference between their two scores. The chosen "
    "response has the higher score in {rm-accuracy} of them.",
)
def training(run: Run, table: Table, scores: Table) -> tuple[draw.Figure, ...]:
    """Loss, held-out accuracy under its ceiling, and how the scores order held-out pairs."""
    steps, loss, percent = table["step"], table["loss"], table["held-out accuracy"]
    guess, ceiling = table.line("loss of guessing"), table.line("ceiling of the accuracy")
    (first, _), (second, _), (third, page) = (draw.page(214, draw.THIRD) for _ in range(3))
    xlabel = "optimiser step"

    axes = draw.panel(first, (42, 38, 96, 112), "Loss", "nats per pair", xlabel, room=22)
    axes.locator_params(axis="x", nbins=3)
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


def scored(run: Run) -> Table:
    """The SFT model's most frequent answer to the first held-out question, and its score."""
    answer, times, of = usual_answer(run, "sft")
    rows = [(answer["prompt"], answer["response"].strip(), times, of, answer["proxy"])]
    headings = "prompt", "response", "times", "of", "score"
    return Table.of("text-to-score", "An answer and its score", headings, rows)


@figure(
    "text-to-score",
    numbers=scored,
    alt="How text becomes a score. The words of the prompt and of the response go into the trunk, "
    "which consists of the SFT model's layers. The trunk computes a vector at each token. The "
    "head reads the vector at the last token, the end mark, and turns it into one number, the "
    "score.",
)
def text_to_score(run: Run, table: Table) -> draw.Figure:
    """From the words of prompt and response by way of trunk and head to one number."""
    figure, axes = draw.page(292)
    prompt, response, times, of, score = table.rows[0]
    wide = draw.WIDTH - 8

    def words(top: draw.Real, name: str, text: str) -> None:
        lines = textwrap.wrap(f"{text}", 46, max_lines=2, placeholder=" …")
        heading = (name, {**SMALL, "bold": True, "colour": MUTED})
        shown = [(line, SMALL) for line in lines]
        draw.box(axes, (4, top, wide, 28 + 15 * len(lines)), MUTED, heading, *shown, gap=15)

    words(4, "PROMPT", prompt)
    words(56, "RESPONSE", f"{response} <eos>")
    name = ("TRUNK", {**SMALL, "bold": True, "colour": SFT})
    task = ("the SFT model’s layers: a vector at each token", SMALL)
    draw.box(axes, (4, 138, wide, 44), SFT, name, task, gap=15)
    name = ("HEAD", {**SMALL, "bold": True, "colour": REWARD})
    task = ("new weights: one number", SMALL)
    draw.box(axes, (154, 210, 166, 44), REWARD, name, task, gap=15)
    draw.arrow(axes, (162, 116), (162, 138))
    draw.arrow(axes, (300, 182), (300, 210), colour=REWARD)
    draw.words(axes, 292, 201, "the vector at <eos> alone", MUTED, ha="right", **SMALL)
    draw.arrow(axes, (154, 232), (112, 232), colour=REWARD)
    draw.words(axes, 104, 236, f"score {number(score)}", REWARD, ha="right", bold=True)
    draw.notes(figure, f"{times} of {of} answers · seed {run.config.seed}")
    return figure


def changes(run: Run) -> Table:
    """What one change to a helpful answer does to its gold reward and to its score."""
    rows = []
    for name, found in verdicts.edits(run).items():
        means = [fmean(column) for column in zip(*found, strict=True)] or [None, None]
        rows.append((name, len(found), *means))
    headings = "the answer …", "questions", "gold changes by", "score changes by"
    return Table.of("judge-changes", "One change to a helpful answer", headings, rows)


@figure(
    "judge-changes",
    numbers=changes,
    alt="A helpful answer is changed in four ways. For each change, one bar shows the mean change "
    "of the gold reward and another bar that of the reward model's score. {blind-verdict} The "
    "table below gives the numbers.",
)
def judge_changes(run: Run, table: Table) -> draw.Figure:
    """By how much one change moves the gold reward, and by how much the score."""
    figure, axes = draw.page(296)
    columns = table["gold changes by"], table["score changes by"]
    every = [value for column in columns for value in column if value is not None]
    low, high = min(every, default=0.0), max(every, default=0.0)
    low, high = min(low, -0.1), max(high, 0.1)
    left, right = 44.0, draw.WIDTH - 44

    def x(value: float) -> float:
        return left + (right - left) * (value - low) / (high - low)

    draw.bar(axes, (8, 14, 14, 10), MUTED, hatched=True)
    draw.words(axes, 28, 18, "gold reward", MUTED, size=draw.SMALL)
    draw.bar(axes, (120, 14, 14, 10), REWARD, solid=True)
    draw.words(axes, 140, 18, "reward model’s score", REWARD, size=draw.SMALL)
    for place, (name, questions, *both) in enumerate(table.rows):
        top = 46 + 56 * place
        draw.words(axes, 4, top, f"… {name}", bold=True)
        draw.words(axes, draw.WIDTH - 4, top, f"{questions} questions", MUTED, ha="right", **SMALL)
        for row, (value, colour) in enumerate(zip(both, (MUTED, REWARD), strict=True)):
            if value is None:
                continue
            middle, length = top + 14 + 16 * row, x(value) - x(0.0)
            draw.bar(axes, (x(0.0), middle, length, 12), colour, solid=row == 1, hatched=row == 0)
            side, align = (5, "left") if value >= 0 else (-5, "right")
            text = ("+" if number(value)[0] not in "−0" or value > 0 else "") + number(value)
            draw.words(axes, x(value) + side, middle + 4, text, colour, ha=align, **SMALL)
    axes.plot([x(0.0)] * 2, [52, 46 + 56 * len(table.rows) - 20], color=INK, linewidth=0.8)
    whose = "answers of the pretrained and the SFT model"
    draw.notes(figure, whose, f"seed {run.config.seed}")
    return figure
