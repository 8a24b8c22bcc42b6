"""Log-probabilities and entropy, by hand and against torch."""

import math

import pytest
import torch

from rlhf_explained.formulas import entropy, token_logprobs


def test_both_by_hand():
    shares = torch.tensor([1 / 8, 2 / 8, 5 / 8])
    logits = (8 * shares).log().view(1, 1, 3)  # their exponentials sum to 8, not to 1
    for token, share in enumerate(shares.tolist()):
        logprob = token_logprobs(logits, torch.tensor([[token]]))
        assert logprob.tolist() == [[pytest.approx(math.log(share))]]
    surprise = sum(-share * math.log(share) for share in shares.tolist())
    assert entropy(logits).tolist() == [[pytest.approx(surprise)]]


def test_both_are_those_of_torch():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    tokens = torch.arange(12).view(3, 4) % 5
    distribution = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(token_logprobs(logits, tokens), distribution.log_prob(tokens))
    torch.testing.assert_close(entropy(logits), distribution.entropy())


def test_a_banned_token_is_as_good_as_absent():
    banned = torch.tensor([[[1.0, -math.inf, 3.0]]], requires_grad=True)
    absent = torch.tensor([[[1.0, 3.0]]], requires_grad=True)
    both = torch.tensor([[0]])
    assert entropy(banned).item() == entropy(absent).item() > 0
    assert token_logprobs(banned, both).item() == token_logprobs(absent, both).item()
    assert token_logprobs(banned, torch.tensor([[1]])).item() == -math.inf
    for formula in (entropy, lambda x: token_logprobs(x, both)):
        (gradient,) = torch.autograd.grad(formula(banned).sum(), banned)
        (expected,) = torch.autograd.grad(formula(absent).sum(), absent)
        assert gradient[0, 0, 1] == 0
        torch.testing.assert_close(gradient[..., [0, 2]], expected)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[3e38, -3e38, 0.0]]])
    assert token_logprobs(logits, torch.tensor([[0]])).item() == 0
    assert entropy(logits).item() == 0
