"""PPO, GRPO and DPO in the exact world: each is held against the best policy there can be."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from rlhf_explained.formulas import kl_exact
from rlhf_explained.models.gpt import GPT, GPTConfig
from rlhf_explained.rollout import Sequences, generate, sequence_logprobs
from rlhf_explained.stages.dpo import DPOConfig, train_dpo
from rlhf_explained.stages.grpo import GRPOConfig, train_grpo
from rlhf_explained.stages.ppo import PPOConfig, train_ppo
from rlhf_explained.stages.pretrain import PretrainConfig, train_pretrained
from rlhf_explained.world import exact, optima
from rlhf_explained.world.tokenizer import EOS

VOCABULARY, LIMIT, PROMPT, BETA, UNFINISHED = 8, 4, [2], 0.5, -1.0
TOKENS, MASK = exact.every_response(VOCABULARY, LIMIT)
DIGITS = VOCABULARY ** torch.arange(LIMIT)  # a response as a number
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 5))]


def widened(sequences: Sequences) -> Sequences:
    """With columns up to the limit, whether a response needs them or not."""
    more = (0, LIMIT - sequences.responses.shape[1])
    tokens, attended = pad(sequences.tokens, more), pad(sequences.attended, more)
    return Sequences(tokens, attended, sequences.prompt_length, pad(sequences.response_mask, more))


@dataclass(frozen=True)
class World:
    """A reference that writes short strings, and a reward of each pair of neighbours."""

    reference: GPT
    rewards: Tensor
    seed: int

    @property
    def generator(self) -> torch.Generator:
        """Afresh for each method, so that what one draws shifts no other's."""
        return torch.Generator().manual_seed(1000 + self.seed)

    def judge(self, sequences: Sequences) -> Tensor:
        place = torch.full((VOCABULARY**LIMIT,), -1)
        place[(TOKENS * DIGITS).sum(1)] = torch.arange(len(TOKENS))
        wide = widened(sequences)
        found = place[(wide.responses.masked_fill(~wide.response_mask, 0) * DIGITS).sum(1)]
        assert (found >= 0).all(), "a response that is not in the list"
        return self.rewards[found]

    def logprobs(self, policy: GPT) -> Tensor:
        prompts = torch.tensor([PROMPT]).expand(len(TOKENS), 1)
        attended = torch.cat([torch.ones_like(prompts, dtype=torch.bool), MASK], 1)
        every = Sequences(torch.cat([prompts, TOKENS], 1), attended, 1, MASK)
        with torch.no_grad():
            logprobs = sequence_logprobs(policy, every).double()
        assert logprobs.exp().sum().item() == pytest.approx(1, abs=1e-5)
        return logprobs.log_softmax(0)

    def share(self, policy: GPT) -> float:
        return exact.share_of_best(
            self.logprobs(policy),
            self.logprobs(self.reference),
            self.rewards.double(),
            beta=BETA,
        ).item()


@cache
def world(seed: int) -> World:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    chain = torch.randn(VOCABULARY, VOCABULARY, generator=generator).softmax(1)
    documents = []
    for length in torch.randint(1, LIMIT, (2000,), generator=generator).tolist():
        document = list(PROMPT)
        for _ in range(length):
            after = chain[document[-1]].clone().index_fill(0, torch.tensor([0, EOS]), 0)
            document.append(int(torch.multinomial(after, 1, generator=generator)))
        documents.append(document)
    shape = GPTConfig(vocabulary=VOCABULARY, context=8, width=32, layers=1, heads=2)
    reading = PretrainConfig(steps=150, batch=64, learning_rate=1e-2)
    reference = train_pretrained(documents, shape, reading, generator=generator).policy
    neighbours = torch.randn(VOCABULARY, VOCABULARY, generator=generator)
    pairs = neighbours[TOKENS[:, :-1], TOKENS[:, 1:]].masked_fill(~MASK[:, 1:], 0)
    ended = ((TOKENS == EOS) & MASK).any(1)
    return World(reference, torch.where(ended, pairs.sum(1) / 2, UNFINISHED), seed)


