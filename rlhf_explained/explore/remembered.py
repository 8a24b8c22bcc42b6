"""What explorables show and load, made once, with torch or NumPy, which warm builds do without."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from rlhf_explained import memo, names
from rlhf_explained.pipeline import Run

MODELS = (*names.POLICIES, "reward_model")


@cache
def told(module: str, rooms: tuple[str, ...], *arguments: str | int | None, **more: Any) -> Any:
    """What a module's function `tell` prints, as JSON, in another process.

    Args:
        module: Its file, in this folder.
        rooms: Parts of the package that decide what it prints, as for `memo.sources_of`.
        *arguments: What `tell` takes.
        **more: What the result depends on beside the code, as for `memo.key`.

    Returns:
        What JSON can hold.

    Raises:
        DiskError: If the memo cannot be written.
        CalledProcessError: If the process fails.
    """
    path = Path(module)

    def ask(folder: Path) -> None:
        call = f"from {__package__}.{path.stem} import tell; tell(*{arguments!r})"
        command = [sys.executable, "-c", call]
        done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
        (folder / "told.json").write_text(done.stdout, encoding="utf-8")

    source = memo.source_digest(memo.sources_of(path, rooms))
    key = memo.key(module=path.stem, source=source, **more)
    return json.loads((memo.entry("told", key, ask) / "told.json").read_text(encoding="utf-8"))


def packed(run: Run, name: str) -> str:
    """What a page loads of a model.

    Args:
        run: Whose model.
        name: One of `MODELS`.

    Returns:
        What `rounding.packed` returns.

    Raises:
        DiskError: If the memo cannot be written.
    """

    def pack(folder: Path) -> None:
        from rlhf_explained.explore import rounding

        (folder / "model.js").write_text(rounding.packed(run, name), encoding="ascii")

    source = memo.source_digest([Path(__file__).with_name("rounding.py")])
    key = memo.key(run=run.key, name=name, source=source)
    return (memo.entry("weights", key, pack) / "model.js").read_text(encoding="ascii")


def models(*wanted: str) -> dict[str, Callable[[Run], str]]:
    """What the `data` of a kind takes of models: by name, what packs each.

    Args:
        *wanted: Some of `MODELS`, an earlier one before those that add to it.

    Returns:
        One entry for each.
    """
    return {name: partial(packed, name=name) for name in wanted}
