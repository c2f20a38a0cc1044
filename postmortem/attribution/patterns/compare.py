"""Comparisons that several detectors make: levels, differences in the direction of harm, many slices at once. Pure.

Benjamini and Hochberg 1995 for many looks; Kitagawa 1955 (as in mix.py) with a parametric bootstrap for its interval.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from postmortem.attribution.intervals import Z95, Moments, difference_of, level_of
from postmortem.attribution.patterns.shapes import Floats, Masks, Number, PatternInput, Words
from postmortem.attribution.shapes import Estimate, Level, SignalFacts
from postmortem.changes.exposure import exposure_matrix
from postmortem.changes.records import ChangeRecord

FEWEST = 30  # traces on a side below which nothing is said of it
FALSE_DISCOVERIES = 0.05
EXPOSED, UNEXPOSED = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Compared:
    """Two levels and what the second is worse by (harm upward, whatever the signal's direction)."""

    first: Level
    second: Level
    difference: Estimate  # second − first, in the signal's own direction
    harm: Estimate

    @property
    def is_harm(self) -> bool:
        """Whether the whole interval is harm."""
        return self.harm.interval[0] > 0

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return (self.harm.interval[1] - self.harm.interval[0]) / (2 * Z95)


@dataclass(frozen=True, slots=True)
class Slice:
    """One value of a facet, compared; `q` is its false discovery rate among all slices of the same look."""

    facet: str
    value: str
    compared: Compared
    q: float

    @property
    def name(self) -> str:
        """ "segment free"."""
        return f"{self.facet} {self.value}"


def compare(
    given: PatternInput, first: Masks, second: Masks, *, values: Floats | None = None, worse: str = ""
) -> Compared | None:
    """Level of the second group against the first; None if either has fewer than FEWEST traces with the signal."""
    data = given.values if values is None else values
    known = np.isfinite(data)
    one, other = Moments.of(data[first & known]), Moments.of(data[second & known])
    if min(one.count, other.count) < FEWEST:
        return None
    binary = bool(np.isin(data[known & (first | second)], (0.0, 1.0)).all())
    difference = difference_of(other, one, binary=binary)
    direction = worse or given.worse
    low, high = difference.interval
    harm = Estimate(-difference.estimate, (-high, -low)) if direction == "lower" else difference
    return Compared(level_of(one, binary=binary), level_of(other, binary=binary), difference, harm)


def slices(
    given: PatternInput, facets: tuple[str, ...], first: Masks, second: Masks, *, values: Floats | None = None
) -> list[Slice]:
    """Every value of these facets that has enough traces on both sides, with Benjamini-Hochberg over all of them."""
    found: list[tuple[str, str, Compared]] = []
    for facet in facets:
        words = given.facet(facet)
        for value in sorted(set(words[first | second]) - {""}):
            inside = words == value
            compared = compare(given, first & inside, second & inside, values=values)
            if compared is not None:
                found.append((facet, str(value), compared))
    if not found:
        return []
    chances = [float(stats.norm.sf(one.harm.estimate / max(one.error, 1e-12))) for *_, one in found]
    rates = stats.false_discovery_control(np.clip(chances, 0.0, 1.0), method="bh")
    return [Slice(facet, value, one, float(q)) for (facet, value, one), q in zip(found, rates, strict=True)]


def gap_between(one: Compared, other: Compared) -> Estimate:
    """How much more harm `one` shows than `other`, with the interval of two independent differences."""
    gap = one.harm.estimate - other.harm.estimate
    half = Z95 * float(np.hypot(one.error, other.error))
    return Estimate(gap, (gap - half, gap + half))


def exposed_sides(given: PatternInput, change: ChangeRecord) -> tuple[Masks, Masks]:
    """Traces that ran without the change and with it, by the join."""
    log = [change, *(one for one in given.changes if one.id != change.id)]
    matrix = exposure_matrix(log, given.traces)
    shares, outside = matrix.shares[:, 0], matrix.basis[:, 0] == 3
    return (shares <= UNEXPOSED) & ~outside, shares >= EXPOSED


def recorded(words: Words, rows: Masks) -> float:
    """Share of these rows that record the facet."""
    return float((words[rows] != "").mean()) if rows.any() else 0.0


def number_of(label: str, compared: Compared, facts: SignalFacts, about: str = "") -> Number:
    """The difference as a number with count and interval."""
    count = compared.first.count + compared.second.count
    return Number(
        label, compared.difference.estimate, compared.difference.interval, count, facts.unit, about, signed=True
    )


def level_number(label: str, level: Level, unit: str, about: str = "") -> Number:
    """A level as a number."""
    return Number(label, level.mean, level.interval, level.count, unit, about)


@dataclass(frozen=True, slots=True)
class Split:
    """Kitagawa's split of the change between two groups of traces, harm upward, with 95 % intervals."""

    mix: Estimate
    within: Estimate
    total: float
    grew: tuple[tuple[str, float, float], ...]  # value, share before, share after; the largest growth first


def kitagawa(given: PatternInput, words: Words, first: Masks, second: Masks) -> Split | None:
    """Split the change in the mean into mix and within parts by one facet; None with too few traces.

    The interval is a parametric bootstrap: shares as Dirichlet draws of the counts, means as normal draws.
    """
    known = np.isfinite(given.values)
    one, other = first & known, second & known
    if min(one.sum(), other.sum()) < FEWEST:
        return None
    names, codes = np.unique(words.astype(str), return_inverse=True)
    sides = []
    for rows in (one, other):
        count = np.bincount(codes[rows], minlength=names.size).astype(float)
        total = np.bincount(codes[rows], given.values[rows], minlength=names.size)
        squares = np.bincount(codes[rows], given.values[rows] ** 2, minlength=names.size)
        mean = np.divide(total, count, out=np.full(names.size, np.nan), where=count > 0)
        spread = np.maximum(squares - np.nan_to_num(total * mean), 0.0).sum() / max(count.sum() - names.size, 1)
        sides.append((count, mean, np.sqrt(spread / np.maximum(count, 1))))
    (count_0, mean_0, error_0), (count_1, mean_1, error_1) = sides
    filled_0, filled_1 = np.where(count_0 > 0, mean_0, mean_1), np.where(count_1 > 0, mean_1, mean_0)
    share_0, share_1 = count_0 / count_0.sum(), count_1 / count_1.sum()
    rng = np.random.default_rng(20_260)
    draws = 400
    drawn_0, drawn_1 = rng.dirichlet(count_0 + 1e-3, draws), rng.dirichlet(count_1 + 1e-3, draws)
    means_0 = filled_0 + rng.standard_normal((draws, names.size)) * np.where(count_0 > 0, error_0, error_1)
    means_1 = filled_1 + rng.standard_normal((draws, names.size)) * np.where(count_1 > 0, error_1, error_0)
    sign = given.sign

    def parts(s_0: Floats, s_1: Floats, m_0: Floats, m_1: Floats) -> tuple[Floats, Floats]:
        mix = ((s_1 - s_0) * (m_0 + m_1) / 2).sum(axis=-1)
        return sign * mix, sign * ((m_1 - m_0) * (s_0 + s_1) / 2).sum(axis=-1)

    mix, within = parts(share_0, share_1, filled_0, filled_1)
    mix_draws, within_draws = parts(drawn_0, drawn_1, means_0, means_1)
    order = np.argsort(share_0 - share_1, kind="stable")
    return Split(
        _estimate(mix, mix_draws),
        _estimate(within, within_draws),
        float(mix + within),
        tuple((str(names[i]), float(share_0[i]), float(share_1[i])) for i in order if share_1[i] > share_0[i]),
    )


def _estimate(value: Floats, draws: Floats) -> Estimate:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Estimate(float(value), (float(low), float(high)))
