"""Every method from the same start, beside the simplest things that could explain its gain.

All start from the run's SFT policy, its reward model and its preference pairs, and are evaluated
alike at temperature 1 and at 0. The trivial rivals are the SFT policy itself at colder
temperatures, which learns nothing more, SFT on those demonstrations alone that were marked good,
and SFT on the tenth of them that were graded best. What trains is trained twice from each start,
with other draws, and the mean of both is stored.

Seconds are those of one core, for what the method needs beside the SFT policy and the reward model;
for best-of-n they are those of its answers to the evaluation. Labels are the human judgements that
the method needs beside the 400 demonstrations: a mark or a grade for each, or the comparisons.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

import torch

from rlhf_explained.formulas import token_logprobs
from rlhf_explained.models.gpt import GPT
from rlhf_explained.names import CATEGORIES
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Rollout, collect_rollout, response_logits, score
from rlhf_explained.stages.best_of_n import best_of_n
from rlhf_explained.stages.dpo import DPOConfig, train_dpo
from rlhf_explained.stages.evaluation import TEMPERATURES, Marked, marked, result
from rlhf_explained.stages.grpo import GRPOConfig, train_grpo
from rlhf_explained.stages.ppo import PPOConfig
from rlhf_explained.stages.sft import train_sft
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import draw_questions
from rlhf_explained.world.labeler import categorise, gold_reward
from rlhf_explained.world.optima import best_of_n_bound
from rlhf_explained.world.questions import evaluation_questions, questions
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT

N = 16
REHEARSED = 400
"""Prompts whose best of `N` answers are imitated: as many answers as PPO samples."""
DRAWS = ("", "/2")

SEEDS = range(5)
SAMPLE = "sft_0.5"
SETTINGS: dict[str, Any] = {
    **{f"sft_{temperature}": {"temperature": temperature} for temperature in TEMPERATURES},
    "sft_good": {"labels": "marks"},
    "sft_best_tenth": {"labels": "grades"},
    "rejection_sampling": {"n": N, "prompts": REHEARSED},
    "best_of_16": {"n": N},
    "dpo": DPOConfig(),
    "grpo": GRPOConfig(kl_coef=0.3),
    "rloo": GRPOConfig(kl_in="reward", divide_by_std=False),
    "ppo": PPOConfig(),
    "ppo_no_kl": replace(PPOConfig(), kl_coef=0.0),
}


def measure(name: str, seed: int) -> dict[str, float]:
    """Let one method learn, and evaluate its policy.

    Args:
        name: Of the setting.
        seed: Of the run it starts from, and of the method's own randomness.

    Returns:
        At temperature 1 the mean gold, proxy, length and KL (k1) from SFT in nats, the shares of
        the categories, the accuracy of stated facts, and the gold of the kinds of question that ask
        for facts; the gold's standard error over questions (`gold_stderr`); the gold when it always
        takes the likeliest word (`gold_greedy`); how far the golds of two draws lie apart
        (`draws_apart`); seconds of one core, and labels.
    """
    start = Start(seed)
    setting = SETTINGS[name]
    if name == f"best_of_{N}":
        return {**picked(start), "labels": float(start.lesson.comparison.pairs)}
    if isinstance(setting, dict) and "temperature" in setting:
        exam = start.colder(setting["temperature"])
        return row(exam, start.exam(start.sft, 0.0), labels=0.0)
    exams, seconds = [], []
    for draw in DRAWS:
        began = time.process_time()
        policy = learn(start, name, setting, draw)
        seconds.append(time.process_time() - began)
        exams.append(row(result(start.exam(policy)), start.exam(policy, 0.0)))
    looked_at = isinstance(setting, dict) and "labels" in setting
    labels = len(start.lesson.shown) if looked_at else start.lesson.comparison.pairs
    golds = [exam["gold"] for exam in exams]
    return {
        **{quantity: fmean(exam[quantity] for exam in exams) for quantity in exams[0]},
        "draws_apart": max(golds) - min(golds),
        "seconds": fmean(seconds),
        "labels": float(labels),
    }


class Start:
    """Where every method begins: the models of one run, and its lesson."""

    def __init__(self, seed: int) -> None:
        start = run(RunConfig(seed=seed))
        self.lesson = Lesson(seed)
        self.base, self.sft, self.reward_model = (
            start.policy(name) for name in ("base", "sft", "reward_model")
        )
        self.judge = partial(score, self.reward_model)

    def exam(self, policy: GPT, temperature: float = 1.0) -> list[Marked]:
        """What a policy answers to the held-out questions."""
        return self.lesson.examine(policy, self.sft, self.reward_model, temperature=temperature)

    def colder(self, temperature: float) -> dict[str, Any]:
        """The evaluation of the SFT policy at a temperature, with its KL from temperature 1."""
        if temperature == 0:
            return {**result(self.exam(self.sft, 0.0)), "kl": None}
        rollout, asked = self.answered(temperature)
        logits = response_logits(self.sft, rollout.sequences)
        cold = replace(
            rollout, logprobs=token_logprobs(logits / temperature, rollout.sequences.responses)
        )
        return result(marked(asked, cold, self.lesson.tokenizer))

    @torch.no_grad()
    def answered(self, temperature: float) -> tuple[Rollout, list[Any]]:
        """The SFT policy's answers to the evaluation at a temperature."""
        asked = evaluation_questions(self.lesson.answers)
        rollout = collect_rollout(
            self.sft,
            self.sft,
            self.judge,
            self.lesson.tokens([question.text for question in asked]),
            limit=RESPONSE_LIMIT,
            temperature=temperature,
            generator=self.lesson.generator("evaluation"),
        )
        return rollout, asked


