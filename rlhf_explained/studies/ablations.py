"""PPO as shipped, and with one part of it taken out at a time.

All settings of a seed start from the same SFT policy and reward model and draw the same prompts
first; each policy sits the same exam. Clipping is taken out of policy and critic, with the two
epochs that the run has and with eight, where each batch is learned from for longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import fmean

import torch

from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Rollout
from rlhf_explained.stages.evaluation import result
from rlhf_explained.stages.ppo import Experience, PPOConfig, credit
from rlhf_explained.training import Lesson

NO_CLIP = 1e6  # a ratio that no token reaches
LATE = 10  # iterations over which what is watched is averaged, at the end


def without_critic(rollout: Rollout, config: PPOConfig) -> Experience:
    """A token's credit is all that came after it: nobody guessed what was to be expected."""
    nothing = torch.zeros_like(rollout.values)
    return credit(replace(rollout, values=nothing), replace(config, gae_lambda=1.0))


def without_whitening(rollout: Rollout, config: PPOConfig) -> Experience:
    """The advantages as GAE gives them, on the reward's own scale and not centred."""
    experience = credit(rollout, config)
    return replace(experience, advantages=experience.returns - experience.values)


ASSIGN: dict[str, Callable[[Rollout, PPOConfig], Experience]] = {
    "credit": credit,
    "without_critic": without_critic,
    "without_whitening": without_whitening,
}


@dataclass(frozen=True)
class Ablation:
    """What is changed of PPO.

    Attributes:
        config: Its settings.
        assign: Name of what finds the tokens that earned the score.
    """

    config: PPOConfig = field(default_factory=PPOConfig)
    assign: str = "credit"


SEEDS = range(5)
SAMPLE = "no_pretraining"
SETTINGS: dict[str, Ablation] = {
    "ppo": Ablation(),
    "no_critic": Ablation(PPOConfig(value_coef=0.0), "without_critic"),
    "no_clip": Ablation(PPOConfig(clip_range=NO_CLIP)),
    "no_kl": Ablation(PPOConfig(kl_coef=0.0)),
    "no_whitening": Ablation(assign="without_whitening"),
    "no_pretraining": Ablation(PPOConfig(pretraining_coef=0.0)),
    "eight_epochs": Ablation(PPOConfig(epochs=8)),
    "eight_epochs_no_clip": Ablation(PPOConfig(epochs=8, clip_range=NO_CLIP)),
}


def measure(name: str, seed: int) -> dict[str, float]:
    """Train one of the settings and let its policy sit the exam.

    Args:
        name: Of the setting.
        seed: Of the run whose SFT policy and reward model it starts from.

    Returns:
        Of the exam, mean gold, proxy and KL (k1) from SFT in nats, and the shares of helpful and
        wrong answers. Of the training, the mean gold of all answers on the way, the largest KL of
        an iteration, and the entropy and the share of clipped tokens late in it.
    """
    start, setting = run(RunConfig(seed=seed)), SETTINGS[name]
    sft, reward_model = start.policy("sft"), start.policy("reward_model")
    lesson = Lesson(seed, 1.0, lambda stage, step, steps, loss: None)
    trained = lesson.reinforce(
        name, sft, reward_model, setting.config, assign=ASSIGN[setting.assign]
    )
    exam = result(lesson.examine(trained.policy, sft, reward_model))
    history, late = trained.history, trained.history[-LATE:]
    return {
        **{quantity: exam[quantity] for quantity in ("gold", "proxy", "kl", "helpful", "wrong")},
        "gold_on_the_way": fmean(row["gold"] for row in history),
        "largest_kl": max(row["kl"] for row in history),
        "late_entropy": fmean(row["entropy"] for row in late),
        "late_clip_fraction": fmean(row["clip_fraction"] for row in late),
    }
