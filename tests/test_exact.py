"""The exact world: every claim about a best policy is checked against a list of all responses."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rlhf_explained.formulas import kl_exact, kl_k1, kl_k3
from rlhf_explained.world import exact, optima
from rlhf_explained.world.tokenizer import EOS, PAD

BETAS = (0.1, 0.3, 1.0)
SEEDS = range(5)


def world(seed: int, *, levels: int = 0, size: int = 512) -> tuple[Tensor, Tensor]:
    """A reference and rewards at random; with `levels`, many responses earn the same."""
    generator = torch.Generator().manual_seed(seed)
    ref_logprobs = torch.randn(size, generator=generator, dtype=torch.float64).log_softmax(0)
    rewards = torch.randn(size, generator=generator, dtype=torch.float64)
    return ref_logprobs, (rewards * levels).round() / levels if levels else rewards


def towards(policy: Tensor, seed: int, *distances: float) -> Iterator[Tensor]:
    """Twenty policies at random from near a policy, for each measure of how near."""
    generator = torch.Generator().manual_seed(seed)
    for distance in distances * 20:
        noise = torch.randn(len(policy), generator=generator, dtype=torch.float64)
        yield (policy + distance * noise).log_softmax(0)


def test_every_response_stands_in_the_list_once():
    tokens, mask = exact.every_response(8, 5)
    assert len(tokens) == sum(7**length for length in range(5)) + 7**5 == 19_608
    rows = {
        tuple(row[: int(length)]) for row, length in zip(tokens.tolist(), mask.sum(1), strict=True)
    }
    written = set()
    for string in itertools.product(range(8), repeat=5):
        end = string.index(EOS) + 1 if EOS in string else 5
        written.add(string[:end])
    assert rows == written
    assert len(rows) == len(tokens)
    assert (tokens[~mask] == PAD).all()


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_policy_beats_the_tilted_one(seed: int, beta: float):
    ref_logprobs, rewards = world(seed)
    best = exact.tilted(ref_logprobs, rewards, beta=beta)
    reached = exact.objective(best, ref_logprobs, rewards, beta=beta)
    closed = exact.best_objective(ref_logprobs, rewards, beta=beta)
    assert reached.item() == pytest.approx(closed.item(), abs=1e-12)
    for other in towards(best, seed, 1e-3, 0.1, 1.0, 10.0):
        lost = closed - exact.objective(other, ref_logprobs, rewards, beta=beta)
        # by exactly what its distance from the best one costs
        assert 0 < lost.item() == pytest.approx(beta * kl_exact(other, best).item(), abs=1e-10)


def test_the_share_of_the_best_is_one_for_the_best_and_zero_for_the_reference():
    ref_logprobs, rewards = world(0)
    best = exact.tilted(ref_logprobs, rewards, beta=0.3)
    worst = exact.tilted(ref_logprobs, -rewards, beta=0.3)
    shares = [
        exact.share_of_best(policy, ref_logprobs, rewards, beta=0.3).item()
        for policy in (best, ref_logprobs, worst)
    ]
    assert shares[:2] == pytest.approx([1, 0], abs=1e-12)
    assert shares[2] < 0


@pytest.mark.parametrize("levels", [0, 1])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_best_of_n_is_what_drawing_n_gives(levels: int, n: int):
    ref_logprobs, rewards = world(3, levels=levels, size=8)
    assert (len(rewards.unique()) < 8) == bool(levels)
    drawn = torch.zeros(8, dtype=torch.float64)
    for responses in itertools.product(range(8), repeat=n):
        probability = ref_logprobs[list(responses)].sum().exp()
        best = max(responses, key=lambda response: rewards[response].item())  # the first of equals
        drawn[best] += probability
    assert optima.best_of_n(ref_logprobs, rewards, n=n).exp().tolist() == pytest.approx(
        drawn.tolist(), abs=1e-12
    )


@pytest.mark.parametrize("levels", [0, 1, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_best_of_n_never_leaves_the_reference_by_more_than_its_bound(seed: int, levels: int):
    ref_logprobs, rewards = world(seed, levels=levels)
    for n in (1, 2, 3, 4, 8, 16, 64, 256, 1024):
        best = optima.best_of_n(ref_logprobs, rewards, n=n)
        assert best.exp().sum().item() == pytest.approx(1, abs=1e-9)
        assert kl_exact(best, ref_logprobs) <= optima.best_of_n_bound(n) + 1e-9


def test_the_bound_of_best_of_n_is_close_where_no_response_is_common():
    ref_logprobs, rewards = world(0, size=200_000)
    reached = kl_exact(optima.best_of_n(ref_logprobs, rewards, n=4), ref_logprobs).item()
    assert reached == pytest.approx(optima.best_of_n_bound(4), abs=1e-3)
    assert optima.best_of_n_bound(4) == pytest.approx(math.log(4) - 3 / 4)


def test_the_tilted_policies_are_the_frontier():
    ref_logprobs, rewards = world(1)
    for n in (2, 4, 16):
        best = optima.best_of_n(ref_logprobs, rewards, n=n)
        spent, earned = kl_exact(best, ref_logprobs), exact.expected(best, rewards)
        low, high = 1e-3, 1e3  # the β at which the tilted policy spends as much
        for _ in range(100):
            beta = math.sqrt(low * high)
            tilted = exact.tilted(ref_logprobs, rewards, beta=beta)
            low, high = (beta, high) if kl_exact(tilted, ref_logprobs) > spent else (low, beta)
        start, most = exact.expected(ref_logprobs, rewards), exact.expected(tilted, rewards)
        assert 0.9 < (earned - start) / (most - start) < 1


@pytest.mark.parametrize("seed", SEEDS)
def test_the_variances_of_k1_and_k3_cross_on_the_frontier(seed: int):
    ref_logprobs, rewards = world(seed)

    def k3_varies_less(beta: float) -> bool:
        """By the exact variances over the policy's own responses."""
        policy = exact.tilted(ref_logprobs, rewards, beta=beta)
        kl = kl_exact(policy, ref_logprobs)
        k1, k3 = (
            exact.expected(policy, (k(policy, ref_logprobs) - kl).square()) for k in (kl_k1, kl_k3)
        )
        return bool(k3 < k1)

    assert k3_varies_less(3.0)
    assert not k3_varies_less(0.3)


