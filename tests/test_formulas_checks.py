"""What the checks let pass, and what they say of the rest."""

import math
import re

import pytest
import torch
from jaxtyping import TypeCheckError

from rlhf_explained.formulas import masked_mean
from rlhf_explained.formulas.checks import (
    check_finite,
    check_logits,
    check_not_negative,
    check_number,
    check_positive,
    check_share,
)


def test_finite_numbers_pass_though_their_sum_is_infinite():
    large, wrong = torch.full((3,), 3e38), torch.tensor([0.0, math.nan])
    assert large.sum() == math.inf
    check_finite(large=large)
    check_logits("large", large)
    with pytest.raises(ValueError, match=r"^wrong\[1\] is nan, must be finite$"):
        check_finite(large=large, wrong=wrong)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_logits_may_ban_a_token_but_not_all(wrong):
    logits = torch.zeros(2, 3)
    logits[0, 1] = -math.inf
    check_logits("logits", logits)
    with pytest.raises(ValueError, match=r"^logits\[1\] bans every token: all its logits are -inf"):
        check_logits("logits", torch.tensor([[0.0, 0.0], [-math.inf, -math.inf]]))
    logits[1, 2] = wrong
    message = rf"^logits\[1, 2\] is {wrong}, must be finite or -inf \(banned\)$"
    with pytest.raises(ValueError, match=message):
        check_logits("logits", logits)
    check_logits("logits", logits, torch.tensor([True, False]))
    with pytest.raises(ValueError, match=message):
        check_logits("logits", logits, torch.tensor([False, True]))


@pytest.mark.parametrize(
    ("check", "good", "bad", "wanted"),
    [
        (check_number, [-2, 0.0, 1e300], [], "a finite number"),
        (check_positive, [1e-300, 1, 7], [0, 0.0, -1], "a finite number > 0"),
        (check_not_negative, [0, 0.0, 7], [-1e-300, -1], "a finite number >= 0"),
        (check_share, [0, 0.5, 1, 1.0], [-1e-300, 1.001, 2], "a number between 0 and 1"),
    ],
)
def test_numbers_are_refused_by_name(check, good, bad, wanted):
    for number in good:
        check(it=number)
    for number in [*bad, math.nan, math.inf, -math.inf, None, "1", 1j]:
        message = re.escape(f"it must be {wanted}, not {number!r}")
        with pytest.raises(ValueError, match=f"^{message}$"):
            check(other=good[0], it=number)


def test_the_test_only_shape_checks_are_on():
    with pytest.raises(TypeCheckError, match="mask"):
        masked_mean(torch.zeros(2, 4), torch.ones(1, 4, dtype=torch.bool))
