"""Box drawings: a drawing is one picture with a name, its words stand below it, its lines join.

To a screen reader box characters are noise, so a drawing is an image there. What it says is said
again in plain Markdown, in a block right below it that everybody can open:

    ??? words "In words"

        The pretrained model goes through three stages, one after the other. …
"""

from __future__ import annotations

import html
import itertools
import re
import textwrap
import unicodedata
from xml.etree.ElementTree import Element

from markdown.treeprocessors import Treeprocessor

from rlhf_explained.site import faults
from rlhf_explained.site.markdown.fences import stashed

BOX = re.compile("[\u2500-\u257f]")
CURE = (
    'the diagram has no words: write them in a `??? words "In words"` right below it '
    "(in a notebook, in `<details><summary>In words</summary>`)"
)

_TEXT = re.compile(
    r'<div class="language-text highlight"><pre>(?:<span></span>)?<code>(.*?)</code>', re.S
)
_NUMBER = re.compile(r"\d+\.\d+|\d{2,}")
_LEFT, _RIGHT = set("│┃║├┣╠┌┏╔╭└┗╚╰"), set("│┃║┤┫╣┐┓╗╮┘┛╝╯")
_BEGINS, _ENDS = set("┌┏╔╭"), set("┐┓╗╮")
_JOINER = "\N{ZERO WIDTH JOINER}"  # what follows it is drawn as a part of what stands before


def title(drawing: str) -> str:
    """The first words of a drawing, which name it.

    Args:
        drawing: Its lines.

    Returns:
        The first line that holds more than lines and arrows.
    """
    lines = BOX.sub(" ", drawing).split("\n")
    return next((line.strip() for line in lines if re.search(r"\w", line)), "")


def opening(drawing: str) -> str:
    """What to write between `<code` and `>` of a drawing.

    Args:
        drawing: Its lines.

    Returns:
        Attributes that make one image of it, which search leaves out in favour of its words and
        the keyboard can scroll.
    """
    called = ": ".join(filter(None, ("Diagram", title(drawing))))
    name = html.escape(f"{called}. What it says is written below it, in words.")
    return f' role="img" aria-label="{name}" tabindex="0" data-search-exclude'


class Diagrams(Treeprocessor):
    """Makes pictures of the `text` fences that hold a box drawing."""

    def run(self, root: Element) -> None:
        """Find each by what superfences has put into the stash for it."""
        blocks = self.md.htmlStash.rawHtmlBlocks
        for parent, place, number in stashed(root):
            block = blocks[number]
            found = _TEXT.match(block) if isinstance(block, str) else None
            if not found or not BOX.search(found[1]):
                continue
            drawing = html.unescape(found[1])
            drawn = found[0].replace("<pre>", '<pre class="diagram">')
            drawn = drawn.replace("<code>", f"<code{opening(drawing)}>")
            blocks[number] = drawn + block[found.end() :]
            below = parent[place + 1] if place + 1 < len(parent) else None
            if below is None or below.get("class") != "words":
                parent.append(faults.element("div", CURE, re.escape(title(drawing))))
            elif strange := {*_NUMBER.findall(drawing)} ^ {
                *_NUMBER.findall("".join(below.itertext()))
            }:
                why = f"{min(strange)} stands in only one of this diagram and its words: mend one"
                parent.append(faults.element("div", why, re.escape(title(drawing))))


def columns(line: str) -> list[str]:
    """The letter in each column of a line, in a font of one width.

    Args:
        line: Its letters, some of them wide or without a width.

    Returns:
        One letter a column; a wide letter leaves the second of its two empty.
    """
    cells: list[str] = []
    for before, letter in itertools.pairwise(f" {line}"):
        if before != _JOINER and unicodedata.category(letter) not in ("Mn", "Me", "Cf"):
            is_wide = unicodedata.east_asian_width(letter) in ("W", "F")
            cells += [letter, ""] if is_wide else [letter]
    return cells


def ragged(diagram: str) -> list[tuple[int, str]]:
    """Find where a diagram does not fit its frame.

    Each line inside a frame ends in the column in which the frame's first line ends. A box inside
    has its sides under its corners.

    Args:
        diagram: Its lines.

    Returns:
        Each faulty line, from 0, with what is wrong.
    """
    lines = [line.rstrip() for line in textwrap.dedent(diagram).split("\n")]
    grid = [columns(line) for line in lines]
    wrong = [
        (at, "there is a tab in this diagram") for at, line in enumerate(lines) if "\t" in line
    ]
    framed = [at for at, row in enumerate(grid) if row]
    top = grid[framed[0]] if framed else []
    if len(top) > 2 and top[0] in _BEGINS and top[-1] in _ENDS:
        for at in range(framed[0], framed[-1] + 1):
            row = grid[at]
            if len(row) != len(top):
                what = f"this line is {len(row)} columns wide, its frame {len(top)}"
                wrong.append((at, what))
            elif row[0] not in _LEFT or row[-1] not in _RIGHT:
                wrong.append((at, "this line has a gap in the side of its frame"))
    for at, row in enumerate(grid):
        for left, corner in enumerate(row):
            wrong += _sides(grid, at, left) if corner in _BEGINS else []
    first: dict[int, str] = {}  # one fault a line is enough
    for at, what in wrong:
        first.setdefault(at, what)
    return sorted(first.items())


def _sides(grid: list[list[str]], at: int, left: int) -> list[tuple[int, str]]:
    """Follow the two sides of a box down from its upper left corner."""
    right = next((c for c in range(left, len(grid[at])) if grid[at][c] in _ENDS), None)
    if right is None:
        return [(at, f"the box that begins in column {left + 1} has no right corner")]
    for below in range(at + 1, len(grid)):
        row = grid[below] + [" "] * (right + 1 - len(grid[below]))
        if row[left] in set("└┗╚╰") and row[right] in set("┘┛╝╯"):
            return []
        for column, sides in ((left, "│┃║├┣╠┤┼▶▲▼◀"), (right, "│┃║┤┣╣├┼▶▲▼◀")):
            if row[column] not in set(sides):
                what = f"the side of the box of line {at + 1} of this diagram is not in column"
                return [(below, f"{what} {column + 1} here")]
    return [(at, f"the box that begins in column {left + 1} is never closed")]
