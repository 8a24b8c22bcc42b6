"""What readers take along: a notebook as `.ipynb`, and the wheel that it installs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from rlhf_explained import memo

_METADATA = ("pyproject.toml", "README.md", "LICENSE")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<to>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")


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
    del copy["metadata"]["search"], copy["metadata"]["environment"]
    for cell in copy["cells"]:
        is_prose = cell["cell_type"] == "markdown"
        is_solution = "solution" in cell["metadata"].get("tags", [])
        if is_prose:
            cell["source"] = _LINK.sub(absolute, cell["source"])
        if is_prose and is_solution:  # JupyterLab hides the source of code alone
            folded = f"<details><summary>Solution</summary>\n\n{cell['source']}\n\n</details>"
            cell["source"] = folded
        elif is_solution:
            cell["metadata"]["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
    return json.dumps(copy, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def wheel(root: Path) -> Path:
    """Build the wheel offline, always with the same bytes, or take it from the memo.

    Args:
        root: The checkout, where `pyproject.toml` lies.

    Returns:
        The wheel's file.
    """
    package = [path for path in (root / "rlhf_explained").rglob("*") if path.suffix != ".pyc"]
    digest = hashlib.sha256()
    for path in sorted([*package, *(root / name for name in _METADATA)]):
        if path.is_file():
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())

    def build(folder: Path) -> None:
        from hatchling.builders.wheel import WheelBuilder

        # The time stamps inside are hatchling's fixed date.
        for _ in WheelBuilder(str(root)).build(directory=str(folder), versions=["standard"]):
            pass

    folder = memo.entry("wheels", digest.hexdigest()[:20], build)
    return next(folder.glob("*.whl"))
