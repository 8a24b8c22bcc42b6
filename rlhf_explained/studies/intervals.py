"""What a few seeds allow to be said: Student's interval of a mean, and Holm's correction."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95
_STEPS = 200  # of Simpson's rule; with few degrees of freedom twelve digits are right


def student_tail(t: float, freedom: int) -> float:
    """Probability that Student's t is at least as far from zero, on either side.

    It is 1 minus the area under cos^(ν−1) from 0 to arctan(t/√ν), as a share of that up to π/2.

    Args:
        t: A mean divided by its standard error.
        freedom: Degrees of freedom, one less than the number of values.

    Returns:
        The two-sided p-value.

    Source:
        Abramowitz and Stegun 1964, section 26.7, with t = √ν tan u in the integral of the density.
    """

    def area(end: float) -> float:
        width = end / _STEPS
        inner = (
            (4 if step % 2 else 2) * math.cos(step * width) ** (freedom - 1)
            for step in range(1, _STEPS)
        )
        return width / 3 * (1 + math.fsum(inner) + math.cos(end) ** (freedom - 1))

    if math.isinf(t):
        return 0.0
    return max(0.0, 1 - area(math.atan(abs(t) / math.sqrt(freedom))) / area(math.pi / 2))


@cache
def student_factor(freedom: int) -> float:
    """The factor of the standard error that covers `CONFIDENCE`, by halving an interval."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if student_tail(middle, freedom) > 1 - CONFIDENCE else (low, middle)
        )
    return high


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, and how far the true one may be from it, with 95 % confidence.

    Attributes:
        mean: Of the values.
        reach: Half the width of Student's interval.
        p: Two-sided p-value of the hypothesis that the true mean is 0.
    """

    mean: float
    reach: float
    p: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Student's interval of the mean; it takes the values for normally distributed.

        Args:
            values: One of each seed, two or more.

        Returns:
            The interval.

        Raises:
            ValueError: If there are fewer than two values.
        """
        if len(values) < 2:
            raise ValueError(f"values: {len(values)} of them, at least 2 are needed")
        mean, freedom = statistics.fmean(values), len(values) - 1
        error = statistics.stdev(values) / math.sqrt(len(values))
        t = mean / error if error else math.inf if mean else 0.0
        return cls(mean, student_factor(freedom) * error, student_tail(t, freedom))

    @property
    def has_zero(self) -> bool:
        """Whether no difference at all is within it."""
        return abs(self.mean) <= self.reach


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    r"""Correct several p-values for their number, so that one false alarm among all is rare.

    Sorted from the smallest, the k-th of m is multiplied by $m - k + 1$, and none may be smaller
    than the one before it.

    Args:
        p_values: Of each comparison, by name.

    Returns:
        The corrected ones, at most 1, in the order given.

    Source:
        Holm 1979, [A simple sequentially rejective multiple test
        procedure](https://www.jstor.org/stable/4615733).
    """
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}
