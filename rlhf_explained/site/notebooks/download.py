"""The wheel that notebooks install: built offline, memoised, always the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rlhf_explained import memo


def wheel(root: Path) -> Path:
    """Build the wheel, or take it from the memo.

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


_METADATA = ("pyproject.toml", "README.md", "LICENSE")
