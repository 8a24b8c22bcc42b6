"""Does the KL penalty do more than stopping early? Both runs at one rate, looked at on the way.

PPO with its penalty and PPO without it start from the same SFT policy and draw the same prompts
first. At each of the first iterations, and later at every tenth, the policy answers held-out
questions and practised ones. Where to stop is chosen by the gold reward on practised questions;
what stopping there is worth is read on held-out ones. Nothing is smoothed. At a fifth of the rate
the runs are twice as long, so that they come to their end, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.stages.evaluation import result, sit_exam
from rlhf_explained.stages.ppo import PPOConfig
from rlhf_explained.training import Lesson
from rlhf_explained.world.questions import evaluation_questions, questions

EARLY = 10
"""Iterations with a look at each; what happens at the fast rate happens here."""
EVERY = 10
"""Iterations from one look to the next, later."""
ANSWERS = 8
"""To each held-out question."""
PRACTISED_ANSWERS = 3
"""To each practised question."""


@dataclass(frozen=True)
class Way:
    """How a run goes: its rate, its length, and whether it pays the penalty."""

    learning_rate: float
    iterations: int
    penalty: bool


SEEDS = range(5)
SAMPLE = "slow_free"
SETTINGS: dict[str, Way] = {
    f"{speed}_{kind}": Way(rate, iterations, kind == "held")
    for speed, rate, iterations in (("fast", 1e-3, 50), ("slow", 2e-4, 100))
    for kind in ("held", "free")
}


def measure(name: str, seed: int) -> dict[str, Any]:
    """Train one run and look at it on the way.

    Args:
        name: Of the setting.
        seed: Of the run whose SFT policy and reward model it starts from.

    Returns:
        `way`, a list of the looks: `iteration`, and on held-out questions `gold`, `proxy`, `kl`,
        and on practised ones `practised_gold`; the `iteration` at which the practised gold was
        highest, with the held-out `gold` and `kl` there (`stop_…`), and those at the end (`end_…`).
    """
    setting, start = SETTINGS[name], run(RunConfig(seed=seed))
    sft, reward_model = start.policy("sft"), start.policy("reward_model")
    lesson = Lesson(seed)
    usual = PPOConfig()
    config = replace(
        usual,
        learning_rate=setting.learning_rate,
        iterations=setting.iterations,
        kl_coef=usual.kl_coef if setting.penalty else 0.0,
    )
    practised = [q for q in questions() if not q.held_out] * PRACTISED_ANSWERS
    way: list[dict[str, float]] = []

    def examine(iteration: int, policy: GPT) -> None:
        if iteration > EARLY and iteration % EVERY:
            return
        exams = [
            result(
                sit_exam(
                    policy,
                    sft,
                    reward_model,
                    asked,
                    lesson.tokenizer,
                    generator=lesson.generator("looks"),
                )
            )
            for asked in (evaluation_questions(ANSWERS), practised)
        ]
        held_out, known = exams
        way.append(
            {
                "iteration": float(iteration),
                **{quantity: held_out[quantity] for quantity in ("gold", "proxy", "kl")},
                "practised_gold": known["gold"],
            }
        )

    lesson.reinforce(name, sft, reward_model, config, critic=reward_model, examine=examine)
    stop, end = max(way, key=lambda look: look["practised_gold"]), way[-1]
    return {
        **{f"stop_{quantity}": stop[quantity] for quantity in ("iteration", "gold", "kl")},
        **{f"end_{quantity}": end[quantity] for quantity in ("gold", "proxy", "kl")},
        "way": way,
    }
