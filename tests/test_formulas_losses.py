"""The losses, against enumeration, plain Python and the theorems that they must obey."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional

from rlhf_explained.formulas import (
    bradley_terry_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    ppo_policy_loss,
    ppo_value_loss,
    sft_loss,
    token_logprobs,
)

MASK = torch.tensor([[True, True, True], [True, False, False]])
ONE = MASK[:1, :1]


def rows(*numbers) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def gradient(loss, x: torch.Tensor) -> torch.Tensor:
    (result,) = torch.autograd.grad(loss, x)
    return result


# sft_loss


def test_sft_loss_is_the_mean_surprise_of_the_response():
    shares = rows([[0.5, 0.25, 0.25]] * 3, [[0.125, 0.75, 0.125]] * 3)
    tokens = torch.tensor([[0, 1, 2], [1, -100, -100]])
    expected = (math.log(2) + math.log(4) + math.log(4) + math.log(4 / 3)) / 4
    assert sft_loss(shares.log(), tokens, MASK).item() == pytest.approx(expected)


def test_sft_loss_is_least_at_the_shares_of_the_demonstrations():
    """Over four demonstrations of one token each, the floor is their entropy."""
    tokens = torch.tensor([[0], [0], [0], [1]])
    mask = torch.ones(4, 1, dtype=torch.bool)
    logits = rows(0.75, 0.25).log().expand(4, 1, 2).clone().requires_grad_()
    loss = sft_loss(logits, tokens, mask)
    assert loss.item() == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    shared = gradient(loss, logits).sum(dim=0)
    torch.testing.assert_close(shared, torch.zeros_like(shared))


def test_sft_loss_allows_a_banned_token_that_is_not_the_answer():
    logits = torch.tensor([[[0.0, -math.inf, 0.0]]], requires_grad=True)
    loss = sft_loss(logits, torch.tensor([[2]]), ONE)
    assert loss.item() == pytest.approx(math.log(2))
    assert gradient(loss, logits).tolist() == [[[0.5, 0.0, -0.5]]]


def test_sft_loss_refuses_an_answer_that_is_banned():
    logits = torch.zeros(2, 3, 3)
    logits[0, 2, 1] = -math.inf
    with pytest.raises(ValueError, match=r"^tokens\[0, 2\] is 1, which the logits ban"):
        sft_loss(logits, torch.ones(2, 3, dtype=torch.long), MASK)


# bradley_terry_loss


def test_bradley_terry_loss_is_the_surprise_of_the_preference():
    chosen, rejected = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert bradley_terry_loss(chosen, rejected).item() == pytest.approx(expected)


def test_bradley_terry_optimum_is_the_log_odds():
    """Preferred three times in four, the best difference of the scores is log 3."""
    difference = rows(math.log(3)).requires_grad_()
    chosen = torch.cat([difference, difference, difference, -difference])
    loss = bradley_terry_loss(chosen, torch.zeros_like(chosen))
    assert gradient(loss, difference).item() == pytest.approx(0, abs=1e-12)


# ppo_policy_loss


@pytest.mark.parametrize(
    ("ratio", "advantage", "surrogate", "moves"),
    [
        (1.0, 2.0, 2.0, True),
        (1.1, 2.0, 2.2, True),
        (1.5, 2.0, 2.4, False),  # already likelier by more than 20 %: no further push
        (0.5, 2.0, 1.0, True),  # a good token that got less likely is still pulled back
        (1.0, -2.0, -2.0, True),
        (0.9, -2.0, -1.8, True),
        (0.5, -2.0, -1.6, False),
        (1.5, -2.0, -3.0, True),
    ],
)
def test_ppo_policy_loss_is_equation_7_in_every_region(ratio, advantage, surrogate, moves):
    logprobs = rows([math.log(ratio) - 1.5]).requires_grad_()
    loss = ppo_policy_loss(logprobs, rows([-1.5]), rows([advantage]), ONE, clip_range=0.2)
    assert loss.item() == pytest.approx(-surrogate)
    slope = -ratio * advantage if moves else 0
    assert gradient(loss, logprobs).item() == pytest.approx(slope)


def test_ppo_policy_gradient_at_ratio_one_is_that_of_reinforce():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    advantages = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    logprobs = token_logprobs(logits, torch.tensor([[0, 1, 2], [3, 4, 0]]))
    reinforce = -(logprobs * advantages)[MASK].sum() / 4
    loss = ppo_policy_loss(logprobs, logprobs.detach(), advantages, MASK, clip_range=0.2)
    expected = torch.autograd.grad(reinforce, logits, retain_graph=True)[0]
    torch.testing.assert_close(gradient(loss, logits), expected)


@pytest.mark.parametrize(
    ("dtype", "log_ratio"),
    [
        (torch.float16, 12),
        (torch.bfloat16, 89),
        (torch.float32, 89),
        (torch.float64, 710),
        (torch.float32, 3e38),
    ],
)
def test_a_token_far_beyond_the_clip_has_no_gradient_and_leaves_the_others_theirs(dtype, log_ratio):
    logprobs = torch.tensor([[0, 0, 0]], dtype=dtype, requires_grad=True)
    old = torch.tensor([[-log_ratio, 0, -log_ratio]], dtype=dtype)
    advantages = torch.tensor([[1, 3, 0]], dtype=dtype)
    loss = ppo_policy_loss(logprobs, old, advantages, MASK[:1], clip_range=0.2)
    assert loss.item() == pytest.approx(-(1.2 + 3 + 0) / 3, rel=4e-3)
    assert gradient(loss, logprobs).tolist() == [[0, pytest.approx(-1, rel=4e-3), 0]]
    with pytest.raises(ValueError, match=r"^logprobs, old_logprobs, advantages: the result overfl"):
        ppo_policy_loss(logprobs, old, -4 * advantages, MASK[:1], clip_range=0.2)


# ppo_value_loss


@pytest.mark.parametrize(
    ("value", "old", "target", "expected", "slope"),
    [
        (1.25, 1.0, 3.0, 1.75**2 / 2, -1.75),  # within the range: the plain error
        (0.75, 1.0, -1.0, 1.75**2 / 2, 1.75),
        (2.0, 1.0, 3.0, 1.5**2 / 2, 0.0),  # moved far enough towards the return: no further push
        (0.0, 1.0, -1.0, 1.5**2 / 2, 0.0),
        (0.0, 1.0, 3.0, 3.0**2 / 2, -3.0),  # moved away: pulled back in full
        (9.0, 1.0, 2.0, 7.0**2 / 2, 7.0),  # overshot: pulled back in full
    ],
)
def test_ppo_value_loss_in_every_region(value, old, target, expected, slope):
    values = rows([value]).requires_grad_()
    loss = ppo_value_loss(values, rows([old]), rows([target]), ONE, clip_range=0.5)
    assert loss.item() == pytest.approx(expected)
    assert gradient(loss, values).item() == pytest.approx(slope)


def test_ppo_value_loss_with_a_wide_range_is_half_the_mean_squared_error():
    generator = torch.Generator().manual_seed(0)
    values, old, returns = torch.randn(3, 2, 3, generator=generator, dtype=torch.float64)
    reference = torch.nn.functional.mse_loss(values[MASK], returns[MASK]) / 2
    torch.testing.assert_close(ppo_value_loss(values, old, returns, MASK, clip_range=99), reference)


# dpo_loss


def test_dpo_loss_is_equation_7():
    numbers = (-10.0, -12.0, -11.0, -11.5)
    margin = 0.3 * ((-10.0 + 11.0) - (-12.0 + 11.5))
    loss = dpo_loss(*(rows(x) for x in numbers), beta=0.3)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-margin)))


def test_dpo_is_bradley_terry_on_the_implicit_rewards():
    generator = torch.Generator().manual_seed(0)
    chosen, rejected, ref_chosen, ref_rejected = torch.randn(4, 6, generator=generator)
    torch.testing.assert_close(
        dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.5),
        bradley_terry_loss(0.5 * (chosen - ref_chosen), 0.5 * (rejected - ref_rejected)),
    )


# ipo_loss


def test_ipo_loss_is_equation_17():
    pairs = (rows(-10.0, -3.0), rows(-12.0, -3.0), rows(-11.0, -3.0), rows(-11.5, -4.0))
    expected = ((1.5 - 2) ** 2 + (-1.0 - 2) ** 2) / 2
    assert ipo_loss(*pairs, beta=0.25).item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", [dpo_loss, ipo_loss])
def test_the_optimum_is_the_tilted_reference(loss):
    """For Bradley–Terry labels of three responses; there the loss has no gradient.

    DPO's is π ∝ π_ref · exp(r / β). IPO's has the chance to be preferred to a uniform draw in place
    of r: Azar et al. 2024, equation 8.
    """
    beta, rewards = 0.5, rows(0.3, -0.2, 0.9)
    reference = rows(0.2, 0.5, 0.3).log()
    preferred = (rewards[:, None] - rewards).sigmoid()
    tilt = rewards if loss is dpo_loss else preferred.mean(1)
    logits = (reference + tilt / beta).requires_grad_()
    policy = logits.log_softmax(-1)
    total = torch.zeros(())
    for i, j in product(range(3), repeat=2):
        pair = [x[k : k + 1] for x in (policy, reference) for k in (i, j)]
        total = total + preferred[i, j] * loss(*pair, beta=beta)
    torch.testing.assert_close(gradient(total, logits), torch.zeros(3, dtype=torch.float64))


# kto_loss


def test_kto_loss_is_equation_8():
    good, bad = torch.tensor([True]), torch.tensor([False])
    gained = 0.3 * ((-10.0 + 11.0) - 0.4)
    for mark, sign in ((good, 1), (bad, -1)):
        loss = kto_loss(rows(-10.0), rows(-11.0), mark, beta=0.3, kl=0.4)
        assert loss.item() == pytest.approx(1 - 1 / (1 + math.exp(-sign * gained)))


# What the losses refuse beyond the contract that all formulas share.


@pytest.mark.parametrize(
    ("dtype", "large"), [(torch.float16, 6e4), (torch.float32, 3e38), (torch.float64, 1e308)]
)
def test_scores_and_logits_too_far_apart_for_their_precision_are_refused(dtype, large):
    far = torch.tensor([-large, large], dtype=dtype)
    with pytest.raises(ValueError, match=r"^chosen_scores, rejected_scores: the result overflows"):
        bradley_terry_loss(far[:1], far[1:])
    assert bradley_terry_loss(far[1:], far[:1]) == 0
    for loss in (token_logprobs, lambda logits, tokens: sft_loss(logits, tokens, ONE)):
        assert loss(far.view(1, 1, 2), torch.ones(1, 1, dtype=torch.long)) == 0
        with pytest.raises(ValueError, match=r"^logits: the result overflows"):
            loss(far.view(1, 1, 2), torch.zeros(1, 1, dtype=torch.long))
