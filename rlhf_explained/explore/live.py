"""The live student: the run's models at work in the page."""

from __future__ import annotations

from functools import partial

from rlhf_explained.explore import weights
from rlhf_explained.explore.fence import Kind
from rlhf_explained.explore.world import world

ASK = Kind(
    "ask",
    "Ask it yourself",
    None,
    ("engine", "page", "ask"),
    {"world": world, **{name: partial(weights.packed, name=name) for name in weights.BEFORE}},
    ("policies", "typical", "commonest", "kinds", "layout"),
)
