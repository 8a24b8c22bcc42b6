"""Every method in the exact world, held against the frontier of reward and divergence.

The world has 8 tokens, and a response at most 4 of them: there are 2,801. A reference learns to
write short strings; what a string is worth depends on its pairs of neighbours. Each method starts
from the reference. PPO and GRPO are scored with the reward itself; DPO sees which of two of the
reference's responses a labeler preferred, with probability σ(Δr). Then the distribution that was
learned is listed, so nothing that is stored of it was estimated. Beside them stand policies that
need no training: the frontier itself, `exact.tilted`, at several values of β, and best-of-n.

In the miniature world no frontier is known, and DPO's pairs tell less than all. There DPO goes
through the same values of β.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from rlhf_explained.formulas import kl_exact
from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.pipeline import RunConfig, run
from rlhf_explained.rollout import Sequences, generate, sequence_logprobs
from rlhf_explained.stages.dpo import DPOConfig, train_dpo
from rlhf_explained.stages.evaluation import result
from rlhf_explained.stages.grpo import GRPOConfig, train_grpo
from rlhf_explained.stages.ppo import PPOConfig, train_ppo
from rlhf_explained.stages.pretrain import PretrainConfig, train_pretrained
from rlhf_explained.training import Lesson
from rlhf_explained.world import exact, optima
from rlhf_explained.world.labeler import prefers_first
from rlhf_explained.world.tokenizer import EOS, PAD

VOCABULARY, LIMIT, PROMPT = 8, 4, [2]
UNFINISHED = -1.0
"""Reward of a response that was cut off."""
BETA = 0.5
"""Price of a nat, the same for every method."""
PAIRS = 1_000_000
"""Comparisons that DPO learns from."""

_PRICED = {"kl_coef": BETA, "unfinished_score": UNFINISHED, "response_limit": LIMIT}
_GROUPS = {"iterations": 200, "prompts": 64, "epochs": 2, "learning_rate": 2e-3, **_PRICED}

SEEDS = range(5, 10)  # the settings were chosen on others
SAMPLE = "ppo"
SETTINGS: dict[str, Any] = {
    "ppo": PPOConfig(iterations=200, batch=512, learning_rate=2e-3, **_PRICED),
    "group": GRPOConfig(kl_in="reward", divide_by_std=False, **_GROUPS),
    "grpo": GRPOConfig(**_GROUPS),
    "grpo_no_std": GRPOConfig(divide_by_std=False, **_GROUPS),
    "ratio_k3": GRPOConfig(divide_by_std=False, kl_in="loss_ratio_k3", **_GROUPS),
    "k2": GRPOConfig(divide_by_std=False, kl_in="loss_k2", **_GROUPS),
    "dpo": DPOConfig(steps=800, batch=4096, learning_rate=1e-2, beta=BETA),
    **{f"best_of_{n}": {"n": n} for n in (2, 4, 8, 16, 32, 64)},
    **{
        f"frontier_{beta}": {"beta": beta}
        for beta in (8.0, 4.0, 2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.13)
    },
    **{f"miniature_{beta}": {"dpo_beta": beta} for beta in (0.1, 0.3, 1.0, 3.0)},
}


@dataclass(frozen=True)
class World:
    """A reference policy, and the reward of every response that there is.

    Attributes:
        reference: Where each method starts, and what it is held to.
        every: All responses, in the order of `exact.every_response`.
        rewards: Of each of them.
        seed: Source of all randomness.
    """

    reference: GPT
    every: Sequences
    rewards: Float[Tensor, " responses"]
    seed: int

    @property
    def generator(self) -> torch.Generator:
        """Afresh for each method, so that what one draws shifts no other's."""
        return torch.Generator().manual_seed(1000 + self.seed)

    def judge(self, sequences: Sequences) -> Float[Tensor, " batch"]:
        """Look up the reward of each sampled response."""
        table = torch.full((VOCABULARY,) * LIMIT, math.nan)
        table[tuple(self.every.responses.T)] = self.rewards
        return table[tuple(widened(sequences).responses.T)]

    def logprobs(self, policy: GPT) -> Float[Tensor, " responses"]:
        """List how likely a policy writes each response, in nats."""
        with torch.no_grad():
            logprobs = sequence_logprobs(policy, self.every).double()
        return logprobs.log_softmax(0)  # they sum to 1 already, but for the rounding of floats


