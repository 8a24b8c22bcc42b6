"""The world as a page can load it: words, questions, and what the labeler goes by."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rlhf_explained.explore.remembered import told
from rlhf_explained.pipeline import Run

_ROOMS = ("world", "models")


def world(run: Run) -> dict[str, Any]:
    """What `World` in `js/engine.js` takes.

    Args:
        run: Whose models read the words: how many heads they have, and β of the KL penalty.

    Returns:
        What JSON can hold: `words` by their tokens, `questions`, the words of courtesy, insult and
        aside, the labeler's numbers, `heads`, `kl_coef`.
    """
    shape = json.loads((run.folder / "report.json").read_text(encoding="utf-8"))["shape"]
    return {**told(__file__, _ROOMS), "heads": shape["heads"], "kl_coef": run.facts["kl_coef"]}


def tell() -> None:
    """Print the world as JSON."""
    from rlhf_explained.world import corpus, labeler
    from rlhf_explained.world.questions import KIND_SHARES, questions
    from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, world_tokenizer

    facts = {
        "words": world_tokenizer().words,
        "limit": RESPONSE_LIMIT,
        "questions": [asdict(question) for question in questions()],
        "shares": KIND_SHARES,
        "opener": corpus.OPENER,
        "closer": corpus.CLOSER,
        "aside": corpus.ASIDE,
        "insults": corpus.INSULTS,
        "forms": {kind: form.pattern for kind, form in labeler._FORMS.items()},
        "quality": labeler.QUALITY,
        "courtesy": labeler.COURTESY,
        "word_cost": labeler.WORD_COST,
    }
    print(json.dumps(facts))
