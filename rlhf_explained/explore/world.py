"""The world as a page can load it: words, questions, and what the labeler goes by.

World and labeler need torch, which the site's process does not import: another process tells
them, and the memo keeps what it said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from rlhf_explained import memo
from rlhf_explained.pipeline import Run

_ROOMS = ("world", "models")


def world(run: Run) -> dict[str, Any]:
    """What `World` in `js/engine.js` takes.

    Args:
        run: Whose models read the words: how many heads they have, and the price of KL.

    Returns:
        What JSON can hold: `words` by their tokens, `questions`, the words of courtesy, insult and
        aside, the labeler's numbers, `heads`, `kl_coef`.
    """
    shape = json.loads((run.folder / "report.json").read_text(encoding="utf-8"))["shape"]
    return {**_told(), "heads": shape["heads"], "kl_coef": run.facts["kl_coef"]}


@cache
def _told() -> dict[str, Any]:
    source = memo.source_digest(memo.sources_of(Path(__file__), _ROOMS))
    folder = memo.entry("worlds", memo.key(source=source), _ask)
    return json.loads((folder / "world.json").read_text(encoding="utf-8"))


def _ask(folder: Path) -> None:
    """Let another process write the world down."""
    command = [sys.executable, "-c", f"from {__name__} import tell; tell()"]
    told = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    (folder / "world.json").write_text(told.stdout, encoding="utf-8")


def tell() -> None:
    """Print the world as JSON."""
    from rlhf_explained.world import corpus, labeler
    from rlhf_explained.world.questions import KIND_SHARES, questions
    from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, world_tokenizer

    told = {
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

    print(json.dumps(told))
