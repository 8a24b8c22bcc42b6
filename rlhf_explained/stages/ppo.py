"""Stage 3, PPO: answer, be scored, and make what scored well more likely.

One iteration: sample answers (rollout), turn one score per answer into an advantage per token
(KL-shaped rewards, then GAE), and take a few clipped steps towards the better tokens.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhf_explained.formulas import (
    entropy,
    gae,
    kl_shaped_rewards,
    masked_mean,
    masked_whiten,
    ppo_policy_loss,
    ppo_value_loss,
    sft_loss,
    token_logprobs,
)
from rlhf_explained.models.gpt import GPT
from rlhf_explained.rollout import (
    Judge,
    Rollout,
    Sequences,
    collect_rollout,
    response_logits_and_values,
)
from rlhf_explained.world.tokenizer import PAD, RESPONSE_LIMIT


@dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO.

    Attributes:
        iterations: Rounds of answering and learning.
        batch: Answers per round.
        epochs: Times each answer is learned from.
        minibatches: Optimiser steps per epoch.
        learning_rate: At the start; it falls linearly to a tenth.
        kl_coef: Price of one nat of log-ratio against the reference; 0 removes the penalty.
        gamma: Discount per token; 1, for an answer is worth what it is worth at its end.
        gae_lambda: GAE's trade of bias (0) against variance (1).
        clip_range: How far a token's probability ratio may usefully move per round.
        value_coef: Weight of the value loss.
        pretraining_coef: Weight of pretraining's loss mixed in (PPO-ptx; Ouyang et al. 2022).
        unfinished_score: Score of an answer that was cut off, in place of the judge's.
        response_limit: Longest answer in tokens.
    """

    iterations: int = 50
    batch: int = 128
    epochs: int = 2
    minibatches: int = 1
    learning_rate: float = 8e-4
    kl_coef: float = 0.2
    gamma: float = 1.0
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    value_coef: float = 0.5
    pretraining_coef: float = 0.5
    unfinished_score: float = -3.0
    response_limit: int = RESPONSE_LIMIT

    def __post_init__(self) -> None:
        if self.kl_coef < 0:
            raise ValueError(f"kl_coef: {self.kl_coef} is negative")
        if self.clip_range <= 0:
            raise ValueError(f"clip_range: {self.clip_range} is not positive")


@dataclass(frozen=True)
class PPOResult:
    """The trained policy, and one row of measurements for each iteration."""

    policy: GPT
    history: list[dict[str, int | float]]


@dataclass(frozen=True)
class Experience:
    """A rollout turned into what the losses need; all `(batch, response)`."""

    sequences: Sequences
    logprobs: Float[Tensor, "batch response"]
    values: Float[Tensor, "batch response"]
    advantages: Float[Tensor, "batch response"]
    returns: Float[Tensor, "batch response"]

    def rows(self, index: Int[Tensor, " rows"]) -> "Experience":
        """The chosen rows, without columns that none of them uses."""
        sequences = self.sequences.rows(index)
        longest = sequences.response_mask.shape[1]
        cut = [
            part[index, :longest]
            for part in (self.logprobs, self.values, self.advantages, self.returns)
        ]
        return Experience(sequences, *cut)


def credit(rollout: Rollout, config: PPOConfig) -> Experience:
    """Spread each answer's score over its tokens.

    The score arrives at the last token, the price of leaving the reference at every token; GAE then
    asks of each token: was the answer worth more after it than the critic thought before it?
    """
    mask = rollout.sequences.response_mask
    unfinished = torch.full_like(rollout.scores, config.unfinished_score)
    scores = torch.where(rollout.sequences.ended, rollout.scores, unfinished)
    rewards = kl_shaped_rewards(
        scores, rollout.logprobs, rollout.ref_logprobs, mask, kl_coef=config.kl_coef
    )
    advantages, returns = gae(
        rewards, rollout.values, mask, gamma=config.gamma, gae_lambda=config.gae_lambda
    )
    advantages = masked_whiten(advantages, mask)
    return Experience(rollout.sequences, rollout.logprobs, rollout.values, advantages, returns)


