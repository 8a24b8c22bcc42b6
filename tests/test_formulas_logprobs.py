"""Log-probabilities and entropy, against enumeration and torch."""

import math

import pytest
import torch
import torch.nn.functional

from rlhf_explained.formulas import entropy, token_logprobs


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_logprob_is_the_log_of_the_share_of_the_exponentials():
    logits = torch.tensor([[[math.log(1.0), math.log(2.0), math.log(5.0)]]])
    for token, share in enumerate([1 / 8, 2 / 8, 5 / 8]):
        logprob = token_logprobs(logits, torch.tensor([[token]]))
        assert logprob.tolist() == [[pytest.approx(math.log(share))]]


def test_probabilities_of_all_tokens_sum_to_one(logits):
    probabilities = sum(token_logprobs(logits, torch.full((3, 4), v)).exp() for v in range(5))
    torch.testing.assert_close(probabilities, torch.ones(3, 4, dtype=torch.float64))


def test_logprobs_are_minus_torch_cross_entropy(logits):
    tokens = torch.arange(12).view(3, 4) % 5
    reference = torch.nn.functional.cross_entropy(logits.mT, tokens, reduction="none")
    torch.testing.assert_close(token_logprobs(logits, tokens), -reference)


def test_a_constant_added_to_the_logits_changes_nothing(logits):
    tokens = torch.zeros(3, 4, dtype=torch.int32)
    torch.testing.assert_close(token_logprobs(logits + 7, tokens), token_logprobs(logits, tokens))
    torch.testing.assert_close(entropy(logits + 7), entropy(logits))


def test_entropy_is_that_of_torch(logits):
    torch.testing.assert_close(
        entropy(logits), torch.distributions.Categorical(logits=logits).entropy()
    )


@pytest.mark.parametrize("vocabulary", [1, 2, 7])
def test_entropy_of_equally_likely_tokens_is_log_v(vocabulary):
    assert entropy(torch.zeros(1, 1, vocabulary)).item() == pytest.approx(math.log(vocabulary))


def test_entropy_is_the_expected_surprise():
    logits = torch.tensor([[[0.3, -1.2, 2.0]]], dtype=torch.float64)
    surprises = [-token_logprobs(logits, torch.tensor([[v]])).item() for v in range(3)]
    expected = sum(math.exp(-s) * s for s in surprises)
    assert entropy(logits).item() == pytest.approx(expected)


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


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_logit_that_is_no_number_is_refused(logits, wrong):
    logits[1, 2, 3] = wrong
    tokens = torch.zeros(3, 4, dtype=torch.long)
    with pytest.raises(ValueError, match=r"logits\[1, 2, 3\] is (nan|inf)"):
        token_logprobs(logits, tokens)
    with pytest.raises(ValueError, match=r"logits\[1, 2, 3\] is (nan|inf)"):
        entropy(logits)


def test_a_position_that_bans_every_token_is_refused(logits):
    logits[2, 1] = -math.inf
    with pytest.raises(ValueError, match=r"logits\[2, 1\] bans every token"):
        entropy(logits)


@pytest.mark.parametrize("wrong", [-100, -1, 5])
def test_a_token_outside_the_vocabulary_is_named(logits, wrong):
    tokens = torch.zeros(3, 4, dtype=torch.long)
    tokens[1, 2] = wrong
    with pytest.raises(ValueError, match=rf"tokens\[1, 2\] is {wrong}, outside .* 5 tokens"):
        token_logprobs(logits, tokens)
