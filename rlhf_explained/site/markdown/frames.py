"""Measures box drawings: every line has to be as wide as its frame."""

import re
import textwrap
import unicodedata

BOX = re.compile("[\u2500-\u257f]")
LEFT, RIGHT = "│┃║├┣╠┌┏╔╭└┗╚╰", "│┃║┤┫╣┐┓╗╮┘┛╝╯"


def width(line: str) -> int:
    """Columns that a line takes in a font of one width.

    Args:
        line: Its letters, some of them wide or without a width.

    Returns:
        How many.
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
    none = sum(unicodedata.category(letter) in ("Mn", "Me", "Cf") for letter in line)
    return len(line) + wide - none


def columns(line: str) -> list[str]:
    """The letter in each column.

    Args:
        line: Its letters.

    Returns:
        One letter a column; a wide letter leaves the second of its two empty.
    """
    cells: list[str] = []
    for letter in line:
        cells += [letter, ""][: width(letter)]
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
    faults = [
        (at, "there is a tab in this diagram") for at, line in enumerate(lines) if "\t" in line
    ]
    framed = [at for at, line in enumerate(lines) if line]
    top = lines[framed[0]] if framed else ""
    if len(top) > 2 and top[0] in "┌┏╔╭" and top[-1] in "┐┓╗╮":
        for at in range(framed[0], framed[-1] + 1):
            line = lines[at]
            if width(line) != width(top):
                what = f"this line is {width(line)} columns wide, its frame {width(top)}"
                faults.append((at, what))
            elif line[0] not in LEFT or line[-1] not in RIGHT:
                faults.append((at, "this line has a gap in the side of its frame"))
    grid = [columns(line) for line in lines]
    for at, row in enumerate(grid):
        for left, corner in enumerate(row):
            if corner in "┌┏╔╭" and corner:
                faults += _sides(grid, at, left)
    first: dict[int, str] = {}  # one fault a line is enough
    for at, what in faults:
        first.setdefault(at, what)
    return sorted(first.items())


def _sides(grid: list[list[str]], at: int, left: int) -> list[tuple[int, str]]:
    """Follow the two sides of a box down from its upper left corner."""
    right = next((c for c in range(left, len(grid[at])) if grid[at][c] in set("┐┓╗╮")), None)
    if right is None:
        return [(at, f"the box that begins in column {left + 1} has no right corner")]
    for below in range(at + 1, len(grid)):
        row = grid[below] + [" "] * (right + 1 - len(grid[below]))
        if row[left] in set("└┗╚╰") and row[right] in set("┘┛╝╯"):
            return []
        for column, sides in ((left, "│┃║├┣╠┤┼▶▲▼◀"), (right, "│┃║┤┣╣├┼▶▲▼◀")):
            if row[column] not in set(sides):
                what = f"the side of the box of line {{}} is not in column {column + 1} here"
                return [(below, what.format(f"{at + 1} of this diagram"))]
    return [(at, f"the box that begins in column {left + 1} is never closed")]