# What k3 as a loss leads to


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_reverse_tilt_is_best_by_its_own_measure_alone(seed: int, beta: float):
    ref_logprobs, rewards = world(seed)

    def own(policy: Tensor) -> Tensor:
        return exact.expected(policy, rewards) - beta * kl_exact(ref_logprobs, policy)

    best = optima.reverse_tilted(ref_logprobs, rewards, beta=beta)
    assert best.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert all(own(other) < own(best) for other in towards(best, seed, 1e-3, 0.1, 1.0))
    assert own(exact.tilted(ref_logprobs, rewards, beta=beta)) < own(best)
    assert exact.share_of_best(best, ref_logprobs, rewards, beta=beta) < 1


@pytest.mark.parametrize("divide_by_std", [False, True])
def test_grpos_gradient_is_zero_at_its_optimum(divide_by_std: bool):
    """The expected gradient is written out over all responses and all their tokens."""
    tokens, mask = exact.every_response(4, 3)
    ref_logprobs, rewards = world(2, size=len(tokens))
    beta = 0.4
    best = optima.grpo_optimum(
        tokens, ref_logprobs, rewards, beta=beta, divide_by_std=divide_by_std
    )
    assert best.exp().sum().item() == pytest.approx(1, abs=1e-9)
    rows = [
        tuple(row[:end]) for row, end in zip(tokens.tolist(), mask.sum(1).tolist(), strict=True)
    ]

    def next_tokens(logprobs: Tensor) -> dict[tuple[int, ...], Tensor]:
        """The log-probability of each token after each beginning of a response."""
        shares = dict(zip(rows, logprobs.exp().tolist(), strict=True))
        starts: Counter[tuple[int, ...]] = Counter()
        for row, share in shares.items():
            for place in range(len(row) + 1):
                starts[row[:place]] += share
        return {
            start: torch.tensor([starts[*start, t] for t in range(4)], dtype=torch.float64).log()
            for start in {row[:place] for row in rows for place in range(len(row))}
        }

    logits, ref = next_tokens(best), next_tokens(ref_logprobs)
    own = best.exp()
    mean = (own * rewards).sum()
    spread = (own * (rewards - mean).square()).sum().sqrt() if divide_by_std else 1
    loss = torch.zeros((), dtype=torch.float64)
    for logit in logits.values():
        logit.requires_grad_()
    for row, share, advantage in zip(rows, own, (rewards - mean) / spread, strict=True):
        for place, token in enumerate(row):
            start = row[:place]
            logprob, ref_logprob = (x[start].log_softmax(0)[token] for x in (logits, ref))
            loss = loss + share * (beta * kl_k3(logprob, ref_logprob) - advantage * logprob)
    loss.backward()
    for start, logit in logits.items():
        assert logit.grad is not None
        assert logit.grad.abs().max() < 1e-8, start


