"""A figure's numbers as a table: for those who read them rather than see them, or go on with them.

Drawing functions take their numbers from these tables, so a table holds what its figure shows.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlhf_explained.measured import number
from rlhf_explained.pipeline import Run

Cell = str | int | float | None  # None: there is no such number
SHOWN_WHOLE = 30  # rows; of a longer table a page shows some
EXCERPT = 12  # so many at most


@dataclass(frozen=True)
class Column:
    """What stands in a column.

    Attributes:
        name: By which it is looked up; the heading.
        unit: Of its numbers.
        digits: After the point, where a person reads it.
    """

    name: str
    unit: str = ""
    digits: int = 2

    @property
    def heading(self) -> str:
        """The name with the unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def text(self, cell: Cell) -> str:
        """A cell as a person reads it."""
        if cell is None:
            return "–"
        if isinstance(cell, str):
            return cell
        return f"{cell:,}" if isinstance(cell, int) else number(cell, self.digits)


@dataclass(frozen=True)
class Table:
    """The numbers of a figure.

    Attributes:
        name: Of the file that holds it.
        title: What the rows are.
        columns: From left to right.
        rows: A cell for each column.
        lines: Single values that the figure marks, by what they are.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]  # of `Cell`, whose kind its column decides
    lines: tuple[tuple[Column, float], ...] = ()

    def __getitem__(self, name: str) -> list[Any]:
        """The cells of the column of this name."""
        place = [column.name for column in self.columns].index(name)
        return [row[place] for row in self.rows]

    def where(self, name: str, cell: Cell) -> Table:
        """The table with only the rows that have this in the column of this name."""
        kept = zip(self[name], self.rows, strict=True)
        rows = tuple(row for found, row in kept if found == cell)
        return Table(self.name, self.title, self.columns, rows, self.lines)

    def line(self, name: str) -> float:
        """The single value of this name."""
        return next(value for column, value in self.lines if column.name == name)

    @property
    def excerpt(self) -> Table:
        """The table itself, or of a long one a row now and then, up to the last."""
        steps = (step * 10**power for power in range(9) for step in (1, 2, 5))
        fits = (step for step in steps if len(self.rows) <= step * EXCERPT)
        step = next(fits) if len(self.rows) > SHOWN_WHOLE else 1
        rows = self.rows[::-1][::step][::-1]
        return Table(self.name, self.title, self.columns, rows, self.lines)

    @property
    def read(self) -> tuple[list[str], list[list[str]]]:
        """Headings and rows as a person reads them: how far a mean may be off stands behind it."""
        headings: list[str] = []
        rows: list[list[str]] = [[] for _ in self.rows]
        for place, column in enumerate(self.columns):
            reaches = column.name.startswith("±")
            if not reaches:
                headings.append(column.heading)
            for texts, row in zip(rows, self.rows, strict=True):
                if not reaches:
                    texts.append(column.text(row[place]))
                elif row[place]:
                    texts[-1] += f" ± {column.text(row[place])}"
        return headings, rows

    def csv(self) -> str:
        """All of it as a file of comma-separated values; a single value is a column of its own."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\n")
        singles = [f"{value:.6g}" for _, value in self.lines]
        writer.writerow([c.heading for c in (*self.columns, *(column for column, _ in self.lines))])
        for row in self.rows:
            cells = (f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row)
            writer.writerow([*cells, *singles])
        return written.getvalue()


Numbers = Callable[[Run], tuple[Table, ...]]
