"""The join read the other way: what the logs claim and no trace shows, what the traces show and no log mentions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import lgamma, log

import numpy as np
import numpy.typing as npt

from postmortem.changes.exposure import OUTSIDE, ExposureMatrix, ExposureTotals, exposure_of_cells, scope_shares
from postmortem.changes.lineage import scope_share
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer
from postmortem.traces.cells import Cells, cells_of_traces
from postmortem.traces.records import TraceRecord

Codes = npt.NDArray[np.int32]

# In which layer a moved version lies, and the facet whose value names the thing that has the version.
VERSION_FACETS: Mapping[str, tuple[Layer, str | None]] = {
    "prompt_version": (Layer.PROMPT, "prompt"),
    "tool_schema": (Layer.PROMPT, "prompt"),
    "model": (Layer.MODEL, "prompt"),
    "model_served": (Layer.MODEL, "model"),
    "model_version": (Layer.MODEL, "model"),
    "index_version": (Layer.RETRIEVAL, "index"),
    "encoder": (Layer.RETRIEVAL, "index"),
    "release": (Layer.INFRASTRUCTURE, None),
    "judge_version": (Layer.INFRASTRUCTURE, None),
}
FEWEST_TRACES = 5  # a version seen less often says too little
LARGEST_CHANCE = 1e-6  # that a version which was there all along stayed unseen for so long
RECENT_TRACES = 200  # that tell which version ran before a new one
KIND_OF_TRAFFIC = ("environment", "region", "segment")


@dataclass(frozen=True, slots=True)
class NeverObserved:
    """A logged change that reached no trace, so it cannot be a cause; `reason` is one sentence.

    `came_later`: it began after the last of the traces compared, and may have reached others.
    """

    change_id: str
    layer: Layer
    reason: str
    came_later: bool = False


@dataclass(frozen=True, slots=True)
class VersionMove:
    """A version that appeared in the traces (first at `at`, in `trace_count` of them) and is in no log.

    `scope` names whose version it is, e.g. {"prompt": "answer"}; empty when it is everybody's.
    """

    facet: str
    layer: Layer
    from_version: str
    to_version: str
    at: datetime
    trace_count: int
    scope: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Both lists, in the order of the log and of time."""

    never_observed: list[NeverObserved]
    never_logged: list[VersionMove]


def reconcile(changes: Sequence[ChangeRecord], traces: Sequence[TraceRecord]) -> Reconciliation:
    """Compare change logs with traces, both ways. Without traces nothing can be said: both lists are empty."""
    return reconcile_cells(changes, cells_of_traces(sorted(traces, key=lambda trace: trace.timestamp)))


def reconcile_cells(
    changes: Sequence[ChangeRecord], cells: Cells, exposures: ExposureMatrix | None = None
) -> Reconciliation:
    """`reconcile` of cells in order of time; `exposures` are those of the cells, if somebody has them already."""
    if not cells.seconds.size:
        return Reconciliation([], [])
    matrix = exposures or exposure_of_cells(changes, cells)
    missing = [
        never_observed(change, cells, matrix.shares[:, column], matrix.basis[:, column])
        for column, change in enumerate(changes)
    ]
    return Reconciliation([one for one in missing if one], never_logged(changes, cells))


def never_observed(
    change: ChangeRecord, cells: Cells, shares: npt.NDArray[np.float64], basis: npt.NDArray[np.uint8]
) -> NeverObserved | None:
    """The change with the reason why it reached no trace, None where it reached one; `shares`: its exposure."""
    totals = ExposureTotals()
    inside = basis != OUTSIDE
    totals.add(shares[inside], basis[inside], cells.seconds[inside], cells.count[inside])
    return never_observed_of(change, cells, totals)


def never_observed_of(change: ChangeRecord, cells: Cells, totals: ExposureTotals) -> NeverObserved | None:
    """`never_observed` by the sums of the change's exposure."""
    # Where traces record the version, they alone decide; the clock is for those that do not.
    recorded_since = totals.last_observed >= change.at.timestamp()
    if totals.observed_exposed if recorded_since else totals.exposed.any():
        return None
    in_scope = bool(totals.in_scope.any())
    came_later = in_scope and change.at.timestamp() > float(cells.seconds[-1])
    return NeverObserved(change.id, change.layer, _reason(change, cells, in_scope=in_scope), came_later)


def _day_and_time(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at.day} {at:%b %Y %H:%M} UTC"


