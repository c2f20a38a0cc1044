"""Did it come back? The same levelled signal after the incident, and after each suspect had ended. Pure.

Every stratum is brought to its own level of the baseline window, so what is left is harm (0: as before). The share that
is gone is 1 − (mean harm after) / (mean harm during); its variance is that of a ratio by the delta method,
(v₁ + r² v₀) / m₀² (Cramér 1946), with v the within variance over the traces plus the two-hour shock over its bins.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from postmortem.attribution.baseline import BIN_SECONDS, stratify, usable_groups
from postmortem.attribution.columns import Columns, to_columns
from postmortem.attribution.contrasts import EXPOSED, UNEXPOSED
from postmortem.attribution.fit import Fit
from postmortem.attribution.intervals import Z95
from postmortem.attribution.onset import HOUR, find_step
from postmortem.attribution.shapes import Ending, Estimate, RecoveryFinding
from postmortem.attribution.windows import Windows
from postmortem.changes.as_observed import as_observed
from postmortem.changes.exposure import OUTSIDE, exposure_of_cells
from postmortem.changes.reconcile import VERSION_FACETS

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]

FEWEST_TRACES = 30  # on either side of a comparison
SUSPECT = 0.05  # changes from this probability on are asked what their end brought
_SHRINK_TRACES = 10.0  # weight of the common level against a stratum's own
_LEAST_Z = 2.0  # a harm that is not plainly there cannot be said to be gone


@dataclass(frozen=True, slots=True)
class LevelledSeries:
    """All traces, those after the incident too, with every stratum at its level of the baseline window."""

    columns: Columns
    harm: Floats  # in the signal's own unit, upward is worse
    variance: float  # of one trace
    shock: float  # variance that a two-hour bin shares


def find_recovery(series: LevelledSeries | None, windows: Windows) -> RecoveryFinding | None:
    """When the levelled signal stepped back after the incident began, and how much of the harm was gone then.

    None without a series, or where no step back stands out.
    """
    if series is None:
        return None
    columns = series.columns
    begin, last = windows.incident.start.timestamp(), float(columns.seconds[-1])
    rows = columns.seconds >= begin
    step = find_step(
        columns.seconds[rows], -series.harm[rows], columns.count[rows] / series.variance,
        earliest=begin + HOUR, latest=last - HOUR, shock_variance=series.shock,
    )  # fmt: skip
    if step is None:
        return None
    during, after = rows & (columns.seconds < step.at), columns.seconds >= step.at
    share = _gone(series, during, after)
    if share is None:
        return None
    return RecoveryFinding(
        _moment(step.at), (_moment(step.low), _moment(step.high)), share,
        int(columns.count[during].sum()), int(columns.count[after].sum()),
    )  # fmt: skip


def endings(fit: Fit, series: LevelledSeries | None, windows: Windows) -> tuple[Ending, ...]:
    """Suspects that stopped reaching traces, in the order of the log, with the share of their harm that went along."""
    if series is None or not any(change.probability >= SUSPECT for change in fit.changes):
        return ()
    columns = series.columns
    exposures = exposure_of_cells(as_observed(fit.case.changes, columns.cells), columns.cells)
    begin = windows.incident.start.timestamp()
    found = []
    for position, change in enumerate(fit.case.changes):
        if fit.changes[position].probability < SUSPECT:
            continue
        shares = exposures.shares[:, position]
        exposed = np.flatnonzero(shares >= EXPOSED)
        if not exposed.size:
            continue
        end = float(columns.seconds[exposed[-1]])
        inside = exposures.basis[:, position] != OUTSIDE
        during = (shares >= EXPOSED) & (columns.seconds >= begin)
        after = inside & (columns.seconds > end) & (shares <= UNEXPOSED)
        share = _gone(series, during, after)
        if share is not None:
            counts = (int(columns.count[during].sum()), int(columns.count[after].sum()))
            found.append(Ending(change.id, _moment(end), share, *counts))
    return tuple(found)


def levelled_series(fit: Fit, windows: Windows) -> LevelledSeries | None:
    """The series, None without a set incident window or without traces after it."""
    if fit.case.incident is None:
        return None
    columns = to_columns(fit.case.cells)
    later = columns.seconds >= fit.case.incident[1].timestamp()
    if columns.count[later].sum() < FEWEST_TRACES:
        return None
    moving = frozenset(VERSION_FACETS) - {"model"} | {change.facet for change in fit.case.changes if change.facet}
    strata = stratify(usable_groups(columns, moving), columns.seconds.size, columns.trace_count)
    before = columns.between(windows.baseline.start.timestamp(), windows.baseline.end.timestamp())
    common = columns.moments(before)
    size = int(strata.max()) + 1
    count = np.bincount(strata[before], weights=columns.count[before], minlength=size)
    sums = np.bincount(strata[before], weights=(columns.count * columns.signal)[before], minlength=size)
    own = (sums + _SHRINK_TRACES * common.mean) / (count + _SHRINK_TRACES)
    sign = -1.0 if fit.case.worse == "lower" else 1.0
    harm = sign * (columns.signal - own[strata])
    variance = max(common.variance * fit.inflation, 1e-12)
    return LevelledSeries(columns, harm, variance, fit.baseline.shock_variance * fit.baseline.scale.slope**2)


def _gone(series: LevelledSeries, during: Masks, after: Masks) -> Estimate | None:
    """The share of the harm that is gone, None where either side is too small or no harm was there."""
    each = series.columns.count
    if min(each[during].sum(), each[after].sum()) < FEWEST_TRACES:
        return None
    mean_0, error_0 = _mean(series, during)
    mean_1, error_1 = _mean(series, after)
    if mean_0 < _LEAST_Z * error_0:
        return None
    ratio = mean_1 / mean_0
    half = Z95 * float(np.hypot(error_1, ratio * error_0)) / mean_0
    return Estimate(1.0 - ratio, (1.0 - ratio - half, 1.0 - ratio + half))


def _mean(series: LevelledSeries, rows: Masks) -> tuple[float, float]:
    """Mean harm of some rows and its standard error."""
    count = series.columns.count[rows]
    bins = np.unique(series.columns.seconds[rows] // BIN_SECONDS).size
    mean = float((count * series.harm[rows]).sum() / count.sum())
    return mean, float(np.sqrt(series.variance / count.sum() + series.shock / bins))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
