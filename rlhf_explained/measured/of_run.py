"""The values that one run gives."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from statistics import fmean
from typing import Any

from rlhf_explained import studies
from rlhf_explained.measured import verdicts
from rlhf_explained.measured.text import nats, number, seconds, share, tokens, within
from rlhf_explained.names import CATEGORIES, POLICIES, STAGES
from rlhf_explained.pipeline import Run
from rlhf_explained.world.questions import FACT_KINDS

NAMES = verdicts.NAMES

_Entry = Callable[[Run], tuple[str, str]]  # from a run to the value's text and what it is
_Show = Callable[[float], str]


def _in_a_page(name: str) -> str:
    """A name of `rlhf_explained.names` as pages write it."""
    return name.replace("_", "-")


def _quantity(policy: str, name: str, show: _Show, about: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        measures = run.evaluation[policy]
        text = "undefined" if measures[name] is None else show(measures[name])
        error = measures["stderr"].get(name, 0.0)
        note = (
            f"{NAMES[policy]} at temperature 1: {about}, {measures['responses']:,} answers to "
            f"{measures['questions']} questions"
        )
        return text, f"{note}, standard error by question {show(error)}" if error else note

    return entry


def _greedy(policy: str, name: str, show: _Show, about: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        measures = run.temperatures[policy]["0.0"]
        note = f"{NAMES[policy]}, always choosing the most likely word: {about}"
        error = show(measures["stderr"][name])
        return show(measures[name]), f"{note}, standard error by question {error}"

    return entry


def _best(policy: str, quantity: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        temperature, exam = verdicts.best_temperature(run, policy)
        text = number(exam["gold"]) if quantity == "gold" else f"{float(temperature):g}"
        return (
            text,
            f"{NAMES[policy]}: at the one of five temperatures with the highest gold reward",
        )

    return entry


def _times(policy: str) -> _Entry:
    """How many times as likely the policy's answers are to it as to SFT: e to the KL."""

    def entry(run: Run) -> tuple[str, str]:
        times = float(f"{math.exp(run.evaluation[policy]['kl']):.1e}")
        about = f"{NAMES[policy]}: e to its KL from SFT, to two digits; a geometric mean"
        return f"{times:,.{0 if times >= 10 else 1}f}", about

    return entry


def usual_verdict(run: Run) -> tuple[str, str]:
    """Does this run lose as much without the KL penalty as five such runs do?"""
    gold, text = run.evaluation["ppo_no_kl"]["gold"], "Without the penalty, this run does "
    runs = studies.stored("second_round")
    usual = runs.interval("first_no_kl", "gold")
    if abs(gold - usual.mean) <= usual.reach:
        text += "about as badly as usual"
    else:
        text += f"{'better' if gold > usual.mean else 'worse'} than usual"
    text += f": it ends at {number(gold)}, and the mean of five such runs is {within(usual)}."
    return (
        text,
        f"gold reward; ± is a 95 % interval across the seeds; {runs.origin}",
    )


def _fact(name: str, about: str) -> _Entry:
    return lambda run: (f"{run.facts[name]:,}", about)


def _seconds(stage: str) -> _Entry:
    return lambda run: (seconds(run.seconds[stage]), f"wall time of {_in_a_page(stage)}")


def _sft_loss(row: int, column: str, about: str) -> _Entry:
    return lambda run: (nats(run.history["sft"][row][column]), f"{about}, per token")


def _demonstrations(verbose: bool, about: str) -> _Entry:
    """How many demonstrations state the right answer, and then go on or not."""

    def entry(run: Run) -> tuple[str, str]:
        answers = {q["prompt"]: q["answers"] for q in run.data["practised"]}
        count = sum(
            (verdicts.ASIDE in pair["response"]) == verbose
            for pair in run.data["demonstrations"]
            if any(answer in pair["response"] for answer in answers[pair["prompt"]])
        )
        return f"{count:,}", about

    return entry


