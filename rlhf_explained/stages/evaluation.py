"""The evaluation: the same held-out questions for every policy, marked by a labeler without noise.

Nothing that was written for a stage after pretraining asks these questions, or states a fact that
answers one, so what is measured is what was learned about answering, not about these facts. Jokes,
the haiku and refusals share their answers with practised questions; `facts_gold` leaves them out.

A policy answers each question several times. Answers to one question resemble each other, so all
standard errors are clustered by question: they say how far another draw of questions would move a
number (Miller 2024, [Adding error bars to evals](https://arxiv.org/abs/2411.00640)).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean
from typing import Any

import torch

from rlhf_explained.models.gpt import GPT
from rlhf_explained.names import CATEGORIES
from rlhf_explained.rollout import Rollout, Sequences, collect_rollout, score
from rlhf_explained.world.labeler import (
    categorise,
    gold_reward,
    preference_probability,
    states_the_fact,
)
from rlhf_explained.world.questions import FACT_KINDS, Question
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT, Tokenizer

TEMPERATURES = (1.0, 0.7, 0.5, 0.3, 0.0)
"""At which every policy sits the exam; at 0 it always takes the likeliest word."""
MEANS = ("gold", "proxy", "kl", "length")


@dataclass(frozen=True)
class Marked:
    """One answer and what is known about it.

    Attributes:
        prompt: The question.
        kind: Its kind.
        response: The answer.
        category: One of `CATEGORIES`.
        right: Whether the fact that it states is right; None if it states none.
        gold: The labeler's true reward.
        proxy: The reward model's score alone.
        kl: Nats, the log-ratio of the answer under the policy and under the SFT policy; its mean
            over the policy's own answers at temperature 1 estimates KL(policy‖SFT) (the estimator
            k1).
        length: Tokens, `<eos>` included.
    """

    prompt: str
    kind: str
    response: str
    category: str
    right: bool | None
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
    temperature: float = 1.0,
    generator: torch.Generator,
) -> list[Marked]:
    """Let a policy answer each question once.

    Args:
        policy: Who answers.
        sft: The reference that KL is measured against.
        reward_model: Gives the proxy.
        questions: What is asked, in order.
        tokenizer: Of the world.
        temperature: At which it answers.
        generator: Source of randomness.

    Returns:
        One marked answer for each question.
    """
    rollout = collect_rollout(
        policy,
        sft,
        partial(score, reward_model),
        [tokenizer.encode(question.text) for question in questions],
        limit=RESPONSE_LIMIT,
        temperature=temperature,
        generator=generator,
    )
    return marked(questions, rollout, tokenizer)


def marked(questions: Sequence[Question], rollout: Rollout, tokenizer: Tokenizer) -> list[Marked]:
    """What is known about each answer of a rollout."""
    columns = zip(
        questions,
        mark(questions, rollout.sequences, tokenizer),
        rollout.scores.tolist(),
        rollout.log_ratios.tolist(),
        rollout.sequences.lengths.tolist(),
        strict=True,
    )
    return [
        Marked(
            question.text,
            question.kind,
            text,
            category,
            states_the_fact(question, text),
            gold,
            proxy,
            kl,
            length,
        )
        for question, (text, category, gold), proxy, kl, length in columns
    ]


def result(answers: Sequence[Marked], *, temperature: float = 1.0) -> dict[str, Any]:
    """Shares of the categories and means of the measurements, with clustered standard errors.

    Args:
        answers: All answers of a policy.
        temperature: At which they were given; the mean log-ratio is a KL only at 1.

    Returns:
        `responses` and `questions`, their numbers; the share of each category; `gold`, `proxy`,
        `kl` (None at another temperature than 1) and `length`, means; `stated`, the number of
        answers that state a fact, and `accuracy`, the share of right ones among these (None if
        there is none); `facts`, the mean gold and the share of helpful ones among answers to the
        kinds of question that ask for facts; `stderr` of each.
    """
    estimates: dict[str, tuple[float, float]] = {
        category: clustered([(a.prompt, float(a.category == category)) for a in answers])
        for category in CATEGORIES
    }
    for name in MEANS:
        estimates[name] = clustered([(a.prompt, float(asdict(a)[name])) for a in answers])
    if temperature != 1:
        del estimates["kl"]
    stated = [(a.prompt, float(a.right)) for a in answers if a.right is not None]
    if stated:
        estimates["accuracy"] = clustered(stated)
    facts = [a for a in answers if a.kind in FACT_KINDS]
    if facts:
        estimates["facts_gold"] = clustered([(a.prompt, a.gold) for a in facts])
        estimates["facts_helpful"] = clustered(
            [(a.prompt, float(a.category == "helpful")) for a in facts]
        )
    return {
        "responses": len(answers),
        "questions": len({answer.prompt for answer in answers}),
        "stated": len(stated),
        "kl": None,
        "accuracy": None,
        **{name: mean for name, (mean, _) in estimates.items()},
        "stderr": {name: error for name, (_, error) in estimates.items()},
    }


def clustered(values: Sequence[tuple[str, float]]) -> tuple[float, float]:
    r"""A mean, and its standard error if each cluster's values go together.

    $$\mathrm{SE} = \frac{1}{n} \sqrt{\frac{K}{K-1} \sum_{k=1}^{K}
    \Big(\sum_{i \in k} (x_i - \bar{x})\Big)^2}$$

    Args:
        values: Pairs of a cluster's name and a value; clusters may differ in size.

    Returns:
        The mean, and the error: NaN if there is only one cluster.

    Source:
        Miller 2024, [Adding error bars to evals](https://arxiv.org/abs/2411.00640), clustered
        standard errors; the factor K/(K − 1) is the usual one for few clusters.
    """
    mean = fmean(value for _, value in values)
    sums: dict[str, float] = defaultdict(float)
    for cluster, value in values:
        sums[cluster] += value - mean
    if len(sums) < 2:
        return mean, math.nan
    spread = math.fsum(total**2 for total in sums.values()) * len(sums) / (len(sums) - 1)
    return mean, math.sqrt(spread) / len(values)


def by_question(answers: Sequence[Marked]) -> dict[str, dict[str, float]]:
    """Of each question, the mean gold of its answers and the share of helpful ones."""
    asked: dict[str, list[Marked]] = defaultdict(list)
    for answer in answers:
        asked[answer.prompt].append(answer)
    return {
        prompt: {
            "gold": fmean(a.gold for a in given),
            "helpful": fmean(a.category == "helpful" for a in given),
        }
        for prompt, given in asked.items()
    }


def win_rates(
    answers: Sequence[Marked], others: Sequence[Marked], *, decisiveness: float
) -> dict[str, dict[str, float]]:
    """How often answers are preferred to another policy's answers to the same question.

    Every answer is compared with every one of the other policy's to that question.

    Args:
        answers: A policy's.
        others: Another one's, to the same questions.
        decisiveness: How sharply the labeler tells good from bad.

    Returns:
        `labeler` and `reward_model`, each with the `mean` probability of being preferred, and its
        `stderr`, clustered by question. The labeler's is `preference_probability` of the gold, the
        reward model's is the sigmoid of the difference of its scores.
    """
    against: dict[str, list[Marked]] = defaultdict(list)
    for other in others:
        against[other.prompt].append(other)
    rates = {}
    for judge, quantity, sharpness in (
        ("labeler", "gold", decisiveness),
        ("reward_model", "proxy", 1.0),
    ):
        wins = []
        for answer in answers:
            theirs = torch.tensor([getattr(other, quantity) for other in against[answer.prompt]])
            ours = torch.full_like(theirs, getattr(answer, quantity))
            won = preference_probability(ours, theirs, decisiveness=sharpness)
            wins.append((answer.prompt, won.mean().item()))
        mean, error = clustered(wins)
        rates[judge] = {"mean": mean, "stderr": error}
    return rates
