"""The alignment problem: what one model answers before, between and after the tutor's lessons."""

from __future__ import annotations

from textwrap import wrap

from rlhf_explained.figures import draw
from rlhf_explained.figures.colours import COLOURS, INK, MUTED, NAMES, PAPER
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.text import share
from rlhf_explained.names import CATEGORIES
from rlhf_explained.pipeline import Run

LESSONS = (
    ("base", "BEFORE: pretrained", "“I know so much… but what do you want?”"),
    ("sft", "BETWEEN: after SFT", "“I have seen how experts answer.”"),
    ("ppo", "AFTER: RLHF", "“I know so much, and now how to help!”"),
)


def shares(run: Run) -> Table:
    """Shares of the kinds of response, with standard errors by question."""
    rows = [
        (
            NAMES[policy],
            category.replace("_", "-"),
            100.0 * run.evaluation[policy][category],
            100.0 * run.evaluation[policy]["stderr"][category],
        )
        for policy, *_ in LESSONS
        for category in CATEGORIES
    ]
    headings = "model", "responses", "share (%) .1", "standard error (%) .1"
    return Table.of("before-after", "Responses to held-out prompts", headings, rows)


@figure(
    "before-after",
    numbers=shares,
    alt="The shares of helpful, harmful, off-topic, rambling, false and broken responses to "
    "held-out prompts. The share of helpful responses is {base-helpful} after pretraining, "
    "{sft-helpful} after SFT and {ppo-helpful} after RLHF. In the same order, the share of harmful "
    "responses is {base-harmful}, {sft-harmful} and {ppo-harmful}, and the share of rambling "
    "responses is {base-rambling}, {sft-rambling} and {ppo-rambling}.",
)
def before_after(run: Run, table: Table) -> tuple[draw.Figure, ...]:
    """Shares of the six kinds of response of each model, with their standard errors."""
    row, top, left, right = 17.0, 68.0, 84.0, 150.0

    def x(percent: draw.Real) -> float:
        return left + (right - left) * percent / 100

    pages = []
    for policy, heading, saying in LESSONS:
        (figure, axes), colour = draw.page(190, draw.THIRD), COLOURS[policy]
        draw.words(axes, 4, 15, heading, colour, size=draw.TITLE, bold=True)
        for place, line in enumerate(wrap(saying, 27)):
            draw.words(axes, 4, 32 + 15 * place, line, MUTED, style="italic")
        for place, cells in enumerate(table.where("model", NAMES[policy]).rows):
            _, category, percent, error = cells
            middle, helpful = top + row * place, category == "helpful"
            name = category.capitalize()
            draw.words(axes, left - 7, middle + 4, name, ha="right", bold=helpful)
            bar = (left, middle, x(percent) - left, row - 6)
            draw.bar(axes, bar, colour, solid=helpful)
            ends = [x(max(percent - error, 0)), x(percent + error)]
            axes.plot(ends, [middle] * 2, color=INK, linewidth=1.2)
            if helpful:  # on the solid bar a standard error has the colour of the paper
                axes.plot([ends[0], x(percent)], [middle] * 2, color=PAPER, linewidth=1.6)
            text = share(percent / 100)
            if error:
                text += f" ± {share(error / 100).removesuffix('%').strip()}"
            draw.words(axes, ends[1] + 6, middle + 4, text, size=draw.SMALL, bold=helpful)
        axes.plot([left, left], [top - 8, top + 94], color=MUTED, linewidth=0.8)
        pages.append(figure)
    count = run.evaluation["base"]["responses"]
    draw.notes(pages[0], f"{count:,} held-out responses each")
    draw.notes(pages[-1], f"seed {run.config.seed}")
    return tuple(pages)
