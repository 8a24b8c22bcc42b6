"""Notebooks as they are written: py:percent files in `docs/notebooks/`, and what they depend on."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from rlhf_explained import memo
from rlhf_explained.figures import FIGURES

PACKAGE = Path(__file__).parents[2]


def read(path: Path) -> NotebookNode:
    """Read a notebook, without outputs.

    Args:
        path: A py:percent file.

    Returns:
        Its cells, with ids that repeat; of its metadata what Jupyter needs, what searches find, and
        the environment that it runs in, if it is not the site's.
    """
    return copy.deepcopy(_read(path.read_text(encoding="utf-8-sig")))


@cache
def _read(text: str) -> NotebookNode:
    notebook = jupytext.reads(text, fmt="py:percent")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    kept = {"kernelspec": kernel, "language_info": {"name": "python"}}
    ours = {"search": notebook.metadata.get("search") or {}}
    ours["environment"] = notebook.metadata.get("environment")
    notebook.metadata = NotebookNode(kept, **ours)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def tags(cell: NotebookNode) -> list[str]:
    """What a cell is marked as."""
    return cell.metadata.get("tags", [])


def sources(path: Path) -> set[Path]:
    """Find the files of the package that decide what a notebook prints and draws.

    Args:
        path: A py:percent file.

    Returns:
        All that it imports, and the modules of the figures that it names.
    """
    every = {file for file in PACKAGE.rglob("*.py") if PACKAGE / "site" not in file.parents}
    text = path.read_text(encoding="utf-8-sig")
    rooms = {file.stem for file in PACKAGE.iterdir()} - {"site"}
    try:
        imported = memo.sources_of(path, rooms)
    except SyntaxError:  # a magic of Jupyter's
        return every
    drawn = (figure.sources for name, figure in FIGURES.items() if f'"{name}"' in text)
    return imported.union(*drawn) - {path.resolve()}
