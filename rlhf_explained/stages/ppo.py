"""Stage 3, PPO: answer, be scored, and make what scored well more likely.

One iteration: sample answers (rollout), turn one score per answer into an advantage per token
(KL-shaped rewards, then GAE), and take a few clipped steps towards the better tokens. The critic,
which guesses what is still to be earned, is a network of its own.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Bool, Float, Int
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
    response_logits,
    response_states,
    response_values,
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
        kl_coef: Coefficient of the KL penalty; 0 removes the penalty.
        gamma: Discount per token; 1, for an answer is worth what it is worth at its end.
        gae_lambda: GAE's trade of bias (0) against variance (1).
        clip_range: How far a token's probability ratio may usefully move per round.
        value_clip_range: How far a value may usefully move per round, in the scores' unit.
        value_coef: Weight of the value loss.
        detached: Whether a critic that shares the policy's trunk may not change it.
        pretraining_coef: Weight of pretraining's loss mixed in (PPO-ptx; Ouyang et al. 2022).
        unfinished_score: Score of an answer that was cut off, in place of the judge's.
        response_limit: Longest answer in tokens.
    """

    iterations: int = 50
    batch: int = 128
    epochs: int = 2
    minibatches: int = 1
    learning_rate: float = 1e-3
    kl_coef: float = 0.5
    gamma: float = 1.0
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    value_clip_range: float = 1.0
    value_coef: float = 0.5
    detached: bool = False
    pretraining_coef: float = 0.0
    unfinished_score: float = -6.0
    response_limit: int = RESPONSE_LIMIT

    def __post_init__(self) -> None:
        if self.kl_coef < 0:
            raise ValueError(f"kl_coef: {self.kl_coef} is negative")
        for name in ("clip_range", "value_clip_range"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} is not positive")


@dataclass(frozen=True)
class PPOResult:
    """The trained policy and its critic, and one row of measurements for each iteration."""

    policy: GPT
    critic: GPT
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


def credit(
    rollout: Rollout, values: Float[Tensor, "batch response"], config: PPOConfig
) -> Experience:
    """Spread each answer's score over its tokens.

    The score arrives at the last token, the KL penalty at every token; GAE then asks of each token:
    was the answer worth more after it than the critic thought before it?

    Args:
        rollout: Sampled answers with their scores.
        values: The critic's guess before each token, without a gradient.
        config: Settings.

    Returns:
        The rollout with advantages, whitened, and the returns that the critic should have guessed.
    """
    mask = rollout.sequences.response_mask
    rewards = kl_shaped_rewards(
        rollout.trained_on(config.unfinished_score),
        rollout.logprobs,
        rollout.ref_logprobs,
        mask,
        kl_coef=config.kl_coef,
    )
    advantages, returns = gae(
        rewards, values, mask, gamma=config.gamma, gae_lambda=config.gae_lambda
    )
    advantages = masked_whiten(advantages, mask)
    return Experience(rollout.sequences, rollout.logprobs, values, advantages, returns)


def explained_variance(
    values: Float[Tensor, "batch response"],
    returns: Float[Tensor, "batch response"],
    mask: Bool[Tensor, "batch response"],
) -> float:
    r"""Share of the returns' variance that the critic's values account for.

    $$1 - \frac{\mathrm{Var}(\hat{R} - V)}{\mathrm{Var}(\hat{R})}$$

    1 is a critic who knows, 0 one who always says the same; below 0 it adds noise.

    Args:
        values: The critic's guess before each token.
        returns: What was earned from there, as GAE has it.
        mask: True for the tokens that count.

    Returns:
        At most 1; 0 where the returns do not vary.
    """
    errors, spread = (returns - values)[mask].var(), returns[mask].var()
    return 1 - (errors / spread).item() if spread > 0 else 0.0


