"""Notebooks: py:percent files in `docs/notebooks/`, executed and shown by mkdocs-jupyter.

mkdocs-jupyter lets nbconvert execute a notebook and make HTML of it. Two things are added. Around
both there is our memo: a notebook runs once for its code, the package and the run, in a kernel that
needs no network, and a cell that raises is reported with file and line. And its HTML is rebuilt of
the site's own parts, in `cells`.

The first cell installs the package where a reader runs the notebook. Its tag `skip-execution` keeps
it from running in the build, which has the package and no network.

The tag `solution` marks what answers an exercise. It runs like all code; the page folds it, and so
does JupyterLab where the notebook is downloaded.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import jupytext
import nbformat
from jupyter_client.manager import AsyncKernelManager
from mkdocs_jupyter.nbconvert2 import nb2html as convert
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.preprocessors.execute import ExecutePreprocessor
from nbformat import NotebookNode

from rlhf_explained import memo
from rlhf_explained.disk import shown
from rlhf_explained.pipeline import Run
from rlhf_explained.site.faults import logger
from rlhf_explained.studies import STUDIES, results_file

WHEEL = re.compile(r"\brlhf_explained\S*\.whl")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


executed: dict[Path, NotebookNode] = {}  # what was converted, with outputs


class CellError(Exception):
    """A cell that raised.

    Attributes:
        cell: Its number among all cells, from 0.
        line: Line in the cell, from 1.
    """

    def __init__(self, cell: int, line: int, what: str) -> None:
        super().__init__(what)
        self.cell = cell
        self.line = line


class Execution(ExecutePreprocessor):
    """What mkdocs-jupyter's nbconvert executes notebooks with: its own class, with our memo.

    nbconvert makes the object and tells it nothing but the cells, so the rest stands in the class.

    Attributes:
        run: What the notebook's code will read.
        wheel: Address or file name of the package's wheel, for the install cell.
        last: The notebook that was executed last.
        failed: What raised, by key: it is not run again before its code is another.
    """

    run: ClassVar[Run]
    wheel: ClassVar[str]
    last: ClassVar[NotebookNode]
    failed: ClassVar[dict[str, CellError]] = {}

    def preprocess(
        self, nb: NotebookNode, resources: Any = None, km: Any = None
    ) -> tuple[NotebookNode, Any]:
        """Give a notebook the outputs of its code, from the memo or by running it.

        Args:
            nb: Filled in place.
            resources: Of the conversion; left alone.
            km: Not needed: each notebook gets a kernel of its own.

        Returns:
            Both.

        Raises:
            CellError: If a cell raises, hangs or kills the kernel.
        """
        tidy(nb)
        code = [cell for cell in nb.cells if cell.cell_type == "code"]

        def execute_into(folder: Path) -> None:
            try:
                self.execute_cells(copy.deepcopy(nb), folder / "outputs.json")
            except CellError as error:
                self.failed[key] = error
                raise

        parts = [cell.source + json.dumps(cell.metadata, sort_keys=True) for cell in code]
        key = self.key(*parts)
        if key in self.failed:
            raise self.failed[key]
        folder = memo.entry("notebooks", key, execute_into)
        outputs = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
        for cell, (count, produced) in zip(code, outputs, strict=True):
            cell.execution_count = count
            cell.outputs = [NotebookNode(output) for output in produced]
        point_at(nb, self.wheel)
        Execution.last = copy.deepcopy(nb)
        return nb, resources

    @classmethod
    def key(cls, *parts: str) -> str:
        """What outputs depend on beside the code: the package, run, studies, and what runs them."""
        package = Path(__file__).parents[2]
        sources = [file for file in package.rglob("*.py") if package / "site" not in file.parents]
        versions = [memo.version(name) for name in ("ipykernel", "matplotlib")]
        digest = memo.source_digest([*sources, Path(__file__)])
        files = filter(Path.is_file, map(results_file, STUDIES))
        studied = [file.read_text(encoding="utf-8") for file in files]
        return memo.key(
            source=digest, run=cls.run.key, studies=studied, versions=versions, parts=parts
        )

    def execute_cells(self, nb: NotebookNode, into: Path) -> None:
        """Run a notebook's cells in a new kernel, the way nbconvert does.

        Args:
            nb: Its code cells are filled in place.
            into: JSON file for the outputs.
        """
        self.timeout, self.record_timing = 900, False
        self.coalesce_streams = True  # in how many pieces a line comes is chance
        with tempfile.TemporaryDirectory() as folder:  # what a notebook writes stays out of docs/
            # Sockets are files: a kernel on TCP would need a loopback interface.
            manager = AsyncKernelManager(kernel_name="python3", transport="ipc")
            manager.connection_file = str(Path(folder, "kernel.json"))
            super().preprocess(nb, {"metadata": {"path": folder}}, manager)
        ran = [cell for cell in nb.cells if cell.cell_type == "code"]
        outputs = [[cell.execution_count, cell.outputs] for cell in ran]
        into.write_text(json.dumps(outputs), encoding="utf-8")

    def setup_kernel(self, **settings: Any) -> Any:
        """Start the kernel in the environment that Jupyter would give it."""
        environment = os.environ | {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "OMP_NUM_THREADS": "1",  # sums come out the same however many processors there are
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning about a debugger that nobody uses
        }
        return super().setup_kernel(env=environment, cleanup_kc=True, **settings)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[Any, Any]:
        """Run one cell.

        Raises:
            CellError: If it raises, hangs or kills the kernel.
        """
        try:
            return super().preprocess_cell(cell, resources, index)
        except CellExecutionError as error:
            inside = re.findall(r"Cell In\[\d+\], line (\d+)", _ANSI.sub("", str(error)))
            what = f"the cell raises {error.ename}: {error.evalue}"
            raise CellError(index, int(inside[-1]) if inside else 1, what) from None
        except (CellTimeoutError, DeadKernelError) as error:
            raise CellError(index, 1, str(error)) from None


def execute(path: Path) -> None:
    """Run a notebook ahead of its conversion, which reports what raises.

    Args:
        path: A py:percent file.
    """
    with contextlib.suppress(CellError):
        Execution().preprocess(jupytext.read(path))


def tidy(notebook: NotebookNode) -> None:
    """Give cells ids that repeat, and the notebook no more metadata than a reader needs."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"


