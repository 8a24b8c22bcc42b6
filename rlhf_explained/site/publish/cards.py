"""The picture of each page: from the memo, or drawn in another process with all missing ones."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from rlhf_explained import disk, figures, memo, parallel
from rlhf_explained.measured import value
from rlhf_explained.pipeline import Run

# The stage that a page belongs to, and a measured value to show with what it is.
_SHOWN = {
    "index": ("", "ppo-helpful", "of its answers help, after RLHF"),
    "guide-alignment-problem": ("base", "base-helpful", "of the pretrained model's answers help"),
    "guide-pipeline": ("", "seconds-total", "for all stages, on an ordinary processor"),
    "guide-sft": ("sft", "sft-helpful", "of its answers help, after SFT"),
    "guide-reward-model": ("rm", "rm-accuracy", "of the pairs it never saw, judged right"),
    "guide-ppo": ("ppo", "ppo-helpful", "of its answers help, after PPO"),
    "guide-why-rlhf-works": ("rm", "rm-pairs", "comparisons taught the judge"),
    "guide-summary": ("aligned", "ppo-gold", "gold reward, after RLHF"),
    "reference-api-stages-pretrain": ("base", "", ""),
    "reference-api-stages-sft": ("sft", "", ""),
    "reference-api-stages-reward_model": ("rm", "", ""),
    "reference-api-stages-ppo": ("ppo", "", ""),
}
_SOURCES = [Path(figures.__file__).parent / name for name in ("card.py", "colours.py")]


class CardError(Exception):
    """The cards could not be drawn; the message is the last line of why."""


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
    shown = value(measured, run).text if measured else ""
    texts = {"title": title, "description": description, "site": site}
    return texts | {"stage": stage, "value": shown, "about": about}


def pictures(cards: Mapping[str, Mapping[str, str]]) -> dict[str, Path]:
    """The cards' pictures.

    Args:
        cards: From a page's name to the words on its card.

    Returns:
        From each name to a PNG of 1200 × 630 pixels.

    Raises:
        CardError: If the drawing fails.
    """
    looks = f"{memo.source_digest(_SOURCES)}/{memo.version('matplotlib')}"
    keys = {name: _key(name, looks, cards[name]) for name in cards}
    missing = [name for name in cards if not (memo.root() / "cards" / keys[name]).is_dir()]
    with tempfile.TemporaryDirectory() as fresh:
        each = [{name: cards[name] for name in share} for share in parallel.shares(missing)]
        parallel.together([functools.partial(_draw, share, Path(fresh)) for share in each])

        def made(name: str) -> Path:
            def make(folder: Path) -> None:
                if name not in missing:  # a damaged entry
                    _draw({name: cards[name]}, Path(fresh))
                shutil.copy(Path(fresh, f"{name}.png"), folder)

            return memo.entry("cards", keys[name], make) / f"{name}.png"

        return {name: made(name) for name in cards}


def _key(name: str, looks: str, card: Mapping[str, str]) -> str:
    return memo.key(name=name, looks=looks, card=dict(card))


def _draw(cards: Mapping[str, Mapping[str, str]], into: Path) -> None:
    command = [sys.executable, "-m", "rlhf_explained.figures.card", str(into)]
    asked = json.dumps({name: dict(card) for name, card in cards.items()})
    done = subprocess.run(command, input=asked, capture_output=True, encoding="utf-8")
    if done.returncode:
        disk.raise_again(done.stderr, into)
        trace = done.stderr.strip() or "no message"
        line = (re.findall(r'figures/card\.py", line (\d+)', trace) or ["1"])[-1]
        raise CardError(f"rlhf_explained/figures/card.py:{line}: {trace.splitlines()[-1]}")
