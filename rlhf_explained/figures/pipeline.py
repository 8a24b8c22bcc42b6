"""The three stages, as an idea and as seconds of this run."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from rlhf_explained.figures import style
from rlhf_explained.measured import seconds
from rlhf_explained.pipeline import Run


@style.drawn
def three_stages(run: Run) -> Figure:
    """From the pretrained model by three stages to the aligned one."""
    facts = run.facts
    stages = (
        (
            style.SFT,
            "Supervised fine-tuning (SFT)",
            f"imitate {facts['demonstrations']:,} demonstrations",
            "like a student learning from examples",
        ),
        (
            style.REWARD,
            "Reward model (RM)",
            f"predict {facts['pairs']:,} preferences",
            "like training a judge to grade essays",
        ),
        (
            style.PPO,
            "PPO fine-tuning",
            f"raise the judge’s score, {facts['ppo_iterations']:,} rounds",
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
    stages = (
        ("pretrain", "Pretraining", style.BASE, ""),
        ("sft", "SFT", style.SFT, ""),
        ("preferences", "Preferences", style.REWARD, "//////"),
        ("reward_model", "Reward model", style.REWARD, ""),
        ("ppo", "PPO", style.PPO, ""),
        ("ppo_no_kl", "PPO, no penalty", style.NOKL, "//////"),
        ("evaluation", "Evaluation", style.MUTED, ""),
    )
    row, left, right = 24.0, 116.0, style.WIDTH - 62
    figure, axes = style.page(row * len(stages) + 46)
    longest = max(run.seconds[stage] for stage, *_ in stages) or 1.0
    for number, (stage, name, colour, hatch) in enumerate(stages):
        middle = 18 + row * number
        length = (right - left) * run.seconds[stage] / longest
        style.words(axes, left - 8, middle + 4, name, align="right")
        axes.barh(
            middle,
            length,
            left=left,
            height=row - 9,
            facecolor="none" if hatch else colour,
            edgecolor=colour,
            hatch=hatch or None,
            linewidth=1,
        )
        style.words(axes, left + length + 6, middle + 4, seconds(run.seconds[stage]))
    bottom = 18 + row * len(stages)
    axes.plot([left, left], [4, bottom - 12], color=style.MUTED, linewidth=0.8)
    style.remark(figure, "the two PPO runs go side by side")
    total = seconds(run.seconds["total"])
    style.note(figure, f"wall time, {total} in all · seed {run.config.seed}")
    return figure