def _reason(change: ChangeRecord, cells: Cells, *, in_scope: bool) -> str:
    if not in_scope:
        return f"No trace is in its scope ({_scope_text(change.scope)})."
    last = float(cells.seconds[-1])
    if change.at.timestamp() > last:
        return f"It came after the last trace compared ({_day_and_time(last)})."
    if change.facet and change.to_version:
        of = f" of {_scope_text(change.scope)}" if change.scope else ""
        if bool(((cells.codes(change.facet)[0] >= 0) & (scope_shares(change, cells) > 0)).any()):
            return f"No trace runs on {change.facet} {change.to_version}{of} or on a later one that holds it."
    return "No trace meets its scope and time."


def _scope_text(scope: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{facet} = {' or '.join(values)}" for facet, values in scope.items())


def never_logged(changes: Sequence[ChangeRecord], cells: Cells) -> list[VersionMove]:
    """Versions that appeared in the cells (in order of time) and are in no log."""
    moves: list[VersionMove] = []
    kinds = _kinds(cells)
    for facet, (layer, owner) in version_facets(changes).items():
        codes, versions = cells.codes(facet)
        if len(versions) < 2:
            continue
        logged = [change for change in changes if change.facet == facet and change.to_version]
        owners, names = cells.codes(owner) if owner else (np.full(codes.size, -1, dtype=np.int32), ())
        version, owned = codes[cells.profile], owners[cells.profile]
        for code in np.unique(owned[version >= 0]):
            scope = {owner: names[code]} if owner and code >= 0 else {}
            known = {change.to_version for change in logged if scope_share(change, scope)}
            rows = np.flatnonzero((version >= 0) & (owned == code))
            for first, before, after, count in _new_versions(version[rows], kinds[rows], cells.count[rows]):
                if versions[after] not in known:
                    at = datetime.fromtimestamp(float(cells.seconds[rows[first]]), UTC)
                    moves.append(VersionMove(facet, layer, versions[before], versions[after], at, count, scope))
    return sorted(moves, key=lambda move: (move.at, move.facet, move.to_version))


def version_facets(changes: Iterable[ChangeRecord]) -> dict[str, tuple[Layer, str | None]]:
    """The known version facets, and those that only a log names (whole feature, in the log's layer)."""
    facets = dict(VERSION_FACETS)
    for change in changes:
        if change.facet and change.to_version:
            facets.setdefault(change.facet, (change.layer, None))
    return facets


def _new_versions(
    versions: Codes, kinds: npt.NDArray[np.intp], count: npt.NDArray[np.int64]
) -> list[tuple[int, int, int, int]]:
    """Versions of one target that were not there at the start: (first row, before, after, traces).

    A version counts as new when, had it been there all along, its first sight would have come as late as
    this with a chance under LARGEST_CHANCE: C(m, k) / C(n, k) for k sightings, all in the last m of n traces.
    Sightings count only in kinds of traffic (environment, region, segment) that were there before it: a
    version that arrives together with new traffic has replaced nothing.
    """
    seen, first_rows = np.unique(versions, return_index=True)
    if seen.size == 1:
        return []
    known_kinds, kind_first = np.unique(kinds, return_index=True)
    first_of_kind = np.zeros(int(known_kinds[-1]) + 1, dtype=np.intp)
    first_of_kind[known_kinds] = kind_first
    totals = np.bincount(versions, count)
    running = np.cumsum(count)
    found = []
    for version, first in zip(seen, first_rows, strict=True):
        if totals[version] < FEWEST_TRACES or first == 0:
            continue
        comparable = first_of_kind[kinds[first:]] < first
        part = count[first:][comparable]
        sightings = int(part[versions[first:][comparable] == version].sum())
        before_count = int(running[first - 1])
        if sightings < FEWEST_TRACES or _log_chance(sightings, int(part.sum()), before_count) > log(LARGEST_CHANCE):
            continue
        recent = int(np.searchsorted(running, before_count - RECENT_TRACES, side="right"))
        before = int(np.bincount(versions[recent:first], count[recent:first]).argmax())
        found.append((int(first), before, int(version), int(totals[version])))
    return found


def _kinds(cells: Cells) -> npt.NDArray[np.intp]:
    """The kind of traffic of every cell, numbered."""
    key = np.zeros(len(cells.profiles), dtype=np.int64)
    for facet in KIND_OF_TRAFFIC:
        codes, values = cells.codes(facet)
        key = np.unique(key * (len(values) + 1) + codes + 1, return_inverse=True)[1].reshape(-1)
    return key[cells.profile].astype(np.intp)


def _log_chance(sightings: int, after: int, before: int) -> float:
    """Natural log of C(after, sightings) / C(before + after, sightings)."""
    total = before + after
    return lgamma(after + 1) - lgamma(after - sightings + 1) - lgamma(total + 1) + lgamma(total - sightings + 1)
