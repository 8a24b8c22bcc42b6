"""The three stages: their networks, and their seconds in this run."""

from __future__ import annotations

from typing import Any

from rlhf_explained.figures import draw
from rlhf_explained.figures.colours import (
    ALIGNED,
    BASE,
    DASHED,
    MUTED,
    NOKL,
    PAPER,
    PPO,
    REWARD,
    SFT,
)
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
    return Table.of("three-stages", title, ("stage", "what it uses", "how many"), rows)


@figure(
    "three-stages",
    numbers=sizes,
    alt="The networks in RLHF, from top to bottom. In stage 1, SFT, a copy of the pretrained "
    "model imitates demonstrations and becomes the SFT model. In stage 2, a copy of the SFT model "
    "learns from comparisons and becomes the reward model. Stage 3, PPO, uses prompts alone and "
    "four networks. Two of them are frozen and drawn with dashed lines: the SFT model, which is "
    "the reference, and the reward model. The other two learn: the policy starts as a copy of the "
    "SFT model, and the critic as a copy of the reward model. The policy becomes the aligned "
    "assistant. The other three networks are not used afterwards.",
)
def three_stages(run: Run, table: Table) -> draw.Figure:
    """Which networks there are, which of them learn in each stage, and from what."""
    demonstrations, pairs, rounds = (f"{count:,}" for count in table["how many"])
    small: draw.Manner = {"size": draw.SMALL}
    width, left, right = 148.0, 4.0, 172.0
    figure, axes = draw.page(428)

    def network(
        x: draw.Real, y: draw.Real, colour: str, name: str, state: str = "", **edge: Any
    ) -> None:
        lines = [(name, {"bold": True, "colour": colour}), *([(state, small)] if state else [])]
        draw.box(axes, (x, y, width, 44 if state else 32), colour, *lines, **edge)

    def stage(number: int, y: draw.Real, colour: str, name: str, learns: str) -> None:
        axes.plot(70, y, "o", color=colour, markersize=24, markeredgewidth=0)
        draw.words(axes, 70, y + 4.5, str(number), PAPER, bold=True, ha="center")
        draw.words(axes, 88, y - 3, name, colour, bold=True)
        draw.words(axes, 88, y + 13, learns, **small)

    network(left, 4, BASE, "Pretrained LLM")
    draw.arrow(axes, (40, 36), (40, 80))
    stage(1, 58, SFT, "SFT", f"a copy imitates {demonstrations} demonstrations")
    network(left, 80, SFT, "SFT model")
    draw.arrow(axes, (left + width, 96), (308, 96), (308, 156))
    stage(2, 134, REWARD, "Reward model", f"a copy learns from {pairs} choices")
    network(right, 156, REWARD, "Reward model")
    draw.arrow(axes, (40, 112), (40, 240))
    draw.arrow(axes, (308, 188), (308, 240))
    stage(3, 214, PPO, "PPO", f"{rounds} rounds of practice on prompts")
    network(left, 240, SFT, "Reference", "the SFT model, frozen", linestyle=DASHED)
    network(right, 240, REWARD, "Reward model", "frozen", linestyle=DASHED)
    for x, name, state in (
        (left, "Policy", "learns to answer"),
        (right, "Critic", "learns to guess rewards"),
    ):
        draw.arrow(axes, (x + width / 2, 284), (x + width / 2, 306))
        draw.words(axes, x + width / 2 + 9, 299, "copy", MUTED, **small)
        network(x, 306, PPO, name, state, linewidth=2)
    draw.arrow(axes, (left + width / 2, 350), (left + width / 2, 372))
    network(left, 372, ALIGNED, "Aligned assistant", linewidth=2)
    draw.words(axes, right, 385, "The other networks", MUTED, **small)
    draw.words(axes, right, 400, "are left behind.", MUTED, **small)
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
    alt="A bar for each part of this run shows how many seconds it took: pretraining "
    "{seconds-pretrain}, SFT {seconds-sft}, preferences {seconds-preferences}, reward model "
    "{seconds-reward-model}, PPO {seconds-ppo}, PPO without the KL penalty {seconds-ppo-no-kl}, "
    "and evaluation {seconds-evaluation}.",
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
    draw.notes(figure, "the two PPO runs ran at the same time", total)
    return figure
