"""What can be had without learning.

Of sixteen answers the one can be kept that the policy itself finds the likeliest. This takes time
and nothing else. Other ways take somebody who knows what this world is like. A model can be made to
begin politely: the first words are written for it (a prefill), and it continues. That would help if
polite words stood before helpful answers alone; here they stand before answers of every kind. The
experts' habit has a mark, though: their asides begin with the same words, so a filter can cut them
off. And whoever knows that the labeler likes polite words can put them around whatever is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from rlhf_explained.models.gpt import GPT
from rlhf_explained.names import CATEGORIES
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import generate, pack, score, sequence_logprobs
from rlhf_explained.stages.best_of_n import best_of_n
from rlhf_explained.stages.evaluation import Marked, result
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import ASIDE, CLOSER, OPENER
from rlhf_explained.world.labeler import (
    categorise,
    gold_reward,
    plain,
    states_the_fact,
)
from rlhf_explained.world.questions import evaluation_questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT

ANSWERS = 10
"""To each held-out question; one where the likeliest word is always taken."""
N = 16


@dataclass(frozen=True)
class Shortcut:
    """How a policy is made to answer.

    Attributes:
        policy: Who answers.
        trick: `likeliest` of `N` answers, `begun` with the polite opening, `cut` before an aside,
            or `dressed`: cut, and polite words put around what is left.
        temperature: At which it answers.
    """

    policy: str
    trick: str
    temperature: float


SEEDS = range(5)
SAMPLE = "sft_begun_0.0"
SETTINGS: dict[str, Shortcut] = {
    f"{policy}_likeliest_1.0": Shortcut(policy, "likeliest", 1.0) for policy in ("base", "sft")
} | {
    f"{policy}_{trick}_{temperature}": Shortcut(policy, trick, temperature)
    for policy, trick in (
        ("base", "begun"),
        ("sft", "begun"),
        ("ppo", "begun"),
        ("sft", "cut"),
        ("sft", "dressed"),
    )
    for temperature in (1.0, 0.5, 0.0)
}


def measure(name: str, seed: int) -> dict[str, float]:
    """Let a policy answer the held-out questions with one of the tricks.

    Args:
        name: Of the setting.
        seed: Of the run whose policy answers.

    Returns:
        Mean gold and proxy, the shares of the categories, and the accuracy of stated facts.
    """
    setting, start = SETTINGS[name], run(RunConfig(seed=seed))
    reward_model, lesson = start.policy("reward_model"), Lesson(seed)
    asked = evaluation_questions(ANSWERS if setting.temperature else 1)
    prompts = lesson.tokens([question.text for question in asked])
    texts = answers(lesson, start.policy(setting.policy), prompts, setting)
    with torch.no_grad():
        scores = score(reward_model, pack(prompts, lesson.tokens(texts))).tolist()
    exam = result(
        [
            Marked(
                question.text,
                question.kind,
                text,
                categorise(question, text),
                states_the_fact(question, text),
                gold_reward(question, text),
                proxy,
                0.0,
                len(text.split()) + 1,
            )
            for question, text, proxy in zip(asked, texts, scores, strict=True)
        ]
    )
    return {name: exam[name] for name in ("gold", "proxy", *CATEGORIES, "accuracy")}


def answers(lesson: Lesson, policy: GPT, prompts: list[list[int]], setting: Shortcut) -> list[str]:
    """What a policy answers with a trick, in words."""
    opening = lesson.tokenizer.encode(OPENER) if setting.trick == "begun" else []
    randomness = lesson.generator("shortcuts")
    if setting.trick == "likeliest":
        judge = partial(sequence_logprobs, policy)
        written = best_of_n(policy, judge, prompts, N, generator=randomness)
    else:
        written = generate(
            policy,
            [[*prompt, *opening] for prompt in prompts],
            limit=RESPONSE_LIMIT - len(opening),
            temperature=setting.temperature,
            generator=randomness,
        )
    texts = [lesson.tokenizer.decode(row) for row in written.responses.tolist()]
    match setting.trick:
        case "begun":
            return [f"{OPENER} {text}" for text in texts]
        case "cut":
            return [text.split(ASIDE)[0] for text in texts]
        case "dressed":
            return [f"{OPENER} {plain(text.split(ASIDE)[0])} {CLOSER}" for text in texts]
    return texts
