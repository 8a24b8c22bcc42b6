"""The losses, against enumeration, plain Python and the theorems that they must obey."""

import math

import pytest
import torch
import torch.nn.functional
from jaxtyping import config

from rlhf_explained.formulas import (
    bradley_terry_loss,
    dpo_loss,
    gae,
    ipo_loss,
    kto_loss,
    ppo_policy_loss,
    ppo_value_loss,
    sft_loss,
    token_logprobs,
)

MASK = torch.tensor([[True, True, True], [True, False, False]])


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


def test_sft_loss_is_torch_cross_entropy_that_ignores_the_rest():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[0, 1, 2], [3, -100, -100]])
    reference = torch.nn.functional.cross_entropy(logits.mT, tokens, ignore_index=-100)
    torch.testing.assert_close(sft_loss(logits, tokens, MASK), reference)


def test_sft_loss_of_a_policy_that_knows_nothing_is_log_v():
    tokens = torch.zeros(2, 3, dtype=torch.int32)
    assert sft_loss(torch.zeros(2, 3, 7), tokens, MASK).item() == pytest.approx(math.log(7))


def test_sft_gradient_makes_the_written_token_likelier():
    logits = torch.zeros(2, 3, 4, requires_grad=True)
    tokens = torch.full((2, 3), 2)
    towards = gradient(sft_loss(logits, tokens, MASK), logits)
    assert towards[0, 0].tolist() == pytest.approx([1 / 16, 1 / 16, -3 / 16, 1 / 16])


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
    loss = sft_loss(logits, torch.tensor([[2]]), MASK[:1, :1])
    assert loss.item() == pytest.approx(math.log(2))
    assert gradient(loss, logits).tolist() == [[[0.5, 0.0, -0.5]]]


def test_sft_loss_refuses_an_answer_that_is_banned():
    logits = torch.zeros(2, 3, 3)
    logits[0, 2, 1] = -math.inf
    with pytest.raises(ValueError, match=r"^tokens\[0, 2\] is 1, which the logits ban"):
        sft_loss(logits, torch.ones(2, 3, dtype=torch.long), MASK)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_sft_loss_refuses_a_counted_logit_that_is_no_number(wrong):
    logits = torch.full((2, 3, 4), math.nan)
    logits[MASK] = 0
    logits[0, 2, 1] = wrong
    with pytest.raises(ValueError, match=rf"^logits\[0, 2, 1\] is {wrong}"):
        sft_loss(logits, torch.zeros(2, 3, dtype=torch.long), MASK)


def test_sft_loss_names_a_token_outside_the_vocabulary():
    tokens = torch.tensor([[0, 1, 9], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"^tokens\[0, 2\] is 9, outside the vocabulary of 4"):
        sft_loss(torch.zeros(2, 3, 4), tokens, MASK)


# bradley_terry_loss


def test_bradley_terry_loss_is_the_surprise_of_the_preference():
    chosen, rejected = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert bradley_terry_loss(chosen, rejected).item() == pytest.approx(expected)


def test_bradley_terry_probabilities_of_both_orders_sum_to_one():
    a, b = rows(1.3), rows(0.2)
    assert math.exp(-bradley_terry_loss(a, b)) + math.exp(
        -bradley_terry_loss(b, a)
    ) == pytest.approx(1)


def test_bradley_terry_does_not_see_a_constant():
    chosen, rejected = rows(2.0, 0.5), rows(1.0, 3.0)
    torch.testing.assert_close(
        bradley_terry_loss(chosen + 100, rejected + 100), bradley_terry_loss(chosen, rejected)
    )


def test_equal_scores_cost_log_two():
    assert bradley_terry_loss(torch.ones(3), torch.ones(3)).item() == pytest.approx(math.log(2))


def test_bradley_terry_gradient_pulls_the_pair_apart():
    scores = torch.zeros(2, 1, requires_grad=True)
    assert gradient(bradley_terry_loss(scores[0], scores[1]), scores).tolist() == [[-0.5], [0.5]]


def test_bradley_terry_stays_finite_for_hopeless_scores():
    chosen = torch.tensor([-1e4], requires_grad=True)
    loss = bradley_terry_loss(chosen, torch.tensor([1e4]))
    assert loss.item() == 2e4
    assert gradient(loss, chosen).item() == -1


def test_bradley_terry_optimum_is_the_log_odds():
    """Preferred three times in four, the best difference of the scores is log 3."""
    difference = rows(math.log(3)).requires_grad_()
    chosen = torch.cat([difference, difference, difference, -difference])
    loss = bradley_terry_loss(chosen, torch.zeros_like(chosen))
    assert gradient(loss, difference).item() == pytest.approx(0, abs=1e-12)


# ppo_policy_loss


def policy_loss(ratio: float, advantage: float, clip_range: float = 0.2) -> tuple[float, float]:
    """The loss of one token and its gradient with respect to the log-probability."""
    logprobs = rows([math.log(ratio) - 1.5]).requires_grad_()
    loss = ppo_policy_loss(
        logprobs, rows([-1.5]), rows([advantage]), MASK[:1, :1], clip_range=clip_range
    )
    return loss.item(), gradient(loss, logprobs).item()


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
    loss, slope = policy_loss(ratio, advantage)
    assert loss == pytest.approx(-surrogate)
    assert slope == pytest.approx(-ratio * advantage if moves else 0)


def test_ppo_policy_loss_is_never_below_the_unclipped_one():
    for ratio in (0.2, 0.79, 0.81, 1.0, 1.19, 1.21, 4.0):
        for advantage in (-1.0, 1.0):
            assert policy_loss(ratio, advantage)[0] >= -ratio * advantage - 1e-12


def test_ppo_policy_gradient_at_ratio_one_is_that_of_reinforce():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64).requires_grad_()
    advantages = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    logprobs = token_logprobs(logits, torch.tensor([[0, 1, 2], [3, 4, 0]]))
    reinforce = -(logprobs * advantages)[MASK].sum() / 4
    loss = ppo_policy_loss(logprobs, logprobs.detach(), advantages, MASK, clip_range=0.2)
    expected = torch.autograd.grad(reinforce, logits, retain_graph=True)[0]
    torch.testing.assert_close(gradient(loss, logits), expected)


