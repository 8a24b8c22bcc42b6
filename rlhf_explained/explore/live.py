"""The live student: the run's models at work in the page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from rlhf_explained import memo, names
from rlhf_explained.explore.fence import Kind
from rlhf_explained.explore.world import world
from rlhf_explained.pipeline import Run

MODELS = (*names.POLICIES, "reward_model")

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


def _model(run: Run, name: str) -> str:
    """A model as `weights.packed` writes it: the memo keeps it, so that few builds need NumPy."""

    def pack(folder: Path) -> None:
        from rlhf_explained.explore import weights

        (folder / "model.js").write_text(weights.packed(run, name), encoding="ascii")

    source = memo.source_digest([Path(__file__).with_name("weights.py")])
    key = memo.key(run=run.folder.name, name=name, source=source)
    return (memo.entry("weights", key, pack) / "model.js").read_text(encoding="ascii")


ASK = Kind(
    "ask",
    "Ask it yourself",
    None,
    ("engine", "page", "words", "ask"),
    {"world": world, **{name: partial(_model, name=name) for name in MODELS}},
    ("policies", "typical", "commonest", "kinds", "layout"),
)
TEACH = Kind(
    "teach",
    "Teach it your taste",
    _shares,
    ("engine", "page", "lesson", "teach"),
    {"world": world, **{name: partial(_model, name=name) for name in MODELS[:2]}},
)
