"""Notebooks: py:percent files in `docs/notebooks/`, executed at build, shown as pages of the site.

A notebook is executed once for its code, the package and the run, and its outputs are memoised. Its
page is Markdown made of cells and outputs, so it gets the same formulas, checked links, colours and
search as every other page; the same cells and outputs are published as an `.ipynb`.

The first cell installs the package where a reader runs the notebook. Its tag `skip-execution` keeps
it from running in the build, which has the package and no network.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import os
import re
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jupytext
from mkdocs.structure.files import File
from nbformat import NotebookNode

from rlhf_explained import memo
from rlhf_explained.pipeline import Run
from rlhf_explained.site.faults import logger, shown

WHEEL = re.compile(r"\brlhf_explained\S*\.whl")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


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


class NotebookFile(File):
    """A Python file that is a page."""

    def is_documentation_page(self) -> bool:
        """MkDocs asks by the name's end otherwise."""
        return True


def read(path: Path) -> NotebookNode:
    """Read a py:percent file.

    Args:
        path: The file.

    Returns:
        Its cells without outputs; their ids are their numbers, so that they stay the same.
    """
    notebook = jupytext.read(path, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info={"name": "python"})
    return notebook


def first_lines(path: Path) -> list[int]:
    """The line of each cell's first line in a py:percent file, from 1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [number + 2 for number, line in enumerate(lines) if line.startswith("# %%")]


def executed(path: Path, run: Run) -> NotebookNode:
    """Read a notebook and give it the outputs of its code, from the memo or by running it.

    Args:
        path: A py:percent file.
        run: What the notebook's code will read.

    Returns:
        The notebook with outputs. If a cell raises, that is reported with file and line, and the
        notebook comes without any.
    """
    notebook = read(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    package = Path(__file__).parent.parent
    sources = [file for file in package.rglob("*.py") if "site" not in file.parts[-2:-1]]
    parts = [memo.source_digest(sources), run.key, version("matplotlib"), version("ipykernel")]
    parts += [cell.source + json.dumps(cell.metadata, sort_keys=True) for cell in code]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

    def execute_into(folder: Path) -> None:
        execute(notebook)
        outputs = [[cell.execution_count, cell.outputs] for cell in code]
        (folder / "outputs.json").write_text(json.dumps(outputs), encoding="utf-8")

    try:
        folder = memo.entry("notebooks", key, execute_into)
    except CellError as error:
        line = first_lines(path)[error.cell] + error.line - 1
        logger.warning(f"{shown(path)}:{line}: {error}")
        return read(path)
    outputs = json.loads((folder / "outputs.json").read_text(encoding="utf-8"))
    for cell, (count, produced) in zip(code, outputs, strict=True):
        cell.execution_count = count
        cell.outputs = [NotebookNode(output) for output in produced]
    return notebook


def execute(notebook: NotebookNode) -> None:
    """Run a notebook's cells in a new kernel and put their outputs into them.

    Args:
        notebook: Its code cells are filled in place.

    Raises:
        CellError: If a cell raises, hangs or kills the kernel.
    """
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    with tempfile.TemporaryDirectory() as folder:  # what a notebook writes stays out of docs/
        # Sockets are files: a kernel on TCP would need a loopback interface.
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc")
        manager.connection_file = str(Path(folder, "kernel.json"))
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=900,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        environment = os.environ | {
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",  # as in Jupyter
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning about a debugger that nobody uses
        }
        with client.setup_kernel(env=environment, cleanup_kc=True):
            for number, cell in enumerate(notebook.cells):
                try:
                    client.execute_cell(cell, number)
                except CellExecutionError as error:
                    inside = re.findall(r"Cell In\[\d+\], line (\d+)", _ANSI.sub("", str(error)))
                    what = f"the cell raises {error.ename}: {error.evalue}"
                    raise CellError(number, int(inside[-1]) if inside else 1, what) from None
                except (CellTimeoutError, DeadKernelError) as error:
                    raise CellError(number, 1, str(error)) from None


def to_markdown(notebook: NotebookNode, path: Path, offer: str) -> str:
    """Write a notebook as a page.

    Args:
        notebook: Cells with outputs.
        path: Where its source lies, for faults.
        offer: Markdown to put under the title.

    Returns:
        Markdown with the outputs as Output blocks, images and HTML.
    """
    lines = first_lines(path)
    parts: list[str] = []
    cells = list(enumerate(notebook.cells))
    # A page begins with its title, even where the notebook begins with the install cell.
    titles = [one for one in cells if one[1].source.startswith("# ") and _is_markdown(one[1])]
    if titles:
        title, _, rest = titles[0][1].source.partition("\n")
        parts += [title, offer, rest]
        cells.remove(titles[0])
    for number, cell in cells:
        if _is_markdown(cell):
            for word in re.findall(r"\{\{\s*value:|^```(?:figure|samples)", cell.source, re.M):
                at = lines[number] + cell.source[: cell.source.index(word)].count("\n")
                why = f"{word!r} means nothing in a download: let a cell print or draw it"
                logger.warning(f"{shown(path)}:{at}: {why}")
            parts.append(cell.source)
        elif cell.cell_type == "code":
            parts.append(_fence("python", cell.source))
            alt = cell.metadata.get("alt", "")
            shown_outputs = [_output(output, alt) for output in cell.outputs]
            for shape, group in itertools.groupby(shown_outputs, lambda one: one[0]):
                if shape == "image" and not alt:
                    why = 'an image without alt text: write `# %% alt="…"` above its cell'
                    logger.warning(f"{shown(path)}:{lines[number] - 1}: {why}")
                texts = [text for _, text in group]
                parts += [_text("\n".join(texts))] if shape == "text" else texts
    return "\n\n".join(part for part in parts if part) + "\n"


def _is_markdown(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown"


def _output(output: NotebookNode, alt: str) -> tuple[str, str]:
    """One output's shape and Markdown."""
    if output.output_type == "stream":
        return "text", output.text.rstrip("\n")
    data: dict[str, Any] = output.get("data", {})
    if "text/html" in data:
        return "html", f'<div class="cell-output">\n{data["text/html"]}\n</div>'
    if "image/svg+xml" in data:
        svg = data["image/svg+xml"]
        svg = svg[svg.index("<svg") :]
        label = f'<svg role="img" aria-label="{html.escape(alt)}"'
        themed = "" if "var(--" in svg else " paper"  # drawn for white, whatever the theme
        svg = re.sub(r"\n\s*\n", "\n", svg.replace("<svg", label, 1))
        return "image", f'<div class="cell-output{themed}" data-search-exclude>\n{svg}\n</div>'
    if "image/png" in data:
        source = f"data:image/png;base64,{data['image/png'].replace(chr(10), '')}"
        image = f'<img src="{source}" alt="{html.escape(alt)}">'
        return "image", f'<div class="cell-output paper">{image}</div>'
    if "text/markdown" in data:
        return "markdown", data["text/markdown"]
    return "text", data.get("text/plain", "")


def _text(text: str) -> str:
    text = _ANSI.sub("", text).rstrip("\n")
    return _fence('text title="Output"', text) if text.strip() else ""


def _fence(language: str, text: str) -> str:
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    return f"{'`' * (longest + 1)}{language}\n{text}\n{'`' * (longest + 1)}"


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
        if cell["cell_type"] == "markdown":
            cell["source"] = _LINK.sub(absolute, cell["source"])
    return json.dumps(copy, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