def widened(sequences: Sequences) -> Sequences:
    """With columns up to the limit, whether a response needs them or not."""
    more = (0, LIMIT - sequences.responses.shape[1])
    return Sequences(
        pad(sequences.tokens, more, value=PAD),
        pad(sequences.attended, more),
        sequences.prompt_length,
        pad(sequences.response_mask, more),
    )


@cache
def world(seed: int) -> World:
    """Make a world: a chain of tokens that the reference learns, and rewards.

    Args:
        seed: Source of all randomness.

    Returns:
        The world of this seed.
    """
    generator = torch.Generator().manual_seed(seed)
    chain = torch.randn(VOCABULARY, VOCABULARY, generator=generator).softmax(1)
    chain[:, [PAD, EOS]] = 0  # documents end by their length
    documents = []
    for length in torch.randint(1, LIMIT, (2000,), generator=generator).tolist():
        document = list(PROMPT)
        for _ in range(length):
            after = torch.multinomial(chain[document[-1]], 1, generator=generator)
            document.append(int(after))
        documents.append(document)
    shape = GPTConfig(vocabulary=VOCABULARY, context=8, width=32, layers=1, heads=2)
    reading = PretrainConfig(steps=150, batch=64, learning_rate=1e-2)
    reference = train_pretrained(documents, shape, reading, generator=generator).policy
    tokens, mask = exact.every_response(VOCABULARY, LIMIT)
    neighbours = torch.randn(VOCABULARY, VOCABULARY, generator=generator)
    pairs = neighbours[tokens[:, :-1], tokens[:, 1:]].masked_fill(~mask[:, 1:], 0)
    ended = ((tokens == EOS) & mask).any(1)
    rewards = torch.where(ended, pairs.sum(1) / 2, UNFINISHED)
    prompts = torch.tensor([PROMPT]).expand(len(tokens), len(PROMPT))
    attended = torch.cat([torch.ones_like(prompts, dtype=torch.bool), mask], 1)
    every = Sequences(torch.cat([prompts, tokens], 1), attended, len(PROMPT), mask)
    return World(reference, every, rewards, seed)


def draw_prompts(count: int) -> list[list[int]]:
    """The world has one prompt."""
    return [PROMPT] * count


def compare(world: World, count: int) -> tuple[Sequences, Sequences]:
    """Let the reference answer twice and a labeler choose, who prefers by σ(Δr).

    Args:
        world: Whose reference writes, and whose reward decides.
        count: Number of pairs.

    Returns:
        What was chosen, and what was rejected.
    """
    generator = world.generator
    first, second = (
        widened(generate(world.reference, draw_prompts(count), limit=LIMIT, generator=generator))
        for _ in range(2)
    )
    preferred = prefers_first(
        world.judge(first), world.judge(second), decisiveness=1.0, generator=generator
    )[:, None]

    def picked(where: Tensor) -> Sequences:
        """From each pair the first response where it is asked for, or the second."""
        parts = ("tokens", "attended", "response_mask")
        tokens, attended, mask = (
            torch.where(where, getattr(first, part), getattr(second, part)) for part in parts
        )
        return Sequences(tokens, attended, len(PROMPT), mask)

    return picked(preferred), picked(~preferred)


def learn(world: World, setting: PPOConfig | GRPOConfig | DPOConfig) -> GPT:
    """Train a copy of the world's reference by the method whose settings these are.

    Args:
        world: What to learn in.
        setting: One of `SETTINGS`.

    Returns:
        The trained policy.
    """
    generator = world.generator
    if isinstance(setting, DPOConfig):
        pairs = compare(world, PAIRS)
        return train_dpo(world.reference, *pairs, setting, generator=generator).policy
    if isinstance(setting, GRPOConfig):
        return train_grpo(
            world.reference,
            world.judge,
            setting,
            draw_prompts=draw_prompts,
            generator=generator,
        ).policy
    return train_ppo(
        world.reference,
        world.judge,
        setting,
        draw_prompts=draw_prompts,
        critic=world.reference,
        generator=generator,
    ).policy


