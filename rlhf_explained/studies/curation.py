"""Where does curation suffice, and where do comparisons pay?

The share of good demonstrations among 400 is turned from a twentieth to most. At each share the
same base model is fine-tuned on all of them, on those alone that somebody marked as good, and on
the tenth with the highest grades; then the first policy's answers are compared, and DPO and PPO
learn from the comparisons. Each policy's gold is taken without courtesies too, so that what is
gained by them can be told from the rest.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.stages.dpo import DPOConfig, train_dpo
from rlhf_explained.stages.evaluation import result
from rlhf_explained.stages.reward_model import hard_negative_accuracy
from rlhf_explained.studies.methods import graded_best, imitate, marked_good
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import experts
from rlhf_explained.world.labeler import gold_reward, plain
from rlhf_explained.world.questions import questions

SEEDS = range(5)
SAMPLE = "good_0.05"
SETTINGS: dict[str, Any] = {f"good_{share}": share for share in (0.05, 0.3, 0.7)}

AT = (1.0, 0.0)
"""The temperatures at which each policy sits the exam."""
ANSWERS = 10
"""To each held-out question; one where the likeliest word is always taken."""


def measure(name: str, seed: int) -> dict[str, float]:
    """Hire experts of whom so many demonstrations are good, and try what can be made of them.

    Args:
        name: Of the setting.
        seed: Of the run whose base model is fine-tuned.

    Returns:
        Mean gold on held-out questions at each temperature, as in `sft_1.0`: of `sft`, of SFT on
        the marked ones alone (`marked`) and on the best tenth (`tenth`), of `dpo` and of `ppo`; and
        that of the same answers without their courtesies, as in `sft_plain_1.0`. How many
        demonstrations were marked good; the reward model's accuracy on held-out pairs and on hard
        negatives.
    """
    lesson = Lesson(seed, experts=experts(SETTINGS[name]))
    base = run(RunConfig(seed=seed)).policy("base")
    sft = lesson.fine_tune(base).policy
    good = marked_good(lesson)
    preferences, heldout = lesson.compare(sft)
    rewarded = lesson.learn_to_judge(sft, preferences, heldout)
    judge = rewarded.reward_model
    pairs = preferences.chosen, preferences.rejected
    policies = {
        "sft": sft,
        "marked": imitate(lesson, base, good, lesson.generator("marked")),
        "tenth": imitate(lesson, base, graded_best(lesson, 0.1), lesson.generator("tenth")),
        "dpo": train_dpo(sft, *pairs, DPOConfig(), generator=lesson.generator("dpo")).policy,
        "ppo": lesson.reinforce("ppo", sft, judge, lesson.reinforcement, critic=judge).policy,
    }
    return {
        **{
            f"{who}{how}_{temperature}": gold
            for who, policy in policies.items()
            for temperature in AT
            for how, gold in golds(lesson, policy, sft, judge, temperature).items()
        },
        "good": float(len(good)),
        "accuracy": rewarded.history[-1]["accuracy"],
        "hard_negative_accuracy": hard_negative_accuracy(judge, lesson.tokenizer),
    }


def golds(
    lesson: Lesson, policy: GPT, sft: GPT, judge: GPT, temperature: float
) -> dict[str, float]:
    """Mean gold of a policy's evaluation at a temperature, with courtesies and without."""
    answers = ANSWERS if temperature else 1
    exam = lesson.examine(policy, sft, judge, temperature=temperature, answers=answers)
    asked = {question.text: question for question in questions()}
    bare = [gold_reward(asked[answer.prompt], plain(answer.response)) for answer in exam]
    return {"": result(exam, temperature=temperature)["gold"], "_plain": fmean(bare)}
