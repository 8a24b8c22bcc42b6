"""The exam: the same held-out questions for every policy, marked by a labeler without noise.

No stage after pretraining has seen these questions, so what is measured is what was learned about
answering, not about these answers.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch

from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Sequences, collect_rollout, score
from rlhf_explained.world.labeler import CATEGORIES, categorise, gold_reward
from rlhf_explained.world.questions import Question
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, Tokenizer

MEANS = ("gold", "proxy", "kl", "length")


@dataclass(frozen=True)
class Marked:
    """One answer and what is known about it.

    Attributes:
        prompt: The question.
        kind: Its kind.
        response: The answer.
        category: One of `CATEGORIES`.
        gold: The labeler's true reward.
        proxy: The reward model's score alone.
        kl: Nats, the log-ratio of the answer under the policy and under the SFT policy; its mean
            over the policy's own answers estimates KL(policy‖SFT) (the estimator k1).
        length: Tokens, `<eos>` included.
    """

    prompt: str
    kind: str
    response: str
    category: str
    gold: float
    proxy: float
    kl: float
    length: int


def mark(
    questions: Sequence[Question], sequences: Sequences, tokenizer: Tokenizer
) -> list[tuple[str, str, float]]:
    """Decode each answer and judge it: (text, category, gold reward)."""
    texts = [tokenizer.decode(row) for row in sequences.responses.tolist()]
    return [
        (text, categorise(question, text), gold_reward(question, text))
        for question, text in zip(questions, texts, strict=True)
    ]


def sit_exam(
    policy: GPT,
    sft: GPT,
    reward_model: GPT,
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    *,
    generator: torch.Generator,
) -> list[Marked]:
    """Let a policy answer each question once, at temperature 1.

    Args:
        policy: Who answers.
        sft: The reference that KL is measured against.
        reward_model: Gives the proxy.
        questions: What is asked, in order.
        tokenizer: Of the world.
        generator: Source of randomness.

    Returns:
        One marked answer for each question.
    """
    prompts = [tokenizer.encode(question.text) for question in questions]
    rollout = collect_rollout(
        policy,
        sft,
        partial(score, reward_model),
        prompts,
        limit=RESPONSE_LIMIT,
        generator=generator,
    )
    mask = rollout.sequences.response_mask
    log_ratios = (rollout.logprobs - rollout.ref_logprobs).masked_fill(~mask, 0).sum(1)
    columns = zip(
        questions,
        mark(questions, rollout.sequences, tokenizer),
        rollout.scores.tolist(),
        log_ratios.tolist(),
        rollout.sequences.lengths.tolist(),
        strict=True,
    )
    return [
        Marked(question.text, question.kind, text, category, gold, proxy, kl, length)
        for question, (text, category, gold), proxy, kl, length in columns
    ]


def result(answers: Sequence[Marked]) -> dict[str, Any]:
    """Shares of the categories and means of the measurements, with standard errors.

    A share p of n answers has the standard error sqrt(p(1 − p)/n), a mean s/sqrt(n).
    """
    count = len(answers)
    shares = {
        category: sum(answer.category == category for answer in answers) / count
        for category in CATEGORIES
    }
    errors = {
        category: math.sqrt(share * (1 - share) / count) for category, share in shares.items()
    }
    means = {}
    for name in MEANS:
        values = torch.tensor([float(asdict(answer)[name]) for answer in answers]).double()
        means[name] = values.mean().item()
        errors[name] = values.std().item() / math.sqrt(count)
    return {"responses": count, **shares, **means, "stderr": errors}
