"""Stage 1, supervised fine-tuning: imitate demonstrations.

The loss is pretraining's, counted on the response alone: the student learns how to answer, not how
to ask.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_explained.formulas import sft_loss
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import Sequences, response_logits


@dataclass(frozen=True)
class SFTConfig:
    """Settings of supervised fine-tuning.

    Attributes:
        demonstrations: Number of demonstrations to learn from.
        heldout_demonstrations: Others, on which the loss is only measured.
        steps: Optimiser steps; at this size a few dozen suffice and many overfit.
        batch: Demonstrations per step.
        learning_rate: Constant.
    """

    demonstrations: int = 400
    heldout_demonstrations: int = 256
    steps: int = 60
    batch: int = 32
    learning_rate: float = 5e-4


@dataclass(frozen=True)
class SFTResult:
    """The fine-tuned policy, and per step the loss on the batch and on held-out demonstrations."""

    policy: GPT
    history: list[dict[str, int | float]]


def demonstration_loss(policy: GPT, demonstrations: Sequences) -> Tensor:
    """Mean negative log-likelihood of the response tokens, in nats per token."""
    logits = response_logits(policy, demonstrations)
    return sft_loss(logits, demonstrations.responses, demonstrations.response_mask)


def train_sft(
    base: GPT,
    demonstrations: Sequences,
    heldout: Sequences,
    config: SFTConfig,
    *,
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> SFTResult:
    """Fine-tune a copy of a pretrained model on demonstrations.

    Args:
        base: The pretrained model; it is not changed.
        demonstrations: Prompts with the responses to imitate.
        heldout: Other demonstrations, on which the loss is only measured.
        config: Settings.
        generator: Source of the order of demonstrations.
        report: Called after each step with the number of steps done and the loss.

    Returns:
        The fine-tuned policy and its loss curves.
    """
    policy = copy.deepcopy(base)
    optimizer = torch.optim.AdamW(policy.parameters(), config.learning_rate, fused=True)
    count = len(demonstrations.tokens)
    history = []
    for step in range(1, config.steps + 1):
        rows = torch.randperm(count, generator=generator)[: config.batch]
        loss = demonstration_loss(policy, demonstrations.rows(rows))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        if step == 1 or step % 5 == 0 or step == config.steps:
            with torch.no_grad():
                heldout_loss = demonstration_loss(policy, heldout).item()
            history.append({"step": step, "loss": loss.item(), "heldout_loss": heldout_loss})
        report(step, loss.item())
    return SFTResult(policy, history)