def held_out_in_pairs(run: Run, side: str) -> dict[str, float]:
    """How often one side of the pairs says what was held out.

    Args:
        run: Whose pairs the reward model learned from.
        side: The `chosen` answers or the `rejected` ones.

    Returns:
        The share of these answers that `state` a held-out fact, and of those that `ask` a held-out
        question. Only the model itself can have said so: it has read both in pretraining.
    """
    held_out = run.data["heldout"]
    facts = {text for q in held_out if q["kind"] in FACT_KINDS for text in q["answers"]}
    asked = {q["prompt"] for q in held_out}
    answers = [pair[side] for pair in run.data["preferences"]]
    return {
        what: fmean(any(text in answer for text in texts) for answer in answers)
        for what, texts in (("state", facts), ("ask", asked))
    }


def usual_answer(run: Run, policy: str) -> tuple[dict[str, Any], int, int]:
    """The most frequent answer of a policy to the first held-out question.

    Args:
        run: Whose evaluation at temperature 1 is looked at.
        policy: Which one answers.

    Returns:
        The first of these answers, how often it is given, and of how many answers.
    """
    answers = run.responses[policy]
    asked = [one for one in answers if one["prompt"] == answers[0]["prompt"]]
    ((text, times),) = Counter(one["response"] for one in asked).most_common(1)
    return next(one for one in asked if one["response"] == text), times, len(asked)


def courteous(run: Run, policy: str) -> list[dict[str, Any]]:
    """The answers of a policy to held-out questions that open or close with polite words."""
    return [
        answer
        for answer in run.responses[policy]
        if answer["response"].startswith(verdicts.OPENER)
        or answer["response"].endswith(verdicts.CLOSER)
    ]