def ppo_loss(
    policy: GPT, critic: GPT, experience: Experience, config: PPOConfig
) -> tuple[Tensor, dict[str, int | float]]:
    """Policy loss plus weighted value loss, with what is worth watching about them.

    Args:
        policy: Learns to answer.
        critic: Learns to guess the returns: a network of its own, or the policy itself, whose
            scalar head then reads what its words are chosen from.
        experience: What to learn from.
        config: Settings.

    Returns:
        The loss, and measurements by name.
    """
    mask = experience.sequences.response_mask
    if critic is policy:
        states = response_states(policy, experience.sequences)
        logits = policy.logits(states)
        values = policy.scalar(states.detach() if config.detached else states)
    else:
        logits = response_logits(policy, experience.sequences)
        values = response_values(critic, experience.sequences)
    logprobs = token_logprobs(logits, experience.sequences.responses)
    policy_loss = ppo_policy_loss(
        logprobs, experience.logprobs, experience.advantages, mask, clip_range=config.clip_range
    )
    value_loss = ppo_value_loss(
        values,
        experience.values,
        experience.returns,
        mask,
        clip_range=config.value_clip_range,
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
    critic: GPT | None = None,
    pretraining: Sequence[Int[Tensor, "_documents _time"]] = (),
    assign: Callable[[Rollout, Tensor, PPOConfig], Experience] = credit,
    observe: Callable[[Sequences], dict[str, int | float]] = lambda sequences: {},
    examine: Callable[[int, GPT], None] = lambda iteration, policy: None,
    generator: torch.Generator,
    report: Callable[[int, float], None] = lambda step, loss: None,
) -> PPOResult:
    """Train a copy of the SFT policy to score well with a judge, the reward model.

    Args:
        sft: The SFT policy: where PPO starts, and the reference it is held to. It is not changed.
        judge: Scores each answer.
        config: Settings.
        draw_prompts: Returns the tokens of as many prompts as asked for.
        critic: Where the critic starts, as a rule the reward model; a copy of it learns. None makes
            the policy its own critic: both heads read one trunk, and both losses change it.
        pretraining: Batches of pretraining documents to mix in; needed if `pretraining_coef` > 0.
        assign: Finds the tokens that earned the scores; `credit`, or another try at it.
        observe: Looks at each round's answers and returns more to record, such as the gold reward,
            of which PPO itself knows nothing.
        examine: Called with 0 and the policy before the first iteration, and after each with its
            number; it must not change the policy.
        generator: Source of all randomness but the prompts'.
        report: Called after each iteration with the number done and the loss.

    Returns:
        The trained policy, its critic and the history.

    Raises:
        ValueError: If `pretraining` is empty but `pretraining_coef` is not 0.
    """
    if config.pretraining_coef and not pretraining:
        raise ValueError("pretraining: no batches, though config.pretraining_coef is not 0")
    policy = copy.deepcopy(sft)
    guesser = policy if critic is None else copy.deepcopy(critic)
    networks = [policy] if guesser is policy else [policy, guesser]
    parameters = [parameter for network in networks for parameter in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, config.learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=config.iterations)
    history = []
    examine(0, policy)
    for iteration in range(1, config.iterations + 1):
        # 1. Answer; the reward model scores, the reference gives the penalty, the critic guesses.
        rollout = collect_rollout(
            policy,
            sft,
            judge,
            draw_prompts(config.batch),
            limit=config.response_limit,
            generator=generator,
        )
        with torch.no_grad():
            values = response_values(guesser, rollout.sequences)
        # 2. Find the tokens that earned the score.
        experience = assign(rollout, values, config)
        # 3. Make them likelier, in a few clipped steps, and let the critic learn.
        steps = []
        for _ in range(config.epochs):
            order = torch.randperm(config.batch, generator=generator)
            for rows in order.chunk(config.minibatches):
                loss, watched = ppo_loss(policy, guesser, experience.rows(rows), config)
                if config.pretraining_coef:
                    pick = int(torch.randint(len(pretraining), (), generator=generator))
                    tokens = pretraining[pick]
                    known = sft_loss(policy(tokens[:, :-1]), tokens[:, 1:], tokens[:, 1:] != PAD)
                    loss = loss + config.pretraining_coef * known
                optimizer.zero_grad()
                loss.backward()
                for network in networks:
                    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                steps.append({"loss": loss.item(), **watched})
        schedule.step()
        # 4. Write down what happened, on average over the steps.
        sequences, scores = rollout.sequences, rollout.trained_on(config.unfinished_score)
        mask = sequences.response_mask
        history.append(
            {
                "iteration": iteration,
                "proxy": rollout.scores.mean().item(),
                "trained_score": scores.mean().item(),
                "finished": sequences.ended.float().mean().item(),
                "kl": rollout.log_ratios.mean().item(),
                "length": sequences.lengths.float().mean().item(),
                **observe(sequences),
                **{name: fmean(step[name] for step in steps) for name in steps[0]},
                "value_error": masked_mean((experience.returns - values).square(), mask).item(),
                "explained_variance": explained_variance(values, experience.returns, mask),
            }
        )
        report(iteration, history[-1]["loss"])
        examine(iteration, policy)
    return PPOResult(policy, guesser, history)
