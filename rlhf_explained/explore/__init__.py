"""Explorables: parts of a page that a reader tries out, on the run's own numbers and weights.

Each kind has its own module, with the recorded result that a page shows first, and a script in
`js/` that takes over when its button is pressed. Importing this needs no torch.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import math
from pathlib import Path

from rlhf_explained.explore import cheat, first_words, labeler, live, sliders
from rlhf_explained.explore.fence import Fence, Kind
from rlhf_explained.pipeline import Run

__all__ = ["FOLDER", "KINDS", "Fence", "Kind", "button", "files", "names"]

FOLDER = "assets/explore"
"""Where the site publishes scripts and data."""
_ALL = (cheat.KIND, first_words.KIND, labeler.KIND, *live.KINDS, *sliders.KINDS)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
"""All kinds by name."""
_SCRIPTS = Path(__file__).parent / "js"


@functools.cache
def _published(kind: Kind, run: Run) -> dict[str, bytes]:
    """What the press of a button loads, in order: a name that tells the content, and that."""
    parts = {name: (_SCRIPTS / f"{name}.js").read_text(encoding="utf-8") for name in kind.scripts}
    for name, make in kind.data.items():
        told = make(run)
        if not isinstance(told, str):
            told = json.dumps(told, separators=(",", ":"), ensure_ascii=False)
        parts[name] = f"explore.data.{name}={told}\n"
    every = {name: text.encode() for name, text in parts.items()}
    return {f"{n}.{hashlib.sha256(text).hexdigest()[:10]}.js": text for n, text in every.items()}


def files(run: Run) -> dict[str, bytes]:
    """All scripts and data to publish: what they hold by their addresses.

    Args:
        run: Whose numbers and weights they hold.

    Returns:
        The same bytes at the same addresses for the same run and sources.
    """
    every = (_published(kind, run).items() for kind in KINDS.values())
    return {f"{FOLDER}/{name}": content for some in every for name, content in some}


def names(kind: Kind, run: Run) -> list[str]:
    """The files that a kind loads, in order, as they are called in `FOLDER`."""
    return list(_published(kind, run))


def button(kind: Kind, run: Run) -> str:
    """What the button says: what it does, and how much it loads, gzipped as hosts send it."""
    packed = (gzip.compress(text, 6, mtime=0) for text in _published(kind, run).values())
    return f"{kind.button} ({math.ceil(sum(map(len, packed)) / 1000)} KB)"
