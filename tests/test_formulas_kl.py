"""The divergence and its estimates, by enumerating a categorical over three symbols."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_explained.formulas import kl_exact, kl_k1, kl_k2, kl_k3

POLICY = (0.5, 0.3, 0.2)
REFERENCE = (0.1, 0.3, 0.6)


def log(shares) -> torch.Tensor:
    return torch.tensor(shares, dtype=torch.float64).log()


def divergence(p, q) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def expectation(estimate, p, q) -> float:
    """The mean of a per-token estimate over every symbol, weighed by who sampled it: p."""
    return sum(
        share * value for share, value in zip(p, estimate(log(p), log(q)).tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (POLICY, REFERENCE),
        (REFERENCE, POLICY),
        ((0.25, 0.75, 0.0), (0.5, 0.3, 0.2)),  # what the policy never writes counts nothing,
        ((0.25, 0.75, 0.0), (0.5, 0.5, 0.0)),  # nor what nobody writes
    ],
)
def test_exact_is_the_sum_over_the_symbols(p, q):
    assert kl_exact(log(p), log(q)).item() == pytest.approx(divergence(p, q))


def test_exact_agrees_with_torch():
    generator = torch.Generator().manual_seed(0)
    p, q = torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.float64).log_softmax(-1)
    reference = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=p), torch.distributions.Categorical(logits=q)
    )
    torch.testing.assert_close(kl_exact(p, q), reference)


def test_exact_is_infinite_where_only_the_reference_never_writes():
    rows = torch.stack([log((0.5, 0.25, 0.25)), log((0.5, 0.5, 0.0))])
    reference = log((0.5, 0.5, 0.0)).expand(2, 3)
    assert kl_exact(rows, reference).tolist() == [math.inf, pytest.approx(0.0)]


def test_exact_has_a_finite_gradient_beside_a_banned_symbol():
    logits = torch.tensor([1.0, 2.0, -math.inf], dtype=torch.float64, requires_grad=True)
    kl_exact(logits.log_softmax(-1), log(REFERENCE)).backward()
    short = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    p = short.softmax(-1)
    (p * (p.log() - log(REFERENCE)[:2])).sum().backward()
    assert logits.grad is not None
    assert logits.grad[2] == 0
    torch.testing.assert_close(logits.grad[:2], short.grad)


def test_exact_has_a_finite_gradient_beside_an_infinite_position():
    policy = torch.stack([log((0.5, 0.25, 0.25)), log((0.5, 0.25, 0.25))]).requires_grad_()
    reference = torch.stack([log((0.5, 0.5, 0.0)), log(REFERENCE)])
    kl_exact(policy, reference)[1].backward()
    assert policy.grad is not None
    assert policy.grad.isfinite().all()
    assert policy.grad[1].all()


@pytest.mark.parametrize(
    ("dtype", "totals"),
    [(torch.bfloat16, [3, 1.1]), (torch.float32, [1.1, 0.99]), (torch.float64, [1.1, 0.99])],
)
@pytest.mark.parametrize("argument", ["logprobs", "ref_logprobs"])
def test_exact_refuses_what_is_no_distribution(argument, dtype, totals):
    whole = log(POLICY).to(dtype)
    for total in totals:
        given = {"logprobs": whole, "ref_logprobs": whole, argument: whole + math.log(total)}
        with pytest.raises(ValueError, match=rf"^{argument} must be log-probabil.* sum to {total}"):
            kl_exact(**given)


def test_exact_takes_the_rounding_of_bfloat16():
    uniform = torch.zeros(2, 50_000, dtype=torch.bfloat16).log_softmax(-1)
    assert kl_exact(uniform, uniform).tolist() == [0, 0]


def test_estimates_by_hand():
    """With r = log(reference / policy): −r, r²/2 and eʳ − 1 − r; only the first may be negative."""
    assert kl_k1(log(POLICY), log(REFERENCE)).tolist() == pytest.approx(
        [math.log(5), 0, -math.log(3)]
    )
    assert kl_k2(log(POLICY), log(REFERENCE)).tolist() == pytest.approx(
        [math.log(5) ** 2 / 2, 0, math.log(3) ** 2 / 2]
    )
    assert kl_k3(log(POLICY), log(REFERENCE)).tolist() == pytest.approx(
        [1 / 5 - 1 + math.log(5), 0, 3 - 1 - math.log(3)]
    )


@pytest.mark.parametrize("estimate", [kl_k1, kl_k3])
def test_k1_and_k3_are_unbiased_under_the_policy_and_k2_is_not(estimate):
    assert expectation(estimate, POLICY, REFERENCE) == pytest.approx(divergence(POLICY, REFERENCE))
    assert abs(expectation(kl_k2, POLICY, REFERENCE) - divergence(POLICY, REFERENCE)) > 0.05


@given(st.floats(-80, 80, width=32), st.floats(-(2**-10), 2**-10, width=32))
def test_k2_and_k3_are_not_negative(large, small):
    logprobs = torch.tensor([large, small, 0.0])
    for estimate in (kl_k2, kl_k3):
        assert (estimate(logprobs, torch.zeros(3)) >= 0).all()
        assert estimate(logprobs, logprobs).tolist() == [0, 0, 0]


def test_k3_keeps_its_digits_near_zero():
    estimate = kl_k3(torch.tensor([1e-3]), torch.tensor([0.0]))
    assert estimate.item() == pytest.approx(5e-7, rel=1e-3)


def gradient(function) -> torch.Tensor:
    """Gradient at the policy with respect to its logits."""
    logits = log(POLICY).requires_grad_()
    function(logits.log_softmax(-1)).backward()
    assert logits.grad is not None
    return logits.grad


def as_loss(estimate) -> torch.Tensor:
    """What autograd gives on average when the estimate itself is minimised."""
    return gradient(lambda p: (p.exp().detach() * estimate(p, log(REFERENCE))).sum())


def as_reward(estimate) -> torch.Tensor:
    """What REINFORCE gives on average when the estimate is a number in the reward."""
    return gradient(lambda p: (p.exp().detach() * estimate(p, log(REFERENCE)).detach() * p).sum())


def forward() -> torch.Tensor:
    return gradient(lambda p: kl_exact(p, log(REFERENCE)))


def opposite() -> torch.Tensor:
    return gradient(lambda p: kl_exact(log(REFERENCE), p))


def test_k1_pulls_back_as_a_reward_and_does_nothing_as_a_loss():
    torch.testing.assert_close(as_reward(kl_k1), forward())
    torch.testing.assert_close(as_loss(kl_k1), torch.zeros(3, dtype=torch.float64))


def test_k2_has_the_right_gradient_as_a_loss_only():
    torch.testing.assert_close(as_loss(kl_k2), forward())
    assert (as_reward(kl_k2) - forward()).abs().max() > 0.01


def test_k3_has_the_gradient_of_the_opposite_divergence_as_a_loss():
    torch.testing.assert_close(as_loss(kl_k3), opposite())
    torch.testing.assert_close(as_reward(kl_k3), forward() - opposite())


@pytest.mark.parametrize(
    ("dtype", "fits", "overflows"),
    [
        (torch.float16, 11, 12),
        (torch.bfloat16, 88, 89),
        (torch.float32, 88, 89),
        (torch.float64, 709, 710),
    ],
)
def test_k3_that_does_not_fit_is_refused_where_it_is(dtype, fits, overflows):
    zeros = torch.zeros(1, 2, dtype=dtype)
    estimate = kl_k3(torch.tensor([[0, -fits]], dtype=dtype), zeros)
    assert estimate[0, 1].item() == pytest.approx(math.exp(fits) - 1 - fits, rel=8e-3)
    kind = str(dtype).removeprefix("torch.")
    message = rf"^logprobs, ref_logprobs: the result overflows {kind} at \[0, 1\]$"
    with pytest.raises(ValueError, match=message):
        kl_k3(torch.tensor([[0, -overflows]], dtype=dtype), zeros)
