"""The picture of each page that others show beside a link to it, from the memo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from rlhf_explained import disk, figures, memo


def pictures(cards: Mapping[str, Mapping[str, str]]) -> dict[str, Path]:
    """The cards' pictures; those that are missing are drawn in another process.

    Args:
        cards: From a page's name to the words on its card, see `rlhf_explained.figures.card`.

    Returns:
        From each name to a PNG of 1200 × 630 pixels.

    Raises:
        ValueError: If the drawing fails; the message is the last line of why.
    """
    drawing = memo.sources_of(Path(figures.__file__).with_name("card.py"), ["figures"])
    looks = [memo.source_digest(drawing), memo.version("matplotlib")]
    keys = {name: memo.key(looks=looks, card=dict(card)) for name, card in cards.items()}
    missing = {
        keys[name]: dict(cards[name]) for name in cards if not memo.find("cards", keys[name])
    }
    if missing:
        command = [sys.executable, "-m", "rlhf_explained.figures.card"]
        asked = json.dumps(missing)
        done = subprocess.run(command, input=asked, capture_output=True, encoding="utf-8")
        if done.returncode:
            disk.raise_again(done.stderr, memo.root())
            why = (done.stderr.strip() or "no message").splitlines()[-1]
            raise ValueError(f"rlhf_explained/figures/card.py:1: {why}")
    return {name: memo.root() / "cards" / key / "card.png" for name, key in keys.items()}
