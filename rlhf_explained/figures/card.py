"""The picture that others show beside a link to a page.

`python -m rlhf_explained.figures.card` reads cards as JSON from standard input, from their keys in
the memo to their words, and draws each into its entry. The process that builds the site imports no
matplotlib.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping

from matplotlib.figure import Figure

from rlhf_explained import memo
from rlhf_explained.figures.style import SENTINELS

WIDTH, HEIGHT = 1200, 630  # pixels, the shape that everyone cuts to
INK, MUTED = "#1f2328", "#5b6067"
COLOURS = dict(SENTINELS.values())  # of the stages on white, as figures have them


def draw(words: Mapping[str, str]) -> Figure:
    """A card.

    Args:
        words: `title`, `description` and `site`; `stage` where the page belongs to one; `value`, a
            measured value with what it is, where there is one to show.

    Returns:
        The drawing, a pixel a unit.
    """
    figure = Figure((WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="#fefefc")

    def write(down: float, text: str, size: float, ink: str, **looks: str) -> None:
        place = (90 / WIDTH, 1 - down / HEIGHT)
        figure.text(
            *place,
            text,
            size=size,
            color=ink,
            va="top",
            parse_math=False,
            linespacing=1.35,
            **looks,
        )

    stages = [words["stage"]] if words["stage"] else ["base", "sft", "rm", "ppo"]
    stripes = figure.add_axes((0, 0, 24 / WIDTH, 1))
    stripes.barh(range(len(stages)), 1, 1, color=[COLOURS[stage] for stage in reversed(stages)])
    stripes.set(xlim=(0, 1), ylim=(-0.5, len(stages) - 0.5))
    stripes.axis("off")
    write(60, words["site"], 19, MUTED, weight="bold")
    title = textwrap.wrap(words["title"], 28, max_lines=3, placeholder=" …")
    write(130, "\n".join(title), 38, INK, weight="bold")
    room = 7 - 2 * len(title) + 2 * (not words["value"])
    description = textwrap.wrap(words["description"], 68, max_lines=room, placeholder=" …")
    write(165 + 72 * len(title), "\n".join(description), 19, MUTED)
    write(530, words["value"], 26, COLOURS[stages[0]] if words["stage"] else INK, weight="bold")
    return figure


def main() -> None:
    """Draw all cards that standard input asks for."""
    for key, words in json.load(sys.stdin).items():
        save = draw(words).savefig
        memo.entry("cards", key, lambda folder, save=save: save(folder / "card.png"))


if __name__ == "__main__":
    main()
