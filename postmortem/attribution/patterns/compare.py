"""Comparisons that several detectors make: levels, differences in the direction of harm, many slices at once. Pure.

Benjamini and Hochberg 1995 for many looks; Mantel and Haenszel 1959 within spans of time; Kitagawa 1955 as in mix.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from postmortem.attribution.contrasts import EXPOSED, SAME_TIME_SECONDS, UNEXPOSED
from postmortem.attribution.intervals import Z95, Moments, difference_of, level_of
from postmortem.attribution.mix import part_intervals, split
from postmortem.attribution.patterns.shapes import Floats, Masks, Number, PatternInput, Words
from postmortem.attribution.shapes import Estimate, Level, SignalFacts
from postmortem.attribution.stratified import cells_of, mean_difference, risk_difference
from postmortem.changes.exposure import OUTSIDE, exposure_matrix
from postmortem.changes.records import ChangeRecord

FEWEST = 30  # traces on a side below which nothing is said of it
Z99 = 2.5758293
FALSE_DISCOVERIES = 0.01  # traces of one hour are more alike than chance has it, so 0.05 would find too much
_ENOUGH_TOGETHER = 3 * FEWEST  # traces a side that ran in the same spans, to compare within them

Spans = npt.NDArray[np.intp]


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
    def is_clear_harm(self) -> bool:
        """Whether the 99 % interval is harm: what a match may rest on alone."""
        return self.harm.estimate > Z99 * self.error

    @property
    def error(self) -> float:
        """Standard error of the difference."""
        return (self.harm.interval[1] - self.harm.interval[0]) / (2 * Z95)


@dataclass(frozen=True, slots=True)
class Sides:
    """Traces without a change and with it; `times` numbers the spans to compare within, None: after against before."""

    without: Masks
    with_it: Masks
    times: Spans | None


@dataclass(frozen=True, slots=True)
class Slice:
    """One value of a facet, compared with itself and with the rest; `q` is of the latter, see `slices`."""

    facet: str
    value: str
    compared: Compared
    beyond: Estimate  # how much more harm than the rest of the traffic shows
    q: float

    @property
    def name(self) -> str:
        """ "segment free"."""
        return f"{self.facet} {self.value}"


def compare(
    given: PatternInput,
    first: Masks,
    second: Masks,
    *,
    values: Floats | None = None,
    worse: str = "",
    times: Spans | None = None,
) -> Compared | None:
    """Level of the second group against the first; None if either has fewer than FEWEST traces with the signal.

    With `times` (a span's number for every trace) only traces of the same span are compared, and the levels are
    those of the pooled strata.
    """
    data = given.values if values is None else values
    known = np.isfinite(data)
    first, second = first & known, second & known
    one, other = Moments.of(data[first]), Moments.of(data[second])
    if min(one.count, other.count) < FEWEST:
        return None
    binary = bool(np.isin(data[first | second], (0.0, 1.0)).all())
    levels = (level_of(one, binary=binary), level_of(other, binary=binary))
    difference = difference_of(other, one, binary=binary)
    if times is not None:
        rows = first | second
        contrast = (risk_difference if binary else mean_difference)(cells_of(data[rows], second[rows], times[rows]))
        if contrast is None or min(contrast.exposed_count, contrast.unexposed_count) < FEWEST:
            return None
        difference = Estimate(contrast.difference, contrast.interval)
        levels = (
            _pooled(contrast.unexposed_mean, contrast.unexposed_count, one.variance, binary=binary),
            _pooled(contrast.exposed_mean, contrast.exposed_count, other.variance, binary=binary),
        )
    return Compared(*levels, difference, _harm(difference, worse or given.worse))


def _pooled(mean: float, count: int, variance: float, *, binary: bool) -> Level:
    return level_of(Moments(count, mean * count, (mean**2 + variance) * count), binary=binary)


def _harm(difference: Estimate, worse: str) -> Estimate:
    low, high = difference.interval
    return Estimate(-difference.estimate, (-high, -low)) if worse == "lower" else difference


def false_discovery_rates(harms: Sequence[tuple[float, float]]) -> list[float]:
    """Benjamini and Hochberg's q of many (harm, standard error), each tested for harm above 0."""
    if not harms:
        return []
    chances = [float(stats.norm.sf(harm / max(error, 1e-12))) for harm, error in harms]
    return [float(q) for q in stats.false_discovery_control(np.clip(chances, 0.0, 1.0), method="bh")]


def slices(
    given: PatternInput, facets: tuple[str, ...], first: Masks, second: Masks, times: Spans | None
) -> list[Slice]:
    """Every value of these facets that has enough traces on both sides, set against the rest of the traffic.

    `q` is the false discovery rate, over all of them, of "it got worse by more than the rest did": a fall of
    everything alike is no slice's own, and one slice's fall does not hide in a large aggregate.
    """
    found: list[tuple[str, str, Compared, Estimate]] = []
    for facet in facets:
        words = given.facet(facet)
        for value in sorted(set(words[first | second]) - {""}):
            inside = words == value
            own = compare(given, first & inside, second & inside, times=times)
            rest = compare(given, first & ~inside, second & ~inside, times=times)
            if own is not None and rest is not None:
                found.append((facet, str(value), own, gap_between(own, rest)))
    rates = false_discovery_rates(
        [(gap.estimate, (gap.interval[1] - gap.interval[0]) / (2 * Z95)) for *_, gap in found]
    )
    return [Slice(facet, value, own, gap, q) for (facet, value, own, gap), q in zip(found, rates, strict=True)]


def gap_between(one: Compared, other: Compared) -> Estimate:
    """How much more harm `one` shows than `other`, with the interval of two independent differences."""
    gap = one.harm.estimate - other.harm.estimate
    half = Z95 * float(np.hypot(one.error, other.error))
    return Estimate(gap, (gap - half, gap + half))


def exposed_sides(given: PatternInput, change: ChangeRecord) -> Sides:
    """Traces that ran without the change and with it, by the join, in spans where both ran if there are enough."""
    log = [change, *(one for one in given.changes if one.id != change.id)]
    matrix = exposure_matrix(log, given.traces)
    shares, outside = matrix.shares[:, 0], matrix.basis[:, 0] == OUTSIDE
    without, with_it = (shares <= UNEXPOSED) & ~outside, shares >= EXPOSED
    times = np.unique((given.seconds // SAME_TIME_SECONDS).astype(np.int64), return_inverse=True)[1].reshape(-1)
    counts = [np.bincount(times[rows], minlength=int(times.max(initial=0)) + 1) for rows in (without, with_it)]
    together = np.minimum(*counts)[times] > 0 if times.size else np.zeros(0, dtype=bool)
    known = np.isfinite(given.values)
    if min((without & together & known).sum(), (with_it & together & known).sum()) >= _ENOUGH_TOGETHER:
        return Sides(without & together, with_it & together, times)
    return Sides(without, with_it, None)


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
    """Split the change in the mean into mix and within parts by one facet; None with too few traces."""
    known = np.isfinite(given.values)
    one, other = first & known, second & known
    if min(one.sum(), other.sum()) < FEWEST:
        return None
    values = np.nan_to_num(given.values)
    names, codes = np.unique(words.astype(str), return_inverse=True)
    codes = codes.reshape(-1)
    mix, within, share_0, share_1, *_ = split(values, codes, one, other)
    intervals = part_intervals(values, codes, one, other)
    parts = [
        _harm(Estimate(part, interval), given.worse) for part, interval in zip((mix, within), intervals, strict=True)
    ]
    order = np.argsort(share_0 - share_1, kind="stable")
    grew = tuple((str(names[i]), float(share_0[i]), float(share_1[i])) for i in order if share_1[i] > share_0[i])
    return Split(parts[0], parts[1], parts[0].estimate + parts[1].estimate, grew)
