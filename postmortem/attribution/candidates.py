"""The columns x of the model: for each logged change its exposure and its likely mis-logged forms, and unlogged steps.

Logs are late or early, scopes are incomplete and a harm may hit one segment only, so a change may enter by several
columns that share its prior. An unlogged step is tried for everything and for each group, on a 4 h grid of six
days; a version move that traces show and no log mentions is a column of its own. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from postmortem.attribution.baseline import Baseline
from postmortem.attribution.columns import Columns
from postmortem.attribution.interactions import MOST_INTERACTIONS, interactions
from postmortem.attribution.moves import ObservedMove
from postmortem.attribution.products import BLOCK
from postmortem.attribution.steps import StepColumns, no_steps, step_columns
from postmortem.changes.exposure import ExposureMatrix, clock_shares
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer

Floats = npt.NDArray[np.float64]

LOGGED_PRIOR, UNLOGGED_PRIOR, NULL_PRIOR = 0.6, 0.2, 0.2
SILENT_MOVE_FACTOR = 2.0
AGE_HALVES_AFTER_HOURS = 96.0
LAG_HOURS = (-8.0, -6.0, -4.0, -2.0, -1.0, 1.0, 2.0, 4.0)  # when it came, seen from the log: late more than early
LAGS_SHARE = 0.4  # of an unversioned change's prior, together, where no version tells how punctual the log is
CLOCK_SHARE = 0.1  # of a versioned change's prior: it ran when its log says, whatever version traces record
SEGMENT_SHARE = 0.2  # harm in one segment only
LOST_SCOPE_SHARE = 0.2  # a change of one prompt, model or index whose log forgot to say which
INTERACTION_SHARE = 0.05  # two changes of which neither does harm without the other
MAX_PLACEBOS = 100
PLACES, MOST_PLACES = ("region", "environment"), 4
# What so much of the incident's share already ran on in the quiet time cannot explain what came after it: from the
# first share on a change holds less, from the second on nothing.
OLD_FROM, OLD_ALTOGETHER = 0.5, 0.8
GRID_DAYS, GRID_STEPS = 6.0, 36  # a step every 4 h
_HOME_FACET = {Layer.PROMPT: "prompt", Layer.MODEL: "model", Layer.RETRIEVAL: "index", Layer.INFRASTRUCTURE: "region"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one column stands for. `change` is a position in the change list, −1 for unlogged ones.

    `partner` is the position of a second change where the column is their interaction, else −1.
    """

    change: int
    layer: Layer | None
    start: float  # seconds from 1970
    what: str  # "" or the group or version move that an unlogged column covers
    move: int = -1  # position in the version moves
    partner: int = -1
    together: int = 0  # traces that ran on both


@dataclass(frozen=True, slots=True)
class Design:
    """Columns: logged changes and version moves (`dense`, n × d), then unlogged steps.

    `candidates` tell what each stands for, `priors` sum to 1 with NULL_PRIOR.
    """

    dense: Floats
    steps: StepColumns
    candidates: tuple[Candidate, ...]
    priors: Floats

    def times(self, vector: Floats) -> Floats:
        """Xᵀv of all columns."""
        return np.concatenate([self.dense.T @ vector, self.steps.times(vector)])

    def averages(self, values: Floats, weights: Floats) -> tuple[Floats, ...]:
        """Σwx²v / Σwx² of each column, for each column v of `values`, and last for x itself."""
        slabs, width = self.steps.slabs, self.dense.shape[1]
        weighted = weights[:, None] * np.column_stack([np.ones(weights.size), values])
        squares = slabs.power(2)
        sums = np.empty((width + self.steps.kept.size, weighted.shape[1]))
        cubes = np.empty(sums.shape[0])
        for low in range(0, width, BLOCK):
            part = self.dense[:, low : low + BLOCK]
            square = part**2
            sums[low : low + part.shape[1]] = square.T @ weighted
            square *= part
            cubes[low : low + part.shape[1]] = square.T @ weights
        sums[width:] = self.steps.over_slabs(squares.T @ weighted)
        cubes[width:] = self.steps.over_slabs(squares.multiply(slabs).T @ weights)
        total = np.maximum(sums[:, 0], 1e-12)
        return (*(sums[:, 1:] / total[:, None]).T, cubes / total)

    def rows(self, number: int) -> npt.NDArray[np.bool_]:
        """The rows that one column touches."""
        width = self.dense.shape[1]
        return self.dense[:, number] > 0 if number < width else self.steps.rows(number - width)


