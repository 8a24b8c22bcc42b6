"""The live student: the run's models at work in the page."""

from __future__ import annotations

from collections.abc import Mapping

from rlhf_explained import names
from rlhf_explained.explore import cheat, recordings
from rlhf_explained.explore.fence import Kind, table
from rlhf_explained.explore.remembered import MODELS, models
from rlhf_explained.explore.world import world
from rlhf_explained.measured.text import share
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
    rows = (
        (
            _LABELS[category],
            [share(run.evaluation[name][category]) for name in policies],
            "",
        )
        for category in names.CATEGORIES
    )
    caption = (
        f"Recorded: shares of {run.evaluation['sft']['responses']:,} answers to held-out "
        f"questions, run seed {run.config.seed}."
    )
    return table("Recorded shares", caption, ("", *policies.values()), rows)


def _ends(run: Run, options: Mapping[str, str]) -> str:
    """What both PPO runs measured before the first and after the last round."""
    kept = recordings.recorded(run)
    held, free = kept["ppo"], kept["ppo_no_kl"]
    ends = {"SFT": held[0], "with the penalty": held[-1], "without it": free[-1]}
    caption = (
        f"Recorded: SFT, and PPO after {cheat.count(held[-1])}; means over {held[0]['responses']} "
        f"answers to held-out questions, run seed {run.config.seed}."
    )
    rows = ((name, cheat.texts(row), "") for name, row in ends.items())
    return table("Recorded ends", caption, ("", *cheat.HEADS), rows)


ASK = Kind(
    "ask",
    "Ask it yourself",
    None,
    ("engine", "page", "words", "ask"),
    {"world": world, **models(*MODELS)},
    ("policies", "typical", "commonest", "kinds", "layout"),
)
TEACH = Kind(
    "teach",
    "Teach it your taste",
    _shares,
    ("engine", "page", "lesson", "teach"),
    {"world": world, **models("base", "sft")},
)
LEASH = Kind(
    "leash",
    "Cut the leash",
    _ends,
    ("engine", "page", "lesson", "leash"),
    {"world": world, **models("base", "sft", "reward_model"), "rounds": cheat.rounds},
)
KINDS = (ASK, TEACH, LEASH)