def learn(start: Start, name: str, setting: Any, draw: str) -> GPT:
    """Train one policy.

    Args:
        start: Where it begins.
        name: Of the setting.
        setting: Its value in `SETTINGS`.
        draw: Names the method's own randomness.

    Returns:
        The trained policy.
    """
    lesson, sft = start.lesson, start.sft
    randomness = lesson.generator(f"{name}{draw}")
    match setting:
        case DPOConfig():
            pairs, _ = lesson.compare(sft)
            return train_dpo(
                sft, pairs.chosen, pairs.rejected, setting, generator=randomness
            ).policy
        case GRPOConfig():
            draw_prompts, _ = lesson.classroom(randomness)
            return train_grpo(
                sft, start.judge, setting, draw_prompts=draw_prompts, generator=randomness
            ).policy
        case PPOConfig():
            judge = start.reward_model
            return lesson.reinforce(name, sft, judge, setting, critic=judge, draw=draw).policy
        case {"labels": "marks"}:
            return imitate(lesson, start.base, marked_good(lesson), randomness)
        case {"labels": "grades"}:
            return imitate(lesson, start.base, graded_best(lesson, 0.1), randomness)
    return imitate(lesson, sft, rehearsed(start, randomness), randomness)


def imitate(
    lesson: Lesson, start: GPT, pairs: list[tuple[str, str]], randomness: torch.Generator
) -> GPT:
    """SFT with the run's settings on other (prompt, response) pairs."""
    return train_sft(
        start,
        lesson.packed(pairs),
        lesson.packed(lesson.unseen[:1]),
        lesson.imitation,
        generator=randomness,
    ).policy


def marked_good(lesson: Lesson) -> list[tuple[str, str]]:
    """The demonstrations that somebody who looks at each would keep: the helpful ones."""
    asked = {question.text: question for question in questions()}
    return [pair for pair in lesson.shown if categorise(asked[pair[0]], pair[1]) == "helpful"]


def graded_best(lesson: Lesson, share: float) -> list[tuple[str, str]]:
    """The share of the demonstrations with the most gold reward, as if somebody graded them all."""
    asked = {question.text: question for question in questions()}
    ranked = sorted(lesson.shown, key=lambda pair: -gold_reward(asked[pair[0]], pair[1]))
    return ranked[: round(share * len(ranked))]


def rehearsed(start: Start, randomness: torch.Generator) -> list[tuple[str, str]]:
    """Practised prompts, each with the best of `N` answers by the reward model."""
    lesson = start.lesson
    asked = draw_questions(REHEARSED, held_out=False, generator=randomness)
    prompts = [question.text for question in asked]
    best = best_of_n(
        start.sft, start.judge, lesson.tokens(prompts), N, generator=randomness
    ).responses
    return list(zip(prompts, map(lesson.tokenizer.decode, best.tolist()), strict=True))


def picked(start: Start) -> dict[str, float]:
    """Best-of-n's evaluation. Its KL is what it is at most."""
    lesson, asked = start.lesson, evaluation_questions(start.lesson.answers)
    prompts, randomness = (
        lesson.tokens([question.text for question in asked]),
        lesson.generator("best_of_n"),
    )
    began = time.process_time()
    best = best_of_n(start.sft, start.judge, prompts, N, generator=randomness)
    seconds = time.process_time() - began
    with torch.no_grad():
        nothing = torch.zeros(best.response_mask.shape)
        rollout = Rollout(best, nothing, nothing, start.judge(best))
    exam = {**result(marked(asked, rollout, lesson.tokenizer)), "kl": best_of_n_bound(N)}
    return {**row(exam, None), "seconds": seconds}


def row(exam: dict[str, Any], greedy: list[Marked] | None, **more: float) -> dict[str, float]:
    """What is stored of an evaluation at temperature 1 and of one at 0."""
    names = ("gold", "proxy", "length", "kl", *CATEGORIES, "accuracy", "facts_gold")
    stored = {name: exam[name] for name in names if exam[name] is not None}
    stored["gold_stderr"] = exam["stderr"]["gold"]
    if greedy is not None:
        stored["gold_greedy"] = result(greedy, temperature=0.0)["gold"]
    return {**stored, **more}
