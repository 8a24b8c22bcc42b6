"""What GRPO's log shows when one thing is set otherwise, and what it does to the policy.

Every setting starts from the run's SFT policy and is paid by its reward model. Each round is
learned from once, as it is by default in TRL, so that the usual setting's probability ratio is 1.
The log has the quantities that TRL logs, under short names; each is a mean over ten rounds.

A round goes as in `stages.grpo`, with three more choices. The sampler may be another one than the
policy that learns: colder, cut to the likeliest tokens, some rounds older, or computed in bfloat16.
A token's importance weight is its probability under the policy divided by that under the sampler;
two of TRL's ways to correct the advantages by it are here. And the loss may average over the batch
in three ways, which give each token another share in one and the same mean.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlhf_explained.formulas import entropy, kl_k3, masked_mean, ppo_policy_loss, token_logprobs
from rlhf_explained.models.gpt import GPT
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Judge, Rollout, Sequences, generate, response_logits, score
from rlhf_explained.stages.evaluation import result
from rlhf_explained.stages.grpo import GRPOConfig, advantages
from rlhf_explained.training import Lesson

ANSWERS = 128
"""In each round, whatever the size of the groups."""
TOGETHER = 10
"""Rounds that are averaged in what is stored."""
EXCLUDED = -1e9  # a logit of a token that is never drawn
MOST = {"token_truncate": 2.0, "sequence_mask": 3.0}
"""The largest importance weight, by TRL's name of the correction: of a token, beyond which it is
cut off (Yao et al. 2025); or of a whole answer, beyond which the answer is left out (TRL)."""
USUAL = GRPOConfig(kl_coef=0.3, epochs=1)


@dataclass(frozen=True)
class Symptom:
    """What is set otherwise than usual.

    Attributes:
        config: GRPO's settings.
        average: Over what the loss averages: all tokens of the `batch` alike (DAPO); each `answer`
            by itself first (the first paper); or the longest answer allowed, a `constant` (Dr.
            GRPO).
        leaves_out: Whether answers that were cut off are left out of the loss instead of punished.
        entropy_coef: Reward in the loss for a nat of entropy a token.
        temperature: At which answers are sampled.
        divides: Whether the policy's log-probabilities are those of that temperature too.
        top_k: How many of the likeliest tokens may be drawn; 0 for all.
        lag: By how many rounds the sampler is older than the policy.
        bfloat16: Whether the sampler computes in 16 bits.
        correction: One of `MOST` by which advantages are weighted; none if empty.
    """

    config: GRPOConfig = USUAL
    average: Literal["batch", "answer", "constant"] = "batch"
    leaves_out: bool = False
    entropy_coef: float = 0.0
    temperature: float = 1.0
    divides: bool = False
    top_k: int = 0
    lag: int = 0
    bfloat16: bool = False
    correction: Literal["", "token_truncate", "sequence_mask"] = ""


def in_groups_of(size: int) -> Symptom:
    """As many answers a round, in groups of another size."""
    return Symptom(replace(USUAL, group_size=size, prompts=ANSWERS // size))


SHORT = replace(USUAL, response_limit=10)

SEEDS = range(5)
SAMPLE = "limit_10"
SETTINGS: dict[str, Symptom] = {
    "usual": Symptom(),
    "epochs_2": Symptom(replace(USUAL, epochs=2)),
    "epochs_4": Symptom(replace(USUAL, epochs=4)),
    "no_kl": Symptom(replace(USUAL, kl_coef=0.0)),
    **{f"group_{size}": in_groups_of(size) for size in (2, 32)},
    "limit_10": Symptom(SHORT),
    "limit_10_left_out": Symptom(SHORT, leaves_out=True),
    "by_answer": Symptom(average="answer"),
    "by_constant": Symptom(average="constant"),
    "entropy_bonus": Symptom(entropy_coef=0.1),
    "cold": Symptom(temperature=0.5),
    "cold_divided": Symptom(temperature=0.5, divides=True),
    "cold_weighted": Symptom(temperature=0.5, correction="token_truncate"),
    "top_2": Symptom(top_k=2),
    "older": Symptom(lag=8),
    "older_weighted": Symptom(lag=8, correction="token_truncate"),
    "older_masked": Symptom(lag=8, correction="sequence_mask"),
    "bfloat16": Symptom(bfloat16=True),
}


def measure(name: str, seed: int) -> dict[str, Any]:
    """Train with one of the settings, and evaluate the policy.

    Args:
        name: Of the setting.
        seed: Of the run whose SFT policy and reward model it starts from.

    Returns:
        Of the evaluation, mean gold, proxy, KL (k1) from SFT in nats and length, the share of
        helpful answers, and the gold when it answers at the temperature at which it was sampled
        (`gold_as_sampled`). Of the log, lists with the mean of each ten rounds: see `learn`.
    """
    start, lesson = run(RunConfig(seed=seed)), Lesson(seed)
    sft, reward_model = start.policy("sft"), start.policy("reward_model")
    setting = SETTINGS[name]
    randomness = lesson.generator(f"grpo_symptoms/{name}")
    draw_prompts, _ = lesson.classroom(randomness)
    judge = partial(score, reward_model)
    policy, log = learn(sft, judge, setting, draw_prompts=draw_prompts, generator=randomness)
    exam = result(lesson.examine(policy, sft, reward_model))
    sampled = lesson.examine(policy, sft, reward_model, temperature=setting.temperature)
    names = ("gold", "proxy", "kl", "length", "helpful")
    tens = [log[first : first + TOGETHER] for first in range(0, len(log), TOGETHER)]
    return {
        **{quantity: exam[quantity] for quantity in names},
        "gold_as_sampled": result(sampled, temperature=setting.temperature)["gold"],
        **{
            quantity: [float(f"{fmean(row[quantity] for row in ten):.4g}") for ten in tens]
            for quantity in log[0]
        },
    }


def learn(
    sft: GPT,
    judge: Judge,
    setting: Symptom,
    *,
    draw_prompts: Callable[[int], Sequence[Sequence[int]]],
    generator: torch.Generator,
) -> tuple[GPT, list[dict[str, float]]]:
    """Train a copy of the SFT policy by GRPO, and log what TRL logs.

    Args:
        sft: The SFT policy, start and reference.
        judge: Scores each answer.
        setting: What is set otherwise.
        draw_prompts: Returns the tokens of as many prompts as asked for.
        generator: Source of all randomness but the prompts'.

    Returns:
        The policy, and for each round, with TRL's name in brackets where it is another: the mean
        over the round's steps of `loss`, `grad_norm` (before clipping), `clipped`
        (`clip_ratio/region_mean`), the share of tokens whose ratio was cut, `kl_token` (`kl`), the
        mean of k3 a token, and `entropy`, nats a token; `silent` (`frac_reward_zero_std`), the
        share of groups whose scores are all the same; `reward`; `tokens`
        (`completions/mean_length`); `cut_off` (`completions/clipped_ratio`), the share of answers
        that do not end; `weight` (`sampling/importance_sampling_ratio/mean`) and `least_weight`
        (`…/min`), of the tokens.
    """
    config, policy = setting.config, copy.deepcopy(sft)
    optimizer = torch.optim.AdamW(
        policy.parameters(), config.learning_rate, weight_decay=0.0, fused=True
    )
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=config.iterations)
    samplers, log = deque([copy.deepcopy(policy)], maxlen=setting.lag + 1), []
    for _ in range(config.iterations):
        prompts = [
            prompt for prompt in draw_prompts(config.prompts) for _ in range(config.group_size)
        ]
        sequences, drawn_at = sample(samplers[0], prompts, setting, generator)
        with torch.no_grad():
            before, reference = (logprobs(model, sequences, setting) for model in (policy, sft))
            rollout = Rollout(sequences, before, reference, judge(sequences))
        mask, share = sequences.response_mask, shares(sequences, setting)
        better = advantages(rollout, config)
        if setting.correction:
            better = better * weights(before, drawn_at, mask, setting.correction)
        steps = []
        for _ in range(config.epochs):
            loss, said = one_step(policy, rollout, better, share, setting)
            optimizer.zero_grad()
            loss.backward()
            said["grad_norm"] = torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0).item()
            optimizer.step()
            steps.append(said)
        schedule.step()
        samplers.append(copy.deepcopy(policy))
        scores = rollout.trained_on(config.unfinished_score)
        spread = scores.unflatten(0, (-1, config.group_size)).std(1)
        ratio = (before - drawn_at).exp()[mask]
        log.append(
            {quantity: fmean(said[quantity] for said in steps) for quantity in steps[0]}
            | {
                "silent": (spread == 0).float().mean().item(),
                "reward": scores.mean().item(),
                "tokens": sequences.lengths.float().mean().item(),
                "cut_off": (~sequences.ended).float().mean().item(),
                "weight": ratio.mean().item(),
                "least_weight": ratio.min().item(),
            }
        )
    return policy, log


def sample(
    sampler: GPT, prompts: Sequence[Sequence[int]], setting: Symptom, generator: torch.Generator
) -> tuple[Sequences, Float[Tensor, "batch response"]]:
    """Answers, and each token's log-probability under what really drew it.

    Args:
        sampler: Weights of the model that answers.
        prompts: Tokens of each prompt.
        setting: How it answers.
        generator: Source of randomness.

    Returns:
        The answers, and log-probabilities in nats.
    """
    writer, seen = copy.copy(sampler), []

    def noted(hidden: Tensor) -> Tensor:
        logits = sampler.logits(hidden)
        logits = likeliest(logits, setting.top_k) if setting.top_k else logits
        seen.append(logits.float())
        return logits

    writer.logits = noted
    with torch.autocast("cpu", torch.bfloat16, enabled=setting.bfloat16):
        sequences = generate(
            writer,
            prompts,
            limit=setting.config.response_limit,
            temperature=setting.temperature,
            generator=generator,
        )
    logits = torch.stack(seen, dim=1)  # of each place, as they were when its token was drawn
    return sequences, token_logprobs(logits / setting.temperature, sequences.responses)


def likeliest(logits: Float[Tensor, "*shape vocab"], count: int) -> Float[Tensor, "*shape vocab"]:
    """Exclude all tokens but the likeliest ones (top-k)."""
    least = logits.topk(count).values[..., -1:]
    return logits.masked_fill(logits < least, EXCLUDED)


def logprobs(model: GPT, sequences: Sequences, setting: Symptom) -> Float[Tensor, "batch response"]:
    """The log-probabilities that the loss reads: of temperature 1, unless they are divided."""
    logits = response_logits(model, sequences)
    return token_logprobs(
        logits / (setting.temperature if setting.divides else 1), sequences.responses
    )


def weights(
    logprobs: Float[Tensor, "batch response"],
    drawn_at: Float[Tensor, "batch response"],
    mask: Bool[Tensor, "batch response"],
    correction: str,
) -> Float[Tensor, "batch response"]:
    """Importance weights, limited as TRL does it.

    Args:
        logprobs: Log-probability of each token under the policy, in nats.
        drawn_at: The same under the sampler.
        mask: True where a token counts.
        correction: One of `MOST`.

    Returns:
        What each token's advantage is multiplied by.
    """
    apart, most = (logprobs - drawn_at).masked_fill(~mask, 0), MOST[correction]
    if correction == "token_truncate":
        return apart.exp().clamp(max=most)
    answer = apart.sum(1, keepdim=True).exp().expand(mask.shape)
    return answer.masked_fill(answer > most, 0)


def shares(sequences: Sequences, setting: Symptom) -> Float[Tensor, "batch response"]:
    """How much each token counts in a mean over all tokens of the batch.

    Args:
        sequences: The answers.
        setting: How the loss averages, and whom it leaves out.

    Returns:
        1 for every token, if nothing is set otherwise.
    """
    lengths, mask = sequences.lengths[:, None].float(), sequences.response_mask
    tokens, answers = mask.sum(), len(mask)
    counts = torch.ones(mask.shape)
    if setting.average == "answer":
        counts = counts * tokens / answers / lengths
    elif setting.average == "constant":
        counts = counts * tokens / answers / setting.config.response_limit
    if setting.leaves_out:
        whole = mask & sequences.ended[:, None]
        counts = counts * whole * tokens / whole.sum().clamp(min=1)
    return counts


def one_step(
    policy: GPT,
    rollout: Rollout,
    better: Float[Tensor, "batch response"],
    share: Float[Tensor, "batch response"],
    setting: Symptom,
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """The loss of one step, with its gradient, and what the log says of it.

    Args:
        policy: What learns.
        rollout: Its answers, with the log-probabilities before the first step.
        better: The advantages.
        share: How much each token counts.
        setting: Coefficient of the KL penalty, and temperature.

    Returns:
        The loss, and the log.
    """
    config, sequences = setting.config, rollout.sequences
    mask = sequences.response_mask
    logits = response_logits(policy, sequences)
    if setting.divides:
        logits = logits / setting.temperature
    now = token_logprobs(logits, sequences.responses)
    loss = ppo_policy_loss(
        now, rollout.logprobs, better * share, mask, clip_range=config.clip_range
    )
    k3 = kl_k3(now.masked_fill(~mask, 0), rollout.ref_logprobs.masked_fill(~mask, 0))
    loss = loss + config.kl_coef * masked_mean(k3 * share, mask)
    uncertain = masked_mean(entropy(logits), mask)
    if setting.entropy_coef:
        loss = loss - setting.entropy_coef * uncertain
    with torch.no_grad():
        ratio = (now - rollout.logprobs).exp()
        low = (ratio < 1 - config.clip_range) & (better < 0)
        high = (ratio > 1 + config.clip_range) & (better > 0)
        clipped = masked_mean((low | high).float(), mask)
    row = {
        "loss": loss.item(),
        "clipped": clipped.item(),
        "kl_token": masked_mean(k3, mask).item(),
        "entropy": uncertain.item(),
    }
    return loss, row
