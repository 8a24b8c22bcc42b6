"""A made-up run: the shape of a real one, numbers from a formula and a little noise.

Drawings and values must not need training to be tested, and must stand runs that no training
gives: one iteration, constant curves, a penalty that does harm. Only its questions are the world's.
"""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlhf_explained.names import CATEGORIES, POLICIES, STAGES
from rlhf_explained.pipeline import Run, RunConfig
from rlhf_explained.world.questions import evaluation_questions, questions

Curve = Callable[[float], float]
"""A quantity over a stage: from the share of its steps that are done to the value."""

SECONDS = (14.5, 1.9, 5.9, 9.3, 23.3, 26.2, 17.8, 75.7)
TEMPERATURES = (1.0, 0.7, 0.5, 0.3, 0.0)
SHARES = {
    "base": (0.22, 0.29, 0.24, 0.19, 0.02, 0.04),
    "sft": (0.29, 0.06, 0.08, 0.45, 0.09, 0.03),
    "ppo": (0.84, 0.0, 0.0, 0.01, 0.13, 0.02),
    "ppo_no_kl": (0.42, 0.0, 0.0, 0.0, 0.31, 0.27),
}
COLDER = {"base": 0.5, "sft": -0.2, "ppo": 0.6, "ppo_no_kl": 0.8}
"""How much gold a policy gains from temperature 1 to 0."""
WINS = {"base": (0.32, 0.32), "sft": (0.5, 0.5), "ppo": (0.79, 0.83), "ppo_no_kl": (0.51, 0.87)}
CURVES: dict[str, dict[str, Curve]] = {
    "ppo": {
        "proxy": lambda t: -0.1 + 2.5 * (1 - math.exp(-4 * t)),
        "gold": lambda t: 0.3 + 1.6 * (1 - math.exp(-4 * t)),
        "kl": lambda t: 1.4 * t**0.6,
        "length": lambda t: 15 - 1.2 * t,
    },
    "ppo_no_kl": {
        "proxy": lambda t: -0.1 + 2.9 * (1 - math.exp(-4 * t)),
        "gold": lambda t: 0.3 + 5.4 * t - 5.1 * t * t,
        "kl": lambda t: 7.1 * t**0.7,
        "length": lambda t: 15 - 0.5 * t,
    },
}
STILL = {"base": (-0.5, -1.7, 1.1, 11.0), "sft": (0.3, -0.1, 0.0, 15.0)}
"""Gold, proxy, KL and length of the policies that have no curve."""


