"""What is learned from a reward that a rule gives, beside what the start could do anyway."""

from __future__ import annotations

from math import log2

from rlhf_explained.figures import draw, labels
from rlhf_explained.figures.colours import (
    BASE,
    DASH_DOT,
    DASHED,
    DOTTED,
    INK,
    MUTED,
    PPO,
    SFT,
)  # fmt: skip
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.of_studies import ATTEMPTED
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import Interval, stored

# What is compared: the setting and the quantity of the study, with colour and marker.
POLICIES = {
    "SFT": ("sft", "right", SFT, "^"),
    "SFT, at 0.5": ("sft", "right_0.5", SFT, "^"),
    "SFT, at 0": ("sft", "right_0.0", SFT, "^"),
    "imitation": ("imitation", "right", INK, "D"),
    "content": ("correct", "right", PPO, "o"),
    "content, KL": ("correct_kl", "right", PPO, "o"),
    "form": ("form", "right", MUTED, "v"),
    "form, KL": ("form_kl", "right", MUTED, "v"),
    "both": ("both", "right", PPO, "o"),
    "form × 10": ("form_tenfold", "right", PPO, "o"),
    "pretrained": ("base", "right", BASE, "s"),
    "content, no SFT": ("base_correct", "right", PPO, "o"),
    "both, no SFT": ("base_both", "right", PPO, "o"),
}
# Lines of the second panel: the setting, with its name and its look.
CURVES = {
    "base_correct": ("content, no SFT", (INK, DASHED, "D")),
    "correct": ("content", (PPO, "-", "o")),
    "sft": ("SFT", (SFT, DASH_DOT, "^")),
    "base": ("pretrained", (BASE, DOTTED, "s")),
}


def shares(run: Run) -> tuple[Table, Table]:
    """Right answers to held-out capitals and sums, by seed and by number of attempts."""
    study = stored("verifiable")
    rows = [
        (name, seed, 100 * right)
        for name, (setting, quantity, *_) in POLICIES.items()
        for seed, right in zip(study.seeds, study.values(setting, quantity), strict=True)
    ]
    tries = []
    for setting, (name, _) in CURVES.items():
        found = [row["pass_at"] for row in study.rows if row["setting"] == setting]
        for place, attempts in enumerate(ATTEMPTED):
            tries.append((name, attempts, Interval.of([100.0 * row[place] for row in found])))
    right = "Right answers to held-out capitals and sums"
    tried = "Questions with a right answer, by number of attempts"
    return (
        Table.of("verifiable", right, ("policy", "seed", "right (%) .1"), rows),
        Table.of("verifiable-attempts", tried, ("policy", "attempts", "solved (%) .1 ±"), tries),
    )


@figure(
    "verifiable-rewards",
    numbers=shares,
    studies=("verifiable",),
    alt="Two panels about held-out capitals and sums. The first shows each policy's share of "
    "right answers on five seeds. The policies are SFT at temperatures 1, 0.5 and 0, SFT after "
    "imitation of its own right answers, SFT after GRPO with different rewards, and the pretrained "
    "model before and after GRPO. The second panel shows how many questions have a right answer "
    "among 1 to 64 attempts, before and after GRPO, for the pretrained model and for SFT.",
)
def verifiable_rewards(run: Run, right: Table, tries: Table) -> tuple[draw.Figure, ...]:
    """A mark for each seed of each policy; and one curve each for four policies."""
    (one, _), (other, _) = draw.page(302), draw.page(302)
    _by_policy(one, right)
    _by_attempts(other, tries)
    draw.notes(one, "a mark for each seed")
    draw.notes(other, stored("verifiable").origin)
    return one, other


def _by_policy(figure: draw.Figure, table: Table) -> None:
    frame = (112, 24, draw.WIDTH - 126, 17 * len(POLICIES))
    axes = draw.panel(figure, frame, "Right answers", "held-out capitals and sums", "%")
    rows = [
        (name, table.where("policy", name)["right"], colour, marker)
        for name, (_, _, colour, marker) in POLICIES.items()
    ]
    draw.rows_of_marks(axes, rows)
    axes.set_xlim(0, 101)


def _by_attempts(figure: draw.Figure, table: Table) -> None:
    frame = (34, 24, draw.WIDTH - 48, 221)
    title = "Questions solved", "%, at least one attempt right"
    axes = draw.panel(figure, frame, *title, "attempts, doubling")
    xs = [log2(attempts) for attempts in ATTEMPTED]
    for row, (name, look) in enumerate(CURVES.values()):
        draw.means(axes, xs, table.where("policy", name), "solved", look)
        colour, dash, marker = look  # and its key, where there is room
        y = 44 - 11 * row
        axes.plot([3.3, 3.9], [y, y], color=colour, linestyle=dash, linewidth=1.7)
        axes.plot(3.6, y, marker, color=colour, markersize=4.5)
        labels.write(axes, name, (4.05, y), (0, -4), colour, xycoords="data", ha="left")
    axes.set_xlim(-0.1, xs[-1] + 0.1)
    axes.set_ylim(0, 103)
    axes.set_xticks(xs, [str(attempts) for attempts in ATTEMPTED])
