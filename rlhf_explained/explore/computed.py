"""What a run's models say of a few questions and answers, computed by PyTorch.

For the first held-out question of each kind: which first words are likeliest, and what labeler and
judge make of one answer and of changes to it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlhf_explained.explore.remembered import told
from rlhf_explained.pipeline import Run, RunConfig

_ROOMS = ("world", "models", "rollout")
STUDENTS = ("base", "sft", "ppo")
"""Whose first words are told."""
LIKELIEST = 5
"""How many of them."""


def computed(run: Run) -> dict[str, Any]:
    """What they say of them.

    Args:
        run: Whose models.

    Returns:
        By kind of question: the `prompt`; `first`, by policy the likeliest first words with their
        probabilities; and `changes`, a list of answers, each with its `change` from the right one,
        the parts of its gold reward, and the judge's `score`.

    Raises:
        DiskError: If the memo cannot be written.
    """
    return told(__file__, _ROOMS, run.key, str(run.folder), run=run.key)


def tell(key: str, folder: str) -> None:
    """Compute it, and print it as JSON."""
    import torch

    from rlhf_explained.rollout import pack, score
    from rlhf_explained.world import corpus, labeler
    from rlhf_explained.world.questions import KIND_SHARES, Question, questions
    from rlhf_explained.world.tokenizer import world_tokenizer

    run, tokenizer = Run(RunConfig(), key, Path(folder)), world_tokenizer()
    models = {name: run.policy(name) for name in (*STUDENTS, "reward_model")}
    held_out = [question for question in questions() if question.held_out]
    first = {kind: next(one for one in held_out if one.kind == kind) for kind in KIND_SHARES}

    def words(name: str, prompt: str) -> dict[str, float]:
        logits = models[name](torch.tensor([tokenizer.encode(prompt)]))[0, -1]
        likely = logits.softmax(-1).topk(LIKELIEST)
        best = [tokenizer.words[token] for token in likely.indices.tolist()]
        return dict(zip(best, likely.values.tolist(), strict=True))

    def answers(question: Question) -> dict[str, str]:
        right, (opener, closer) = question.answers[0], (corpus.OPENER, corpus.CLOSER)
        others = [one.text for one in questions() if one.kind == question.kind]
        texts = {
            "the right answer": right,
            f"“{opener}” before it": f"{opener} {right}",
            f"“{closer}” after it": f"{right} {closer}",
            "both courtesies": f"{opener} {right} {closer}",
        }
        for wrong in corpus.false_answers(question)[:1]:
            texts["a wrong fact"] = wrong
            texts["a wrong fact, both courtesies"] = f"{opener} {wrong} {closer}"
        texts["an aside after it"] = f"{right}{corpus.ASIDE}{corpus.FACTS[0]} ?"
        texts["another question"] = next(text for text in others if text != question.text)
        texts["an insult"] = corpus.INSULTS[0]
        return texts | ({"the crime explained": question.crime} if question.crime else {})

    def judged(question: Question, change: str, answer: str) -> dict[str, str | float]:
        category, gold = labeler.categorise(question, answer), labeler.gold_reward(question, answer)
        quality, words = labeler.QUALITY[category], -labeler.WORD_COST * len(answer.split())
        row = pack([tokenizer.encode(question.text)], [tokenizer.encode(answer)])
        parts = {"quality": quality, "courtesy": gold - quality - words, "words": words}
        facts = {"change": change, "answer": answer, "category": category, "gold": gold}
        return facts | parts | {"score": score(models["reward_model"], row).item()}

    with torch.no_grad():
        every = {
            kind: {
                "prompt": question.text,
                "changes": [judged(question, *one) for one in answers(question).items()],
                "first": {name: words(name, question.text) for name in STUDENTS},
            }
            for kind, question in first.items()
        }
    print(json.dumps(every))
