"""Averages over a mask, against plain Python and against deleting what does not count."""

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_explained.formulas import masked_mean, masked_whiten


@pytest.mark.parametrize(
    ("values", "mean", "whitened"),  # what does not count is NaN
    [
        ([[1.0, 3.0, math.nan]], 2.0, [[-1.0, 1.0, 0.0]]),
        ([[1.0, math.nan, 3.0]], 2.0, [[-1.0, 0.0, 1.0]]),  # a gap
        ([4.0, 8.0, math.nan], 6.0, [-1.0, 1.0, 0.0]),  # one dimension
        ([[1.0, 1.0, 1.0], [5.0, *[math.nan] * 2]], 2.0, [[-(3**-0.5)] * 3, [3**0.5, 0.0, 0.0]]),
    ],
)  # tokens weigh alike, not rows: the mean of the last rows' means would be 3
def test_averages_are_those_of_the_counted_values(values, mean, whitened):
    values = torch.tensor(values)
    assert masked_mean(values, ~values.isnan()).item() == mean
    torch.testing.assert_close(masked_whiten(values, ~values.isnan()), torch.tensor(whitened))


@given(
    numbers=st.lists(
        st.floats(-1, 1).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=2, max_size=9
    ),
    exponent=st.integers(-150, 150),
    hidden=st.integers(0, 3),
)
def test_whitened_values_match_statistics_at_every_scale(numbers, exponent, hidden):
    numbers = [x * 2.0**exponent for x in numbers]
    values = torch.tensor([numbers + [math.inf] * hidden], dtype=torch.float64)
    mask = torch.tensor([[True] * len(numbers) + [False] * hidden])
    deviation = statistics.pstdev(numbers)
    if len(set(numbers)) == 1:
        expected = [0.0] * len(numbers)
    else:
        expected = [(x - statistics.mean(numbers)) / deviation for x in numbers]
    assert masked_whiten(values, mask)[0].tolist() == pytest.approx(
        expected + [0.0] * hidden, abs=1e-9
    )


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-6, 1.0, 1e6, 1e30])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_whitened_values_have_mean_zero_and_variance_one(scale, shift):
    values = scale * (shift + torch.randn(8, 16, generator=torch.Generator().manual_seed(0)))
    mask = torch.arange(16) < torch.arange(1, 17, 2).unsqueeze(1)
    whitened = masked_whiten(values, mask)
    counted = whitened[mask].double()
    assert counted.mean().abs() < 1e-6
    assert counted.square().mean() == pytest.approx(1, abs=1e-5)
    assert not whitened[~mask].any()


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-40])
def test_values_that_agree_become_zero_with_a_finite_gradient(value):
    values = torch.full((2, 3), value, requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    whitened = masked_whiten(values, mask)
    assert not whitened.any()
    whitened.sum().backward()
    assert values.grad is not None
    assert values.grad.isfinite().all()


def test_rounding_noise_is_not_magnified():
    values = torch.tensor([[0.1 + 0.2, 0.3, 0.3]], dtype=torch.float64)
    assert values[0, 0] != values[0, 1]
    assert not masked_whiten(values, torch.ones(1, 3, dtype=torch.bool)).any()


def test_a_small_but_real_difference_is_kept():
    values = torch.tensor([[1000.0, 1000.001]])
    whitened = masked_whiten(values, torch.ones(1, 2, dtype=torch.bool))
    assert whitened[0].tolist() == pytest.approx([-1, 1], abs=1e-5)


@pytest.mark.parametrize(
    ("dtype", "value", "count"),
    [
        (torch.float16, 100.0, 2048),
        (torch.float16, 1.0, 70_000),
        (torch.bfloat16, 2.0**120, 2048),
        (torch.float32, 1e38, 100),
        (torch.float64, 1e307, 100),
    ],
)
def test_the_mean_fits_though_the_sum_does_not(dtype, value, count):
    values = torch.full((1, count), value, dtype=dtype, requires_grad=True)
    mean = masked_mean(values, torch.ones(1, count, dtype=torch.bool))
    assert mean.item() == pytest.approx(values[0, 0].item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(mean, values)
    assert gradient.unique().tolist() == [pytest.approx(1 / count, rel=1e-2)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_many_whitened_values_of_16_bits_keep_mean_and_variance(dtype):
    values = torch.tensor([[2.0, 3.0]]).repeat(1, 40_000).to(dtype)
    whitened = masked_whiten(values, torch.ones_like(values, dtype=torch.bool))
    assert whitened.unique().tolist() == [-1, 1]
