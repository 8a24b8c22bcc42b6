"""A made-up run: the shape of a real one, numbers from a formula and a little noise.

Drawings and values must not need training to be tested, and must stand runs that no training
gives: one iteration, constant curves, a penalty that does harm.
"""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlhf_explained.pipeline import POLICIES, Run, RunConfig

Curve = Callable[[float], float]
"""A quantity over a stage: from the share of its steps that are done to the value."""

KINDS = ("capital", "sum", "make", "learn", "joke", "haiku", "harm")
SHARES = {
    "base": (0.23, 0.31, 0.27, 0.12, 0.07),
    "sft": (0.52, 0.10, 0.14, 0.13, 0.11),
    "ppo": (0.79, 0.01, 0.01, 0.01, 0.18),
    "ppo_no_kl": (0.44, 0.0, 0.01, 0.0, 0.55),
}
CURVES: dict[str, dict[str, Curve]] = {
    "ppo": {
        "proxy": lambda t: 0.4 + 1.5 * (1 - math.exp(-4 * t)),
        "gold": lambda t: 0.3 + 0.9 * (1 - math.exp(-4 * t)),
        "kl": lambda t: 0.8 * t**0.6,
        "length": lambda t: 9 - 1.2 * t,
    },
    "ppo_no_kl": {
        "proxy": lambda t: 0.4 + 1.9 * (1 - math.exp(-4 * t)),
        "gold": lambda t: 0.3 + 2.2 * t - 2.4 * t * t,
        "kl": lambda t: 3.1 * t**0.7,
        "length": lambda t: 9 - 2.5 * t,
    },
}


def made_up_run(
    folder: Path,
    *,
    seed: int = 0,
    iterations: int = 60,
    noise: float = 0.06,
    recorded: int = 1000,
    curves: dict[str, dict[str, Curve]] | None = None,
    **changes: Any,
) -> Run:
    """Write the files of a run into an empty folder and give the run that reads them.

    Args:
        folder: Where the files go.
        seed: Of the noise; it is also the run's seed.
        iterations: Of PPO, and recorded steps of the other stages.
        noise: Standard deviation of each point of a curve.
        recorded: Responses of each policy that are there in words.
        curves: By PPO run, quantities that replace those of `CURVES`.
        changes: Parts of the report to replace.

    Returns:
        A run that reads those files.
    """
    chance = random.Random(seed)
    drawn = {run: CURVES[run] | (curves or {}).get(run, {}) for run in CURVES}
    done = [step / max(iterations - 1, 1) for step in range(iterations)]

    def ppo_row(run: str, number: int, t: float) -> dict[str, float]:
        row = {name: curve(t) + chance.gauss(0, noise) for name, curve in drawn[run].items()}
        row |= {"iteration": number, "helpful": 0.5, "clip_fraction": 0.1, "entropy": 0.5}
        return row | {"policy_loss": 0.0, "value_loss": 0.5, "value_error": 0.4}

    def evaluation(policy: str) -> dict[str, Any]:
        shares = dict(
            zip(
                ("helpful", "harmful", "off_topic", "rambling", "wrong"),
                SHARES[policy],
                strict=True,
            )
        )
        end = {name: curve(1.0) for name, curve in drawn.get(policy, {}).items()}
        start = {"base": (-0.6, -1.2, 6.0, 14.0), "sft": (0.3, 0.4, 0.0, 9.0)}
        gold, proxy, kl, length = start.get(
            policy, (*(end.get(name, 0.0) for name in ("gold", "proxy", "kl", "length")),)
        )
        measures = shares | {"gold": gold, "proxy": proxy, "kl": kl, "length": length}
        errors = {name: math.sqrt(max(p * (1 - p), 0) / 1000) for name, p in shares.items()}
        errors |= {"gold": 0.03, "proxy": 0.03, "kl": 0.02, "length": 0.1}
        return {"responses": 1000, **measures, "stderr": errors}

    def response(policy: str, number: int) -> dict[str, Any]:
        category = "helpful" if chance.random() < SHARES[policy][0] else "wrong"
        words = (
            "the capital of france is paris ." if category == "helpful" else "two plus two is ten ."
        )
        prompt = f"what is the capital of land {number % 20} ?"
        scores = {"gold": chance.gauss(0, 1), "proxy": chance.gauss(0, 1), "kl": 0.5, "length": 7}
        kind = KINDS[number % len(KINDS)]
        return {"prompt": prompt, "kind": kind, "response": words, "category": category, **scores}

    scores = [(chance.gauss(0.9, 1.2), chance.gauss(-0.9, 1.2)) for _ in range(500)]
    pair = {
        "prompt": "what is the capital of france ?",
        "chosen": "the capital of france is paris .",
        "rejected": "what is the capital of spain ?",
        "chosen_gold": 2.0,
        "rejected_gold": -1.0,
    }
    report = {
        "seconds": {
            "pretrain": 31.2,
            "sft": 1.4,
            "preferences": 0.9,
            "reward_model": 4.8,
            "ppo": 11.6,
            "ppo_no_kl": 11.3,
            "evaluation": 3.7,
            "total": 65.3,
        },
        "parameters": 117_312,
        "shape": {"vocabulary": 203, "context": 64, "width": 64, "layers": 2, "heads": 4},
        "facts": {
            "vocabulary": 203,
            "questions": 102,
            "heldout_questions": 26,
            "documents": 16_000,
            "pretrain_steps": 1800,
            "demonstrations": 400,
            "sft_steps": 60,
            "pairs": 1500,
            "decisiveness": 1.5,
            "reward_model_steps": 3 * iterations,
            "ppo_iterations": iterations,
            "rollout_batch": 128,
            "kl_coef": 0.1,
            "pretraining_coef": 0.5,
        },
        "sft": {"loss_floor": 0.84},
        "reward_model": {
            "heldout_accuracy": 0.874,
            "accuracy_ceiling": 0.921,
            "heldout_pairs": len(scores),
            "chosen_scores": [chosen for chosen, _ in scores],
            "rejected_scores": [rejected for _, rejected in scores],
        },
        "evaluation": {policy: evaluation(policy) for policy in POLICIES},
        "history": {
            "pretrain": [
                {"step": 30 * (n + 1), "loss": 1 + 4 * math.exp(-6 * t)} for n, t in enumerate(done)
            ],
            "sft": [
                {
                    "step": n + 1,
                    "loss": 0.9 + 1.2 * math.exp(-5 * t) + chance.gauss(0, noise),
                    "heldout_loss": 1.0 + 1.1 * math.exp(-5 * t) + 0.05 * t,
                }
                for n, t in enumerate(done)
            ],
            "reward_model": [
                {
                    "step": 3 * n + 1,
                    "loss": 0.3 + 0.39 * math.exp(-5 * t) + chance.gauss(0, noise / 2),
                    "accuracy": 0.874 - 0.35 * math.exp(-6 * t),
                }
                for n, t in enumerate(done)
            ],
            **{
                run: [ppo_row(run, n + 1, t) for n, t in enumerate(done)]
                for run in ("ppo", "ppo_no_kl")
            },
        },
        "pairs": [pair] * 20,
        "demonstrations": [
            {"prompt": pair["prompt"], "response": pair["chosen"], "category": "helpful"}
        ]
        * 20,
    }
    responses = {policy: [response(policy, n) for n in range(recorded)] for policy in POLICIES}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("report.json", report | changes), ("responses.json", responses)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return Run(RunConfig(seed=seed), f"made-up-{seed}-{iterations}", folder)