def draw_prompts(count: int) -> list[list[int]]:
    return [PROMPT] * count


def ppo(world: World) -> GPT:
    config = PPOConfig(
        iterations=200, batch=512, learning_rate=2e-3, kl_coef=BETA, pretraining_coef=0.0,
        unfinished_score=UNFINISHED, response_limit=LIMIT,
    )  # fmt: skip
    return train_ppo(
        world.reference,
        world.judge,
        config,
        draw_prompts=draw_prompts,
        generator=world.generator,
    ).policy


def grpo(world: World, **how: object) -> GPT:
    config = GRPOConfig(
        iterations=200, prompts=64, group_size=8, epochs=2, learning_rate=2e-3, kl_coef=BETA,
        unfinished_score=UNFINISHED, response_limit=LIMIT, **how,
    )  # fmt: skip
    return train_grpo(
        world.reference,
        world.judge,
        config,
        draw_prompts=draw_prompts,
        generator=world.generator,
    ).policy


def pairs(world: World, count: int, decisiveness: float = 1.0) -> tuple[Sequences, Sequences]:
    """Chosen and rejected: two responses of the reference, one preferred by σ(c Δr)."""
    generator = world.generator
    first, second = (
        widened(generate(world.reference, draw_prompts(count), limit=LIMIT, generator=generator))
        for _ in range(2)
    )
    gap = world.judge(first) - world.judge(second)
    certainty = (decisiveness * gap).sigmoid()
    swap = torch.rand(count, generator=generator) > certainty
    both = [torch.stack(parts) for parts in (
        (first.tokens, second.tokens),
        (first.attended, second.attended),
        (first.response_mask, second.response_mask),
    )]  # fmt: skip
    rows = torch.arange(count)
    chosen, rejected = (
        Sequences(both[0][side, rows], both[1][side, rows], 1, both[2][side, rows])
        for side in (swap.long(), 1 - swap.long())
    )
    return chosen, rejected


def dpo(world: World) -> GPT:
    config = DPOConfig(steps=400, batch=4096, learning_rate=4e-3, beta=BETA)
    chosen, rejected = pairs(world, 1_000_000)
    return train_dpo(world.reference, chosen, rejected, config, generator=world.generator).policy


@pytest.mark.parametrize("seed", SEEDS)
def test_ppo_reaches_the_best_policy(seed: int) -> None:
    assert world(seed).share(world(seed).reference) == pytest.approx(0, abs=1e-9)
    assert world(seed).share(ppo(world(seed))) >= 0.98


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_group_advantages_without_std_reach_the_best_policy(seed: int) -> None:
    policy = grpo(world(seed), kl_in="reward", divide_by_std=False)
    assert world(seed).share(policy) >= 0.97


@pytest.mark.soak
@pytest.mark.parametrize("divide_by_std", [False, True])
@pytest.mark.parametrize("seed", range(1, 5))
def test_grpo_as_published_goes_to_its_own_optimum(seed: int, divide_by_std: bool) -> None:
    """With k3 in the loss it ends nearer to where its gradient is zero than to the best policy.

    Not with seed 0, where its optimum is far: there it stays between the two (see the decisions).
    """
    here = world(seed)
    reference, rewards = here.logprobs(here.reference), here.rewards.double()
    best = exact.tilted(reference, rewards, beta=BETA)
    own = optima.grpo_optimum(TOKENS, reference, rewards, beta=BETA, divide_by_std=divide_by_std)
    reached = here.logprobs(grpo(here, divide_by_std=divide_by_std))
    share = exact.share_of_best(own, reference, rewards, beta=BETA)
    distances = [kl_exact(reached, optimum).item() for optimum in (own, best)]
    print(f"its own optimum gains {share:.2f}; nats to it and to the best: {distances}")
    assert share < 0.9
    assert distances[0] < distances[1]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2))
def test_dpo_reaches_the_best_policy(seed: int) -> None:
    """Seeds 2 and 3 have fallen short of it with these pairs and steps (see the decisions)."""
    assert world(seed).share(dpo(world(seed))) >= 0.97