def made_up_run(
    folder: Path,
    *,
    seed: int = 0,
    iterations: int = 60,
    noise: float = 0.06,
    answers: int = 20,
    curves: dict[str, dict[str, Curve]] | None = None,
    **changes: Any,
) -> Run:
    """Write the files of a run into an empty folder and give the run that reads them.

    Args:
        folder: Where the files go.
        seed: Of the noise; it is also the run's seed.
        iterations: Of PPO, and recorded steps of the other stages.
        noise: Standard deviation of each point of a curve.
        answers: To each question of the exam.
        curves: By PPO run, quantities that replace those of `CURVES`.
        changes: Parts of the report to replace.

    Returns:
        A run that reads those files.
    """
    chance = random.Random(seed)
    drawn = {run: CURVES[run] | (curves or {}).get(run, {}) for run in CURVES}
    done = [step / max(iterations - 1, 1) for step in range(iterations)]
    asked = evaluation_questions(answers)
    every = len({question.text for question in asked})

    def ppo_row(run: str, number: int, t: float) -> dict[str, float]:
        row = {name: curve(t) + chance.gauss(0, noise) for name, curve in drawn[run].items()}
        row |= {"iteration": number, "trained_score": row["proxy"], "finished": 1.0}
        row |= {"helpful": 0.5, "loss": 0.2, "policy_loss": 0.0, "value_loss": 0.5}
        row |= {"clip_fraction": 0.1, "entropy": 0.5, "value_error": 0.4}
        return row | {"explained_variance": 0.7 - 0.8 * math.exp(-4 * t)}

    def exam(policy: str, *, t: float = 1.0, temperature: float = 1.0) -> dict[str, Any]:
        curve = drawn.get(policy)
        gold, proxy, kl, length = STILL.get(policy, STILL["sft"])
        if curve:
            gold, proxy, kl, length = (curve[n](t) for n in ("gold", "proxy", "kl", "length"))
        gold += COLDER[policy] * (1 - temperature)
        shares = dict(zip(CATEGORIES, SHARES[policy], strict=True))
        accuracy = shares["helpful"] / (shares["helpful"] + shares["false"])
        means = shares | {"gold": gold, "proxy": proxy, "kl": kl, "length": length}
        means |= {"accuracy": accuracy, "facts_gold": gold - 0.1, "facts_helpful": 0.5}
        errors = {name: math.sqrt(p * (1 - p) / 1000) for name, p in shares.items()}
        errors |= {"gold": 0.05, "proxy": 0.06, "kl": 0.04, "length": 0.3}
        errors |= {"accuracy": 0.02, "facts_gold": 0.07, "facts_helpful": 0.02}
        if temperature != 1:
            means["kl"] = None
            del errors["kl"]
        given = {1.0: answers, 0.0: 1}.get(temperature, min(answers, 10)) * every
        counts = {"responses": given, "questions": every, "stated": given // 2}
        return {**counts, **means, "stderr": errors}

    def response(policy: str, number: int) -> dict[str, Any]:
        question, helpful = asked[number], chance.random() < SHARES[policy][0]
        answer, turn = question.answers[0], number // every
        if helpful:
            category, text = "helpful", answer
            text = f"sure ! {text}" if turn % 2 else text
            text = f"{text} happy to help !" if turn // 2 % 2 else text
        else:
            category, text = (
                ("broken", "two plus two is ."),
                ("false", " ".join([*answer.split()[:-2], "blue", "."])),
                ("rambling", f"{answer} but did you know that snow is cold ?"),
            )[turn % 3]
        return {
            "prompt": question.text,
            "kind": question.kind,
            "response": text,
            "category": category,
            "right": {"helpful": True, "false": False}.get(category),
            **{"gold": chance.gauss(0, 1), "proxy": chance.gauss(0, 1)},
            **{"kl": 0.5, "length": 5 + number % 7},
        }

    scores = [(chance.gauss(0.9, 1.2), chance.gauss(-0.9, 1.2)) for _ in range(500)]
    practised = [question for question in questions() if not question.held_out]
    asides = {"rambling": " but did you know that snow is cold ?", "helpful": ""}
    shown = [
        {"prompt": question.text, "response": question.answers[0] + aside, "category": category}
        for category, aside in asides.items()
        for question in practised
    ]
    pair = {
        "prompt": "what is the capital of germany ?",
        "chosen": "the capital of germany is berlin .",
        "rejected": "what is the capital of spain ?",
        "chosen_gold": 1.86,
        "rejected_gold": -1.14,
    }
    by_policy = {p: {str(t): exam(p, temperature=t) for t in TEMPERATURES} for p in POLICIES}
    report = {
        "seconds": dict(zip((*STAGES, "total"), SECONDS, strict=True)),
        "parameters": 131_841,
        "critic_parameters": 131_841,
        "shape": {"vocabulary": 439, "context": 64, "width": 64, "layers": 2, "heads": 4},
        "facts": {
            "vocabulary": 439,
            "questions": len(questions()),
            "heldout_questions": every,
            "documents": 16_000,
            "pretrain_steps": 1500,
            "demonstrations": len(shown),
            "sft_steps": 60,
            "pairs": 2500,
            "decisiveness": 5.0,
            "reward_model_epochs": 2,
            "reward_model_steps": 3 * iterations,
            "ppo_iterations": iterations,
            "rollout_batch": 128,
            "kl_coef": 0.5,
            "answers": answers,
        },
        "sft": {"loss_floor": 0.22},
        "reward_model": {
            "heldout_accuracy": 0.78,
            "accuracy_ceiling": 0.874,
            "hard_negative_accuracy": 0.019,
            "plain_negative_accuracy": 0.45,
            "heldout_pairs": len(scores),
            "chosen_scores": [chosen for chosen, _ in scores],
            "rejected_scores": [rejected for _, rejected in scores],
        },
        "evaluation": {policy: exams["1.0"] for policy, exams in by_policy.items()},
        "temperatures": by_policy,
        "win_rates": {
            policy: {
                judge: {"mean": mean, "stderr": 0.0 if policy == "sft" else 0.013}
                for judge, mean in zip(("labeler", "reward_model"), means, strict=True)
            }
            for policy, means in WINS.items()
        },
        "checkpoints": {
            run: [
                {"iteration": number, **exam(run, t=number / iterations)}
                for number in range(0, iterations + 1, 5)
            ]
            for run in CURVES
        },
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
                    "accuracy": 0.78 - 0.28 * math.exp(-6 * t),
                }
                for n, t in enumerate(done)
            ],
            **{run: [ppo_row(run, n + 1, t) for n, t in enumerate(done)] for run in CURVES},
        },
        "pairs": [pair] * 20,
        "demonstrations": shown[:20],
    }
    responses = {p: [response(p, number) for number in range(len(asked))] for p in POLICIES}
    written = {
        "report": report | changes,
        "responses": responses,
        "by_question": {
            policy: {
                at: {question.text: {"gold": one["gold"], "helpful": 0.5} for question in asked}
                for at, one in exams.items()
            }
            for policy, exams in by_policy.items()
        },
        "data": {
            **{
                name: [
                    {"prompt": q.text, "answers": list(q.answers), "kind": q.kind}
                    for q in questions()
                    if q.held_out == (name == "heldout")
                ]
                for name in ("heldout", "practised")
            },
            "demonstrations": [
                {name: one[name] for name in ("prompt", "response")} for one in shown
            ],
            "preferences": [{name: pair[name] for name in ("prompt", "chosen", "rejected")}] * 2500,
            "rollout_prompts": sorted(question.text for question in practised),
            "other": [],
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in written.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return Run(RunConfig(seed=seed), f"made-up-{seed}-{iterations}", folder)


def another_run(folder: Path, run: Run) -> Run:
    """A run that gives each figure other numbers than this one."""
    exams, colder = run.evaluation, run.temperatures["ppo"]
    return made_up_run(
        folder,
        seed=4,
        seconds=run.seconds | {"sft": 1.5},
        evaluation=exams
        | {"ppo": exams["ppo"] | {"helpful": 0.78}, "sft": exams["sft"] | {"length": 9.5}},
        facts=run.facts | {"pairs": 1501},
        temperatures=run.temperatures | {"ppo": colder | {"0.5": colder["0.0"]}},
    )
