"""The three stages, as an idea and as seconds of this run."""

from __future__ import annotations

from typing import Any

from rlhf_explained.figures import draw
from rlhf_explained.figures.colours import ALIGNED, BASE, MUTED, NOKL, PAPER, PPO, REWARD, SFT
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.text import seconds
from rlhf_explained.pipeline import Run

# Of each stage's bar: name, colour, and whether it is hatched, as the second one of its colour.
BARS = {
    "pretrain": ("Pretraining", BASE, False),
    "sft": ("SFT", SFT, False),
    "preferences": ("Preferences", REWARD, True),
    "reward_model": ("Reward model", REWARD, False),
    "ppo": ("PPO", PPO, False),
    "ppo_no_kl": ("PPO, no penalty", NOKL, True),
    "evaluation": ("Evaluation", MUTED, False),
}


def sizes(run: Run) -> Table:
    """The sizes of the stages."""
    rows = (
        ("SFT", "demonstrations", run.facts["demonstrations"]),
        ("reward model", "preferences", run.facts["pairs"]),
        ("PPO", "rounds", run.facts["ppo_iterations"]),
    )
    title = "The three stages of this run"
    return Table.of("three-stages", title, ("stage", "what it has", "how many"), rows)


@figure(
    "three-stages",
    numbers=sizes,
    alt="Five boxes from top to bottom: the pretrained model; stage 1, supervised fine-tuning, "
    "like a student learning from example answers; stage 2, the reward model, like training "
    "a judge to grade essays; stage 3, PPO, like a student improving from grades; the aligned "
    "assistant. A side arrow takes the SFT policy past stage 2 to stage 3.",
)
def three_stages(run: Run, table: Table) -> draw.Figure:
    """From the pretrained model by three stages to the aligned one."""
    demonstrations, pairs, rounds = (f"{count:,}" for count in table["how many"])
    names = "Supervised fine-tuning (SFT)", "Reward model (RM)", "PPO fine-tuning"
    tasks = (
        f"imitate {demonstrations} demonstrations",
        f"predict {pairs} preferences",
        f"raise the judge’s score, {rounds} rounds",
    )
    analogies = (
        "like a student learning from examples",
        "like training a judge to grade essays",
        "like a student improving from grades",
    )
    height, gap, left, width = 72.0, 24.0, 4.0, 284.0
    middle, first, bottom = left + width / 2, 62.0, 62.0 + 3 * (72 + 24)
    figure, axes = draw.page(bottom + 60)

    def end(top: draw.Real, colour: str, name: str, **edge: Any) -> None:
        words = (name, {"bold": True, "colour": colour})
        draw.box(axes, (left + 52, top, width - 104, 34), colour, words, **edge)

    end(4, BASE, "Pretrained LLM")
    draw.arrow(axes, (middle, 38), (middle, first))
    stages = zip((SFT, REWARD, PPO), names, tasks, analogies, strict=True)
    for number, (colour, name, task, analogy) in enumerate(stages):
        top = first + number * (height + gap)
        draw.box(axes, (left, top, width, height), colour)
        axes.plot(left + 23, top + height / 2, "o", color=colour, markersize=26, markeredgewidth=0)
        place, manner = top + height / 2 + 5, {"size": 15, "bold": True, "ha": "center"}
        draw.words(axes, left + 23, place, str(number + 1), PAPER, **manner)
        draw.words(axes, left + 46, top + 21, name, colour, size=draw.TITLE, bold=True)
        draw.words(axes, left + 46, top + 40, task)
        draw.words(axes, left + 46, top + 58, analogy, size=draw.SMALL, style="italic")
        draw.arrow(axes, (middle, top + height), (middle, top + height + gap))
    # The reward model does not replace the policy: PPO starts from SFT's, and stays near it.
    right, lane, top = left + width, left + width + 14, first + height / 2
    low = top + 2 * (height + gap)
    draw.arrow(axes, (right, top), (lane, top), (lane, low), (right, low), colour=SFT)
    manner = {"size": draw.SMALL, "ha": "center", "rotation": 90}
    draw.words(axes, lane + 14, (top + low) / 2, "the SFT policy", SFT, **manner)
    end(bottom, ALIGNED, "Aligned assistant", linewidth=2)
    draw.notes(figure, f"sizes of this run · seed {run.config.seed}")
    return figure


def times(run: Run) -> Table:
    """Wall time of each part of the run."""
    rows = [(name, float(run.seconds[stage])) for stage, (name, *_) in BARS.items()]
    whole = {"in all (s) .1": float(run.seconds["total"])}
    headings = "stage", "wall time (s) .1"
    return Table.of("stage-seconds", "Seconds of this run", headings, rows, whole)


@figure(
    "stage-seconds",
    numbers=times,
    alt="Bars of the seconds that each part of this run took: pretraining {seconds-pretrain}, "
    "SFT {seconds-sft}, preferences {seconds-preferences}, reward model "
    "{seconds-reward-model}, PPO {seconds-ppo}, PPO without the KL penalty "
    "{seconds-ppo-no-kl}, evaluation {seconds-evaluation}.",
)
def stage_seconds(run: Run, table: Table) -> draw.Figure:
    """Wall time of each stage of this run."""
    row, left, right = 24.0, 116.0, draw.WIDTH - 62
    bottom = 18 + row * len(BARS)
    figure, axes = draw.page(bottom + 28)
    longest = max(table["wall time"]) or 1.0
    bars = zip(table.rows, BARS.values(), strict=True)
    for place, ((name, time), (_, colour, hatched)) in enumerate(bars):
        middle, length = 18 + row * place, (right - left) * time / longest
        draw.words(axes, left - 8, middle + 4, name, ha="right")
        draw.bar(axes, (left, middle, length, row - 9), colour, solid=True, hatched=hatched)
        draw.words(axes, left + length + 6, middle + 4, seconds(time))
    axes.plot([left, left], [4, bottom - 12], color=MUTED, linewidth=0.8)
    total = f"wall time, {seconds(table.line('in all'))} in all · seed {run.config.seed}"
    draw.notes(figure, "the two PPO runs go side by side", total)
    return figure
