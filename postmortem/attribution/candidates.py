"""The columns x of the model: for each logged change its exposure and its likely mis-logged forms, and unlogged steps.

Logs are late or early, scopes are incomplete and a harm may hit one segment only, so a change may enter by several
columns that share its prior. An unlogged step is tried for everything and for each group, on a 4 h grid of six
days; a version move that traces show and no log mentions is a column of its own. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from postmortem.attribution.baseline import Baseline
from postmortem.attribution.columns import Columns
from postmortem.attribution.moves import ObservedMove
from postmortem.changes.exposure import ExposureMatrix, exposure_matrix
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer

Floats = npt.NDArray[np.float64]

LOGGED_PRIOR, UNLOGGED_PRIOR, NULL_PRIOR = 0.6, 0.2, 0.2
SILENT_MOVE_FACTOR = 2.0
AGE_HALVES_AFTER_HOURS = 96.0
LAG_HOURS = (-4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 6.0)
LAGS_SHARE = 0.4  # of an unversioned change's prior, together
SEGMENT_SHARE = 0.2  # harm in one segment only
LOST_SCOPE_SHARE = 0.2  # a change of one prompt, model or index whose log forgot to say which
MAX_PLACEBOS = 150
GRID_DAYS, GRID_STEPS = 6.0, 36  # a step every 4 h
_HOME_FACET = {Layer.PROMPT: "prompt", Layer.MODEL: "model", Layer.RETRIEVAL: "index", Layer.INFRASTRUCTURE: "region"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one column stands for. `change` is a position in the change list, −1 for unlogged ones."""

    change: int
    layer: Layer | None
    start: float  # seconds from 1970
    what: str  # "" or the group or version move that an unlogged column covers
    move: int = -1  # position in the version moves


@dataclass(frozen=True, slots=True)
class Design:
    """Columns (n × c), what each stands for, and its prior (they sum to 1 with NULL_PRIOR)."""

    columns: Floats
    candidates: tuple[Candidate, ...]
    priors: Floats


def build_design(
    *,
    columns: Columns,
    baseline: Baseline,
    changes: Sequence[ChangeRecord],
    exposures: ExposureMatrix,
    moves: Sequence[ObservedMove],
    detected: float,
    earliest: float,
) -> Design:
    """All columns with their priors. Changes that reached no trace, or began after detection, get none."""
    parts: list[Floats] = []
    candidates: list[Candidate] = []
    priors: list[float] = []

    def add(column: Floats, candidate: Candidate, prior: float) -> None:
        if prior > 0 and column.any():
            parts.append(column)
            candidates.append(candidate)
            priors.append(prior)

    ages = _age_weights(changes, exposures, detected)
    first_seen = [float(columns.seconds[np.argmax(move.column > 0)]) for move in moves]
    # A version that moved without a log entry is a change like any other, and one that skipped the process.
    move_ages = np.array([SILENT_MOVE_FACTOR * _age_weight((detected - first) / 3600.0) for first in first_seen])
    named = LOGGED_PRIOR / (ages.sum() + move_ages.sum()) if ages.any() or move_ages.any() else 0.0
    for position, change in enumerate(changes):
        if ages[position] == 0:
            continue
        for column, weight in _forms(columns, baseline, change, exposures, position):
            add(column, Candidate(position, change.layer, change.at.timestamp(), ""), named * ages[position] * weight)
    for number, move in enumerate(moves):
        candidate = Candidate(-1, move.move.layer, first_seen[number], move.where, number)
        add(move.column, candidate, named * move_ages[number])
    steps = _unlogged_steps(columns, baseline, earliest, detected)
    for column, candidate, weight in steps:
        add(column, candidate, UNLOGGED_PRIOR * weight)
    matrix = np.column_stack(parts) if parts else np.zeros((columns.seconds.size, 0))
    return Design(matrix * baseline.sensitivity[:, None], tuple(candidates), np.array(priors))


def _age_weights(changes: Sequence[ChangeRecord], exposures: ExposureMatrix, detected: float) -> Floats:
    """Prior weight by age: halved every AGE_HALVES_AFTER_HOURS before detection, never below a tenth.

    Nothing for what touched no trace before detection.
    """
    weights = np.zeros(len(changes))
    for position, change in enumerate(changes):
        age = (detected - change.at.timestamp()) / 3600.0
        if exposures.shares[:, position].any() and age > -max(LAG_HOURS):
            weights[position] = _age_weight(age)
    return weights


