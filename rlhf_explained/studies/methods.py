"""Every method from the same start: the run's SFT policy, its reward model, its preference pairs.

Each policy sits the same exam. Seconds are those of one core, for what the method needs beside the
SFT policy and the reward model; for best-of-n they are those of its answers to the exam.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import score
from rlhf_explained.stages.best_of_n import best_of_n
from rlhf_explained.stages.dpo import DPOConfig, train_dpo
from rlhf_explained.stages.evaluation import mark, result
from rlhf_explained.stages.grpo import GRPOConfig, train_grpo
from rlhf_explained.stages.ppo import PPOConfig
from rlhf_explained.training import Lesson
from rlhf_explained.world.labeler import CATEGORIES
from rlhf_explained.world.optima import best_of_n_bound

SEEDS = range(5)
SAMPLE = "best_of_16"
SETTINGS: dict[str, Any] = {
    "sft": {},
    "best_of_16": {"n": 16},
    "dpo": DPOConfig(),
    "grpo": GRPOConfig(),
    "rloo": GRPOConfig(kl_in="reward", divide_by_std=False),
    "ppo": PPOConfig(),
    "ppo_no_kl": replace(PPOConfig(), kl_coef=0.0),
}


def measure(name: str, seed: int) -> dict[str, float]:
    """Let one method learn, and its policy sit the exam.

    Args:
        name: Of the setting.
        seed: Of the run it starts from, and of the method's own randomness.

    Returns:
        Mean gold, proxy and KL (k1) from SFT in nats, the shares of the categories, seconds of one
        core. Best-of-n's KL is its bound.
    """
    start = run(RunConfig(seed=seed))
    sft, reward_model = start.policy("sft"), start.policy("reward_model")
    lesson = Lesson(seed, 1.0, lambda stage, step, steps, loss: None)
    setting, randomness = SETTINGS[name], lesson.generator(name)
    policy, began = sft, time.process_time()
    if name == "best_of_16":
        return pick(lesson, sft, reward_model, **setting)
    if name == "dpo":
        preferences, _ = lesson.compare(sft)
        began = time.process_time()
        pairs = preferences.chosen, preferences.rejected
        policy = train_dpo(sft, *pairs, setting, generator=randomness).policy
    elif isinstance(setting, GRPOConfig):
        draw_prompts, _ = lesson.classroom(randomness)
        policy = train_grpo(
            sft,
            partial(score, reward_model),
            setting,
            draw_prompts=draw_prompts,
            generator=randomness,
        ).policy
    elif isinstance(setting, PPOConfig):
        policy = lesson.reinforce(name, sft, reward_model, setting).policy
    seconds = time.process_time() - began
    return numbers(result(lesson.examine(policy, sft, reward_model)), seconds)


def pick(lesson: Lesson, sft: Any, reward_model: Any, n: int) -> dict[str, float]:
    """Best-of-n's exam: no policy answers it, so its KL is what it is at most."""
    judge, randomness = partial(score, reward_model), lesson.generator("best_of_n")
    prompts = lesson.tokens([question.text for question in lesson.exam])
    began = time.process_time()
    picked = best_of_n(sft, judge, prompts, n, generator=randomness)
    seconds = time.process_time() - began
    marks = mark(lesson.exam, picked, lesson.tokenizer)
    with torch.no_grad():
        proxy = judge(picked).mean().item()
    shares = {c: sum(category == c for _, category, _ in marks) / len(marks) for c in CATEGORIES}
    gold = sum(gold for *_, gold in marks) / len(marks)
    measures = {"gold": gold, "proxy": proxy, "kl": best_of_n_bound(n), **shares}
    return numbers(measures, seconds)


def numbers(measures: dict[str, Any], seconds: float) -> dict[str, float]:
    """What is stored of an exam."""
    names = ("gold", "proxy", "kl", *CATEGORIES)
    return {**{name: measures[name] for name in names}, "seconds": seconds}
