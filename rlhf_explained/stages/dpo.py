"""Stage 3 without reinforcement: DPO learns from the preference pairs alone.

Under a KL penalty with coefficient β the best policy is π*(y) ∝ π_ref(y) exp(r(y)/β). Solved for
the reward, r(y) = β log π*(y)/π_ref(y) + a constant: every policy is also a reward model. So train
the policy as one, on the same pairs, by the same Bradley–Terry loss; nothing is sampled and nobody
is scored.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch

from rlhf_explained.formulas import dpo_loss
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Sequences, sequence_logprobs


@dataclass(frozen=True)
class DPOConfig:
    """Settings of DPO.

    Attributes:
        steps: Optimiser steps.
        batch: Pairs per step.
        learning_rate: At the start; it falls linearly to a tenth.
        beta: Coefficient of the KL penalty, in the unit of the reward by whose differences the
            pairs were judged.
    """

    steps: int = 150
    batch: int = 64
    learning_rate: float = 3e-4
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.beta <= 0:
            raise ValueError(f"beta: {self.beta} is not positive")


@dataclass(frozen=True)
class DPOResult:
    """The trained policy, and one row of measurements for each step."""

    policy: GPT
    history: list[dict[str, int | float]]


def train_dpo(
    sft: GPT,
    chosen: Sequences,
    rejected: Sequences,
    config: DPOConfig,
    *,
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> DPOResult:
    """Train a copy of the SFT policy to prefer what was chosen, as far as the reference allows.

    Args:
        sft: The SFT policy: where DPO starts, and the reference it is held to. It is not changed.
        chosen: The better response of each pair.
        rejected: The other one, to the same prompt.
        config: Settings.
        generator: Source of the order of pairs.
        report: Called after each step with the number of steps done and the loss.

    Returns:
        The trained policy and its history.

    Raises:
        ValueError: If there are no pairs, or not one rejected response for each chosen one.
    """
    pairs = len(chosen.tokens)
    if not pairs or pairs != len(rejected.tokens):
        raise ValueError(f"rejected: {len(rejected.tokens)} for {pairs} chosen responses")
    policy = copy.deepcopy(sft)
    optimizer = torch.optim.AdamW(
        policy.parameters(), config.learning_rate, weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=config.steps)
    parts = torch.arange(pairs).split(8192)  # a million pairs at once would fill the memory
    with torch.no_grad():  # the reference does not change
        ref_chosen, ref_rejected = (
            torch.cat([sequence_logprobs(sft, side.rows(rows)) for rows in parts])
            for side in (chosen, rejected)
        )
    history = []
    for step in range(1, config.steps + 1):
        rows = torch.randint(pairs, (config.batch,), generator=generator)
        better = sequence_logprobs(policy, chosen.rows(rows))
        worse = sequence_logprobs(policy, rejected.rows(rows))
        ref_better, ref_worse = ref_chosen[rows], ref_rejected[rows]
        loss = dpo_loss(better, worse, ref_better, ref_worse, beta=config.beta)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        # The rewards that the policy implies.
        gained, lost = config.beta * (better - ref_better), config.beta * (worse - ref_worse)
        history.append(
            {
                "step": step,
                "loss": loss.item(),
                "accuracy": (gained > lost).float().mean().item(),
                "chosen_reward": gained.mean().item(),
                "rejected_reward": lost.mean().item(),
            }
        )
        report(step, loss.item())
    return DPOResult(policy, history)