def _age_weight(age_hours: float) -> float:
    return float(max(0.5 ** (max(age_hours, 0.0) / AGE_HALVES_AFTER_HOURS), 0.1))


def placebo_columns(columns: Columns, baseline: Baseline, quiet: npt.NDArray[np.bool_]) -> Floats:
    """Steps of a day that nothing caused, for everything and each group, every 12 h of the quiet period."""
    times = columns.seconds[quiet]
    if times.size < 50:
        return np.zeros((columns.seconds.size, 0))
    starts = np.arange(times[0] + 43_200.0, times[-1] - 86_400.0, 43_200.0)
    masks = [np.ones(columns.seconds.size, dtype=bool)]
    masks += [facet.codes == code for facet in baseline.groups.values() for code in range(len(facet.values))]
    pairs = [(mask, start) for mask in masks for start in starts]
    pairs = pairs[:: max(1, len(pairs) // MAX_PLACEBOS)]
    steps = [mask & quiet & columns.between(start, start + 86_400.0) for mask, start in pairs]
    if not steps:
        return np.zeros((columns.seconds.size, 0))
    return np.column_stack(steps) * baseline.sensitivity[:, None]


def _forms(
    columns: Columns, baseline: Baseline, change: ChangeRecord, exposures: ExposureMatrix, position: int
) -> list[tuple[Floats, float]]:
    """The change as logged, shifted in time, in one segment, or in the scope its log forgot; weights sum to 1."""
    base = exposures.shares[:, position]
    is_versioned = bool(change.facet and change.to_version)
    forms: list[tuple[Floats, float]] = []
    main = 1.0
    if not is_versioned:
        for hours in LAG_HOURS:
            forms.append((_shifted(columns, change, base, hours), LAGS_SHARE / len(LAG_HOURS)))
        main -= LAGS_SHARE
    segment = baseline.groups.get("segment") or baseline.groups.get("tenant")
    if segment is not None:
        for code in range(len(segment.values)):
            forms.append((base * (segment.codes == code), SEGMENT_SHARE / len(segment.values)))
        main -= SEGMENT_SHARE
    home = baseline.groups.get(_HOME_FACET[change.layer])
    if not change.scope and home is not None and not is_versioned and change.stage_facet != _HOME_FACET[change.layer]:
        for code in range(len(home.values)):
            forms.append((base * (home.codes == code), LOST_SCOPE_SHARE / len(home.values)))
        main -= LOST_SCOPE_SHARE
    return [(base, main), *forms]


def _shifted(columns: Columns, change: ChangeRecord, base: Floats, hours: float) -> Floats:
    """Exposure if the log were `hours` early (positive: the change came later). Only rows near it can differ."""
    shift = timedelta(hours=hours)
    moved = replace(change, at=change.at + shift, until=change.until + shift, facet=None, to_version=None)
    first = min(change.at, moved.at).timestamp()
    last = max(change.until, moved.until).timestamp()
    low, high = np.searchsorted(columns.seconds, (first, last + 1))
    column = base.copy()
    if high > low:
        column[low:high] = exposure_matrix([moved], columns.traces[low:high]).shares[:, 0]
    return column


def _unlogged_steps(
    columns: Columns, baseline: Baseline, earliest: float, detected: float
) -> list[tuple[Floats, Candidate, float]]:
    """Steps that last to the end, for everything (a quarter of the weight) and each group; weights sum to 1."""
    span = max(GRID_DAYS * 86_400.0, detected - earliest)
    starts = detected - np.arange(1, GRID_STEPS + 1) * span / GRID_STEPS
    starts = starts[starts > columns.seconds[0] + 86_400.0]
    if starts.size == 0:
        return []
    masks: list[tuple[str, npt.NDArray[np.bool_], float]] = [("", np.ones(columns.seconds.size, dtype=bool), 0.25)]
    covered = [(name, facet) for name, facet in baseline.groups.items()]
    for name, facet in covered:
        weight = 0.75 / len(covered) / len(facet.values)
        masks += [(f"{name} {value}", facet.codes == code, weight) for code, value in enumerate(facet.values)]
    if not covered:
        masks[0] = ("", masks[0][1], 1.0)
    return [
        (
            (mask & (columns.seconds >= start)).astype(float),
            Candidate(-1, None, float(start), what),
            weight / starts.size,
        )
        for what, mask, weight in masks
        for start in starts
    ]
