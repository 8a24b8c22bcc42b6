"""Notebooks that need more than the site has: run by a command of their own, shown as they ran.

`environment: trl` in the head of a notebook says that it runs in `.venv-trl` alone. `make trl` runs
it there and writes what came out beside it, with date, versions and the code that ran. The site
shows these outputs, installs nothing for them, and says so if the code has changed since.
"""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from rlhf_explained import memo
from rlhf_explained.pipeline import TRAINING
from rlhf_explained.site.notebooks.read import read

VERSIONS = ("torch", "trl", "transformers", "datasets", "accelerate", "peft")
FORGOTTEN = "no outputs of this notebook are stored: run `make trl`"


@dataclass(frozen=True)
class Stored:
    """What a notebook printed and drew when it ran last, and how that came about.

    Attributes:
        path: The notebook.
        date: On which it ran.
        seconds: That it took.
        versions: Of Python and of packages, by name.
        source: Digest of the package's code that it imported.
        cells: Of each code cell its `code`, its number (`count`) and its `outputs`.
    """

    path: Path
    date: str
    seconds: int
    versions: dict[str, str]
    source: str
    cells: list[dict[str, Any]]

    @cached_property
    def is_stale(self) -> bool:
        """Whether a cell, or code of the package that the notebook imports, is another now."""
        code = [cell.source for cell in _code(read(self.path))]
        ran = [cell["code"] for cell in self.cells]
        return self.source != _source(self.path) or ran != code

    @property
    def origin(self) -> str:
        """Where the outputs come from, in a sentence for the page."""
        used = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        stale = " **Its code has changed since.**" if self.is_stale else ""
        return (
            f"This notebook needs more than the site is built with. `make trl` ran it on "
            f"{self.date}, in {self.seconds:.0f} seconds, with {used}; the page shows what came "
            f"out then.{stale}"
        )


def is_stored(notebook: NotebookNode) -> bool:
    """Whether a notebook runs in an environment of its own, and not in a build."""
    return bool(notebook.metadata.get("environment"))


def outputs_file(path: Path) -> Path:
    """Where the outputs of a notebook are stored: beside it."""
    return path.with_suffix(".outputs.json")


def stored(path: Path) -> Stored:
    """Read what a notebook printed and drew.

    Args:
        path: The notebook, a py:percent file.

    Returns:
        What is stored.

    Raises:
        ValueError: If nothing is.
    """
    file = outputs_file(path)
    if not file.is_file():
        raise ValueError(FORGOTTEN)
    content = json.loads(file.read_text(encoding="utf-8"))
    del content["notebook"], content["machine"]
    return Stored(path, **content)


def fill(notebook: NotebookNode, found: Stored) -> None:
    """Give each cell the outputs that it had, if it is one of those that ran."""
    ran = {cell["code"]: cell for cell in found.cells}
    for cell in _code(notebook):
        if was := ran.get(cell.source):
            cell.execution_count = was["count"]
            cell.outputs = [NotebookNode(output) for output in was["outputs"]]


def store(path: Path, notebook: NotebookNode, python: Path, seconds: float) -> None:
    """Write down what a notebook printed and drew.

    What its libraries said on standard error, of bars that they cannot draw and names that they
    will change, is no output of the notebook, and left out.

    Args:
        path: A py:percent file.
        notebook: The same, run.
        python: Of the environment in which it ran.
        seconds: That it took.
    """
    cells = [
        {
            "code": cell.source,
            "count": cell.execution_count,
            "outputs": [output for output in cell.outputs if output.get("name") != "stderr"],
        }
        for cell in _code(notebook)
    ]
    content = {
        "notebook": path.name,
        "date": date.today().isoformat(),
        "seconds": round(seconds),
        "versions": _versions(python),
        "machine": platform.machine(),
        "source": _source(path),
    }
    parts = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items()]
    lines = ",\n".join(json.dumps(cell, ensure_ascii=False, indent=1) for cell in cells)
    file = outputs_file(path)
    fresh = file.with_suffix(".new")
    fresh.write_text(
        "{\n" + ",\n".join(parts) + f',\n"cells": [\n{lines}\n]\n}}\n', encoding="utf-8"
    )
    fresh.replace(file)


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _source(path: Path) -> str:
    """Digest of the code that decides what came out: of what trains, and of what hands over."""
    return memo.source_digest(
        memo.sources_of(path, (*TRAINING, "hugging_face")) - {path.resolve()}
    )[:20]


def _versions(python: Path) -> dict[str, str]:
    """The versions that an environment has."""
    asks = "import json, platform, sys; from importlib.metadata import version; "
    asks += "found = {name: version(name) for name in sys.argv[1:]}; "
    asks += "print(json.dumps({'Python': platform.python_version(), **found}))"
    command = [str(python), "-c", asks, *VERSIONS]
    return json.loads(subprocess.check_output(command, encoding="utf-8"))
