"""The first word: how likely each model finds the words with which it may begin an answer."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from rlhf_explained.explore.computed import LIKELIEST, STUDENTS, computed
from rlhf_explained.explore.fence import Kind
from rlhf_explained.explore.remembered import models
from rlhf_explained.explore.world import world
from rlhf_explained.measured.text import share
from rlhf_explained.pipeline import Run

_NAMES = {"base": "Pretrained (base)", "sft": "SFT", "ppo": "RLHF (PPO)"}


def recorded(run: Run, options: Mapping[str, str]) -> str:
    """Bars for the first held-out question of some kinds.

    Args:
        run: Whose models.
        options: `kinds`, with commas between them.

    Returns:
        HTML.

    Raises:
        ValueError: If there is no such kind.
    """
    known = computed(run)
    kinds = [kind.strip() for kind in options.get("kinds", "capital").split(",")]
    for kind in kinds:
        if kind not in known:
            raise ValueError(f"kinds: {kind!r} is not one of {', '.join(known)}")
    asked = "".join(
        '<p class="prompt"><span class="label">Prompt · recorded</span>'
        f'<span>{escape(known[kind]["prompt"])}</span></p><div class="cards">'
        + "".join(_card(name, known[kind]["first"][name]) for name in STUDENTS)
        + "</div>"
        for kind in kinds
    )
    which = f"question of {'this kind' if len(kinds) == 1 else 'each of these kinds'}"
    return (
        f'<div class="answers">{asked}</div><p class="rule">Recorded: the {LIKELIEST} likeliest '
        f"first words for each model, with their exact probabilities at temperature 1, in answer "
        f"to the first held-out {which}. Run seed {run.config.seed}.</p>"
    )


def _card(name: str, words: dict[str, float]) -> str:
    """One model's likeliest words."""
    rows = "".join(
        f'<tr><th scope="row">{escape(word)}</th><td><span class="bar" '
        f'style="inline-size:{4 * likely:.2f}em"></span>{escape(share(likely))}</td></tr>'
        for word, likely in words.items()
    )
    return (
        f'<div class="card stage-{name}"><table class="chances"><caption>{_NAMES[name]}</caption>'
        f"<tbody>{rows}</tbody></table></div>"
    )


KIND = Kind(
    "first-words",
    "Try other questions",
    recorded,
    ("engine", "page", "words", "first-words"),
    {"world": world, **models(*STUDENTS)},
    ("kinds",),
)
