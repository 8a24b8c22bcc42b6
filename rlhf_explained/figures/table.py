"""A figure's numbers as a table: for those who read them rather than see them, or go on with them.

Drawing functions take their numbers from these tables, so a table holds what its figure shows.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlhf_explained.measured.text import number
from rlhf_explained.studies import Interval

Cell = str | int | float | None  # None: there is no such number
SHOWN_WHOLE = 30  # rows; of a longer table a page shows some
EXCERPT = 12  # so many at most
_HEADING = re.compile(r"(.+?)(?: \((.+)\))?(?: \.(\d))?")


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

    @classmethod
    def of(cls, heading: str) -> Column:
        """Read a heading such as `loss (nats) .3`: the name, then unit and digits where needed."""
        found = _HEADING.fullmatch(heading)
        assert found
        return cls(found[1], found[2] or "", int(found[3] or 2))

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

    @classmethod
    def of(
        cls,
        name: str,
        title: str,
        headings: Iterable[str],
        rows: Iterable[Iterable[Any]],
        lines: Mapping[str, float] | None = None,
    ) -> Table:
        """Write a table.

        Args:
            name: As above.
            title: As above.
            headings: As `Column.of` reads them. With ` ±` behind it, a heading is that of a column
                of intervals, which become two: `gold` and `± gold`.
            rows: Their cells.
            lines: Single values by their headings.

        Returns:
            The table.
        """
        columns: list[Column] = []
        pairs = []
        for heading in headings:
            column = Column.of(heading.removesuffix(" ±"))
            pairs.append(heading.endswith(" ±"))
            columns += [column, replace(column, name=f"± {column.name}")] if pairs[-1] else [column]

        def cells(row: Iterable[Any]) -> Iterable[Any]:
            for cell, pair in zip(row, pairs, strict=True):
                if isinstance(cell, Interval):
                    yield from (cell.mean, cell.reach)
                else:
                    yield from (cell, cell) if pair else (cell,)

        singles = tuple((Column.of(heading), value) for heading, value in (lines or {}).items())
        return cls(name, title, tuple(columns), tuple(tuple(cells(row)) for row in rows), singles)

    def __getitem__(self, name: str) -> list[Any]:
        """The cells of the column of this name."""
        place = [column.name for column in self.columns].index(name)
        return [row[place] for row in self.rows]

    def where(self, name: str, cell: Cell) -> Table:
        """The table with only the rows that have this in the column of this name."""
        kept = zip(self[name], self.rows, strict=True)
        return replace(self, rows=tuple(row for found, row in kept if found == cell))

    def line(self, name: str) -> float:
        """The single value of this name."""
        return next(value for column, value in self.lines if column.name == name)

    @property
    def excerpt(self) -> Table:
        """The table itself, or of a long one a row now and then, up to the last."""
        steps = (step * 10**power for power in range(9) for step in (1, 2, 5))
        fits = (step for step in steps if len(self.rows) <= step * EXCERPT)
        step = next(fits) if len(self.rows) > SHOWN_WHOLE else 1
        return replace(self, rows=self.rows[::-1][::step][::-1])

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