def _courtesy(policy: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        every = len(run.responses[policy])
        about = f"{NAMES[policy]}: of {every:,} answers at temperature 1, those with polite words"
        return share(len(courteous(run, policy)) / every), about

    return entry


def _of_courteous(policy: str, category: str, quantity: str) -> _Entry:
    """Of the courteous answers: how many are of a category, or their mean reward."""

    def entry(run: Run) -> tuple[str, str]:
        every = courteous(run, policy)
        mine = [answer for answer in every if answer["category"] == category]
        about = f"{NAMES[policy]} at temperature 1: {quantity} of the {category} answers among "
        about += f"{len(every):,} with polite words"
        if not (every if quantity == "share" else mine):
            return "undefined", about
        if quantity == "share":
            return share(len(mine) / len(every)), about
        return number(fmean(answer[quantity] for answer in mine)), about

    return entry


def _in_pairs(what: str, side: str) -> _Entry:
    said = {"state": "states a held-out fact", "ask": "asks a held-out question"}[what]
    about = f"{side} answers of the training pairs in which the model {said}"
    return lambda run: (share(held_out_in_pairs(run, side)[what]), about)


VALUES: dict[str, _Entry] = {
    "run-seed": lambda run: (str(run.config.seed), "source of all the run's randomness"),
    "parameters": lambda run: (f"{run.parameters:,}", "parameters of the policy"),
    "critic-parameters": lambda run: (f"{run.critic_parameters:,}", "parameters of PPO's critic"),
    "vocabulary": _fact("vocabulary", "words and marks the model knows"),
    "questions": _fact("questions", "questions of the world"),
    "heldout-questions": _fact(
        "heldout_questions", "questions of the evaluation, held out of practice"
    ),
    "demonstrations": _fact("demonstrations", "demonstrations that SFT imitates"),
    "demonstrations-good": _demonstrations(False, "demonstrations with the right answer alone"),
    "demonstrations-verbose": _demonstrations(
        True, "demonstrations with the right answer and then something that nobody asked about"
    ),
    "sft-steps": _fact("sft_steps", "optimiser steps of SFT"),
    "ppo-iterations": _fact("ppo_iterations", "iterations of PPO"),
    "rollout-batch": _fact("rollout_batch", "responses generated per iteration of PPO"),
    "kl-coef": lambda run: (f"{run.facts['kl_coef']:g}", "weight β of the KL penalty"),
    "answers": _fact("answers", "answers to each question of the evaluation, at temperature 1"),
    "responses": lambda run: (
        f"{run.evaluation['ppo']['responses']:,}",
        "held-out responses in the evaluation of each policy, at temperature 1",
    ),
    "rm-accuracy": lambda run: (
        share(run.reward_model["heldout_accuracy"]),
        f"held-out pairs in which the chosen response scores higher, "
        f"of {run.reward_model['heldout_pairs']:,}",
    ),
    "rm-ceiling": lambda run: (
        share(run.reward_model["accuracy_ceiling"]),
        "expected accuracy, on those pairs, of a judge that knows the gold reward",
    ),
    "rm-hard-negatives": lambda run: (
        share(run.reward_model["hard_negative_accuracy"]),
        "how often a plain right answer scores above a courteous false one, held-out facts",
    ),
    "rm-plain-negatives": lambda run: (
        share(run.reward_model["plain_negative_accuracy"]),
        "how often a plain right answer scores above a plain false one, held-out facts",
    ),
    "rm-pairs": _fact("pairs", "preference pairs that the reward model learns from"),
    "pairs-state-heldout": _in_pairs("state", "chosen"),
    "pairs-ask-heldout": _in_pairs("ask", "chosen"),
    "pairs-rejected-state-heldout": _in_pairs("state", "rejected"),
    "pairs-rejected-ask-heldout": _in_pairs("ask", "rejected"),
    "sft-loss-first": _sft_loss(0, "loss", "SFT loss of the first step"),
    "sft-loss-last": _sft_loss(-1, "loss", "SFT loss of the last step"),
    "sft-heldout-loss-first": _sft_loss(0, "heldout_loss", "loss on held-out demonstrations"),
    "sft-heldout-loss-last": _sft_loss(-1, "heldout_loss", "loss on held-out demonstrations"),
    "sft-loss-floor": lambda run: (
        nats(run.sft["loss_floor"]),
        "entropy of the demonstrations, per token: the lowest possible loss on unseen ones",
    ),
    "seconds-total": _seconds("total"),
    "temperature-verdict": verdicts.temperature_verdict,
    "win-rate-verdict": verdicts.win_rate_verdict,
    "hack-verdict": verdicts.hack_verdict,
    "usual-verdict": usual_verdict,
    "blind-verdict": verdicts.blind_verdict,
    "length-verdict": verdicts.length_verdict,
    "reward-rise-verdict": verdicts.reward_rise_verdict,
    "score-length-correlation": verdicts.score_length_correlation,
}
VALUES |= {f"seconds-{_in_a_page(stage)}": _seconds(stage) for stage in STAGES}
_EXAM: dict[str, tuple[_Show, str]] = {
    **{name: (share, f"{_in_a_page(name)} share") for name in CATEGORIES},
    "gold": (number, "mean gold reward"),
    "proxy": (number, "mean reward model score"),
    "kl": (nats, "mean KL from SFT (k1)"),
    "length": (tokens, "mean length"),
    "accuracy": (share, "share of right facts among those that it states"),
    "facts_helpful": (share, "helpful share where facts are asked for"),
}
for _policy in POLICIES:
    _own = _in_a_page(_policy)
    for _name, _about in _EXAM.items():
        VALUES[f"{_own}-{_in_a_page(_name)}"] = _quantity(_policy, _name, *_about)
    for _name in ("gold", "helpful", "rambling"):
        VALUES[f"{_own}-greedy-{_name}"] = _greedy(_policy, _name, *_EXAM[_name])
    for _name in ("gold", "temperature"):
        VALUES[f"{_own}-best-{_name}"] = _best(_policy, _name)
    VALUES[f"{_own}-kl-times"] = _times(_policy)
    VALUES[f"{_own}-courteous"] = _courtesy(_policy)
    for _category in ("helpful", "false"):
        for _name in ("share", "proxy", "gold"):
            _key = f"{_own}-courteous-{_category}-{_name}"
            VALUES[_key] = _of_courteous(_policy, _category, _name)
