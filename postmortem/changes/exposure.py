"""The join: did this trace run on this change?

Three answers, from the strongest to the weakest:

* **observed**: the trace records the version facet that the change moved. It ran on the change if its version
  is the change's own or a later one of the same target (see lineage.py for rollbacks). No clock is needed,
  so a log that is hours off does no harm.
* **inferred**: the trace records no such version, but scope × time leave no doubt.
* **expected**: a canary, a ramp, or a scope that the trace does not record: only a share is known.

and **outside** when the change's scope leaves the trace out. A version that no log entry mentions holds
none of the logged changes; reconcile.py reports it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from postmortem.changes.lineage import (
    UNKNOWN_SCOPE_SHARE,
    VersionState,
    in_log_order,
    scope_share,
    states_of_version,
    version_states,
    visit_at,
)
from postmortem.changes.records import ChangeRecord
from postmortem.traces.cells import Cells, cells_of_traces
from postmortem.traces.records import TraceRecord

Basis = Literal["observed", "inferred", "expected", "outside"]
BASES: tuple[Basis, ...] = ("observed", "inferred", "expected", "outside")  # codes of ExposureMatrix.basis
OBSERVED, INFERRED, EXPECTED, OUTSIDE = range(4)
DEFAULT_CANARY_SHARE = 0.1  # for a canary whose log does not say how large it was

Floats = npt.NDArray[np.float64]
_Group = tuple[Mapping[str, str], npt.NDArray[np.intp]]
_Lineage = tuple[list[ChangeRecord], list[VersionState]]
_Part = tuple[npt.NDArray[np.intp], float, Mapping[str, str], _Lineage | None]


@dataclass(frozen=True, slots=True)
class Exposure:
    """How sure we are that a trace ran on a change: `share` is 1 for yes, 0 for no."""

    basis: Basis
    share: float


@dataclass(frozen=True, slots=True)
class ExposureMatrix:
    """Exposure of every trace or cell (rows) to every change (columns, in the order given).

    `shares` are 0 to 1; `basis` are positions in BASES.
    """

    shares: Floats
    basis: npt.NDArray[np.uint8]


def rollout_share(change: ChangeRecord, moment: datetime, facets: Mapping[str, str]) -> float:
    """Share of the change's own scope that it had reached at `moment`, 0 to 1, by its log alone.

    Instant: all from `until`. Canary: its share from `at`, all from `until`. Ramp: linear between them.
    Staged: the first stage at `at`, the last at `until`, the others evenly between; a trace that does not
    record the stage facet gets the share of the stages begun, a stage that is not in the list comes last.
    """
    if moment >= change.until:
        return 1.0
    if moment < change.at or change.rollout == "instant":
        return 0.0
    if change.rollout == "canary":
        return DEFAULT_CANARY_SHARE if change.canary_share is None else change.canary_share
    done = (moment - change.at) / (change.until - change.at)
    if change.rollout == "ramp":
        return done
    starts = _stage_starts(change)
    stage = facets.get(change.stage_facet or "")
    if stage is None:
        return sum(done >= start for start in starts.values()) / max(len(starts), 1)
    return 1.0 if done >= starts.get(stage, 1.0) else 0.0


def exposure(change: ChangeRecord, trace: TraceRecord, log: Sequence[ChangeRecord] = ()) -> Exposure:
    """Exposure of one trace to one change.

    `log` holds the other changes of the feature: without them a later version cannot be told from an unknown one.
    """
    in_scope = scope_share(change, trace.facets)
    if in_scope == 0.0:
        return Exposure("outside", 0.0)
    lineage = _lineage(change, trace.facets, log)
    states = version_states(lineage)
    version = trace.facets.get(change.facet) if change.facet and change.to_version else None
    if version is not None:
        visits = states_of_version(states, version)
        if not visits or change.id not in visit_at(visits, trace.timestamp).holds:
            return Exposure("observed", 0.0)
        return Exposure("observed" if in_scope == 1.0 else "expected", in_scope)
    share = in_scope * rollout_share(change, trace.timestamp, trace.facets)
    for later, keeps in _later(change, lineage, states):
        reached = scope_share(later, trace.facets) * rollout_share(later, trace.timestamp, trace.facets)
        share += (float(keeps) - share) * reached
    return Exposure("inferred" if share in (0.0, 1.0) else "expected", share)


def exposure_matrix(changes: Sequence[ChangeRecord], traces: Sequence[TraceRecord]) -> ExposureMatrix:
    """`exposure` of every trace to every change, with `changes` as the log."""
    return exposure_of_cells(changes, cells_of_traces(traces))


def exposure_of_cells(changes: Sequence[ChangeRecord], cells: Cells) -> ExposureMatrix:
    """`exposure` of every cell to every change, at the mean time of the cell's traces.

    Cells whose profiles agree on the facets that a change's lineage looks at share one answer up to the clock,
    and the clock is one array operation; so the cost grows with profiles and cells, not with traces.
    """
    size = cells.seconds.size
    shares = np.zeros((size, len(changes)), order="F")
    basis = np.full((size, len(changes)), OUTSIDE, dtype=np.uint8, order="F")
    for column, (share, code) in enumerate(exposure_columns(changes, cells)):
        shares[:, column], basis[:, column] = share, code
    return ExposureMatrix(shares, basis)


@dataclass(slots=True)
class ExposureTotals:
    """What a ledger says of one change: sums over the traces of its exposure.

    `expected` is Σ share. `exposed` and `in_scope` count traces by basis (positions in BASES), those with a share
    above 0 and all that are in scope. `last_observed` is when the last trace ran whose version is recorded (seconds
    since 1970, −∞ without any), `observed_exposed` whether any such trace ran on the change.
    """

    expected: float = 0.0
    exposed: Floats = field(default_factory=lambda: np.zeros(len(BASES)))
    in_scope: Floats = field(default_factory=lambda: np.zeros(len(BASES)))
    last_observed: float = -np.inf
    observed_exposed: bool = False

    def add_step(self, share: float, basis: int, before: int, after: int) -> None:
        """Traces with share 0 `before` a moment and `share` with its basis `after` it, all by the clock."""
        self.in_scope[INFERRED] += before
        self.in_scope[basis] += after
        self.exposed[basis] += after
        self.expected += share * after

    def add(self, shares: Floats, basis: npt.NDArray[np.uint8], seconds: Floats, count: npt.NDArray[np.int64]) -> None:
        """Cells in order of time."""
        running = shares > 0
        self.expected += float(shares @ count)
        self.in_scope += np.bincount(basis, count, len(BASES))
        self.exposed += np.bincount(basis[running], count[running], len(BASES))
        observed = basis == OBSERVED
        if observed.any():
            last = observed.size - 1 - int(np.argmax(observed[::-1]))
            self.last_observed = max(self.last_observed, float(seconds[last]))
            self.observed_exposed |= bool(running[observed].any())


def exposure_totals(changes: Sequence[ChangeRecord], cells: Cells) -> Iterator[ExposureTotals]:
    """The sums of `exposure_columns` change by change, for cells in order of time.

    A change that came at once, with no version to go by, costs one look for its moment in each group of cells.
    """
    held: dict[int, tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}
    for change, parts in _parts(changes, cells):
        totals = ExposureTotals()
        for rows, in_scope, facets, lineage in parts:
            if id(rows) not in held:  # groups live as long as this generator does
                count = cells.count[rows]
                held[id(rows)] = cells.seconds[rows], count, np.concatenate([[0], np.cumsum(count)])
            seconds, count, running = held[id(rows)]
            if lineage is None and (change.rollout == "instant" or change.until <= change.at):
                before = int(running[np.searchsorted(seconds, change.until.timestamp(), side="left")])
                sure = INFERRED if in_scope == 1.0 else EXPECTED
                totals.add_step(in_scope, sure, before, int(running[-1]) - before)
            else:
                totals.add(*_of_part(change, in_scope, facets, lineage, seconds), seconds, count)
        yield totals


def exposure_columns(changes: Sequence[ChangeRecord], cells: Cells) -> Iterator[tuple[Floats, npt.NDArray[np.uint8]]]:
    """`exposure_of_cells` change by change, as (shares, basis): a thousand changes need no more memory than one."""
    size = cells.seconds.size
    for change, parts in _parts(changes, cells):
        shares, basis = np.zeros(size), np.full(size, OUTSIDE, dtype=np.uint8)
        for rows, in_scope, facets, lineage in parts:
            shares[rows], basis[rows] = _of_part(change, in_scope, facets, lineage, cells.seconds[rows])
        yield shares, basis


def _parts(changes: Sequence[ChangeRecord], cells: Cells) -> Iterator[tuple[ChangeRecord, list[_Part]]]:
    """Each change with the groups of cells in its scope."""
    groups, lineages = _Groups(changes, cells), _Lineages(changes)
    versioned: dict[str, list[ChangeRecord]] = {}
    for change in changes:
        if change.facet and change.to_version:
            versioned.setdefault(change.facet, []).append(change)
    for change in changes:
        is_versioned = bool(change.facet and change.to_version)
        peers = versioned[change.facet or ""] if is_versioned else [change]
        parts: list[_Part] = []
        for number, (facets, rows) in enumerate(groups.of(peers) if cells.seconds.size else ()):
            if in_scope := scope_share(change, facets):
                lineage = lineages.of(change.facet or "", number, facets) if is_versioned else None
                parts.append((rows, in_scope, facets, lineage))
        yield change, parts


def _of_part(
    change: ChangeRecord, in_scope: float, facets: Mapping[str, str], lineage: _Lineage | None, seconds: Floats
) -> tuple[Floats, npt.NDArray[np.uint8]]:
    if lineage is not None:
        return _of_version(change, in_scope, facets, lineage, seconds)
    return _by_clock(in_scope * _rollout_shares(change, seconds, facets))


def mentioned_values(changes: Sequence[ChangeRecord]) -> dict[str, set[str]]:
    """The facet values that a log speaks of: scopes, stages and versions."""
    values: dict[str, set[str]] = {}
    for change in changes:
        for facet, touched in change.scope.items():
            values.setdefault(facet, set()).update(touched)
        if change.stage_facet:
            values.setdefault(change.stage_facet, set()).update(change.stage_order)
        if change.facet and change.to_version:
            values.setdefault(change.facet, set()).update((change.to_version, change.from_version or ""))
    return values


def scope_shares(change: ChangeRecord, cells: Cells) -> Floats:
    """`scope_share` of every profile of the cells."""
    share = np.ones(len(cells.profiles))
    outside = np.zeros(share.size, dtype=np.bool_)
    for facet, touched in change.scope.items():
        codes, values = cells.codes(facet)
        inside = np.array([*(value in touched for value in values), True], dtype=np.bool_)
        outside |= ~inside[codes]
        share[codes < 0] = UNKNOWN_SCOPE_SHARE
    return np.where(outside, 0.0, share)


def clock_shares(change: ChangeRecord, cells: Cells, shifts: Sequence[float]) -> list[Floats]:
    """Exposure of every cell by scope and clock alone, had the change come so many seconds after its log's times."""
    in_scope = scope_shares(change, cells)[cells.profile]
    stage = change.stage_facet if change.rollout == "staged" else None
    places: list[_Group] = [({}, np.flatnonzero(in_scope > 0))]
    if stage is not None:
        codes, values = cells.codes(stage)
        places = [
            (
                {stage: values[code]} if code >= 0 else {},
                np.flatnonzero((codes[cells.profile] == code) & (in_scope > 0)),
            )
            for code in range(-1, len(values))
        ]
    shifted = []
    for shift in shifts:
        column = np.zeros(cells.seconds.size)
        for facets, rows in places:
            column[rows] = in_scope[rows] * _rollout_shares(change, cells.seconds[rows] - shift, facets)
        shifted.append(column)
    return shifted


