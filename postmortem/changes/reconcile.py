"""The join read the other way: what the logs claim and no trace shows, what the traces show and no log mentions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import lgamma, log

from postmortem.changes.exposure import BASES, exposure_matrix
from postmortem.changes.lineage import scope_share
from postmortem.changes.records import ChangeRecord
from postmortem.lib.clock import format_moment
from postmortem.lib.layers import Layer
from postmortem.traces.records import TraceRecord

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
_KIND_OF_TRAFFIC = ("environment", "region", "segment")


@dataclass(frozen=True, slots=True)
class NeverObserved:
    """A logged change that reached no trace, so it cannot be a cause; `reason` is one sentence."""

    change_id: str
    layer: Layer
    reason: str


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
    if not traces:
        return Reconciliation([], [])
    in_order = sorted(traces, key=lambda trace: trace.timestamp)
    return Reconciliation(_never_observed(changes, in_order), _never_logged(changes, in_order))


def _never_observed(changes: Sequence[ChangeRecord], traces: Sequence[TraceRecord]) -> list[NeverObserved]:
    matrix = exposure_matrix(changes, traces)
    missing = []
    for column, change in enumerate(changes):
        shares, basis = matrix.shares[:, column], matrix.basis[:, column]
        inside = basis != BASES.index("outside")
        observed = basis == BASES.index("observed")
        # Where traces record the version, they alone decide; the clock is for those that do not.
        recorded_since = any(traces[row].timestamp >= change.at for row in observed.nonzero()[0][::-1][:1])
        reached = shares[observed].any() if recorded_since else shares.any()
        if not reached:
            missing.append(NeverObserved(change.id, change.layer, _reason(change, traces, bool(inside.any()))))
    return missing


def _reason(change: ChangeRecord, traces: Sequence[TraceRecord], in_scope: bool) -> str:
    if not in_scope:
        return f"No trace is in its scope ({_scope_text(change.scope)})."
    if change.at > traces[-1].timestamp:
        return f"It came after the last trace ({format_moment(traces[-1].timestamp)})."
    if change.facet and change.to_version:
        of = f" of {_scope_text(change.scope)}" if change.scope else ""
        if any(change.facet in trace.facets and scope_share(change, trace.facets) for trace in traces):
            return f"No trace runs on {change.facet} {change.to_version}{of} or on a later one that holds it."
    return "No trace meets its scope and time."


def _scope_text(scope: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{facet} = {' or '.join(values)}" for facet, values in scope.items())


def _never_logged(changes: Sequence[ChangeRecord], traces: Sequence[TraceRecord]) -> list[VersionMove]:
    moves: list[VersionMove] = []
    for facet, (layer, owner) in _version_facets(changes).items():
        logged = [change for change in changes if change.facet == facet and change.to_version]
        groups: dict[str | None, list[TraceRecord]] = {}
        for trace in traces:
            if facet in trace.facets:
                groups.setdefault(trace.facets.get(owner) if owner else None, []).append(trace)
        for value, group in groups.items():
            scope = {owner: value} if owner and value is not None else {}
            known = {change.to_version for change in logged if scope_share(change, scope)}
            for at, before, after, count in _new_versions(facet, group):
                if after not in known:
                    moves.append(VersionMove(facet, layer, before, after, at, count, scope))
    return sorted(moves, key=lambda move: (move.at, move.facet, move.to_version))


def _version_facets(changes: Iterable[ChangeRecord]) -> dict[str, tuple[Layer, str | None]]:
    """The known version facets, and those that only a log names (whole feature, in the log's layer)."""
    facets = dict(VERSION_FACETS)
    for change in changes:
        if change.facet and change.to_version:
            facets.setdefault(change.facet, (change.layer, None))
    return facets


def _new_versions(facet: str, traces: Sequence[TraceRecord]) -> list[tuple[datetime, str, str, int]]:
    """Versions of one target that were not there at the start: (first seen, before, after, traces).

    A version counts as new when, had it been there all along, its first sight would have come as late as
    this with a chance under LARGEST_CHANCE: C(m, k) / C(n, k) for k sightings, all in the last m of n traces.
    Sightings count only in kinds of traffic (environment, region, segment) that were there before it: a
    version that arrives together with new traffic has replaced nothing.
    """
    first_at: dict[str, int] = {}
    kind_first_at: dict[tuple[str | None, ...], int] = {}
    for position, trace in enumerate(traces):
        first_at.setdefault(trace.facets[facet], position)
        kind_first_at.setdefault(_kind(trace), position)
    if len(first_at) == 1:
        return []
    totals = Counter(trace.facets[facet] for trace in traces)
    found = []
    for version, first in first_at.items():
        if totals[version] < FEWEST_TRACES or first == 0:
            continue
        known_kinds = {kind for kind, position in kind_first_at.items() if position < first}
        comparable = [trace for trace in traces[first:] if _kind(trace) in known_kinds]
        sightings = sum(trace.facets[facet] == version for trace in comparable)
        if sightings < FEWEST_TRACES or _log_chance(sightings, len(comparable), first) > log(LARGEST_CHANCE):
            continue
        before = Counter(trace.facets[facet] for trace in traces[max(0, first - 200) : first])
        found.append((traces[first].timestamp, before.most_common(1)[0][0], version, totals[version]))
    return found


def _kind(trace: TraceRecord) -> tuple[str | None, ...]:
    return tuple([trace.facets.get(facet) for facet in _KIND_OF_TRAFFIC])


def _log_chance(sightings: int, after: int, before: int) -> float:
    """Natural log of C(after, sightings) / C(before + after, sightings)."""
    total = before + after
    return lgamma(after + 1) - lgamma(after - sightings + 1) - lgamma(total + 1) + lgamma(total - sightings + 1)
