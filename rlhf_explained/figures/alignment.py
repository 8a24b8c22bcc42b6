"""The alignment problem: what one model answers before, between and after the tutor's lessons."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import numbers, style
from rlhf_explained.measured import share
from rlhf_explained.pipeline import Run

LESSONS = (
    ("base", "BEFORE: pretrained", "“I know so much… but what do you want?”"),
    ("sft", "BETWEEN: after SFT", "“I have seen how you like your answers.”"),
    ("ppo", "AFTER: RLHF", "“I know so much, and now how to help!”"),
)


@style.drawn
def before_after(run: Run) -> Figure:
    """Measured shares of the six kinds of response, the illustrative ones marked beside them."""
    row, block = 17.0, 153.0
    left, right = 84.0, style.WIDTH - 66
    (table,) = numbers.before_after(run)
    figure, axes = style.page(len(LESSONS) * block + 38)

    def x(percent: style.Real) -> float:
        return left + (right - left) * percent / 100

    for number, (policy, heading, saying) in enumerate(LESSONS):
        top, colour = number * block, style.COLOURS[policy]
        style.words(axes, 4, top + 15, heading, size=style.TITLE, colour=colour, bold=True)
        style.words(axes, 4, top + 31, saying, italic=True, colour=style.MUTED)
        rows = table.where("model", numbers.NAMES[policy]).rows
        for place, (_, category, percent, error, invented) in enumerate(rows):
            middle = top + 48 + row * place
            helpful = category == "helpful"
            style.words(
                axes, left - 7, middle + 4, category.capitalize(), align="right", bold=helpful
            )
            style.bar(axes, left, middle, x(percent) - left, row - 6, colour, solid=helpful)
            ends = [x(max(percent - error, 0)), x(percent + error)]
            style.whisker(axes, ends, x(percent), middle, solid=helpful)
            if invented is not None:
                _diamond(axes, x(invented), middle)
            end = max(ends[1], x(invented) + 5 if invented is not None else 0)
            text = share(percent / 100)
            if error:
                text += f" ± {share(error / 100).removesuffix('%').strip()}"
            style.words(axes, end + 6, middle + 4, text, size=style.SMALL, bold=helpful)
        axes.plot([left, left], [top + 40, top + 142], color=style.MUTED, linewidth=0.8)
    bottom = len(LESSONS) * block
    _diamond(axes, 10, bottom + 11)
    style.words(
        axes, 20, bottom + 15, "illustrative: what the first notebook claimed", size=style.SMALL
    )
    count = run.evaluation["base"]["responses"]
    style.note(figure, f"{count:,} held-out responses each · seed {run.config.seed}")
    return figure


def _diamond(axes: style.Axes, x: style.Real, y: style.Real) -> None:
    """The mark of an invented share: hollow, so that what lies under it is seen around it."""
    ink = {"markeredgecolor": style.INK, "markeredgewidth": 1.1}
    axes.plot(x, y, "D", markersize=6, markerfacecolor=style.PAPER, **ink)
