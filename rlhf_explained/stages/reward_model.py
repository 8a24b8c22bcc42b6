"""Stage 2, the reward model: learn from comparisons which of two answers is preferred.

The SFT policy's body, with its scalar head in place of its word predictions, is trained until the
preferred answer of each pair scores higher.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rlhf_explained.formulas import bradley_terry_loss
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Sequences, score


@dataclass(frozen=True)
class RewardModelConfig:
    """Settings of reward modelling.

    Attributes:
        pairs: Number of comparisons to learn from.
        heldout_pairs: Comparisons on prompts that no other pair uses, to measure accuracy.
        decisiveness: How sharply the labeler tells good from bad (see `prefers_first`).
        steps: Optimiser steps.
        batch: Pairs per step.
        learning_rate: Peak of the schedule.
        weight_decay: AdamW's; holds back what too few comparisons would overfit.
    """

    pairs: int = 1500
    heldout_pairs: int = 1000
    decisiveness: float = 1.5
    steps: int = 150
    batch: int = 64
    learning_rate: float = 5e-4
    weight_decay: float = 0.1


@dataclass(frozen=True)
class Preferences:
    """Pairs of responses to the same prompts: row i of `chosen` was preferred to row i of `rejected`."""

    chosen: Sequences
    rejected: Sequences

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.chosen.tokens)


@dataclass(frozen=True)
class RewardModelResult:
    """The reward model, and over the steps its loss and its accuracy on held-out pairs."""

    reward_model: GPT
    history: list[dict[str, float]]


@torch.no_grad()
def accuracy(reward_model: GPT, preferences: Preferences) -> float:
    """Share of pairs in which the preferred response scores higher."""
    chosen = score(reward_model, preferences.chosen)
    return (chosen > score(reward_model, preferences.rejected)).float().mean().item()


def train_reward_model(
    sft: GPT,
    preferences: Preferences,
    heldout: Preferences,
    config: RewardModelConfig,
    *,
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> RewardModelResult:
    """Train a copy of the SFT policy to score responses.

    Only differences of scores are learned, so the result is shifted to a mean of zero over all
    training responses, as Ziegler et al. 2019 do: the loss cannot tell.

    Args:
        sft: The SFT policy; it is not changed.
        preferences: Pairs to learn from.
        heldout: Pairs on which accuracy is only measured.
        config: Settings.
        generator: Source of the order of pairs.
        report: Called after each step with the number of steps done and the loss.

    Returns:
        The reward model and its curves.

    Raises:
        ValueError: If there are no pairs.
    """
    if len(preferences) == 0:
        raise ValueError("preferences: there are no pairs to learn from")
    reward_model = copy.deepcopy(sft)
    optimizer = torch.optim.AdamW(
        reward_model.parameters(),
        config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.1
    )
    history = []
    for step in range(1, config.steps + 1):
        rows = torch.randperm(len(preferences), generator=generator)[: config.batch]
        loss = bradley_terry_loss(
            score(reward_model, preferences.chosen.rows(rows)),
            score(reward_model, preferences.rejected.rows(rows)),
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reward_model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step == 1 or step % 10 == 0 or step == config.steps:
            history.append({
                "step": step,
                "loss": loss.item(),
                "accuracy": accuracy(reward_model, heldout),
            })
        report(step, loss.item())
    with torch.no_grad():
        every_score = [score(reward_model, side) for side in (preferences.chosen, preferences.rejected)]
        reward_model.scalar_head.bias -= torch.cat(every_score).mean()
    return RewardModelResult(reward_model, history)
