"""Run the notebooks that have an environment of their own, and store what comes out.

python -m rlhf_explained trl      in `.venv-trl`, which `python3 .ci/venv.py trl` sets up
"""

from __future__ import annotations

import math
import tempfile
import time
from functools import partial
from pathlib import Path

from jupyter_core.utils import ensure_event_loop

from rlhf_explained import parallel
from rlhf_explained.pipeline import Progress
from rlhf_explained.report import progress_bars
from rlhf_explained.site.notebooks import stored
from rlhf_explained.site.notebooks.execute import CellError, execute
from rlhf_explained.site.notebooks.read import read
from rlhf_explained.site.shown_run import current_run


def notebooks(root: Path) -> list[Path]:
    """The notebooks of a checkout that have an environment of their own."""
    return [
        path for path in sorted(root.glob("docs/notebooks/*.py")) if stored.is_stored(read(path))
    ]


def run(root: Path, python: Path) -> None:
    """Run them all, one on each processor, and store what came out; bars on standard error.

    Args:
        root: The checkout.
        python: Of the environment.

    Raises:
        CellError: If a cell is no Python, raises, hangs or kills the kernel.
    """
    current_run()
    with progress_bars() as show:
        parallel.together([partial(_run, path, python, show) for path in notebooks(root)])


def _run(path: Path, python: Path, show: Progress) -> None:
    """Run one of them."""
    notebook, began = read(path), time.perf_counter()

    def told(done: int, cells: int) -> None:
        show(path.stem, done, cells, math.nan)

    with tempfile.TemporaryDirectory() as folder:
        try:
            execute(notebook, Path(folder), python=python, progress=told)
        except CellError as error:
            cell, line, what = error.args
            raise CellError(cell, line, f"{path.name}: {what}") from None
        finally:
            ensure_event_loop().close()  # that of this thread, which nbclient leaves open
    told(len(notebook.cells), len(notebook.cells))
    stored.store(path, notebook, python, time.perf_counter() - began)
