"""Notebooks: py:percent files in `docs/notebooks/`, executed once for what decides their outputs.

mkdocs-jupyter finds the notebooks and asks for each as MkDocs comes to its page. It is given what
is made here, and what `page` makes of it: a notebook runs once for its code, the package and the
run, in a kernel that needs no network, and the memo keeps what came out. A notebook with an
environment of its own is shown with the outputs that are `stored`.

The first cell installs the package where a reader runs the notebook. Its tag `skip-execution` keeps
it from running in the build, which has the package and no network.

The tag `solution` marks what answers an exercise. It runs like all code; the page folds it, and so
does JupyterLab where the notebook is downloaded.
"""

from __future__ import annotations

import ast
import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from rlhf_explained import memo
from rlhf_explained.pipeline import Run
from rlhf_explained.site.notebooks import stored
from rlhf_explained.site.notebooks.read import PACKAGE, read, sources, tags
from rlhf_explained.studies import OF_TRL, STUDIES, results_file

_WHEEL = re.compile(r"\brlhf_explained\S*\.whl")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class CellError(Exception):
    """The number of a cell among all, from 0; a line in it, from 1; and what is wrong there."""


@dataclass(frozen=True)
class Execution:
    """Executes notebooks, or remembers what came out.

    Attributes:
        run: What their code will read.
        wheel: Address or file name of the package's wheel, for the install cell.
        failed: What raised, by key: it is not run again before its code is another.
    """

    run: Run
    wheel: str
    failed: dict[str, CellError] = field(default_factory=dict)

    def outputs(self, path: Path) -> tuple[NotebookNode, CellError | None]:
        """Read a notebook with the outputs of its code: stored, from the memo, or by running it.

        Args:
            path: A py:percent file.

        Returns:
            The notebook; and the error where a cell raises, hangs or kills the kernel, or nothing
            is stored, which leaves all cells without outputs.
        """
        notebook = read(path)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        key = self._key(path, [[cell.source, cell.metadata] for cell in code])
        if stored.is_stored(notebook):
            try:
                stored.fill(notebook, stored.stored(path))
            except ValueError as error:
                return notebook, CellError(0, 1, str(error))
        elif key not in self.failed:
            try:
                folder = memo.entry("notebooks", key, lambda folder: execute(notebook, folder))
            except CellError as error:
                self.failed[key] = error
            else:
                kept = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
                for cell, (count, produced) in zip(code, kept, strict=True):
                    cell.execution_count = count
                    cell.outputs = [NotebookNode(output) for output in produced]
        for cell in code:
            if "install" in tags(cell):
                cell.source = _WHEEL.sub(lambda _: self.wheel, cell.source)
            if key in self.failed:
                cell.outputs, cell.execution_count = [], None
        return notebook, self.failed.get(key)

    def _key(self, path: Path, code: list[list[Any]]) -> str:
        """What outputs depend on: code, what it imports, run, studies, and what runs it."""
        files = filter(Path.is_file, map(results_file, (*STUDIES, *OF_TRL)))
        return memo.key(
            source=memo.source_digest(
                [*sources(path), Path(__file__).with_name("read.py"), Path(__file__)]
            ),
            run=self.run.key,
            studies=[file.read_text(encoding="utf-8") for file in files],
            versions=[memo.version(name) for name in ("ipykernel", "matplotlib")],
            code=code,
        )


def execute(
    notebook: NotebookNode,
    into: Path,
    *,
    python: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, cells: None,
) -> None:
    """Run a notebook's cells in a new kernel, as Jupyter would.

    Args:
        notebook: Its code cells are filled in place.
        into: Folder for `outputs.json`: of each code cell its number and its outputs.
        python: That runs them; by default the one that runs this.
        progress: Told how many cells are done, and how many there are.

    Raises:
        CellError: If a cell is no Python, raises, hangs or kills the kernel.
    """
    for index, cell in enumerate(notebook.cells):
        try:
            if cell.cell_type == "code" and "raises-exception" not in tags(cell):
                ast.parse(TransformerManager().transform_cell(cell.source))
        except SyntaxError as error:
            raise CellError(
                index, error.lineno or 1, f"this is no Python: {error.msg}; mend it"
            ) from None
    environment = os.environ | {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": "1",  # sums come out the same however many processors there are
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning about a debugger that nobody uses
        # this checkout and its memo, whatever is installed, from whatever folder
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGE.parent), os.getenv("PYTHONPATH")))),
        "RLHF_EXPLAINED_CACHE": str(memo.root().absolute()),
    }
    with tempfile.TemporaryDirectory() as folder:  # what a notebook writes stays out of docs/
        # Sockets are files: a kernel on TCP would need a loopback interface.
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc")
        manager.connection_file = str(Path(folder, "kernel.json"))
        if python:
            starts = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            manager._kernel_spec = KernelSpec(argv=starts, language="python")
        client = NotebookClient(
            notebook,
            manager,
            resources={"metadata": {"path": folder}},
            timeout=900,
            record_timing=False,
            coalesce_streams=True,  # in how many pieces a line comes is chance
        )
        with client.setup_kernel(env=environment, cleanup_kc=True):
            for index, cell in enumerate(notebook.cells):
                progress(index, len(notebook.cells))
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError as error:
                    inside = re.findall(r"Cell In\[\d+\], line (\d+)", ANSI.sub("", str(error)))
                    what = f"the cell raises {error.ename}: {error.evalue}"
                    raise CellError(index, int(inside[-1]) if inside else 1, what) from None
                except (CellTimeoutError, DeadKernelError) as error:
                    what = f"the cell ends Python or takes more than 15 minutes: mend it ({error})"
                    raise CellError(index, 1, what) from None
    ran = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [[cell.execution_count, cell.outputs] for cell in ran]
    (into / "outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
