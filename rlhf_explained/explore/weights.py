"""The run's models as a page can load them: packed once, which needs NumPy, and remembered."""

from __future__ import annotations

from pathlib import Path

from rlhf_explained import memo, names
from rlhf_explained.pipeline import Run

MODELS = (*names.POLICIES, "reward_model")


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
