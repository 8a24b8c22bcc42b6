"""The SVG of each figure: from the memo, or drawn in another process.

A figure is drawn in a process of its own so that the site's process imports no matplotlib and an
edited drawing function is never run in its old version.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
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
    return (memo.root() / "figures" / key / f"{name}.svg").read_text(encoding="utf-8")


def jobs(run: Run) -> list[Callable[[], None]]:
    """What there is to do before every figure is drawn.

    Args:
        run: What to draw.

    Returns:
        Shares of the work, each in a process of its own; nothing where all figures are remembered.
    """
    missing = [name for name in figures.FIGURES if _is_missing(_key(name, run))]
    return [functools.partial(_draw, names, run) for names in parallel.shares(missing)]


def address(table: Table) -> str:
    """Where the site publishes a table as a file."""
    return f"figures/{table.name}.csv"


def files(run: Run) -> dict[str, str]:
    """All tables as files to publish: what they hold by their addresses."""
    every = (table for figure in figures.FIGURES.values() for table in figure.tables(run))
    return {address(table): table.csv() for table in every}


def _key(name: str, run: Run) -> str:
    figure = figures.FIGURES[name]
    return memo.key(
        name=name,
        run=run.key,
        source=memo.source_digest(figure.sources),
        studies=[stored(study).fingerprint for study in figure.studies],
        matplotlib=memo.version("matplotlib"),
    )


def _is_missing(key: str) -> bool:
    return key not in _failed and memo.find("figures", key) is None


def _draw(names: Sequence[str], run: Run) -> None:
    """Draw all names in one process, remembering each drawing or its failure."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rlhf_explained.figures", *names, "--into", folder]
        command += ["--seed", str(run.config.seed)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        disk.raise_again(done.stderr, Path(folder))
        for place, name in enumerate(names, start=1):
            key, drawing = _key(name, run), Path(folder, f"{name}.svg")
            if drawing.is_file() and drawing.read_bytes().endswith(b"</svg>"):
                memo.entry("figures", key, functools.partial(shutil.copy, drawing))
            else:  # it stopped here; go on with the others
                _failed[key] = DrawingError(_where(done.stderr))
                if rest := names[place:]:
                    _draw(rest, run)
                return


def _where(trace: str) -> str:
    """The last line of the project's own code in a traceback, and the error."""
    error = trace.strip().splitlines()[-1] if trace.strip() else "no message"
    own = re.findall(r'File "([^"]*rlhf_explained[^"]*)", line (\d+)', trace)
    return f"{disk.shown(Path(own[-1][0]))}:{own[-1][1]}: {error}" if own else error
