"""The values that one run gives."""

from __future__ import annotations

import math
from collections.abc import Callable

from rlhf_explained.measured import verdicts
from rlhf_explained.measured.text import nats, number, seconds, share, tokens
from rlhf_explained.pipeline import Run

POLICIES = {"base": "base", "sft": "sft", "ppo": "ppo", "ppo-no-kl": "ppo_no_kl"}
NAMES = {
    "base": "pretrained model",
    "sft": "SFT",
    "ppo": "PPO",
    "ppo_no_kl": "PPO without the KL penalty",
}
SHARES = ("helpful", "harmful", "off-topic", "rambling", "wrong")
STAGES = ("pretrain", "sft", "preferences", "reward-model", "ppo", "ppo-no-kl", "evaluation")

_Entry = Callable[[Run], tuple[str, str]]  # from a run to the value's text and what it is


def _quantity(policy: str, name: str, show: Callable[[float], str], about: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        measures = run.evaluation[policy]
        text = show(measures[name])
        error = measures["stderr"].get(name, 0.0)
        note = f"{NAMES[policy]}: {about}, n = {measures['responses']:,}"
        return text, f"{note}, standard error {show(error)}" if error else note

    return entry


def _fact(name: str, about: str) -> _Entry:
    return lambda run: (f"{run.facts[name]:,}", about)


def _seconds(stage: str) -> _Entry:
    return lambda run: (seconds(run.seconds[stage.replace("-", "_")]), f"wall time of {stage}")


def _sft_loss(row: int, column: str, about: str) -> _Entry:
    return lambda run: (nats(run.history["sft"][row][column]), f"{about}, per token")


def _mean_score(side: str) -> _Entry:
    def entry(run: Run) -> tuple[str, str]:
        scores = run.reward_model[f"{side}_scores"]
        about = f"mean score of the {side} responses of {len(scores):,} held-out pairs"
        return number(math.fsum(scores) / len(scores)), about

    return entry


VALUES: dict[str, _Entry] = {
    "run-seed": lambda run: (str(run.config.seed), "source of all the run's randomness"),
    "parameters": lambda run: (f"{run.parameters:,}", "parameters of the policy with value head"),
    "vocabulary": _fact("vocabulary", "words and marks the model knows"),
    "heldout-questions": _fact("heldout_questions", "questions that only pretraining has seen"),
    "pretrain-steps": _fact("pretrain_steps", "optimiser steps of pretraining"),
    "demonstrations": _fact("demonstrations", "demonstrations that SFT imitates"),
    "sft-steps": _fact("sft_steps", "optimiser steps of SFT"),
    "ppo-iterations": _fact("ppo_iterations", "iterations of PPO"),
    "rollout-batch": _fact("rollout_batch", "responses generated per iteration of PPO"),
    "kl-coef": lambda run: (f"{run.facts['kl_coef']:g}", "weight β of the KL penalty"),
    "responses": lambda run: (
        f"{run.evaluation['ppo']['responses']:,}",
        "held-out responses in the evaluation of each policy",
    ),
    "rm-accuracy": lambda run: (
        share(run.reward_model["heldout_accuracy"]),
        f"held-out pairs in which the chosen response scores higher, "
        f"of {run.reward_model['heldout_pairs']:,}",
    ),
    "rm-ceiling": lambda run: (
        share(run.reward_model["accuracy_ceiling"]),
        "expected accuracy on those pairs of a judge who knows the gold reward",
    ),
    "rm-pairs": _fact("pairs", "preference pairs that the reward model learns from"),
    "rm-heldout-pairs": lambda run: (
        f"{run.reward_model['heldout_pairs']:,}",
        "preference pairs on prompts that no training pair uses",
    ),
    "rm-chosen-score": _mean_score("chosen"),
    "rm-rejected-score": _mean_score("rejected"),
    "sft-loss-first": _sft_loss(0, "loss", "SFT loss of the first step"),
    "sft-loss-last": _sft_loss(-1, "loss", "SFT loss of the last step"),
    "sft-heldout-loss-first": _sft_loss(0, "heldout_loss", "loss on held-out demonstrations"),
    "sft-heldout-loss-last": _sft_loss(-1, "heldout_loss", "loss on held-out demonstrations"),
    "sft-loss-floor": lambda run: (
        nats(run.sft["loss_floor"]),
        "entropy of the demonstrations, per token: the least a model can lose on unseen ones",
    ),
    "seconds-total": _seconds("total"),
    "early-stopping-verdict": verdicts.early_stopping_verdict,
    "hack-verdict": verdicts.hack_verdict,
    "length-verdict": verdicts.length_verdict,
    "reward-rise-verdict": verdicts.reward_rise_verdict,
    "score-length-correlation": verdicts.score_length_correlation,
}
VALUES |= {f"seconds-{stage}": _seconds(stage) for stage in STAGES}
for _short, _policy in POLICIES.items():
    VALUES |= {
        f"{_short}-{name}": _quantity(_policy, name.replace("-", "_"), share, f"{name} share")
        for name in SHARES
    }
    VALUES |= {
        f"{_short}-gold": _quantity(_policy, "gold", number, "mean gold reward"),
        f"{_short}-proxy": _quantity(_policy, "proxy", number, "mean reward model score"),
        f"{_short}-kl": _quantity(_policy, "kl", nats, "mean KL from SFT (k1)"),
        f"{_short}-length": _quantity(_policy, "length", tokens, "mean length"),
    }