def test_ppo_policy_loss_averages_over_the_counted_tokens():
    advantages = rows([1.0, 2.0, 3.0], [6.0, 50.0, 50.0])
    zeros = torch.zeros_like(advantages)
    assert ppo_policy_loss(zeros, zeros, advantages, MASK, clip_range=0.2).item() == -3.0


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


def value_loss(value: float, old: float, target: float, clip_range=0.5) -> tuple[float, float]:
    """The loss of one token and its gradient with respect to the value."""
    values = rows([value]).requires_grad_()
    loss = ppo_value_loss(values, rows([old]), rows([target]), MASK[:1, :1], clip_range=clip_range)
    return loss.item(), gradient(loss, values).item()


@pytest.mark.parametrize(
    ("value", "old", "target", "loss", "slope"),
    [
        (1.25, 1.0, 3.0, 1.75**2 / 2, -1.75),  # within the range: the plain error
        (0.75, 1.0, -1.0, 1.75**2 / 2, 1.75),
        (2.0, 1.0, 3.0, 1.5**2 / 2, 0.0),  # moved far enough towards the return: no further push
        (0.0, 1.0, -1.0, 1.5**2 / 2, 0.0),
        (0.0, 1.0, 3.0, 3.0**2 / 2, -3.0),  # moved away: pulled back in full
        (9.0, 1.0, 2.0, 7.0**2 / 2, 7.0),  # overshot: pulled back in full
    ],
)
def test_ppo_value_loss_in_every_region(value, old, target, loss, slope):
    assert value_loss(value, old, target) == (pytest.approx(loss), pytest.approx(slope))


def test_ppo_value_loss_with_a_wide_range_is_half_the_mean_squared_error():
    generator = torch.Generator().manual_seed(0)
    values, old, returns = torch.randn(3, 2, 3, generator=generator, dtype=torch.float64)
    reference = torch.nn.functional.mse_loss(values[MASK], returns[MASK]) / 2
    torch.testing.assert_close(ppo_value_loss(values, old, returns, MASK, clip_range=99), reference)


def test_ppo_value_gradient_points_to_the_returns_of_gae():
    """A critic that follows the gradient at λ = 1 ends at the discounted rewards."""
    rewards = rows([0.0, 0.0, 4.0], [2.0, 0.0, 0.0])
    values = torch.zeros_like(rewards)
    for _ in range(200):
        _, returns = gae(rewards, values, MASK, gamma=0.5, gae_lambda=1)
        guess = values.clone().requires_grad_()
        values = values - gradient(
            ppo_value_loss(guess, values, returns, MASK, clip_range=1), guess
        )
    torch.testing.assert_close(values, rows([1.0, 2.0, 4.0], [2.0, 0.0, 0.0]))


def test_ppo_value_loss_that_fits_though_its_squares_do_not():
    values, zeros = torch.tensor([[256.0]]).half(), torch.zeros(1, 1).half()
    assert ppo_value_loss(values, values, zeros, MASK[:1, :1], clip_range=1).item() == 2**15
    with pytest.raises(
        ValueError, match=r"^values, old_values, returns: the result overflows floa"
    ):
        ppo_value_loss(values * 2, values, zeros, MASK[:1, :1], clip_range=1)