def build_design(
    *,
    columns: Columns,
    baseline: Baseline,
    changes: Sequence[ChangeRecord],
    exposures: ExposureMatrix,
    moves: Sequence[ObservedMove],
    detected: float,
    earliest: float,
    ran_before: Floats,
    lags_share: float = LAGS_SHARE,
) -> Design:
    """All columns with their priors. Changes that reached no trace, began after detection, or ran all along get none.

    `ran_before` says of each change, and then of each move, how much of its share in the incident ran on it before;
    `lags_share` is the part of an unversioned change's prior that its log may be off by hours.
    """
    parts: list[Floats] = []
    candidates: list[Candidate] = []
    priors: list[float] = []

    def add(column: Floats, candidate: Candidate, prior: float) -> None:
        if prior > 0 and column.any():
            parts.append(column)
            candidates.append(candidate)
            priors.append(prior)

    newness = np.clip((OLD_ALTOGETHER - ran_before) / (OLD_ALTOGETHER - OLD_FROM), 0.0, 1.0)
    ages = _age_weights(changes, exposures, detected) * newness[: len(changes)]
    first_seen = [float(columns.seconds[np.argmax(move.column > 0)]) for move in moves]
    # A version that moved without a log entry is a change like any other, and one that skipped the process.
    move_ages = np.array([SILENT_MOVE_FACTOR * _age_weight((detected - first) / 3600.0) for first in first_seen])
    move_ages *= newness[len(changes) :]
    named = LOGGED_PRIOR / (ages.sum() + move_ages.sum()) if ages.any() or move_ages.any() else 0.0
    for position, change in enumerate(changes):
        if ages[position] == 0:
            continue
        for column, weight in _forms(columns, baseline, change, exposures, position=position, lags_share=lags_share):
            add(column, Candidate(position, change.layer, change.at.timestamp(), ""), named * ages[position] * weight)
    for number, move in enumerate(moves):
        candidate = Candidate(-1, move.move.layer, first_seen[number], move.where, number)
        add(move.column, candidate, named * move_ages[number])
    for one, two, column in interactions(columns, baseline, exposures):
        changes_begun = max(changes[one].at.timestamp(), changes[two].at.timestamp())
        together = round(float(columns.count @ column))
        pair = Candidate(one, changes[one].layer, changes_begun, "", partner=two, together=together)
        add(column, pair, named * float(ages.sum()) * INTERACTION_SHARE / MOST_INTERACTIONS)
    matrix = np.column_stack(parts) if parts else np.zeros((columns.seconds.size, 0))
    matrix *= baseline.sensitivity[:, None]
    steps, unlogged, weights = _unlogged_steps(columns, baseline, earliest, detected)
    return Design(matrix, steps, (*candidates, *unlogged), np.concatenate([priors, UNLOGGED_PRIOR * np.array(weights)]))


def _age_weights(changes: Sequence[ChangeRecord], exposures: ExposureMatrix, detected: float) -> Floats:
    """Prior weight by age: halved every AGE_HALVES_AFTER_HOURS before detection, never below a tenth.

    Nothing for what touched no trace before detection.
    """
    weights = np.zeros(len(changes))
    for position, change in enumerate(changes):
        age = (detected - change.at.timestamp()) / 3600.0
        if exposures.shares[:, position].any() and age > min(LAG_HOURS):
            weights[position] = _age_weight(age)
    return weights


def _age_weight(age_hours: float) -> float:
    return float(max(0.5 ** (max(age_hours, 0.0) / AGE_HALVES_AFTER_HOURS), 0.1))


def _sets_of_values(name: str, count: int) -> list[tuple[int, ...]]:
    """Each value; of a few places all sets short of all of them too: an outage does not stop at one region."""
    largest = count - 1 if name in PLACES and count <= MOST_PLACES else 1
    return [chosen for size in range(1, max(largest, 1) + 1) for chosen in combinations(range(count), size)]


