"""What makes a drawing function one of the site's figures. It imports no matplotlib."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rlhf_explained import memo
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run

Numbers = Callable[[Run], Table | tuple[Table, ...]]
_ROOMS = ("figures", "formulas", "measured", "names", "studies")  # whose code decides on a look


@dataclass(frozen=True)
class Figure:
    """A figure, and what it shows for those who cannot see it.

    Attributes:
        name: By which pages show it.
        drawing: The function that draws it, from a run and its tables: a page of `draw.page`, or
            several of one width, which stand side by side where there is room.
        alt: The alternative text; `{name}` stands for the measured value of that name.
        numbers: What makes its tables from a run; nothing if it is a drawing without numbers.
        studies: Those whose stored results are drawn.
        illustrative: Whether some of its numbers are invented. The drawing says so.
        opened: Whether a page shows the numbers at once, not only when asked.
    """

    name: str
    drawing: Callable[..., Any]
    alt: str
    numbers: Numbers = lambda run: ()
    studies: tuple[str, ...] = ()
    illustrative: bool = False
    opened: bool = False

    @property
    def module(self) -> str:
        """The full name of the chapter's module."""
        return self.drawing.__module__

    @property
    def function(self) -> str:
        """The drawing function's name."""
        return self.drawing.__name__

    @property
    def file(self) -> Path:
        """The chapter's file."""
        return Path(str(sys.modules[self.module].__file__))

    @property
    def sources(self) -> set[Path]:
        """The files whose code decides what it looks like: a change in one asks for a redraw."""
        return memo.sources_of(self.file, _ROOMS, folders=False)

    def tables(self, run: Run) -> tuple[Table, ...]:
        """The numbers that it shows; none if it is a drawing without numbers."""
        found = self.numbers(run)
        return (found,) if isinstance(found, Table) else found

    def drawn(self, run: Run) -> list[Any]:
        """The figure's pages as matplotlib has them."""
        from rlhf_explained.figures.draw import styled

        with styled():
            found = self.drawing(run, *self.tables(run))
        return list(found) if isinstance(found, tuple) else [found]

    def svg(self, run: Run) -> str:
        """The figure as inline SVG, several pages below each other."""
        from rlhf_explained.figures.svg import stacked, to_svg

        pages = self.drawn(run)
        if len(pages) == 1:
            return to_svg(pages[0], self.name)
        names = (f"{self.name}-{place}" for place in range(1, len(pages) + 1))
        return stacked([to_svg(page, name) for page, name in zip(pages, names, strict=True)])


FIGURES: dict[str, Figure] = {}
Drawing = TypeVar("Drawing", bound=Callable[..., Any])


def figure(name: str, **about: Any) -> Callable[[Drawing], Drawing]:
    """Make a drawing function the figure of this name.

    Args:
        name: By which pages show it.
        **about: The other attributes of `Figure`, above all `alt` and `numbers`.

    Returns:
        What takes the function, and leaves it as it is.
    """

    def register(drawing: Drawing) -> Drawing:
        FIGURES[name] = Figure(name, drawing, **about)
        return drawing

    return register