# dpo_loss


def test_dpo_loss_is_equation_7():
    numbers = (-10.0, -12.0, -11.0, -11.5)
    margin = 0.3 * ((-10.0 + 11.0) - (-12.0 + 11.5))
    loss = dpo_loss(*(rows(x) for x in numbers), beta=0.3)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-margin)))


def test_dpo_starts_at_log_two_where_policy_and_reference_agree():
    chosen, rejected = rows(-3.0, -40.0), rows(-9.0, -1.0)
    loss = dpo_loss(chosen, rejected, chosen, rejected, beta=0.1)
    assert loss.item() == pytest.approx(math.log(2))


def test_dpo_is_bradley_terry_on_the_implicit_rewards():
    generator = torch.Generator().manual_seed(0)
    chosen, rejected, ref_chosen, ref_rejected = torch.randn(4, 6, generator=generator)
    torch.testing.assert_close(
        dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.5),
        bradley_terry_loss(0.5 * (chosen - ref_chosen), 0.5 * (rejected - ref_rejected)),
    )


def test_dpo_gradient_raises_the_chosen_and_lowers_the_rejected():
    policy = torch.zeros(2, 1, requires_grad=True)
    loss = dpo_loss(policy[0], policy[1], torch.zeros(1), torch.zeros(1), beta=0.2)
    assert gradient(loss, policy).flatten().tolist() == pytest.approx([-0.1, 0.1])


def test_dpo_can_fall_while_the_chosen_response_gets_less_likely():
    reference = (rows(-5.0), rows(-5.0))
    before = dpo_loss(rows(-5.0), rows(-5.0), *reference, beta=0.1)
    after = dpo_loss(rows(-6.0), rows(-9.0), *reference, beta=0.1)
    assert after < before


def test_dpo_optimum_is_the_tilted_reference():
    """For Bradley–Terry labels, π ∝ π_ref · exp(r / β) over three responses has no gradient."""
    beta, rewards = 0.5, rows(0.3, -0.2, 0.9)
    reference = rows(0.2, 0.5, 0.3).log()
    logits = (reference + rewards / beta).requires_grad_()
    policy = logits.log_softmax(-1)
    total = torch.zeros(())
    for i in range(3):
        for j in range(3):
            preferred = (rewards[i] - rewards[j]).sigmoid()
            pair = (
                policy[i : i + 1],
                policy[j : j + 1],
                reference[i : i + 1],
                reference[j : j + 1],
            )
            total = total + preferred * dpo_loss(*pair, beta=beta)
    torch.testing.assert_close(gradient(total, logits), torch.zeros(3, dtype=torch.float64))


# ipo_loss


def test_ipo_loss_is_equation_17():
    chosen, rejected = (
        (rows(-10.0, -3.0), rows(-12.0, -3.0)),
        (rows(-11.0, -3.0), rows(-11.5, -4.0)),
    )
    loss = ipo_loss(chosen[0], chosen[1], rejected[0], rejected[1], beta=0.25)
    assert loss.item() == pytest.approx(((1.5 - 2) ** 2 + (-1.0 - 2) ** 2) / 2)


def test_ipo_is_zero_at_its_goal_and_grows_beyond_it():
    def at(margin: float) -> float:
        return ipo_loss(rows(margin), rows(0.0), rows(0.0), rows(0.0), beta=0.5).item()

    assert at(1.0) == 0
    assert at(0.8) == pytest.approx(at(1.2)) == pytest.approx(0.04)


def test_ipo_optimum_is_the_reference_tilted_by_the_chance_to_be_preferred():
    """Azar et al. 2024, equation 8: π ∝ π_ref · exp(p*(y ≻ μ) / τ), here with μ uniform."""
    beta, rewards = 0.5, rows(0.3, -0.2, 0.9)
    reference = rows(0.2, 0.5, 0.3).log()
    preferred = (rewards[:, None] - rewards).sigmoid()
    logits = (reference + preferred.mean(1) / beta).requires_grad_()
    policy = logits.log_softmax(-1)
    total = torch.zeros(())
    for i in range(3):
        for j in range(3):
            both = [x[k : k + 1] for x in (policy, reference) for k in (i, j)]
            total = total + preferred[i, j] * ipo_loss(*both, beta=beta)
    torch.testing.assert_close(gradient(total, logits), torch.zeros(3, dtype=torch.float64))


# kto_loss


