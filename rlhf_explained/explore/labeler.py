"""The labeler's panel: what labeler and judge make of an answer whose words a reader can change."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from rlhf_explained.explore.computed import computed
from rlhf_explained.explore.fence import Kind
from rlhf_explained.explore.remembered import models
from rlhf_explained.explore.world import world
from rlhf_explained.measured.text import number
from rlhf_explained.pipeline import Run


def recorded(run: Run, options: Mapping[str, str]) -> str:
    """A right answer and its changes, each with the parts of its gold reward and its score.

    Args:
        run: Whose judge.
        options: None.

    Returns:
        HTML.
    """
    told = next(iter(computed(run).values()))
    heads = "".join(
        f'<th scope="col"{look}>{head}</th>'
        for head, look in {
            "Change": "",
            "Answer": "",
            "Parts of the gold reward": "",
            "Gold reward": ' class="number"',
            "Judge’s score": ' class="number"',
        }.items()
    )
    return (
        '<div class="answers"><p class="prompt"><span class="label">Prompt · recorded</span>'
        f"<span>{escape(told['prompt'])}</span></p></div>"
        '<div class="samples" role="region" aria-label="Recorded changes" tabindex="0">'
        f'<table class="rows"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(map(_row, told['changes']))}</tbody></table></div>"
        '<p class="rule">Recorded: the labeler’s rules and the reward model of run seed '
        f"{run.config.seed}, applied to answers to the first held-out question.</p>"
    )


def _row(one: Mapping[str, Any]) -> str:
    """One change."""
    category = one["category"].replace("_", "-")
    mark = "✓" if category == "helpful" else "✗"
    parts = f"{category} {_signed(one['quality'])}"
    if abs(one["courtesy"]) > 1e-9:
        parts += f", courtesy {_signed(one['courtesy'])}"
    parts += f", {len(one['answer'].split())} words {_signed(one['words'])}"
    return (
        f'<tr><th scope="row">{one["change"]}</th><td data-label="Answer">'
        f'<p class="response">{escape(one["answer"])}</p>'
        f'<p class="category {category}">{mark} {category}</p></td>'
        f'<td data-label="Parts of the gold reward">{parts}</td>'
        f'<td class="number" data-label="Gold reward">{_signed(one["gold"])}</td>'
        f'<td class="number" data-label="Judge’s score">{_signed(one["score"])}</td></tr>'
    )


def _signed(value: float) -> str:
    text = number(value)
    return text if text.startswith("−") else f"+{text}"


def _changes(run: Run) -> dict[str, Any]:
    """What the script begins with: questions, and answers to change."""
    return {
        told["prompt"]: {one["change"]: one["answer"] for one in told["changes"]}
        for told in computed(run).values()
    }


KIND = Kind(
    "labeler",
    "Change the words yourself",
    recorded,
    ("engine", "page", "labeler"),
    {
        "world": world,
        "changes": _changes,
        **models("base", "sft", "reward_model"),
    },
)
