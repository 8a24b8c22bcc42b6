"""Rewards that a rule gives (RLVR): capitals and sums, where an answer can be looked up.

The policy practises capitals and sums alone, by GRPO, and is paid by a rule instead of a reward
model: for the right content, for the right form, or for both. The rule reads what an answer states,
as `labeler.states_the_fact` finds it; polite words and an aside do not matter to it. The evaluation
has the held-out capitals and sums, whose facts only pretraining states.

Beside what RL learns stand the policies that it starts from, answering at temperature 1 and colder,
and the simplest way to learn from the same rule: to imitate those of the start's own answers that
the rule finds right, out of as many as GRPO samples.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Sequences, generate
from rlhf_explained.stages.grpo import GRPOConfig, train_grpo
from rlhf_explained.stages.sft import train_sft
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import ASIDE
from rlhf_explained.world.labeler import gold_reward, plain, states_the_fact
from rlhf_explained.world.questions import Question, questions
from rlhf_explained.world.tokenizer import PAD, RESPONSE_LIMIT

KINDS = ("capital", "sum")
ATTEMPTS = 64
"""Answers to each question of the exam."""
ATTEMPTED = (1, 2, 4, 8, 16, 32, 64)
"""For how many attempts it is measured whether one of them is right."""
LATE = 10  # rounds over which silent groups are averaged, at either end


@dataclass(frozen=True)
class Rule:
    """What is practised.

    Attributes:
        start: The policy that it begins with, which is the reference too.
        correct: Reward of the right content.
        form: Reward of the right form, whatever the content.
        kl_coef: Coefficient of the KL penalty, measured from the start.
        by: How it is learned: by GRPO, by imitating the right ones of the start's own answers, or
            not at all.
    """

    start: Literal["base", "sft"] = "sft"
    correct: float = 0.0
    form: float = 0.0
    kl_coef: float = 0.0
    by: Literal["grpo", "imitation", "nothing"] = "grpo"


SEEDS = range(5)
SAMPLE = "sft"
SETTINGS: dict[str, Rule] = {
    "base": Rule("base", by="nothing"),
    "sft": Rule(by="nothing"),
    "imitation": Rule(correct=1.0, by="imitation"),
    "correct": Rule(correct=1.0),
    "correct_kl": Rule(correct=1.0, kl_coef=0.3),
    "form": Rule(form=1.0),
    "form_kl": Rule(form=1.0, kl_coef=0.3),
    "both": Rule(correct=1.0, form=1.0),
    "form_tenfold": Rule(correct=1.0, form=10.0),
    "base_correct": Rule("base", correct=1.0),
    "base_both": Rule("base", correct=1.0, form=1.0),
}


def measure(name: str, seed: int) -> dict[str, Any]:
    """Practise with one of the rules, and answer the held-out capitals and sums.

    Args:
        name: Of the setting.
        seed: Of the run whose policies it starts from.

    Returns:
        What `exam` measures, of held-out questions; the share of right answers to practised ones
        (`practised`); and the share of groups without spread early and late in GRPO (`silent`).
    """
    rule, lesson = SETTINGS[name], Lesson(seed)
    start = run(RunConfig(seed=seed)).policy(rule.start)
    randomness = lesson.generator(f"verifiable/{name}")
    policy, silent = start, []
    if rule.by == "imitation":
        policy = imitate(start, rule, lesson, randomness)
    elif rule.by == "grpo":
        policy, silent = practise(start, rule, lesson, randomness)
    practised = answers(policy, asked(held_out=False), 8, lesson)
    return {
        **exam(policy, lesson),
        "practised": fmean(right for given in practised.values() for right, _, _ in given),
        "silent": [fmean(part) for part in (silent[:LATE], silent[-LATE:]) if part],
    }


def asked(*, held_out: bool) -> list[Question]:
    """The capitals and sums, held out or practised."""
    return [q for q in questions() if q.kind in KINDS and q.held_out == held_out]


def practise(
    start: GPT, rule: Rule, lesson: Lesson, randomness: torch.Generator
) -> tuple[GPT, list[float]]:
    """Learn from the rule by GRPO, with the settings that the learned reward has.

    Args:
        start: Where the policy begins, and what it is held to.
        rule: What pays.
        lesson: Encodes and decodes.
        randomness: Of prompts and answers.

    Returns:
        The policy, and for each round the share of groups whose answers all earned the same.
    """
    config = GRPOConfig(kl_coef=rule.kl_coef, unfinished_score=0.0)
    practised, silent = asked(held_out=False), []
    judged = judge(rule, lesson)

    def draw_prompts(count: int) -> list[list[int]]:
        picks = torch.randint(len(practised), (count,), generator=randomness).tolist()
        return lesson.tokens([practised[pick].text for pick in picks])

    def noted(sequences: Sequences) -> Float[Tensor, " batch"]:
        scores = judged(sequences)
        spread = scores.unflatten(0, (-1, config.group_size)).std(1)
        silent.append((spread == 0).float().mean().item())
        return scores

    trained = train_grpo(start, noted, config, draw_prompts=draw_prompts, generator=randomness)
    return trained.policy, silent


def judge(rule: Rule, lesson: Lesson) -> Callable[[Sequences], Float[Tensor, " batch"]]:
    """The rule as a judge: it reads prompts and answers, and no reward model.

    Args:
        rule: What pays.
        lesson: Decodes.

    Returns:
        What gives each answer its reward.
    """
    known = {question.text: question for question in questions()}
    decode = lesson.tokenizer.decode

    def rewards(sequences: Sequences) -> Float[Tensor, " batch"]:
        heads = sequences.tokens[:, : sequences.prompt_length].tolist()
        prompts = [decode(token for token in head if token != PAD) for head in heads]
        texts = map(decode, sequences.responses.tolist())
        stated = [
            states_the_fact(known[prompt], text)
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        return torch.tensor(
            [rule.correct * (right is True) + rule.form * (right is not None) for right in stated]
        )

    return rewards


def imitate(start: GPT, rule: Rule, lesson: Lesson, randomness: torch.Generator) -> GPT:
    """SFT on those of the start's own answers that the rule finds right.

    Args:
        start: Who answers, and learns.
        rule: What is right.
        lesson: Encodes and decodes.
        randomness: Of answers and batches.

    Returns:
        The policy.
    """
    practised, config = asked(held_out=False), GRPOConfig()
    times = round(config.iterations * config.prompts * config.group_size / len(practised))
    prompts = lesson.tokens([q.text for q in practised for _ in range(times)])
    said = generate(start, prompts, limit=RESPONSE_LIMIT, generator=randomness)
    kept = [
        (lesson.tokenizer.decode(prompt), lesson.tokenizer.decode(response))
        for prompt, response, ended, reward in zip(
            prompts,
            said.responses.tolist(),
            said.ended.tolist(),
            judge(rule, lesson)(said).tolist(),
            strict=True,
        )
        if ended and reward > 0
    ]
    return train_sft(
        start,
        lesson.packed(kept),
        lesson.packed(lesson.unseen[:1]),
        lesson.imitation,
        generator=randomness,
    ).policy


Answer = tuple[bool, bool, str]


def answers(
    policy: GPT, about: Sequence[Question], attempts: int, lesson: Lesson, temperature: float = 1.0
) -> dict[Question, list[Answer]]:
    """What a policy answers to each question: whether right, whether of the right form, the text.

    Args:
        policy: Who answers.
        about: The questions.
        attempts: Answers to each.
        lesson: Encodes and decodes.
        temperature: At which it answers.

    Returns:
        The attempts, by question.
    """
    said = generate(
        policy,
        lesson.tokens([question.text for question in about for _ in range(attempts)]),
        limit=RESPONSE_LIMIT,
        temperature=temperature,
        generator=lesson.generator("verifiable/exam"),
    )
    given: dict[Question, list[Answer]] = defaultdict(list)
    every = (question for question in about for _ in range(attempts))
    for question, row in zip(every, said.responses.tolist(), strict=True):
        text = lesson.tokenizer.decode(row)
        stated = states_the_fact(question, text)
        given[question].append((stated is True, stated is not None, text))
    return given


def exam(policy: GPT, lesson: Lesson) -> dict[str, Any]:
    """Mark the answers to the held-out capitals and sums.

    Args:
        policy: Who answers.
        lesson: Encodes and decodes.

    Returns:
        At temperature 1 the shares of right answers (`right`, also of each kind), of answers of the
        right form (`form`), of right ones among those (`accuracy`), and of answers with an aside
        (`aside`); mean gold reward, mean number of different contents in eight answers
        (`different`), and for each of `ATTEMPTED` the probability that one of so many attempts is
        right (`pass_at`). `right_0.5` and `right_0.0` are the shares of right answers when colder.
    """
    held_out = asked(held_out=True)
    given = answers(policy, held_out, ATTEMPTS, lesson)
    every = [(question, *answer) for question, said in given.items() for answer in said]
    form = fmean(has_form for _, _, has_form, _ in every)
    right = fmean(is_right for _, is_right, _, _ in every)
    colder = {
        temperature: [
            is_right
            for said in answers(policy, held_out, attempts, lesson, temperature).values()
            for is_right, _, _ in said
        ]
        for temperature, attempts in ((0.5, 16), (0.0, 1))
    }
    return {
        "right": right,
        **{
            kind: fmean(is_right for question, is_right, _, _ in every if question.kind == kind)
            for kind in KINDS
        },
        "form": form,
        "accuracy": right / form if form else 0.0,
        "aside": fmean(ASIDE in text for *_, text in every),
        "gold": fmean(gold_reward(question, text) for question, _, _, text in every),
        "different": fmean(
            len({plain(text).split(ASIDE)[0] for *_, text in said[first : first + 8]})
            for said in given.values()
            for first in range(0, ATTEMPTS, 8)
        ),
        "pass_at": [
            fmean(pass_at_k(ATTEMPTS, sum(r for r, *_ in said), k) for said in given.values())
            for k in ATTEMPTED
        ],
        **{f"right_{temperature}": fmean(marks) for temperature, marks in colder.items()},
    }


def pass_at_k(attempts: int, right: int, k: int) -> float:
    r"""Probability that at least one of k attempts is right, without bias.

    $$\mathrm{pass}(k) = 1 - \binom{n-c}{k} \Big/ \binom{n}{k}$$

    Args:
        attempts: How many there are, $n$.
        right: How many of them are right, $c$.
        k: How many of them are drawn.

    Returns:
        The probability that among k drawn without putting back one is right.

    Raises:
        ValueError: If `right` or `k` is out of range.

    Source:
        Chen et al. 2021, [Evaluating large language models trained on
        code](https://arxiv.org/abs/2107.03374), equation 1.
    """
    if not 0 <= right <= attempts:
        raise ValueError(f"right: {right} of {attempts} attempts")
    if not 1 <= k <= attempts:
        raise ValueError(f"k: {k} of {attempts} attempts")
    return 1 - math.comb(attempts - right, k) / math.comb(attempts, k)