def nb2html(nb_path: str, **settings: Any) -> str:
    """Convert a notebook as mkdocs-jupyter's function of this name does, or read it from the memo.

    Args:
        nb_path: A py:percent file.
        **settings: Of mkdocs-jupyter.

    Returns:
        HTML, without style sheets and scripts. If a cell raises, that is reported with file and
        line, and no cell has outputs.
    """
    path = Path(nb_path)

    def convert_into(folder: Path) -> None:
        content = convert(nb_path, **settings)
        content = re.sub(r"<(style|script)\b.*?</\1>", "", content, flags=re.S)
        (folder / "page.html").write_text(content, encoding="utf-8")
        (folder / "notebook.json").write_text(json.dumps(Execution.last), encoding="utf-8")

    parts = [path.read_text(encoding="utf-8"), repr(settings), Execution.wheel]
    parts += [memo.version("mkdocs-jupyter"), memo.version("nbconvert")]
    try:
        folder = memo.entry("notebooks", Execution.key(*parts), convert_into)
    except CellError as error:
        line = first_lines(path)[error.cell] + error.line - 1
        logger.warning(f"{shown(path)}:{line}: {error}")
        executed[path] = jupytext.read(path, fmt="py:percent")
        tidy(executed[path])
        settings["execute"] = False
        return convert(nb_path, **settings)
    notebook = json.loads((folder / "notebook.json").read_text(encoding="utf-8"))
    executed[path] = nbformat.from_dict(notebook)  # pyright: ignore[reportArgumentType]
    return (folder / "page.html").read_text(encoding="utf-8")


def first_lines(path: Path) -> list[int]:
    """The line of each cell's first line in a py:percent file, from 1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [number + 2 for number, line in enumerate(lines) if line.startswith("# %%")]


def search_settings(path: Path) -> dict[str, Any]:
    """What a py:percent file says under `search:` in its header, as pages do in theirs."""
    return jupytext.read(path, fmt="py:percent").metadata.get("search") or {}


def is_solution(cell: NotebookNode | dict[str, Any]) -> bool:
    """Whether a cell answers an exercise."""
    return "solution" in cell["metadata"].get("tags", [])


def point_at(notebook: NotebookNode, wheel: str) -> None:
    """Let the install cell install this build's wheel.

    Args:
        notebook: Its cells tagged `install` are changed in place.
        wheel: Address or file name.
    """
    for cell in notebook.cells:
        if "install" in cell.metadata.get("tags", []):
            cell.source = WHEEL.sub(lambda _: wheel, cell.source)


def published(notebook: NotebookNode, address: Callable[[str], str | None]) -> str:
    """The notebook as it is downloaded.

    Args:
        notebook: Cells with outputs.
        address: From the target of a relative link to where it lies for a reader who has only the
            notebook, or None if it lies nowhere for them.

    Returns:
        JSON of an `.ipynb`.
    """

    def absolute(link: re.Match[str]) -> str:
        if not link["to"] or ":" in link["to"]:
            return link[0]
        target = address(link["to"])
        return f"[{link['text']}]({target}{link['anchor'] or ''})" if target else link["text"]

    copy: dict[str, Any] = json.loads(json.dumps(notebook))
    for cell in copy["cells"]:
        is_prose = cell["cell_type"] == "markdown"
        if is_prose:
            cell["source"] = _LINK.sub(absolute, cell["source"])
        if is_prose and is_solution(cell):  # JupyterLab hides the source of code alone
            folded = f"<details><summary>Solution</summary>\n\n{cell['source']}\n\n</details>"
            cell["source"] = folded
        elif is_solution(cell):
            cell["metadata"]["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
    return json.dumps(copy, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
