"""The three stages, as an idea and as seconds of this run."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from rlhf_explained.figures import numbers, style
from rlhf_explained.measured import seconds
from rlhf_explained.pipeline import Run


@style.drawn
def three_stages(run: Run) -> Figure:
    """From the pretrained model by three stages to the aligned one."""
    (table,) = numbers.three_stages(run)
    demonstrations, pairs, rounds = (f"{count:,}" for count in table["how many"])
    stages = (
        (
            style.SFT,
            "Supervised fine-tuning (SFT)",
            f"imitate {demonstrations} demonstrations",
            "like a student learning from examples",
        ),
        (
            style.REWARD,
            "Reward model (RM)",
            f"predict {pairs} preferences",
            "like training a judge to grade essays",
        ),
        (
            style.PPO,
            "PPO fine-tuning",
            f"raise the judge’s score, {rounds} rounds",
            "like a student improving from grades",
        ),
    )
    height, gap, left, width = 72.0, 24.0, 4.0, 284.0
    middle, first = left + width / 2, 62.0
    figure, axes = style.page(first + 3 * (height + gap) + 60)

    start = style.box(axes, left + 52, 4, width - 104, 34, style.BASE)
    style.lines_in(axes, start, ("Pretrained LLM", {"bold": True, "colour": style.BASE}))
    style.arrow(axes, (middle, 38), (middle, first))
    for number, (colour, name, task, analogy) in enumerate(stages):
        top = first + number * (height + gap)
        style.box(axes, left, top, width, height, colour)
        axes.add_patch(Circle((left + 23, top + height / 2), 13, color=colour, linewidth=0))
        style.words(
            axes,
            left + 23,
            top + height / 2 + 5,
            str(number + 1),
            size=15,
            bold=True,
            colour=style.PAPER,
            align="center",
        )
        style.words(axes, left + 46, top + 21, name, size=style.TITLE, bold=True, colour=colour)
        style.words(axes, left + 46, top + 40, task)
        style.words(axes, left + 46, top + 58, analogy, size=style.SMALL, italic=True)
        style.arrow(axes, (middle, top + height), (middle, top + height + gap))
    # The reward model does not replace the policy: PPO starts from SFT's, and stays near it.
    lane, top = left + width + 14, first + height / 2
    end = top + 2 * (height + gap)
    style.arrow(
        axes, (left + width, top), (lane, top), (lane, end), (left + width, end), colour=style.SFT
    )
    style.words(
        axes,
        lane + 14,
        (top + end) / 2,
        "the SFT policy",
        size=style.SMALL,
        colour=style.SFT,
        align="center",
        upright=False,
    )
    bottom = first + 3 * (height + gap)
    last = style.box(axes, left + 52, bottom, width - 104, 34, style.ALIGNED, heavy=True)
    style.lines_in(axes, last, ("Aligned assistant", {"bold": True, "colour": style.ALIGNED}))
    style.note(figure, f"sizes of this run · seed {run.config.seed}")
    return figure


@style.drawn
def stage_seconds(run: Run) -> Figure:
    """Wall time of each stage of this run."""
    looks = (  # of each row; hatched: a second one of that colour
        (style.BASE, False),
        (style.SFT, False),
        (style.REWARD, True),
        (style.REWARD, False),
        (style.PPO, False),
        (style.NOKL, True),
        (style.MUTED, False),
    )
    (table,) = numbers.stage_seconds(run)
    row, left, right = 24.0, 116.0, style.WIDTH - 62
    figure, axes = style.page(row * len(looks) + 46)
    longest = max(table["wall time"]) or 1.0
    for number, ((name, time), (colour, hatched)) in enumerate(zip(table.rows, looks, strict=True)):
        middle, length = 18 + row * number, (right - left) * time / longest
        style.words(axes, left - 8, middle + 4, name, align="right")
        style.bar(axes, left, middle, length, row - 9, colour, solid=True, hatched=hatched)
        style.words(axes, left + length + 6, middle + 4, seconds(time))
    bottom = 18 + row * len(looks)
    axes.plot([left, left], [4, bottom - 12], color=style.MUTED, linewidth=0.8)
    style.remark(figure, "the two PPO runs go side by side")
    total = seconds(table.line("in all"))
    style.note(figure, f"wall time, {total} in all · seed {run.config.seed}")
    return figure
