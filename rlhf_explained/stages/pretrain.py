"""Stage 0, pretraining: predict the next word of the web.

This gives the brilliant but clueless student: it knows the facts, and continues a question in every
way the web does.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from rlhf_explained.formulas import sft_loss
from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.world.tokenizer import EOS, PAD


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of pretraining.

    Attributes:
        documents: Size of the web.
        stated: Share of it that states facts under a heading; the rest continues questions.
        steps: Optimiser steps; so many batches are three times the web.
        batch: Documents per step.
        learning_rate: Peak of the schedule, reached after a tenth of the steps.
        weight_decay: AdamW's.
    """

    documents: int = 16_000
    stated: float = 0.40
    steps: int = 1500
    batch: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 0.01


@dataclass(frozen=True)
class PretrainResult:
    """The pretrained model and its loss, averaged over each twenty steps."""

    policy: GPT
    history: list[dict[str, int | float]]


def document_batches(
    documents: Sequence[Sequence[int]], batch: int
) -> list[Int[Tensor, "_batch _time"]]:
    """Group documents of similar length, so that little padding is computed.

    Args:
        documents: Tokens of each document, without `<eos>`, which is added here.
        batch: Documents per group; what is left over is dropped.

    Returns:
        Right-padded groups.

    Raises:
        ValueError: If there are fewer documents than one group.
    """
    if len(documents) < batch:
        raise ValueError(f"documents: {len(documents)}, fewer than one batch of {batch}")
    ordered = sorted(([*document, EOS] for document in documents), key=len)
    groups = [ordered[at : at + batch] for at in range(0, len(ordered) - batch + 1, batch)]
    return [
        torch.tensor([document + [PAD] * (len(group[-1]) - len(document)) for document in group])
        for group in groups
    ]


def _size(tokens: Int[Tensor, "batch time"]) -> int:
    """Predicted tokens in a batch."""
    return int((tokens[:, 1:] != PAD).sum())


def document_loss(policy: GPT, tokens: Int[Tensor, "batch time"]) -> Tensor:
    """Mean negative log-likelihood, nats per token, of every word given those before it."""
    return sft_loss(policy(tokens[:, :-1]), tokens[:, 1:], tokens[:, 1:] != PAD)


def train_pretrained(
    documents: Sequence[Sequence[int]],
    shape: GPTConfig,
    config: PretrainConfig,
    *,
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> PretrainResult:
    """Train a new model on documents.

    Args:
        documents: Tokens of each document.
        shape: Shape of the model.
        config: Settings.
        generator: Source of the initial weights and of the order of batches.
        report: Called after each step with the number of steps done and the loss.

    Returns:
        The model and its loss curve.
    """
    policy = GPT(shape, generator=generator)
    batches = document_batches(documents, config.batch)
    optimizer = torch.optim.AdamW(
        policy.parameters(),
        config.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=config.weight_decay,
        fused=True,
    )
    warmup = max(0.1, 2 / max(config.steps, 3))  # as a share; at least two steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=warmup
    )
    mean_size = sum(map(_size, batches)) / len(batches)
    epochs = math.ceil(config.steps / len(batches))
    order = torch.cat([torch.randperm(len(batches), generator=generator) for _ in range(epochs)])
    history, recent = [], []
    for step, pick in enumerate(order[: config.steps].tolist(), start=1):
        loss = document_loss(policy, batches[pick])
        optimizer.zero_grad()
        (
            loss * (_size(batches[pick]) / mean_size)
        ).backward()  # every token of the web counts alike
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 20 == 0 or step == config.steps:
            history.append({"step": step, "loss": sum(recent) / len(recent)})
            recent = []
        report(step, loss.item())
    return PretrainResult(policy, history)
