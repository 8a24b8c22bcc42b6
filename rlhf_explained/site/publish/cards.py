"""The picture of each page that others show beside a link to it, from the memo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from rlhf_explained import disk, figures, memo
from rlhf_explained.measured import value
from rlhf_explained.pipeline import Run

# The stage that a page belongs to, and a measured value to show with what it is.
_SHOWN = {
    "index": ("", "ppo-helpful", "of its answers help, after RLHF"),
    "guide-alignment-problem": ("base", "base-helpful", "of the pretrained model's answers help"),
    "guide-sft": ("sft", "sft-helpful", "of its answers help, after SFT"),
    "guide-reward-model": ("rm", "rm-accuracy", "of the pairs it never saw, judged right"),
    "guide-ppo": ("ppo", "ppo-helpful", "of its answers help, after PPO"),
    "guide-why-rlhf-works": ("rm", "rm-pairs", "comparisons taught the judge"),
    "guide-summary": ("aligned", "ppo-gold", "gold reward, after RLHF"),
}


def words(name: str, title: str, description: str, site: str, run: Run) -> dict[str, str]:
    """What stands on a page's card.

    Args:
        name: The page's path with hyphens, without its ending.
        title: Its title.
        description: Its description.
        site: The name of the site.
        run: Where the measured value comes from.

    Returns:
        What `rlhf_explained.figures.card` draws.
    """
    stage, measured, about = _SHOWN.get(name, ("", "", ""))
    shown = f"{value(measured, run).text} {about}" if measured else ""
    texts = {"title": title, "description": description, "site": site}
    return texts | {"stage": stage, "value": shown}


def pictures(cards: Mapping[str, Mapping[str, str]]) -> dict[str, Path]:
    """The cards' pictures; those that are missing are drawn in another process.

    Args:
        cards: From a page's name to the words on its card.

    Returns:
        From each name to a PNG of 1200 × 630 pixels.

    Raises:
        ValueError: If the drawing fails; the message is the last line of why.
    """
    drawn_by = memo.source_digest([Path(figures.__file__).with_name("card.py")])
    looks = [drawn_by, memo.version("matplotlib")]
    keys = {name: memo.key(looks=looks, card=dict(card)) for name, card in cards.items()}
    missing = {
        keys[name]: dict(card) for name, card in cards.items() if not memo.find("cards", keys[name])
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