def ppo_loss(
    policy: GPT, experience: Experience, config: PPOConfig
) -> tuple[Tensor, dict[str, int | float]]:
    """Policy loss plus weighted value loss, with what is worth watching about them."""
    mask = experience.sequences.response_mask
    logits, values = response_logits_and_values(policy, experience.sequences)
    logprobs = token_logprobs(logits, experience.sequences.responses)
    policy_loss = ppo_policy_loss(
        logprobs, experience.logprobs, experience.advantages, mask, clip_range=config.clip_range
    )
    value_loss = ppo_value_loss(
        values, experience.values, experience.returns, mask, clip_range=config.clip_range
    )
    with torch.no_grad():
        ratio = (logprobs - experience.logprobs).exp()
        watched = {
            "policy_loss": policy_loss.item(),
            "value_loss": value_loss.item(),
            "clip_fraction": masked_mean(
                ((ratio - 1).abs() > config.clip_range).float(), mask
            ).item(),
            "entropy": masked_mean(entropy(logits), mask).item(),
        }
    return policy_loss + config.value_coef * value_loss, watched


def train_ppo(
    sft: GPT,
    judge: Judge,
    config: PPOConfig,
    *,
    draw_prompts: Callable[[int], Sequence[Sequence[int]]],
    pretraining: Sequence[Int[Tensor, "_documents _time"]] = (),
    assign: Callable[[Rollout, PPOConfig], Experience] = credit,
    observe: Callable[[Sequences], dict[str, int | float]] = lambda sequences: {},
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> PPOResult:
    """Train a copy of the SFT policy to score well with a judge, the reward model.

    Args:
        sft: The SFT policy: where PPO starts, and the reference it is held to. It is not changed.
        judge: Scores each answer.
        config: Settings.
        draw_prompts: Returns the tokens of as many prompts as asked for.
        pretraining: Batches of pretraining documents to mix in; needed if `pretraining_coef` > 0.
        assign: Finds the tokens that earned the scores; `credit`, or another try at it.
        observe: Looks at each round's answers and returns more to record, such as the gold reward,
            of which PPO itself knows nothing.
        generator: Source of all randomness but the prompts'.
        report: Called after each iteration with the number done and the loss.

    Returns:
        The trained policy and its history.

    Raises:
        ValueError: If `pretraining` is empty but `pretraining_coef` is not 0.
    """
    if config.pretraining_coef and not pretraining:
        raise ValueError("pretraining: no batches, though config.pretraining_coef is not 0")
    policy = copy.deepcopy(sft)
    optimizer = torch.optim.AdamW(
        policy.parameters(), config.learning_rate, weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=config.iterations)
    history = []
    for iteration in range(1, config.iterations + 1):
        # 1. Answer; the reward model scores, the reference prices, the critic guesses.
        rollout = collect_rollout(
            policy,
            sft,
            judge,
            draw_prompts(config.batch),
            limit=config.response_limit,
            generator=generator,
        )
        # 2. Find the tokens that earned the score.
        experience = assign(rollout, config)
        # 3. Make them likelier, in a few clipped steps, without forgetting what pretraining taught.
        loss, watched = torch.zeros(()), {}
        for _ in range(config.epochs):
            order = torch.randperm(config.batch, generator=generator)
            for rows in order.chunk(config.minibatches):
                loss, watched = ppo_loss(policy, experience.rows(rows), config)
                if config.pretraining_coef:
                    pick = int(torch.randint(len(pretraining), (), generator=generator))
                    tokens = pretraining[pick]
                    known = sft_loss(policy(tokens[:, :-1]), tokens[:, 1:], tokens[:, 1:] != PAD)
                    loss = loss + config.pretraining_coef * known
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimizer.step()
        schedule.step()
        # 4. Write down what happened.
        mask = rollout.sequences.response_mask
        log_ratio = (rollout.logprobs - rollout.ref_logprobs).masked_fill(~mask, 0)
        residual = masked_mean((experience.returns - rollout.values).square(), mask)
        history.append(
            {
                "iteration": iteration,
                "proxy": rollout.scores.mean().item(),
                "kl": log_ratio.sum(1).mean().item(),
                "length": rollout.sequences.lengths.float().mean().item(),
                **observe(rollout.sequences),
                **watched,
                "value_error": residual.item(),
            }
        )
        report(iteration, loss.item())
    return PPOResult(policy, history)