def _of_version(
    change: ChangeRecord,
    in_scope: float,
    facets: Mapping[str, str],
    lineage: _Lineage,
    seconds: Floats,
) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Shares and basis of cells with the same facets, for a change that moves a version."""
    entries, states = lineage
    version = facets.get(change.facet or "")
    if version is not None:
        share = in_scope * _held_over_time(change.id, states_of_version(states, version), seconds)
        sure = OBSERVED if in_scope == 1.0 else EXPECTED
        return share, np.where(share > 0.0, sure, OBSERVED).astype(np.uint8)
    share = in_scope * _rollout_shares(change, seconds, facets)
    for later, keeps in _later(change, entries, states):
        reached = scope_share(later, facets) * _rollout_shares(later, seconds, facets)
        share = share + (float(keeps) - share) * reached
    return _by_clock(share)


def _by_clock(share: Floats) -> tuple[Floats, npt.NDArray[np.uint8]]:
    return share, np.where((share == 0.0) | (share == 1.0), INFERRED, EXPECTED).astype(np.uint8)


def _lineage(change: ChangeRecord, facets: Mapping[str, str], log: Sequence[ChangeRecord]) -> list[ChangeRecord]:
    if not (change.facet and change.to_version):
        return [change]
    others = log if any(entry.id == change.id for entry in log) else (*log, change)
    return _entries(change.facet, facets, others)


def _entries(facet: str, facets: Mapping[str, str], log: Sequence[ChangeRecord]) -> list[ChangeRecord]:
    return in_log_order(
        entry for entry in log if entry.facet == facet and entry.to_version and scope_share(entry, facets)
    )


def _later(
    change: ChangeRecord, lineage: Sequence[ChangeRecord], states: Sequence[VersionState]
) -> list[tuple[ChangeRecord, bool]]:
    """Entries after `change` in its lineage, and whether the version they bring still holds it."""
    position = next(index for index, entry in enumerate(lineage) if entry.id == change.id)
    holds = {state.change_id: state.holds for state in states}
    return [(entry, change.id in holds[entry.id]) for entry in lineage[position + 1 :]]


def _stage_starts(change: ChangeRecord) -> dict[str, float]:
    """When each stage begins, as a fraction of the rollout from 0 (`at`) to 1 (`until`)."""
    gaps = max(len(change.stage_order) - 1, 1)
    return {stage: index / gaps for index, stage in enumerate(change.stage_order)}


def _rollout_shares(change: ChangeRecord, seconds: Floats, facets: Mapping[str, str]) -> Floats:
    """`rollout_share` for many moments (seconds since 1970, UTC) of traces with the same facets."""
    begun, complete = change.at.timestamp(), change.until.timestamp()
    if change.rollout == "instant" or complete <= begun:
        return (seconds >= complete).astype(float)
    done = (seconds - begun) / (complete - begun)
    if change.rollout == "canary":
        part = np.full_like(seconds, DEFAULT_CANARY_SHARE if change.canary_share is None else change.canary_share)
    elif change.rollout == "ramp":
        part = done
    else:
        starts = _stage_starts(change)
        stage = facets.get(change.stage_facet or "")
        if stage is None:
            part = np.sum([done >= start for start in starts.values()], axis=0) / max(len(starts), 1)
        else:
            part = (done >= starts.get(stage, 1.0)).astype(float)
    return np.where(seconds >= complete, 1.0, np.where(seconds < begun, 0.0, part))


def _held_over_time(change_id: str, visits: Sequence[VersionState], seconds: Floats) -> Floats:
    """1.0 where the visit (see `visit_at`) that a moment falls into holds the change, else 0.0."""
    if not visits:
        return np.zeros_like(seconds)
    held = np.full_like(seconds, float(change_id in visits[0].holds))
    for visit in visits[1:]:
        begun = True if visit.since is None else seconds >= visit.since.timestamp()
        held = np.where(begun, float(change_id in visit.holds), held)
    return held


class _Lineages:
    """The lineage of each version facet in each group of cells, worked out once for all changes of the facet."""

    def __init__(self, changes: Sequence[ChangeRecord]) -> None:
        self._changes = changes
        self._known: dict[tuple[str, int], _Lineage] = {}

    def of(self, facet: str, group: int, facets: Mapping[str, str]) -> _Lineage:
        """Entries of the lineage in the order of the log, and the versions they make."""
        if (facet, group) not in self._known:
            entries = _entries(facet, facets, self._changes)
            self._known[(facet, group)] = entries, version_states(entries)
        return self._known[(facet, group)]


class _Groups:
    """Cells grouped by what a lineage can tell apart. Each facet is encoded once a profile, for all changes."""

    def __init__(self, changes: Sequence[ChangeRecord], cells: Cells) -> None:
        self._cells = cells
        values = mentioned_values(changes)
        # 0: not recorded; 1: a value that no log mentions; one code for each value that some log does.
        self._sizes = {facet: len(mentioned) + 2 for facet, mentioned in values.items()}
        self._codes = {facet: self._encode(facet, mentioned) for facet, mentioned in values.items()}
        self._known: dict[tuple[str, ...], list[_Group]] = {}

    def of(self, peers: Sequence[ChangeRecord]) -> "list[_Group]":
        """The groups that the logs of `peers` can tell apart: facets of each, and its rows."""
        names: set[str] = {peer.stage_facet for peer in peers if peer.stage_facet}
        for peer in peers:
            names.update(peer.scope)
            if peer.facet and peer.to_version:
                names.add(peer.facet)
        named = tuple(sorted(names))
        if named not in self._known:
            self._known[named] = self._group(named)
        return self._known[named]

    def _encode(self, facet: str, mentioned: set[str]) -> npt.NDArray[np.int64]:
        code = {value: number for number, value in enumerate(sorted(mentioned), start=2)}
        codes, values = self._cells.codes(facet)
        return np.array([*(code.get(value, 1) for value in values), 0], dtype=np.int64)[codes]

    def _group(self, names: Sequence[str]) -> "list[_Group]":
        profiles = self._cells.profiles
        key = np.zeros(len(profiles), dtype=np.int64)
        for name in names:
            # Renumbered after each facet, so that no number of facets overflows.
            key = np.unique(key * self._sizes[name] + self._codes[name], return_inverse=True)[1].reshape(-1)
        of_row = key[self._cells.profile]
        order = np.argsort(of_row, kind="stable")
        starts = np.flatnonzero(np.diff(of_row[order], prepend=-1))
        groups: list[_Group] = []
        for rows in np.split(order, starts[1:]):
            facets = profiles[self._cells.profile[rows[0]]]
            groups.append(({name: facets[name] for name in names if name in facets}, rows))
        return groups
