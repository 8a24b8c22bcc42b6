"""Rewards per token, GAE as its double sum, and the advantages within a group."""

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_explained.formulas import gae, group_advantages, kl_exact, kl_shaped_rewards

MASK = torch.tensor([[True, True, True, True], [True, True, False, False]])


def rows(*numbers) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def test_rewards_are_the_penalty_and_the_score_at_the_last_token():
    logprobs = rows([-1.0, -2.0, -3.0, -4.0], [-0.5, -1.5, 0.0, 0.0])
    ref_logprobs = rows([-2.0, -2.0, -1.0, -4.5], [-0.75, -1.0, 0.0, 0.0])
    rewards = kl_shaped_rewards(rows(10.0, -20.0), logprobs, ref_logprobs, MASK, kl_coef=0.5)
    assert rewards.tolist() == [[-0.5, 0.0, 1.0, 10.0 - 0.25], [-0.125, 0.25 - 20.0, 0.0, 0.0]]


def test_without_the_penalty_only_the_score_is_left():
    noise = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    rewards = kl_shaped_rewards(torch.tensor([3.0, 4.0]), noise, -noise, MASK, kl_coef=0)
    assert rewards.tolist() == [[0, 0, 0, 3], [0, 4, 0, 0]]


def test_expected_total_is_the_score_less_the_exact_divergence():
    """Each of nine two-token responses weighs as much as the policy writes it."""
    policy, reference = rows(0.5, 0.3, 0.2).log(), rows(0.1, 0.3, 0.6).log()
    first, second = torch.cartesian_prod(torch.arange(3), torch.arange(3)).unbind(dim=1)
    tokens = torch.stack([first, second], dim=1)
    scores = torch.arange(9, dtype=torch.float64)
    rewards = kl_shaped_rewards(
        scores, policy[tokens], reference[tokens], torch.ones(9, 2, dtype=torch.bool), kl_coef=0.7
    )
    weights = policy[tokens].sum(dim=1).exp()
    expected = (weights * scores).sum() - 0.7 * 2 * kl_exact(policy, reference)
    torch.testing.assert_close((weights * rewards.sum(dim=1)).sum(), expected)


def double_sum(rewards, values, gamma, gae_lambda) -> list[float]:
    """Equation 16 for one response, term by term."""
    length = len(rewards)
    values = [*values, 0.0]
    deltas = [rewards[t] + gamma * values[t + 1] - values[t] for t in range(length)]
    return [
        sum((gamma * gae_lambda) ** k * deltas[t + k] for k in range(length - t))
        for t in range(length)
    ]


number = st.floats(-10, 10)
responses = st.lists(st.tuples(number, number), min_size=1, max_size=6)


@given(
    st.lists(responses, min_size=1, max_size=4), st.integers(0, 1), st.floats(0, 1), st.floats(0, 1)
)
def test_gae_is_the_double_sum(batch, padded, gamma, gae_lambda):
    width = padded + max(len(response) for response in batch)
    rewards, values = torch.full((2, len(batch), width), math.nan, dtype=torch.float64)
    for i, response in enumerate(batch):
        rewards[i, : len(response)] = rows(*[r for r, _ in response])
        values[i, : len(response)] = rows(*[v for _, v in response])
    advantages, returns = gae(rewards, values, ~rewards.isnan(), gamma=gamma, gae_lambda=gae_lambda)
    for i, response in enumerate(batch):
        r, v = zip(*response, strict=True)
        padding = [0.0] * (width - len(r))
        expected = double_sum(r, v, gamma, gae_lambda)
        assert advantages[i].tolist() == pytest.approx(expected + padding, abs=1e-9)
        assert returns[i].tolist() == pytest.approx(
            [a + b for a, b in zip(expected, v, strict=True)] + padding, abs=1e-9
        )


def test_lambda_zero_gives_the_one_step_error_and_one_the_discounted_sum_of_rewards():
    generator = torch.Generator().manual_seed(3)
    rewards, values = torch.randn(2, 2, 4, generator=generator, dtype=torch.float64)
    errors, _ = gae(rewards, values, MASK, gamma=0.9, gae_lambda=0)
    assert errors[1, 0] == rewards[1, 0] + 0.9 * values[1, 1] - values[1, 0]
    assert errors[1, 1] == rewards[1, 1] - values[1, 1]  # nothing follows the last token
    _, returns = gae(rewards, values, MASK, gamma=0.9, gae_lambda=1)
    expected = sum(0.9**t * rewards[0, t] for t in range(4))
    torch.testing.assert_close(returns[0, 0], expected)


@given(st.lists(number, min_size=6, max_size=6), st.sampled_from([2, 3, 6]))
def test_group_advantages_are_the_standard_scores_of_each_group(scores, group_size):
    advantages = group_advantages(rows(*scores), group_size=group_size)
    expected = []
    for start in range(0, 6, group_size):
        group = scores[start : start + group_size]
        deviation = statistics.stdev(group) + 1e-4
        expected += [(score - statistics.mean(group)) / deviation for score in group]
    # A group whose spread is far below the 1e-4 may round differently.
    assert advantages.tolist() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("shift", [100, -100])
def test_a_group_does_not_see_a_constant_in_all_its_scores(shift):
    scores = rows(1.0, 2.0, 4.0)
    shifted = group_advantages(scores + shift, group_size=3)
    torch.testing.assert_close(shifted, group_advantages(scores, group_size=3))


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e30])
def test_a_group_that_agrees_gets_exactly_zero_with_a_finite_gradient(value):
    scores = torch.tensor([value, value, value, 1.0, 2.0, 3.0], requires_grad=True)
    advantages = group_advantages(scores, group_size=3)
    assert advantages[:3].tolist() == [0, 0, 0]
    assert advantages[3:].any()
    advantages.square().sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gae_of_16_bits_sums_a_thousand_small_rewards(dtype):
    """Next to 256, bfloat16 has no room for another 1."""
    ones = torch.ones(1, 1000, dtype=dtype)
    advantages, returns = gae(ones, 0 * ones, ones.bool(), gamma=1, gae_lambda=1)
    assert advantages[0, 0] == returns[0, 0] == 1000
    largest = ones * torch.finfo(dtype).max
    with pytest.raises(
        ValueError, match=r"^rewards, values: the result overflows \w+ at \[0, 0\]$"
    ):
        gae(largest, 0 * ones, ones.bool(), gamma=1, gae_lambda=1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("share", [1, 0.5, 1e-3])
def test_group_advantages_of_the_largest_scores_do_not_vanish(dtype, share):
    largest = share * torch.finfo(dtype).max
    scores = (torch.tensor([1, -1, 1, 1], dtype=dtype) * largest).requires_grad_()
    advantages = group_advantages(scores, group_size=2)
    assert advantages.tolist() == [*[pytest.approx(s * 0.5**0.5, rel=8e-3) for s in (1, -1)], 0, 0]
    (gradient,) = torch.autograd.grad(advantages.square().sum(), scores)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-25), (torch.float64, 1e-200)])
def test_group_advantages_of_scores_a_trifle_apart_have_a_finite_gradient(dtype, apart):
    """Next to such a spread the 1e-4 is all that there is to divide by."""
    scores = torch.tensor([0, apart], dtype=dtype, requires_grad=True)
    advantages = group_advantages(scores, group_size=2)
    assert advantages.tolist() == pytest.approx([-apart / 2e-4, apart / 2e-4])
    (gradient,) = torch.autograd.grad(advantages[1], scores)
    assert gradient.tolist() == pytest.approx([-5000, 5000])