def measure(name: str, seed: int) -> dict[str, float]:
    """Let one method learn, and look at what it learned.

    Args:
        name: Of the setting.
        seed: Of the world, and of the method's own randomness.

    Returns:
        What `in_the_exact_world` or `in_the_miniature` measures.
    """
    match SETTINGS[name]:
        case {"dpo_beta": float(beta)}:
            return in_the_miniature(beta, seed)
        case setting:
            return in_the_exact_world(setting, seed)


def in_the_exact_world(setting: Any, seed: int) -> dict[str, float]:
    """List what was learned.

    Args:
        setting: A method's settings, or what a policy without training needs.
        seed: Of the world, and of the method's own randomness.

    Returns:
        Mean reward, and KL from the reference in nats; by how much the reward was raised, and the
        most by which so many nats can raise it; the share of what can be gained with `BETA`,
        and that of the policy at which the method stands still; nats to this policy and to
        the best one.
    """
    here = world(seed)
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    best = own = exact.tilted(reference, rewards, beta=BETA)
    match setting:
        case {"beta": float(beta)}:
            policy = exact.tilted(reference, rewards, beta=beta)
        case {"n": int(n)}:
            policy = optima.best_of_n(reference, rewards, n=n)
        case _:
            policy = here.logprobs(learn(here, setting))
    if isinstance(setting, GRPOConfig) and setting.kl_in == "loss":
        own = optima.grpo_optimum(
            here.every.responses,
            reference,
            rewards,
            beta=BETA,
            divide_by_std=setting.divide_by_std,
        )
    start, reached = exact.expected(reference, rewards), exact.expected(policy, rewards)
    spent = kl_exact(policy, reference)
    most = exact.expected(at_distance(spent.item(), reference, rewards), rewards)

    def share(policy: Tensor) -> float:
        return exact.share_of_best(policy, reference, rewards, beta=BETA).item()

    return {
        "reward": reached.item(),
        "kl": spent.item(),
        "gained": (reached - start).item(),
        "most": (most - start).item(),
        "share": share(policy),
        "own_share": share(own),
        "to_own": kl_exact(policy, own).item(),
        "to_best": kl_exact(policy, best).item(),
    }


def at_distance(
    kl: float, reference: Float[Tensor, " responses"], rewards: Float[Tensor, " responses"]
) -> Float[Tensor, " responses"]:
    """The policy of most reward among those of one divergence from the reference.

    Args:
        kl: The divergence in nats.
        reference: Log-probabilities of the reference.
        rewards: Of each response.

    Returns:
        Log-probabilities of the policy, `exact.tilted` with a β that halving an interval finds.
    """
    near, far = 1e3, 1e-3  # values of β: the higher, the nearer to the reference
    for _ in range(60):
        between = math.sqrt(near * far)
        spent = kl_exact(exact.tilted(reference, rewards, beta=between), reference)
        near, far = (between, far) if spent < kl else (near, between)
    return exact.tilted(reference, rewards, beta=near)


def in_the_miniature(beta: float, seed: int) -> dict[str, float]:
    """Let DPO learn from the run's own pairs, and evaluate its policy.

    Args:
        beta: DPO's coefficient of the KL penalty.
        seed: Of the run, and of the order of pairs.

    Returns:
        Mean gold, proxy and KL (k1) from SFT in nats, the shares of helpful and false answers; over
        the last steps of training the loss, and how much likelier than under SFT chosen and
        rejected responses were, in nats.
    """
    start, lesson = run(RunConfig(seed=seed)), Lesson(seed)
    sft = start.policy("sft")
    preferences, _ = lesson.compare(sft)
    trained = train_dpo(
        sft,
        preferences.chosen,
        preferences.rejected,
        replace(DPOConfig(), beta=beta),
        generator=lesson.generator("dpo"),
    )
    exam = result(lesson.examine(trained.policy, sft, start.policy("reward_model")))
    last = trained.history[-20:]
    at_the_end = {name: fmean(row[name] for row in last) for name in last[0]}
    return {
        **{name: exam[name] for name in ("gold", "proxy", "kl", "helpful", "false")},
        "loss": at_the_end["loss"],
        "chosen": at_the_end["chosen_reward"] / beta,
        "rejected": at_the_end["rejected_reward"] / beta,
    }
