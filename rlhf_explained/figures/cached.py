"""The SVG of each figure: from the memo, or drawn in another process.

A figure is drawn in a process of its own so that the site's process imports no matplotlib and an
edited drawing function is never run in its old version.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rlhf_explained import disk, figures, memo, parallel
from rlhf_explained.figures.table import Table
from rlhf_explained.pipeline import Run
from rlhf_explained.studies import stored


class DrawingError(Exception):
    """A drawing function failed; the message says at which line of which file."""


_failed: dict[str, DrawingError] = {}  # by memo key: one failure is not drawn again and again


def svg(name: str, run: Run) -> str:
    """The figure as inline SVG.

    Args:
        name: A name in `figures.FIGURES`.
        run: What to draw.

    Returns:
        An `<svg>` element.

    Raises:
        DrawingError: If its drawing function fails.
    """
    key = _key(name, run)
    if _is_missing(key):
        _draw([name], run)
    if key in _failed:
        raise _failed[key]

    def again(folder: Path) -> None:  # a damaged entry
        _draw_into(folder, [name], run)

    return (memo.entry("figures", key, again) / f"{name}.svg").read_text(encoding="utf-8")


def jobs(run: Run) -> list[Callable[[], None]]:
    """What there is to do before every figure is drawn.

    Args:
        run: What to draw.

    Returns:
        Shares of the work, each in a process of its own; nothing where all figures are remembered.
    """
    missing = [name for name in figures.FIGURES if _is_missing(_key(name, run))]
    return [functools.partial(_draw, list(names), run) for names in parallel.shares(missing)]


def _is_missing(key: str) -> bool:
    return key not in _failed and not _folder(key).is_dir()


def tables(name: str, run: Run) -> tuple[Table, ...]:
    """The numbers that a figure shows, for a page or another text that prints them.

    Args:
        name: A name in `figures.FIGURES`.
        run: What is drawn.

    Returns:
        Whole tables; none if the figure is a drawing without numbers.
    """
    return figures.tables(name, run)


def address(table: Table) -> str:
    """Where the site publishes a table as a file."""
    return f"figures/{table.name}.csv"


def files(run: Run) -> dict[str, str]:
    """All tables as files to publish: what they hold by their addresses."""
    every = (table for name in figures.FIGURES for table in tables(name, run))
    return {address(table): table.csv() for table in every}


def _key(name: str, run: Run) -> str:
    return memo.key(
        name=name,
        run=run.key,
        source=memo.source_digest(figures.sources(name)),
        studies=[stored(study).fingerprint for study in figures.FIGURES[name].studies],
        matplotlib=memo.version("matplotlib"),
    )


def _folder(key: str) -> Path:
    return memo.root() / "figures" / key


def _draw(names: list[str], run: Run) -> None:
    """Draw all names, remembering each drawing or its failure."""
    with tempfile.TemporaryDirectory() as folder:
        while names:
            try:
                _draw_into(Path(folder), names, run)
            except DrawingError as error:
                failure = error
            else:
                failure = None
            for name in list(names):
                drawing = Path(folder, f"{name}.svg")
                if not (drawing.is_file() and drawing.read_bytes().endswith(b"</svg>")):
                    break
                names.remove(name)
                memo.entry("figures", _key(name, run), lambda into, d=drawing: _copy(d, into))
            if failure is None:
                return
            _failed[_key(names.pop(0), run)] = failure  # it stopped here; go on with the others


def _copy(drawing: Path, into: Path) -> None:
    (into / drawing.name).write_bytes(drawing.read_bytes())


def _draw_into(folder: Path, names: list[str], run: Run) -> None:
    command = [sys.executable, "-m", "rlhf_explained.figures", *names, "--into", str(folder)]
    command += ["--seed", str(run.config.seed)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        disk.raise_again(done.stderr, folder)
        raise DrawingError(_where(done.stderr))


def _where(trace: str) -> str:
    """The last line of the project's own code in a traceback, and the error."""
    error = trace.strip().splitlines()[-1] if trace.strip() else "no message"
    own = re.findall(r'File "([^"]*rlhf_explained[^"]*)", line (\d+)', trace)
    return f"{disk.shown(Path(own[-1][0]))}:{own[-1][1]}: {error}" if own else error
