"""The rows that a reviewer can check: exposed against unexposed, like with like, and the same over time. Pure.

Two comparisons, in this order of trust. *Same time*: traces of one stratum in the same twelve hours, some exposed, some
not. *Before and after*: where everybody in scope got the change at once, the same stratum and time of day in the week
before it. The second cannot tell the change from whatever else began then; its sentence says so.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from postmortem.attribution.columns import combine
from postmortem.attribution.fit import Fit
from postmortem.attribution.intervals import Moments, mean_interval, wilson_interval
from postmortem.attribution.shapes import Estimate, ExposedBin, Level
from postmortem.attribution.stratified import Contrast, StrataCells, cells_of, mean_difference, risk_difference
from postmortem.changes.exposure import EXPECTED, INFERRED, OBSERVED, OUTSIDE

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.intp]
SAME_TIME_SECONDS = 12 * 3600.0
CLOCK_SECONDS = 6 * 3600.0
BEFORE_SECONDS = 7 * 86_400.0
RUN_IN_SECONDS = 3 * 86_400.0  # how long before a change its picture begins
EXPOSED, UNEXPOSED = 0.5, 0.05  # shares at which a trace counts as one or the other
_BINS = 30


@dataclass(frozen=True, slots=True)
class ChangeContrast:
    """One change's comparison. `same_time` tells which of the two it is."""

    exposed: Level
    unexposed: Level
    difference: Estimate
    strata: int
    same_time: bool
    observed: int
    inferred: int
    expected: int
    exposed_total: int  # traces that ran on it, compared or not


@dataclass(frozen=True, slots=True)
class LikeWithLike:
    """The number of the group in which each row is compared: its stratum at the time, and at the time of day."""

    same_time: Numbers
    clock: Numbers


