"""What a few seeds allow to be said: Student's tables, and Holm's correction against its text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_explained.studies.intervals import Interval, holm, student_factor, student_tail

# Two-sided 95 % points of Student's t, as every printed table has them.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 19: 2.093, 30: 2.042}


@pytest.mark.parametrize(("freedom", "factor"), TABLE.items())
def test_factors_are_those_of_the_table(freedom: int, factor: float):
    assert student_factor(freedom) == pytest.approx(factor, abs=6e-4)
    assert student_tail(student_factor(freedom), freedom) == pytest.approx(0.05, abs=1e-9)


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [(63.657, 1, 0.01), (9.925, 2, 0.01), (4.604, 4, 0.01), (8.610, 4, 0.001), (1.533, 4, 0.2)],
)
def test_tails_are_those_of_the_table(t: float, freedom: int, p: float):
    assert student_tail(t, freedom) == pytest.approx(p, rel=2e-3)
    assert student_tail(-t, freedom) == student_tail(t, freedom)


def test_a_tail_is_a_probability():
    assert student_tail(0.0, 4) == 1.0
    assert student_tail(math.inf, 4) == 0.0
    tails = [student_tail(t / 4, 4) for t in range(400)]
    assert tails == sorted(tails, reverse=True)
    assert student_tail(2.0, 1) == pytest.approx(1 - 2 / math.pi * math.atan(2.0))  # Cauchy's
    assert student_tail(1.984, 100) == pytest.approx(0.05, abs=1e-4)


def test_an_interval_is_a_mean_and_its_reach():
    found = Interval.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.reach == pytest.approx(2.776 * math.sqrt(2.5 / 5), abs=1e-3)
    assert found.p == pytest.approx(student_tail(3 / math.sqrt(0.5), 4))


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (2.0, 0.0), (-2.0, 0.0)])
def test_values_that_agree_leave_no_doubt(value: float, p: float):
    assert Interval.of([value] * 3) == Interval(value, 0.0, p)


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=8))
def test_zero_is_within_an_interval_when_p_is_above_five_per_cent(thousandths: list[int]):
    found = Interval.of([value / 1000 for value in thousandths])
    if abs(found.p - 0.05) > 1e-6:
        assert found.has_zero == (found.p > 0.05)


# Holm


def rejected(p_values: dict[str, float], alpha: float) -> set[str]:
    """Holm's procedure as he wrote it: step down from the smallest until one is too large."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    found: set[str] = set()
    for place, name in enumerate(ordered):
        if p_values[name] > alpha / (len(ordered) - place):
            break
        found.add(name)
    return found


def test_a_published_example():
    """Four hypotheses at 5 %, of which two are rejected, in Wikipedia's Holm–Bonferroni method."""
    p_values = {"H1": 0.01, "H2": 0.04, "H3": 0.03, "H4": 0.005}
    assert holm(p_values) == pytest.approx({"H1": 0.03, "H2": 0.06, "H3": 0.06, "H4": 0.02})
    assert rejected(p_values, 0.05) == {"H1", "H4"}


@given(st.lists(st.floats(0, 1), min_size=0, max_size=9), st.floats(0.001, 0.999))
def test_corrected_values_reject_what_the_procedure_rejects(values: list[float], alpha: float):
    p_values = {f"H{place}": value for place, value in enumerate(values)}
    corrected = holm(p_values)
    assert list(corrected) == list(p_values)
    assert all(p_values[name] <= corrected[name] <= 1 for name in p_values)
    if all(abs(value - alpha) > 1e-9 for value in corrected.values()):
        below = {name for name, value in corrected.items() if value < alpha}
        assert below == rejected(p_values, alpha)