def test_kto_loss_is_equation_8():
    good, bad = torch.tensor([True]), torch.tensor([False])
    gained = 0.3 * ((-10.0 + 11.0) - 0.4)
    for mark, sign in ((good, 1), (bad, -1)):
        loss = kto_loss(rows(-10.0), rows(-11.0), mark, beta=0.3, kl=0.4)
        assert loss.item() == pytest.approx(1 - 1 / (1 + math.exp(-sign * gained)))


def test_kto_starts_at_one_half_where_policy_and_reference_agree():
    x = rows(-3.0, -40.0)
    assert kto_loss(x, x, torch.tensor([True, False]), beta=0.1, kl=0).item() == 0.5


def test_kto_gradient_raises_the_good_and_lowers_the_bad():
    policy = torch.zeros(2, requires_grad=True)
    loss = kto_loss(policy, torch.zeros(2), torch.tensor([True, False]), beta=0.2, kl=0)
    assert gradient(loss, policy).tolist() == pytest.approx([-0.2 / 8, 0.2 / 8])


# What the losses refuse beyond the contract that all formulas share.


@pytest.mark.parametrize("wrong", [0, 0.0, -0.2, math.nan, math.inf])
def test_a_clip_range_that_is_not_positive_is_refused(wrong):
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"^clip_range must be a finite number > 0"):
        ppo_policy_loss(x, x, x, MASK, clip_range=wrong)
    with pytest.raises(ValueError, match=r"^clip_range must be a finite number > 0"):
        ppo_value_loss(x, x, x, MASK, clip_range=wrong)


@pytest.mark.parametrize("wrong", [0, -0.1, math.nan, math.inf])
def test_a_beta_that_is_not_positive_is_refused(wrong):
    x = torch.zeros(2)
    with pytest.raises(ValueError, match=r"^beta must be a finite number > 0"):
        dpo_loss(x, x, x, x, beta=wrong)
    with pytest.raises(ValueError, match=r"^beta must be a finite number > 0"):
        ipo_loss(x, x, x, x, beta=wrong)
    with pytest.raises(ValueError, match=r"^beta must be a finite number > 0"):
        kto_loss(x, x, torch.tensor([True, False]), beta=wrong, kl=0)


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_a_reference_point_below_zero_is_refused(wrong):
    x = torch.zeros(2)
    with pytest.raises(ValueError, match=r"^kl must be a finite number >= 0"):
        kto_loss(x, x, torch.tensor([True, False]), beta=0.1, kl=wrong)


def test_marks_that_are_no_booleans_are_refused(monkeypatch):
    monkeypatch.setattr(config, "jaxtyping_disable", True)
    x = torch.zeros(2)
    with pytest.raises(ValueError, match=r"^desirable must be a boolean tensor"):
        kto_loss(x, x, torch.tensor([1, 0]), beta=0.1, kl=0)


@pytest.mark.parametrize("position", range(4))
def test_dpo_names_the_sequence_that_is_no_number(position):
    sequences = [torch.zeros(2) for _ in range(4)]
    sequences[position][1] = -math.inf
    name = ["policy_chosen", "policy_rejected", "reference_chosen", "reference_rejected"][position]
    with pytest.raises(ValueError, match=rf"^{name}\[1\] is -inf"):
        dpo_loss(*sequences, beta=0.1)


def test_bradley_terry_names_the_score_that_is_no_number():
    with pytest.raises(ValueError, match=r"^rejected_scores\[0\] is nan"):
        bradley_terry_loss(torch.zeros(1), torch.tensor([math.nan]))


@pytest.mark.parametrize("loss", [dpo_loss, ipo_loss])
def test_losses_of_preferences_name_their_own_arguments_when_they_overflow(loss):
    zero = torch.zeros(1).half()
    names = "policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta"
    with pytest.raises(ValueError, match=rf"^{names}: the result overflows float16$"):
        loss(zero - 700, zero, zero, zero, beta=100)


@pytest.mark.parametrize(
    ("dtype", "large"), [(torch.float16, 6e4), (torch.float32, 3e38), (torch.float64, 1e308)]
)
def test_scores_and_logits_too_far_apart_for_their_precision_are_refused(dtype, large):
    far = torch.tensor([-large, large], dtype=dtype)
    with pytest.raises(ValueError, match=r"^chosen_scores, rejected_scores: the result overflows"):
        bradley_terry_loss(far[:1], far[1:])
    assert bradley_terry_loss(far[1:], far[:1]) == 0
    for loss in (
        lambda logits, tokens: sft_loss(logits, tokens, MASK[:1, :1]),
        token_logprobs,
    ):
        assert loss(far.view(1, 1, 2), torch.ones(1, 1, dtype=torch.long)) == 0
        with pytest.raises(ValueError, match=r"^logits: the result overflows"):
            loss(far.view(1, 1, 2), torch.zeros(1, 1, dtype=torch.long))
