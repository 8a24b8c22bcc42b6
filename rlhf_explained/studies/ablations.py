"""PPO as shipped, and with one part of it taken out or exchanged at a time.

All settings of a seed start from the same SFT policy and reward model and draw the same prompts
first; each policy is evaluated alike. Four kinds of critic are compared: a network of its own that
starts from the reward model, as shipped; one that starts from the SFT policy; the policy's own
scalar head, whose loss changes the trunk that both read; and the same head on a trunk that it may
not change. Clipping is taken out with the two epochs that the run has and with eight, where each
batch is learned from for longer.

Two settings mix pretraining's documents into the loss (PPO-ptx): those of the web that are about
practised questions, and the web as it is, which states the answers of the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

import torch
from torch import Tensor

from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Rollout, collect_rollout, response_values, score
from rlhf_explained.stages.evaluation import result
from rlhf_explained.stages.ppo import Experience, PPOConfig, PPOResult, credit, explained_variance
from rlhf_explained.training import Lesson
from rlhf_explained.world.corpus import WEB, web

NO_CLIP = 1e6  # a ratio that no token reaches
LATE = 10  # iterations over which what is watched is averaged, at the end
DOCUMENTS = 2000  # of the web, to mix in
POSITIONS = 12  # response tokens by which the critic is looked at
ASKED = 1024  # prompts that it is looked at with


def without_critic(rollout: Rollout, values: Tensor, config: PPOConfig) -> Experience:
    """A token's credit is all that came after it: no critic guessed it beforehand."""
    return credit(rollout, torch.zeros_like(values), replace(config, gae_lambda=1.0))


def without_whitening(rollout: Rollout, values: Tensor, config: PPOConfig) -> Experience:
    """The advantages as GAE gives them, on the reward's own scale and not centred."""
    experience = credit(rollout, values, config)
    return replace(experience, advantages=experience.returns - experience.values)


ASSIGN: dict[str, Callable[[Rollout, Tensor, PPOConfig], Experience]] = {
    "credit": credit,
    "without_critic": without_critic,
    "without_whitening": without_whitening,
}


@dataclass(frozen=True)
class Ablation:
    """What is changed of PPO.

    Attributes:
        config: Its settings.
        critic: Where the critic starts, or `shared` for the policy's own head.
        assign: Name of what finds the tokens that earned the score.
        mix: What is mixed in of pretraining: nothing, or the web's documents on practised
            questions, or on all.
    """

    config: PPOConfig = field(default_factory=PPOConfig)
    critic: Literal["reward_model", "sft", "shared"] = "reward_model"
    assign: str = "credit"
    mix: Literal["", "practised", "all"] = ""


SEEDS = range(5)
SAMPLE = "no_whitening"
SETTINGS: dict[str, Ablation] = {
    "ppo": Ablation(),
    "critic_from_sft": Ablation(critic="sft"),
    "critic_detached": Ablation(PPOConfig(detached=True), critic="shared"),
    "critic_shared": Ablation(critic="shared"),
    "no_critic": Ablation(assign="without_critic"),
    "lambda_1": Ablation(PPOConfig(gae_lambda=1.0)),
    "no_clip": Ablation(PPOConfig(clip_range=NO_CLIP)),
    "no_value_clip": Ablation(PPOConfig(value_clip_range=NO_CLIP)),
    "no_kl": Ablation(PPOConfig(kl_coef=0.0)),
    "no_whitening": Ablation(assign="without_whitening"),
    "mix_practised": Ablation(PPOConfig(pretraining_coef=0.5), mix="practised"),
    "mix_all": Ablation(PPOConfig(pretraining_coef=0.5), mix="all"),
    "eight_epochs": Ablation(PPOConfig(epochs=8)),
    "eight_epochs_no_clip": Ablation(PPOConfig(epochs=8, clip_range=NO_CLIP)),
}


def measure(name: str, seed: int) -> dict[str, float | list[float]]:
    """Train one of the settings and evaluate its policy.

    Args:
        name: Of the setting.
        seed: Of the run whose SFT policy and reward model it starts from.

    Returns:
        Of the evaluation, mean gold, proxy and KL (k1) from SFT in nats, the shares of helpful,
        false and broken answers, and the accuracy of stated facts. Of the training, the mean gold
        of all answers on the way, the largest KL of an iteration; the explained variance early and
        late, and after training by position of the token; the entropy and the share of clipped
        tokens late in it.
    """
    start, setting = run(RunConfig(seed=seed)), SETTINGS[name]
    sft, reward_model = start.policy("sft"), start.policy("reward_model")
    lesson = Lesson(seed)
    critics = {"reward_model": reward_model, "sft": sft, "shared": None}
    trained = lesson.reinforce(
        name,
        sft,
        reward_model,
        setting.config,
        critic=critics[setting.critic],
        documents=documents(lesson, setting.mix),
        assign=ASSIGN[setting.assign],
    )
    exam = result(lesson.examine(trained.policy, sft, reward_model))
    history, early, late = trained.history, trained.history[:LATE], trained.history[-LATE:]
    names = ("gold", "proxy", "kl", "helpful", "false", "broken", "accuracy", "facts_gold")
    return {
        **{quantity: exam[quantity] for quantity in names},
        "gold_on_the_way": fmean(row["gold"] for row in history),
        "largest_kl": max(row["kl"] for row in history),
        "early_explained_variance": fmean(row["explained_variance"] for row in early),
        "late_explained_variance": fmean(row["explained_variance"] for row in late),
        "least_explained_variance": min(row["explained_variance"] for row in late),
        "explained_by_position": by_position(lesson, sft, reward_model, trained, setting.config),
        "late_entropy": fmean(row["entropy"] for row in late),
        "late_clip_fraction": fmean(row["clip_fraction"] for row in late),
    }


def documents(lesson: Lesson, mix: str) -> list[str]:
    """What is mixed in."""
    if not mix:
        return []
    writers = replace(WEB, held_out=mix == "all")
    return web(
        DOCUMENTS,
        stated=lesson.pretraining.stated,
        writers=writers,
        generator=lesson.generator("mix"),
    )


@torch.no_grad()
def by_position(
    lesson: Lesson, sft: GPT, reward_model: GPT, trained: PPOResult, config: PPOConfig
) -> list[float]:
    """Explained variance of what is still to be earned before each of the first response tokens.

    Args:
        lesson: Asks practised prompts.
        sft: The reference.
        reward_model: The judge.
        trained: A policy and its critic.
        config: The settings that they were trained with.

    Returns:
        One number for each position, of fresh answers; what is to be earned is summed to the end of
        the answer (λ = 1), so that no critic has a say in it.
    """
    draw_prompts, _ = lesson.classroom(lesson.generator("positions"))
    rollout = collect_rollout(
        trained.policy,
        sft,
        lambda sequences: score(reward_model, sequences),
        draw_prompts(ASKED),
        limit=config.response_limit,
        generator=lesson.generator("positions/answers"),
    )
    values = response_values(trained.critic, rollout.sequences)
    earned = credit(rollout, values, replace(config, gae_lambda=1.0)).returns
    mask = rollout.sequences.response_mask
    places = (slice(place, place + 1) for place in range(min(POSITIONS, mask.shape[1])))
    return [explained_variance(values[:, at], earned[:, at], mask[:, at]) for at in places]
