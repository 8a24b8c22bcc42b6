"""The alignment problem: what one model answers before, between and after the tutor's lessons."""

from __future__ import annotations

from matplotlib.figure import Figure

from rlhf_explained.figures import style
from rlhf_explained.measured import share
from rlhf_explained.pipeline import Run

CATEGORIES = ("helpful", "harmful", "off_topic", "rambling", "wrong")
# The original figure's shares: invented, and drawn as such beside the measured ones.
ILLUSTRATIVE = {
    "base": {"helpful": 0.2, "harmful": 0.3, "off_topic": 0.3, "rambling": 0.2},
    "ppo": {"helpful": 0.85},
}
LESSONS = (
    ("base", "BEFORE: pretrained", "“I know so much… but what do you want?”"),
    ("sft", "BETWEEN: after SFT", "“I have seen how you like your answers.”"),
    ("ppo", "AFTER: RLHF", "“I know so much, and now how to help!”"),
)


@style.drawn
def before_after(run: Run) -> Figure:
    """Measured shares of the five kinds of response, the illustrative ones marked beside them."""
    row, block = 17.0, 136.0
    left, right = 84.0, style.WIDTH - 66
    figure, axes = style.page(len(LESSONS) * block + 38)

    def x(value: style.Real) -> float:
        return left + (right - left) * value

    for number, (policy, heading, saying) in enumerate(LESSONS):
        top, colour = number * block, style.COLOURS[policy]
        style.words(axes, 4, top + 15, heading, size=style.TITLE, colour=colour, bold=True)
        style.words(axes, 4, top + 31, saying, italic=True, colour=style.MUTED)
        measures = run.evaluation[policy]
        for place, category in enumerate(CATEGORIES):
            middle = top + 48 + row * place
            helpful = category == "helpful"
            value, error = measures[category], measures["stderr"][category]
            invented = ILLUSTRATIVE.get(policy, {}).get(category)
            name = category.replace("_", "-").capitalize()
            style.words(axes, left - 7, middle + 4, name, align="right", bold=helpful)
            axes.barh(
                middle,
                x(value) - left,
                height=row - 6,
                left=left,
                color=(colour, 1.0 if helpful else 0.45),
                linewidth=0,
            )
            axes.plot(
                [x(max(value - error, 0)), x(value + error)],
                [middle, middle],
                color=style.INK,
                linewidth=1,
            )
            if invented is not None:
                axes.plot(
                    x(invented),
                    middle,
                    "D",
                    markersize=6,
                    markerfacecolor=style.PAPER,
                    markeredgecolor=style.INK,
                    markeredgewidth=1.1,
                )
            end = max(x(value + error), x(invented) + 5 if invented is not None else 0)
            text = f"{share(value)} ± {share(error).removesuffix('%').strip()}"
            style.words(axes, end + 6, middle + 4, text, size=style.SMALL, bold=helpful)
        axes.plot([left, left], [top + 40, top + 125], color=style.MUTED, linewidth=0.8)
    bottom = len(LESSONS) * block
    axes.plot(
        10,
        bottom + 11,
        "D",
        markersize=6,
        markerfacecolor=style.PAPER,
        markeredgecolor=style.INK,
        markeredgewidth=1.1,
    )
    style.words(
        axes, 20, bottom + 15, "illustrative: what the first notebook claimed", size=style.SMALL
    )
    count = run.evaluation["base"]["responses"]
    style.note(figure, f"{count:,} held-out responses each · seed {run.config.seed}")
    return figure
