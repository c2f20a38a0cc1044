"""Exposed against unexposed, like with like: one stratum at a time, then pooled. Pure.

A stratum is a kind of request (prompt × segment × model …) in one span of time, so a pooled difference compares
traces of the same kind at the same time. Sources: Mantel and Haenszel 1959; Greenland and Robins 1985 (weights and
variance of the risk difference for sparse strata); Sato 1989 (its variance when strata are many and small);
Robins, Breslow and Greenland 1986 (variance of the log odds ratio). Oracle in tests: statsmodels StratifiedTable.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from postmortem.attribution.intervals import Z95
from postmortem.attribution.shapes import Interval

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class StrataCells:
    """Count, sum and sum of squares of exposed and unexposed traces, one entry a stratum that has both."""

    exposed_count: Floats
    exposed_sum: Floats
    exposed_squares: Floats
    unexposed_count: Floats
    unexposed_sum: Floats
    unexposed_squares: Floats

    @property
    def strata(self) -> int:
        """How many strata compare anything."""
        return int(self.exposed_count.size)

    @property
    def weights(self) -> Floats:
        """Mantel-Haenszel weights n₁n₀/(n₁+n₀)."""
        return self.exposed_count * self.unexposed_count / (self.exposed_count + self.unexposed_count)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Pooled difference and the two levels it is the difference of. `error` is its standard error."""

    difference: float
    error: float
    exposed_mean: float
    unexposed_mean: float
    exposed_count: int
    unexposed_count: int
    strata: int

    @property
    def interval(self) -> Interval:
        """95 % interval of the difference."""
        return self.difference - Z95 * self.error, self.difference + Z95 * self.error


def cells_of(
    values: Floats,
    exposed: npt.NDArray[np.bool_],
    strata: Ints,
    *,
    count: Floats | None = None,
    squares: Floats | None = None,
) -> StrataCells:
    """Group rows by stratum number and exposure; strata that lack either side are left out.

    A row is a trace, or the mean of `count` traces whose sum of squares is `squares`.
    """
    size = int(strata.max()) + 1 if strata.size else 0
    each = np.ones(values.size) if count is None else count
    squared = values * values if squares is None else squares
    sums: list[Floats] = []
    for side in (exposed, ~exposed):
        rows = strata[side]
        sums.append(np.bincount(rows, each[side], minlength=size).astype(np.float64))
        sums.append(np.bincount(rows, (each * values)[side], minlength=size).astype(np.float64))
        sums.append(np.bincount(rows, squared[side], minlength=size).astype(np.float64))
    both = (sums[0] > 0) & (sums[3] > 0)
    return StrataCells(*(column[both] for column in sums))


def risk_difference(cells: StrataCells) -> Contrast | None:
    """Mantel-Haenszel risk difference Σw(p₁−p₀)/Σw with Sato's variance; None if no stratum compares.

    Sato 1989: Var = (d·ΣP + ΣQ)/(Σw)², P = (n₁²x₀ − n₀²x₁ + n₁n₀(n₀−n₁)/2)/N²,
    Q = (x₁(n₀−x₀) + x₀(n₁−x₁))/2N. It holds for few large and for many small strata. Where rounding or all-equal
    outcomes make it ≤ 0, the rate of the pooled traces (with one half added) gives the variance instead.
    """
    if cells.strata == 0:
        return None
    count_1, count_0 = cells.exposed_count, cells.unexposed_count
    hits_1, hits_0 = cells.exposed_sum, cells.unexposed_sum
    total = count_1 + count_0
    weights = cells.weights
    scale = float(weights.sum())
    rate_1 = float((weights * hits_1 / count_1).sum()) / scale
    rate_0 = float((weights * hits_0 / count_0).sum()) / scale
    difference = rate_1 - rate_0
    part_p = (count_1**2 * hits_0 - count_0**2 * hits_1 + count_1 * count_0 * (count_0 - count_1) / 2) / total**2
    part_q = (hits_1 * (count_0 - hits_0) + hits_0 * (count_1 - hits_1)) / (2 * total)
    variance = float(difference * part_p.sum() + part_q.sum()) / scale**2
    if variance <= 0:
        rate = float(hits_1.sum() + hits_0.sum() + 0.5) / float(total.sum() + 1)
        variance = rate * (1 - rate) / scale
    return _contrast(cells, difference, math.sqrt(variance), rate_1, rate_0)


def mean_difference(cells: StrataCells) -> Contrast | None:
    """Weighted within-stratum difference of means, weights n₁n₀/N; None if no stratum compares.

    With one variance s² within strata these weights are the inverse-variance weights, and Var = s²/Σw, with s²
    pooled over the two sides of all strata (the analogue of Greenland and Robins for a continuous outcome).
    Sides of one trace add no squares, so at least two traces more than sides are needed: else None.
    """
    if cells.strata == 0:
        return None
    weights = cells.weights
    scale = float(weights.sum())
    mean_1 = cells.exposed_sum / cells.exposed_count
    mean_0 = cells.unexposed_sum / cells.unexposed_count
    level_1, level_0 = float((weights * mean_1).sum()) / scale, float((weights * mean_0).sum()) / scale
    within = (cells.exposed_squares - cells.exposed_sum * mean_1) + (
        cells.unexposed_squares - cells.unexposed_sum * mean_0
    )
    freedom = float(cells.exposed_count.sum() + cells.unexposed_count.sum()) - 2 * cells.strata
    if freedom < 2:
        return None
    variance = max(float(within.sum()), 0.0) / freedom
    return _contrast(cells, level_1 - level_0, math.sqrt(variance / scale), level_1, level_0)


def odds_ratio(cells: StrataCells) -> tuple[float, Interval] | None:
    """Mantel-Haenszel odds ratio ΣR/ΣS with the interval of Robins, Breslow and Greenland; None where undefined.

    R = x₁(n₀−x₀)/N, S = x₀(n₁−x₁)/N, P = (x₁ + n₀ − x₀)/N, Q = 1 − P;
    Var(log OR) = ΣPR/2(ΣR)² + Σ(PS+QR)/2ΣRΣS + ΣQS/2(ΣS)².
    """
    total = cells.exposed_count + cells.unexposed_count
    failures_1 = cells.exposed_count - cells.exposed_sum
    failures_0 = cells.unexposed_count - cells.unexposed_sum
    part_r = cells.exposed_sum * failures_0 / total
    part_s = cells.unexposed_sum * failures_1 / total
    sum_r, sum_s = float(part_r.sum()), float(part_s.sum())
    if sum_r <= 0 or sum_s <= 0:
        return None
    part_p = (cells.exposed_sum + failures_0) / total
    part_q = 1 - part_p
    variance = (
        float((part_p * part_r).sum()) / (2 * sum_r**2)
        + float((part_p * part_s + part_q * part_r).sum()) / (2 * sum_r * sum_s)
        + float((part_q * part_s).sum()) / (2 * sum_s**2)
    )
    middle, half = math.log(sum_r / sum_s), Z95 * math.sqrt(variance)
    return sum_r / sum_s, (math.exp(middle - half), math.exp(middle + half))


def _contrast(cells: StrataCells, difference: float, error: float, mean_1: float, mean_0: float) -> Contrast:
    return Contrast(
        difference, error, mean_1, mean_0,
        int(cells.exposed_count.sum()), int(cells.unexposed_count.sum()), cells.strata,
    )  # fmt: skip
