"""Before and during: the two windows, the drop between them, the onset and the series that is drawn. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from postmortem.attribution.columns import Columns
from postmortem.attribution.fit import Fit
from postmortem.attribution.intervals import difference_of, level_of
from postmortem.attribution.onset import HOUR, Step, find_step
from postmortem.attribution.shapes import Estimate, OnsetFinding, WindowLevel
from postmortem.changes.exposure import OUTSIDE
from postmortem.lib.errors import UserError

Masks = npt.NDArray[np.bool_]
BASELINE_SECONDS = 7 * 86_400.0
_SERIES_BINS = 48
_LIKELY, _SURE = 0.5, 0.9


@dataclass(frozen=True, slots=True)
class Windows:
    """The two windows with their traces as masks over the columns, and the drop (incident − baseline)."""

    baseline: WindowLevel
    incident: WindowLevel
    before: Masks
    after: Masks
    drop: Estimate


def find_onset(fit: Fit) -> OnsetFinding | None:
    """The step in the adjusted series of the traffic that the leading explanation touches (all, if none leads)."""
    rows = np.ones(fit.columns.seconds.size, dtype=bool)
    if fit.changes and max(change.probability for change in fit.changes) >= _LIKELY:
        best = int(np.argmax([change.probability for change in fit.changes]))
        rows = fit.exposures.basis[:, best] != OUTSIDE
    elif fit.unlogged.probability >= _LIKELY:
        rows = _touched(fit)
    step = _scan(fit, rows) or (None if rows.all() else _scan(fit, np.ones_like(rows)))
    if step is None:
        return None
    begun = _gradual_start(fit)
    if begun is not None and begun < step.at:
        # A rollout that grows makes a slope, and a step fits its middle: the harm began with the first exposed trace.
        return OnsetFinding(_moment(begun), (_moment(min(begun - HOUR, step.low)), _moment(step.high)))
    return OnsetFinding(_moment(step.at), (_moment(step.low), _moment(step.high)))


def _gradual_start(fit: Fit) -> float | None:
    """First exposed trace of the sure causes whose rollout took time; None if there is none."""
    starts = [
        float(fit.columns.seconds[np.argmax(fit.exposures.shares[:, position] > 0)])
        for position, change in enumerate(fit.case.changes)
        if fit.changes[position].probability >= _SURE and change.until > change.at
    ]
    return min(starts, default=None)


def _touched(fit: Fit) -> Masks:
    """All traces of the strata in which the unlogged step has any."""
    strata = np.unique(fit.baseline.strata[fit.unlogged.shares > 0])
    return np.asarray(np.isin(fit.baseline.strata, strata))


def _scan(fit: Fit, rows: Masks) -> Step | None:
    seconds = fit.columns.seconds
    detected = min(fit.case.detected_at.timestamp(), float(seconds[-1]))
    earliest = max(detected - 6 * 86_400.0, float(seconds[0]) + 86_400.0)
    if fit.case.incident:
        earliest = min(earliest, fit.case.incident[0].timestamp() - 86_400.0)
    return find_step(
        seconds[rows], fit.baseline.adjusted[rows], fit.baseline.weights[rows] / fit.inflation,
        earliest=earliest, latest=detected, shock_variance=fit.baseline.shock_variance,
    )  # fmt: skip


def measure_windows(fit: Fit, onset: OnsetFinding | None) -> Windows:
    """Levels in both windows and their difference. Windows that nobody set come from the onset.

    Raises UserError when a window holds no traces.
    """
    everything = fit.columns
    first, last = float(everything.seconds[0]), float(everything.seconds[-1]) + 1e-3
    detected = fit.case.detected_at.timestamp()
    start = onset.at.timestamp() if onset else max(min(detected, last) - 86_400.0, (first + last) / 2)
    spans = {
        "baseline": fit.case.baseline or (_moment(max(first, start - BASELINE_SECONDS)), _moment(start)),
        "incident": fit.case.incident or (_moment(start), _moment(last)),
    }
    levels, masks = {}, {}
    for name, (begin, end) in spans.items():
        mask = everything.between(begin.timestamp(), end.timestamp())
        if not mask.any():
            raise UserError(
                f"The {name} window holds no traces with the signal “{fit.case.signal}”; "
                "move the window or import traces from that time."
            )
        masks[name] = mask
        levels[name] = WindowLevel(begin, end, level_of(everything.moments(mask), binary=everything.is_binary))
    before, after = everything.moments(masks["baseline"]), everything.moments(masks["incident"])
    if min(before.count, after.count) < 2:
        raise UserError("A window holds a single trace; move the windows or import more traces.")
    drop = difference_of(after, before, binary=everything.is_binary)
    return Windows(levels["baseline"], levels["incident"], masks["baseline"], masks["incident"], drop)


def signal_series(columns: Columns) -> tuple[WindowLevel, ...]:
    """The signal over the whole span in equal bins; empty ones are left out."""
    edges = np.linspace(float(columns.seconds[0]), float(columns.seconds[-1]) + 1e-3, _SERIES_BINS + 1)
    places = np.searchsorted(columns.seconds, edges)
    binary = columns.is_binary
    return tuple(
        WindowLevel(
            _moment(float(edges[i])), _moment(float(edges[i + 1])),
            level_of(columns.moments(slice(places[i], places[i + 1])), binary=binary),
        )
        for i in range(_SERIES_BINS)
        if places[i + 1] > places[i]
    )  # fmt: skip


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
