"""The picture that others show beside a link to a page.

`python -m rlhf_explained.figures.card DIR` reads what stands on the cards as JSON from standard
input, from a card's name to its words, and draws each as DIR/<name>.png. It is a process of its own
for the reason that figures are: the one that builds the site imports no matplotlib.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from PIL import Image

from rlhf_explained.figures.colours import SENTINELS

SIZE = (1200, 630)  # pixels, the shape that everyone cuts to
PAPER, INK, MUTED = "#fefefc", "#1f2328", "#5b6067"
COLOURS = dict(SENTINELS.values())  # of the stages on white, as figures have them
LEFT, RIGHT = 90, 1110


def draw(words: dict[str, Any]) -> Figure:
    """A card.

    Args:
        words: `title`, `description` and `site`; `stage` where the page belongs to one; `value`
            and `about`, a measured value and what it is, where there is one to show.

    Returns:
        The drawing, one pixel a unit.
    """
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100, facecolor=PAPER)
    FigureCanvasAgg(figure)
    stages = [words["stage"]] if words.get("stage") else ["base", "sft", "rm", "ppo"]
    for place, stage in enumerate(stages):
        height = 1 / len(stages)
        corner = (0, 1 - (place + 1) * height)
        stripe = Rectangle(corner, 24 / SIZE[0], height, color=COLOURS[stage], linewidth=0)
        figure.add_artist(stripe)
    _text(figure, LEFT, 84, words["site"], 26, MUTED, bold=True)
    size, lines = next(
        (size, lines)
        for size in (62, 52, 44, 36)
        if len(lines := _wrapped(figure, words["title"], size, bold=True)) <= 3 or size == 36
    )
    at = 180.0
    for line in lines[:4]:
        _text(figure, LEFT, at, line, size, INK, bold=True)
        at += 1.25 * size
    room = int((480 if words.get("value") else 590) - at) // 40
    lines = _wrapped(figure, words["description"], 27)
    if len(lines) > room:
        lines[room - 1] = lines[room - 1].rstrip(" ,;:.") + " …"
    for number, line in enumerate(lines[:room]):
        _text(figure, LEFT, at + 14 + 40 * number, line, 27, MUTED)
    if words.get("value"):
        accent = COLOURS[stages[0]] if words.get("stage") else INK
        shown = _text(figure, LEFT, 560, words["value"], 62, accent, bold=True)
        _text(figure, LEFT + shown + 24, 560, words["about"], 27, INK)
    return figure


def _text(
    figure: Figure, x: float, y: float, text: str, size: float, ink: str, *, bold: bool = False
) -> float:
    """Write a line, its baseline at y pixels from the top, and return its width in pixels."""
    font = FontProperties("DejaVu Sans", weight="bold" if bold else "normal", size=size * 0.72)
    figure.text(
        x / SIZE[0], 1 - y / SIZE[1], text, fontproperties=font, color=ink, parse_math=False
    )
    return _width(figure, text, font)


def _width(figure: Figure, text: str, font: FontProperties) -> float:
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    return renderer.get_text_width_height_descent(text, font, False)[0]


def _wrapped(figure: Figure, text: str, size: float, *, bold: bool = False) -> list[str]:
    """Break a text into lines that fit between the margins."""
    font = FontProperties("DejaVu Sans", weight="bold" if bold else "normal", size=size * 0.72)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(figure, longer, font) <= RIGHT - LEFT:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def main() -> None:
    """Draw all cards that standard input asks for."""
    into = Path(sys.argv[1])
    for name, words in json.load(sys.stdin).items():
        canvas = draw(words).canvas
        canvas.draw()
        pixels = canvas.buffer_rgba()  # pyright: ignore[reportAttributeAccessIssue]
        picture = Image.frombuffer("RGBA", SIZE, pixels).convert("RGB")
        picture.quantize(48, dither=Image.Dither.NONE).save(into / f"{name}.png")


if __name__ == "__main__":
    main()