def test_grpos_optimum_over_one_token_is_the_reverse_tilt():
    ref_logprobs, rewards = world(1, size=8)
    one = optima.grpo_optimum(
        torch.arange(8)[:, None], ref_logprobs, rewards, beta=0.3, divide_by_std=False
    )
    reverse = optima.reverse_tilted(ref_logprobs, rewards, beta=0.3)
    assert one.tolist() == pytest.approx(reverse.tolist(), abs=1e-9)


# The natural gradient


@pytest.mark.parametrize("seed", SEEDS)
def test_the_natural_gradient_follows_the_tilt(seed: int):
    ref_logprobs, rewards = world(seed, size=64)
    policy, learning_rate = ref_logprobs, 0.25
    for step in range(1, 13):
        policy = optima.natural_step(policy, rewards, learning_rate=learning_rate)
        tilted = exact.tilted(ref_logprobs, rewards, beta=1 / (learning_rate * step))
        assert (policy.exp() - tilted.exp()).abs().max() < 1e-6


# Bad input


def optimum(ref_logprobs: Tensor, rewards: Tensor, *, beta: float) -> Tensor:
    """GRPO's, where a response is one token."""
    tokens = torch.arange(8)[:, None]
    return optima.grpo_optimum(tokens, ref_logprobs, rewards, beta=beta, divide_by_std=True)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda ref, rewards: exact.tilted(ref, rewards, beta=0.0), "beta"),
        (lambda ref, rewards: exact.tilted(ref, rewards / 0, beta=1.0), "rewards"),
        (lambda ref, rewards: exact.best_objective(ref, rewards, beta=-1.0), "beta"),
        (lambda ref, rewards: exact.objective(ref, ref, rewards, beta=0.0), "beta"),
        (lambda ref, rewards: exact.objective(ref + 1, ref, rewards, beta=1.0), "logprobs"),
        (lambda ref, rewards: optima.reverse_tilted(ref, rewards, beta=0.0), "beta"),
        (lambda ref, rewards: optima.best_of_n(ref, rewards, n=0), "n"),
        (lambda ref, rewards: optima.best_of_n(ref / 0, rewards, n=2), "ref_logprobs"),
        (lambda ref, rewards: optima.best_of_n_bound(0), "n"),
        (lambda ref, rewards: exact.every_response(0, 4), "vocabulary"),
        (lambda ref, rewards: exact.every_response(8, 0), "limit"),
        (lambda ref, rewards: optima.natural_step(ref, rewards, learning_rate=0.0), "learning_r"),
        (lambda ref, rewards: optimum(ref, rewards, beta=0.0), "beta"),
        (lambda ref, rewards: optimum(ref, 0 * rewards, beta=1.0), "rewards: all are the same"),
        (lambda ref, rewards: exact.expected(ref, rewards.long()), "rewards"),
    ],
)
def test_bad_input_is_named(call, named: str):
    with pytest.raises(Exception, match=named):
        call(*world(0, size=8))
