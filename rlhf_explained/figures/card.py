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
from rlhf_explained.figures.colours import BASE, PPO, REWARD, SENTINELS, SFT

WIDTH, HEIGHT = 1200, 630  # pixels, the shape that everyone cuts to
INK, MUTED = "#1f2328", "#5b6067"


def draw(words: Mapping[str, str]) -> Figure:
    """A card, with the stages' colours at its side.

    Args:
        words: `title` and `description` of the page, and the `site` it belongs to.

    Returns:
        The drawing, a pixel a unit.
    """
    figure = Figure((WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="#fefefc")

    def write(down: float, text: list[str], size: float, ink: str, weight: str) -> None:
        place = (90 / WIDTH, 1 - down / HEIGHT)
        looks = {"size": size, "color": ink, "weight": weight, "linespacing": 1.35}
        figure.text(*place, "\n".join(text), va="top", parse_math=False, **looks)

    stripes = figure.add_axes((0, 0, 24 / WIDTH, 1))
    stripes.barh(range(4), 1, 1, color=[SENTINELS[stage][1] for stage in (PPO, REWARD, SFT, BASE)])
    stripes.set(xlim=(0, 1), ylim=(-0.5, 3.5))
    stripes.axis("off")
    title = textwrap.wrap(words["title"], 28, max_lines=3, placeholder=" …")
    description = textwrap.wrap(words["description"], 68, max_lines=4, placeholder=" …")
    write(60, [words["site"]], 19, MUTED, "bold")
    write(140, title, 38, INK, "bold")
    write(190 + 72 * len(title), description, 19, MUTED, "normal")
    return figure


def main() -> None:
    """Draw all cards that standard input asks for."""
    for key, words in json.load(sys.stdin).items():
        save = draw(words).savefig
        memo.entry("cards", key, lambda folder, save=save: save(folder / "card.png"))


if __name__ == "__main__":
    main()
