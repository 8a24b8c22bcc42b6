"""The alignment problem: what one model answers before, between and after the tutor's lessons."""

from __future__ import annotations

from rlhf_explained.figures import draw
from rlhf_explained.figures.colours import COLOURS, INK, MUTED, NAMES, PAPER
from rlhf_explained.figures.registry import figure
from rlhf_explained.figures.table import Table
from rlhf_explained.measured.text import share
from rlhf_explained.names import CATEGORIES
from rlhf_explained.pipeline import Run

# The original figure's shares: invented, and drawn as such beside the measured ones.
ILLUSTRATIVE_SHARES = {
    "base": {"helpful": 20, "harmful": 30, "off_topic": 30, "rambling": 20},
    "ppo": {"helpful": 85},
}
LESSONS = (
    ("base", "BEFORE: pretrained", "“I know so much… but what do you want?”"),
    ("sft", "BETWEEN: after SFT", "“I have seen how you like your answers.”"),
    ("ppo", "AFTER: RLHF", "“I know so much, and now how to help!”"),
)


def shares(run: Run) -> Table:
    """Shares of the kinds of response, with standard errors by question, and invented shares."""
    rows = [
        (
            NAMES[policy],
            category.replace("_", "-"),
            100.0 * run.evaluation[policy][category],
            100.0 * run.evaluation[policy]["stderr"][category],
            ILLUSTRATIVE_SHARES.get(policy, {}).get(category),
        )
        for policy, *_ in LESSONS
        for category in CATEGORIES
    ]
    headings = "model", "responses", "share (%) .1", "standard error (%) .1", "illustrative (%)"
    return Table.of("before-after", "Responses to held-out prompts", headings, rows)


@figure(
    "before-after",
    numbers=shares,
    illustrative=True,
    alt="Shares of helpful, harmful, off-topic, rambling, false and broken responses to held-out "
    "prompts. Helpful: {base-helpful} for the pretrained model, {sft-helpful} after SFT and "
    "{ppo-helpful} after RLHF; harmful: {base-harmful}, {sft-harmful} and {ppo-harmful}. "
    "Hollow diamonds mark the original figure's illustrative shares: 20 %, 30 %, 30 % and "
    "20 % before, 85 % helpful after.",
)
def before_after(run: Run, table: Table) -> draw.Figure:
    """Measured shares of the six kinds of response, the illustrative ones marked beside them."""
    row, block, left, right = 17.0, 153.0, 84.0, draw.WIDTH - 66
    bottom = len(LESSONS) * block
    figure, axes = draw.page(bottom + 38)

    def x(percent: draw.Real) -> float:
        return left + (right - left) * percent / 100

    def diamond(x: draw.Real, y: draw.Real) -> None:  # hollow: what lies under it is seen around it
        ink = {"markeredgecolor": INK, "markeredgewidth": 1.1}
        axes.plot(x, y, "D", markersize=6, markerfacecolor=PAPER, **ink)

    for number, (policy, heading, saying) in enumerate(LESSONS):
        top, colour = number * block, COLOURS[policy]
        draw.words(axes, 4, top + 15, heading, colour, size=draw.TITLE, bold=True)
        draw.words(axes, 4, top + 31, saying, MUTED, style="italic")
        for place, cells in enumerate(table.where("model", NAMES[policy]).rows):
            _, category, percent, error, invented = cells
            middle, helpful = top + 48 + row * place, category == "helpful"
            name = category.capitalize()
            draw.words(axes, left - 7, middle + 4, name, ha="right", bold=helpful)
            bar = (left, middle, x(percent) - left, row - 6)
            draw.bar(axes, bar, colour, solid=helpful)
            ends = [x(max(percent - error, 0)), x(percent + error)]
            axes.plot(ends, [middle] * 2, color=INK, linewidth=1.2)
            if helpful:  # on the solid bar a standard error has the colour of the paper
                axes.plot([ends[0], x(percent)], [middle] * 2, color=PAPER, linewidth=1.6)
            end = ends[1]
            if invented is not None:
                diamond(x(invented), middle)
                end = max(end, x(invented) + 5)
            text = share(percent / 100)
            if error:
                text += f" ± {share(error / 100).removesuffix('%').strip()}"
            draw.words(axes, end + 6, middle + 4, text, size=draw.SMALL, bold=helpful)
        axes.plot([left, left], [top + 40, top + 142], color=MUTED, linewidth=0.8)
    diamond(10, bottom + 11)
    key = "illustrative: what the first notebook claimed"
    draw.words(axes, 20, bottom + 15, key, size=draw.SMALL)
    count = run.evaluation["base"]["responses"]
    draw.notes(figure, f"{count:,} held-out responses each · seed {run.config.seed}")
    return figure
