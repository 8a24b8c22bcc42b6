"""Stage 3 without a critic: GRPO compares each answer with others to the same prompt.

PPO asks a critic what an answer was expected to be worth. GRPO asks several answers to one prompt:
the mean of their scores is the expectation, and every token of an answer gets the same advantage,
divided by the spread of the scores. RLOO compares with the mean of the others alone, and divides by
nothing.

The losses average over all tokens of the batch, as DAPO's does (Yu et al. 2025); GRPO's first paper
averages within each answer first. Dr. GRPO (Liu, Z. et al. 2025) divides neither by an answer's
length nor by the spread.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_explained.formulas import (
    group_advantages,
    kl_k2,
    kl_k3,
    masked_mean,
    ppo_policy_loss,
    token_logprobs,
)
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import (
    Judge,
    Rollout,
    Sequences,
    collect_rollout,
    response_logits,
)
from rlhf_explained.world.tokenizer import RESPONSE_LIMIT

PENALTIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "loss": lambda new, old, reference: kl_k3(new, reference),
    "loss_ratio_k3": lambda new, old, reference: (new - old).exp() * kl_k3(new, reference),
    "loss_k2": lambda new, old, reference: kl_k2(new, reference),
}
"""What a token pays in the loss: from its log-probability now, when sampled, in the reference."""


@dataclass(frozen=True)
class GRPOConfig:
    """Settings of GRPO.

    Attributes:
        iterations: Rounds of answering and learning.
        prompts: Prompts per round.
        group_size: Answers to each prompt.
        epochs: Times each round is learned from.
        learning_rate: At the start; it falls linearly to a tenth.
        kl_coef: Coefficient of the KL penalty; 0 removes the penalty.
        kl_in: Where it is paid: in the `reward`, by the answer, as in PPO and RLOO; or in the
            loss, token by token, where no token pays for the divergence of later ones. There it is
            `loss` for k3, as published, which leads to another policy; `loss_ratio_k3` for k3 times
            the probability ratio, as in TRL by default since 1.10; or `loss_k2`.
        divide_by_std: Whether scores are divided by their group's spread, as published; without it
            advantages keep the reward's unit. Leaving it out is half of Dr. GRPO, whose other half
            is to divide the loss by a constant instead of by a number of tokens.
        clip_range: How far a token's probability ratio may usefully move per round.
        unfinished_score: Score of an answer that was cut off, in place of the judge's.
        response_limit: Longest answer in tokens.
    """

    iterations: int = 50
    prompts: int = 16
    group_size: int = 8
    epochs: int = 2
    learning_rate: float = 8e-4
    kl_coef: float = 0.5
    kl_in: Literal["reward", "loss", "loss_ratio_k3", "loss_k2"] = "loss"
    divide_by_std: bool = True
    clip_range: float = 0.2
    unfinished_score: float = -6.0
    response_limit: int = RESPONSE_LIMIT

    def __post_init__(self) -> None:
        if self.kl_coef < 0:
            raise ValueError(f"kl_coef: {self.kl_coef} is negative")
        if self.kl_in not in ("reward", *PENALTIES):
            known = ", ".join(("reward", *PENALTIES))
            raise ValueError(f"kl_in: {self.kl_in!r} is not one of {known}")


@dataclass(frozen=True)
class GRPOResult:
    """The trained policy, and one row of measurements for each iteration."""

    policy: GPT
    history: list[dict[str, int | float]]


def advantages(rollout: Rollout, config: GRPOConfig) -> Float[Tensor, "batch response"]:
    """How much better each answer is than the others to its prompt, for each of its tokens."""
    mask = rollout.sequences.response_mask
    rewards = rollout.trained_on(config.unfinished_score)
    if config.kl_in == "reward":
        rewards = rewards - config.kl_coef * rollout.log_ratios
    if config.divide_by_std:
        better = group_advantages(rewards, group_size=config.group_size)
    else:  # against the mean of the others (RLOO; Ahmadian et al. 2024)
        groups = rewards.unflatten(0, (-1, config.group_size))
        others = (groups.sum(1, keepdim=True) - groups) / (config.group_size - 1)
        better = (groups - others).flatten()
    return better[:, None].expand(mask.shape)


def train_grpo(
    sft: GPT,
    judge: Judge,
    config: GRPOConfig,
    *,
    draw_prompts: Callable[[int], Sequence[Sequence[int]]],
    observe: Callable[[Sequences], dict[str, int | float]] = lambda sequences: {},
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> GRPOResult:
    """Train a copy of the SFT policy to score well with a judge, without a critic.

    Args:
        sft: The SFT policy: where GRPO starts, and the reference it is held to. It is not changed.
        judge: Scores each answer.
        config: Settings.
        draw_prompts: Returns the tokens of as many prompts as asked for.
        observe: Looks at each round's answers and returns more to record.
        generator: Source of all randomness but the prompts'.
        report: Called after each iteration with the number done and the loss.

    Returns:
        The trained policy and its history.
    """
    policy = copy.deepcopy(sft)
    optimizer = torch.optim.AdamW(
        policy.parameters(), config.learning_rate, weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=config.iterations)
    history = []
    for iteration in range(1, config.iterations + 1):
        # 1. Answer each prompt several times; neighbours in the batch are a group.
        prompts = draw_prompts(config.prompts)
        rollout = collect_rollout(
            policy,
            sft,
            judge,
            [prompt for prompt in prompts for _ in range(config.group_size)],
            limit=config.response_limit,
            generator=generator,
        )
        # 2. Compare the answers of each group.
        sequences, better = rollout.sequences, advantages(rollout, config)
        mask = sequences.response_mask
        # 3. Make the better ones likelier, in a few clipped steps.
        loss = torch.zeros(())
        for _ in range(config.epochs):
            logprobs = token_logprobs(response_logits(policy, sequences), sequences.responses)
            loss = ppo_policy_loss(
                logprobs, rollout.logprobs, better, mask, clip_range=config.clip_range
            )
            if config.kl_in in PENALTIES:
                parts = (logprobs, rollout.logprobs, rollout.ref_logprobs)
                price = PENALTIES[config.kl_in](*(part.masked_fill(~mask, 0) for part in parts))
                loss = loss + config.kl_coef * masked_mean(price, mask)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        # 4. Write down what happened.
        history.append(
            {
                "iteration": iteration,
                "proxy": rollout.scores.mean().item(),
                "finished": sequences.ended.float().mean().item(),
                "kl": rollout.log_ratios.mean().item(),
                "length": sequences.lengths.float().mean().item(),
                **observe(sequences),
                "loss": loss.item(),  # with the penalty, where it is paid there
            }
        )
        report(iteration, loss.item())
    return GRPOResult(policy, history)