def placebo_columns(columns: Columns, baseline: Baseline, quiet: npt.NDArray[np.bool_]) -> Floats:
    """Steps of a day that nothing caused, for everything and each group, every 12 h of the quiet period.

    Their rows are those of the quiet period.
    """
    times = columns.seconds[quiet]
    if times.size < 50:
        return np.zeros((times.size, 0))
    starts = np.arange(times[0] + 43_200.0, times[-1] - 86_400.0, 43_200.0)
    masks = [np.ones(times.size, dtype=bool)]
    masks += [facet.codes[quiet] == code for facet in baseline.groups.values() for code in range(len(facet.values))]
    pairs = [(mask, start) for mask in masks for start in starts]
    pairs = pairs[:: max(1, len(pairs) // MAX_PLACEBOS)]
    steps = [mask & (times >= start) & (times < start + 86_400.0) for mask, start in pairs]
    if not steps:
        return np.zeros((times.size, 0))
    return np.column_stack(steps) * baseline.sensitivity[quiet, None]


def _forms(
    columns: Columns,
    baseline: Baseline,
    change: ChangeRecord,
    exposures: ExposureMatrix,
    *,
    position: int,
    lags_share: float,
) -> list[tuple[Floats, float]]:
    """The change as logged, shifted in time, in one segment, or in the scope its log forgot; weights sum to 1."""
    base = exposures.shares[:, position]
    is_versioned = bool(change.facet and change.to_version)
    forms: list[tuple[Floats, float]] = []
    main = 1.0
    if not is_versioned:
        # Positive lags: the change came later than its log says.
        for column in clock_shares(change, columns.cells, [hours * 3600.0 for hours in LAG_HOURS]):
            forms.append((column, lags_share / len(LAG_HOURS)))
        main -= lags_share
    elif not _agrees_with_clock(base, clock := _by_the_clock(change, columns, base)):
        # A version may be lost on the way, or replaced by a later one that does not hold it.
        forms.append((clock, CLOCK_SHARE))
        main -= CLOCK_SHARE
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


def _by_the_clock(change: ChangeRecord, columns: Columns, base: Floats) -> Floats:
    """Who ran on a versioned change when its log says.

    While it is rolled out, a trace on its version or an earlier one tells for itself whether it ran on it; a share that
    merely grows would take the blame for whatever else grew in those hours. One on a later version does not tell.
    """
    clock = clock_shares(change, columns.cells, [0.0])[0]
    facet = columns.facets.get(change.facet or "")
    if facet is None:
        return clock
    own = facet.values.index(change.to_version) if change.to_version in facet.values else -2
    tells = (base <= 0.0) | (facet.codes == own)
    return np.where((clock > 0.0) & (clock < 1.0) & tells, base, clock)


def _agrees_with_clock(base: Floats, clock: Floats) -> bool:
    return bool(np.abs(base - clock).max(initial=0.0) < 0.02)


def _unlogged_steps(
    columns: Columns, baseline: Baseline, earliest: float, detected: float
) -> tuple[StepColumns, list[Candidate], list[float]]:
    """Steps that last to the end, for everything (a quarter of the weight) and each group; weights sum to 1."""
    span = max(GRID_DAYS * 86_400.0, detected - earliest)
    starts = detected - np.arange(1, GRID_STEPS + 1) * span / GRID_STEPS
    starts = starts[starts > columns.seconds[0] + 86_400.0]
    if starts.size == 0:
        return no_steps(columns.seconds.size), [], []
    covered = list(baseline.groups.items())
    masks = [("", np.ones(columns.seconds.size, dtype=bool), 0.25 if covered else 1.0)]
    for name, facet in covered:
        sets = _sets_of_values(name, len(facet.values))
        for chosen in sets:
            what = f"{name} {', '.join(facet.values[code] for code in chosen)}"
            masks.append((what, np.isin(facet.codes, chosen), 0.75 / len(covered) / len(sets)))
    steps = step_columns(
        seconds=columns.seconds, starts=starts, groups=[mask for _, mask, _ in masks],
        sensitivity=baseline.sensitivity,
    )  # fmt: skip
    candidates, weights = [], []
    for place in steps.kept:
        what, _, weight = masks[int(place) // starts.size]
        candidates.append(Candidate(-1, None, float(starts[int(place) % starts.size]), what))
        weights.append(weight / starts.size)
    return steps, candidates, weights
