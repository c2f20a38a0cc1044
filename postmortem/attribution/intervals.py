"""Intervals for rates and means, and for the difference of two of them. Pure, 95 % unless told.

Sources: Wilson 1927 (score interval of a rate); Newcombe 1998, "Interval estimation for the difference between
independent proportions", method 10; Student 1908 and Welch 1947 for means. statsmodels is the oracle in tests.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from postmortem.attribution.shapes import Estimate, Interval, Level

Floats = npt.NDArray[np.float64]
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, sum and sum of squares of some values: all that a mean and its interval need."""

    count: int
    total: float
    squares: float

    @classmethod
    def of(cls, values: Floats) -> "Moments":
        """The moments of single values."""
        return cls(int(values.size), float(values.sum()), float((values * values).sum()))

    @property
    def mean(self) -> float:
        """Σy/n; 0 without values."""
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """(Σy² − (Σy)²/n)/(n−1); 0 with fewer than two values."""
        if self.count < 2:
            return 0.0
        return max(self.squares - self.total * self.total / self.count, 0.0) / (self.count - 1)


def wilson_interval(successes: float, count: int, z: float = Z95) -> Interval:
    """Wilson's score interval of a rate: (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n).

    Raises ValueError for no trials: a rate of nothing has no interval.
    """
    if count <= 0:
        raise ValueError("A rate needs at least one trace.")
    rate = min(max(successes / count, 0.0), 1.0)
    middle = rate + z * z / (2 * count)
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max((middle - half) / scale, 0.0), min((middle + half) / scale, 1.0)


def newcombe_difference(successes_1: float, count_1: int, successes_0: float, count_0: int, z: float = Z95) -> Estimate:
    """Difference of two rates p₁ − p₀ with Newcombe's interval (method 10), built from two Wilson intervals.

    lower = d − √((p₁−l₁)² + (u₀−p₀)²), upper = d + √((u₁−p₁)² + (p₀−l₀)²). Raises ValueError for an empty group.
    """
    low_1, high_1 = wilson_interval(successes_1, count_1, z)
    low_0, high_0 = wilson_interval(successes_0, count_0, z)
    rate_1, rate_0 = successes_1 / count_1, successes_0 / count_0
    difference = rate_1 - rate_0
    return Estimate(
        difference,
        (
            difference - math.hypot(rate_1 - low_1, high_0 - rate_0),
            difference + math.hypot(high_1 - rate_1, rate_0 - low_0),
        ),
    )


def mean_interval(mean: float, variance: float, count: int) -> Interval:
    """Student's interval of a mean: mean ± t(0.975, n−1) √(s²/n); one trace alone gives the bare point."""
    if count < 2:
        return mean, mean
    half = float(special.stdtrit(count - 1, 0.975)) * math.sqrt(max(variance, 0.0) / count)
    return mean - half, mean + half


def welch_difference(
    *, mean_1: float, variance_1: float, count_1: int, mean_0: float, variance_0: float, count_0: int
) -> Estimate:
    """Difference of two means with Welch's interval and the Welch-Satterthwaite degrees of freedom.

    Raises ValueError with fewer than two traces in a group.
    """
    if min(count_1, count_0) < 2:
        raise ValueError("A difference of means needs two traces in each group.")
    part_1, part_0 = variance_1 / count_1, variance_0 / count_0
    total = part_1 + part_0
    difference = mean_1 - mean_0
    if total <= 0:
        return Estimate(difference, (difference, difference))
    freedom = total**2 / (part_1**2 / (count_1 - 1) + part_0**2 / (count_0 - 1))
    half = float(special.stdtrit(freedom, 0.975)) * math.sqrt(total)
    return Estimate(difference, (difference - half, difference + half))


def level_of(values: Moments, *, binary: bool) -> Level:
    """Count, mean and interval of some traces: Wilson for rates, Student for means. Raises ValueError if empty."""
    if values.count == 0:
        raise ValueError("A level needs at least one trace.")
    if binary:
        return Level(values.count, values.mean, wilson_interval(values.total, values.count))
    return Level(values.count, values.mean, mean_interval(values.mean, values.variance, values.count))


def difference_of(after: Moments, before: Moments, *, binary: bool) -> Estimate:
    """Mean of `after` − mean of `before`: Newcombe for rates, Welch for means. Raises ValueError if either is empty."""
    if binary:
        return newcombe_difference(after.total, after.count, before.total, before.count)
    return welch_difference(
        mean_1=after.mean, variance_1=after.variance, count_1=after.count,
        mean_0=before.mean, variance_0=before.variance, count_0=before.count,
    )  # fmt: skip