def like_with_like(fit: Fit) -> LikeWithLike:
    """Group the rows once for all changes."""
    seconds, strata = fit.columns.seconds, fit.baseline.strata.astype(np.int32)
    bins = (seconds // SAME_TIME_SECONDS).astype(np.int32)
    clock = ((seconds % 86_400.0) // CLOCK_SECONDS).astype(np.int32)
    return LikeWithLike(*(combine([strata, times], seconds.size)[0] for times in (bins, clock)))


def contrast_of(fit: Fit, position: int, groups: LikeWithLike) -> ChangeContrast | None:
    """The better comparison of one change, None where no stratum has both sides."""
    return _better_of_two(fit, fit.exposures.shares[:, position], fit.exposures.basis[:, position], groups)


def unlogged_contrast(fit: Fit, groups: LikeWithLike) -> ChangeContrast | None:
    """The same for the best unlogged step: the traces that it touches against all others of their kind."""
    shares, move = fit.unlogged.shares, fit.unlogged.move
    basis = np.full(shares.size, INFERRED)
    if move is not None:  # a trace that does not record its version has the share of its neighbours
        basis = np.where(fit.columns.facets[move.facet].codes >= 0, OBSERVED, EXPECTED)
    return _better_of_two(fit, shares, basis, groups)


def _better_of_two(
    fit: Fit, shares: Floats, basis: npt.NDArray[np.integer], groups: LikeWithLike
) -> ChangeContrast | None:
    exposed, unexposed = shares >= EXPOSED, shares <= UNEXPOSED
    if not exposed.any() or not unexposed.any():
        return None
    seconds = fit.columns.seconds
    first, last = float(seconds[exposed][0]), float(seconds[exposed][-1])
    together = (exposed | unexposed) & (seconds >= first) & (seconds <= last)
    contrast, same_time = _pooled(fit, exposed, together, groups.same_time), True
    inside = (basis != OUTSIDE) & (exposed | unexposed)
    near = inside & (seconds >= first - BEFORE_SECONDS)
    other = _pooled(fit, exposed, near, groups.clock)
    # Few traces at the same time say less than many before and after once their error is three times as large.
    if contrast is None or (other is not None and contrast.error > 3 * other.error):
        contrast, same_time = other, False
    if contrast is None:
        return None
    ran, count = exposed | (shares > UNEXPOSED), fit.columns.count
    return ChangeContrast(
        exposed=_level(contrast.exposed_mean, contrast.exposed_count, fit, exposed),
        unexposed=_level(contrast.unexposed_mean, contrast.unexposed_count, fit, unexposed),
        difference=Estimate(contrast.difference, contrast.interval),
        strata=contrast.strata,
        same_time=same_time,
        observed=int(count[ran & (basis == OBSERVED)].sum()),
        inferred=int(count[ran & (basis == INFERRED)].sum()),
        expected=int(count[ran & (basis == EXPECTED)].sum()),
        exposed_total=int(count[exposed].sum()),
    )


def _pooled(fit: Fit, exposed: Masks, rows: Masks, numbers: Numbers) -> Contrast | None:
    if not rows.any():
        return None
    columns = fit.columns
    cells: StrataCells = cells_of(
        columns.signal[rows], exposed[rows], numbers[rows], count=columns.count[rows], squares=columns.squares[rows]
    )
    return (risk_difference if fit.columns.is_binary else mean_difference)(cells)


def _level(mean: float, count: int, fit: Fit, rows: Masks) -> Level:
    """An adjusted level; its interval is that of as many traces of the same spread."""
    if fit.columns.is_binary:
        return Level(count, mean, wilson_interval(mean * count, count))
    return Level(count, mean, mean_interval(mean, fit.columns.moments(rows).variance, count))


def levelled_signal(fit: Fit) -> Floats:
    """The signal with every stratum brought to the common quiet level, so that groups can share one picture."""
    values, strata, quiet = fit.columns.signal, fit.baseline.strata, fit.quiet
    size = int(strata.max()) + 1
    common = fit.columns.moments(quiet).mean
    count = np.bincount(strata[quiet], weights=fit.columns.count[quiet], minlength=size)
    sums = np.bincount(strata[quiet], weights=(values * fit.columns.count)[quiet], minlength=size)
    own = (sums + 10 * common) / (count + 10)
    return np.asarray(values - own[strata] + common)


def exposed_series(fit: Fit, shares: Floats, begun: datetime, levelled: Floats) -> tuple[ExposedBin, ...]:
    """Exposed and unexposed traces over time, from three days before the change began to the end.

    `shares` are the rows' exposures, 0 to 1.
    """
    seconds = fit.columns.seconds
    start = max(float(seconds[0]), begun.timestamp() - RUN_IN_SECONDS)
    edges = np.linspace(start, float(seconds[-1]) + 1e-3, _BINS + 1)
    places = np.searchsorted(seconds, edges)
    series = []
    for low, high, begin, end in zip(places, places[1:], edges, edges[1:], strict=False):
        span = np.arange(low, high)
        exposed, unexposed = span[shares[span] >= EXPOSED], span[shares[span] <= UNEXPOSED]
        if exposed.size or unexposed.size:
            series.append(
                ExposedBin(
                    datetime.fromtimestamp(float(begin), UTC),
                    datetime.fromtimestamp(float(end), UTC),
                    _bin_level(exposed, levelled, fit) if exposed.size else None,
                    _bin_level(unexposed, levelled, fit) if unexposed.size else None,
                )
            )
    return tuple(series)


def _bin_level(rows: npt.NDArray[np.intp], levelled: Floats, fit: Fit) -> Level:
    each, values = fit.columns.count[rows], levelled[rows]
    within = fit.columns.squares[rows] - each * fit.columns.signal[rows] ** 2
    found = Moments(int(each.sum()), float((each * values).sum()), float((each * values**2 + within).sum()))
    if not fit.columns.is_binary:
        return Level(found.count, found.mean, mean_interval(found.mean, found.variance, found.count))
    rate = min(max(found.mean, 0.0), 1.0)
    return Level(found.count, rate, wilson_interval(rate * found.count, found.count))
