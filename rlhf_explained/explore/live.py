"""The live student: the run's models at work in the page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rlhf_explained import names
from rlhf_explained.explore.fence import Kind
from rlhf_explained.explore.remembered import MODELS, packed
from rlhf_explained.explore.world import world
from rlhf_explained.pipeline import Run

_LABELS = {
    "helpful": "helpful, by the site’s rules",
    "rambling": "tells a story or adds a fact",
    "off_topic": "asks a question back",
    "harmful": "insults, or explains a crime",
    "false": "states a wrong fact",
    "broken": "broken sentence",
}


def _shares(run: Run, options: Mapping[str, str]) -> str:
    """What the labeler's taste made of the student, by kind of answer."""
    policies = {"sft": "before (SFT)", "ppo": "after the labeler’s taste (PPO)"}
    heads = "".join(f'<th scope="col">{name}</th>' for name in policies.values())
    rows = "".join(
        f'<tr><th scope="row">{_LABELS[category]}</th>'
        + "".join(f"<td>{100 * run.evaluation[name][category]:.0f} %</td>" for name in policies)
        + "</tr>"
        for category in names.CATEGORIES
    )
    count = f"{run.evaluation['sft']['responses']:,}"
    return (
        '<div class="numbers" role="region" aria-label="Recorded shares" tabindex="0">'
        f'<table class="plain"><caption>Recorded: shares of {count} answers to questions held out, '
        f"run seed {run.config.seed}.</caption><thead><tr><td></td>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


ASK = Kind(
    "ask",
    "Ask it yourself",
    None,
    ("engine", "page", "words", "ask"),
    {"world": world, **{name: partial(packed, name=name) for name in MODELS}},
    ("policies", "typical", "commonest", "kinds", "layout"),
)
TEACH = Kind(
    "teach",
    "Teach it your taste",
    _shares,
    ("engine", "page", "lesson", "teach"),
    {"world": world, **{name: partial(packed, name=name) for name in ("base", "sft")}},
)
