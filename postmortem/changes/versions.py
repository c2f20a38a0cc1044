"""The version tuple of a trace: what it says itself, and what the change logs say of its time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from postmortem.changes.exposure import exposure
from postmortem.changes.records import ChangeRecord
from postmortem.traces.facets import VERSION_FACETS
from postmortem.traces.records import TraceRecord

Known = Literal["observed", "inferred", "not known"]


@dataclass(frozen=True, slots=True)
class Version:
    """One versioned facet of a trace.

    `value` is empty when it is not known. Where it is inferred, `change` names the entry of a log that says so and
    `share` how much of such traffic ran on it at that time (1 unless a rollout was under way).
    """

    facet: str
    value: str
    known: Known
    change: str = ""
    share: float = 1.0


def version_tuple(trace: TraceRecord, changes: Sequence[ChangeRecord]) -> list[Version]:
    """Every versioned facet: those of the map, then those that the change logs speak of."""
    logged = sorted({change.facet for change in changes if change.facet and change.to_version})
    names = dict.fromkeys([*VERSION_FACETS, *logged])
    return [_version(name, trace, changes) for name in names]


def _version(facet: str, trace: TraceRecord, changes: Sequence[ChangeRecord]) -> Version:
    if value := trace.facets.get(facet, ""):
        return Version(facet, value, "observed")
    log = sorted((one for one in changes if one.facet == facet and one.to_version), key=lambda one: one.at)
    shares = [(exposure(change, trace, log).share, change) for change in log]
    share, change = max(shares, key=lambda item: (item[0], item[1].at), default=(0.0, None))
    if change is not None and share > 0.5:
        return Version(facet, change.to_version or "", "inferred", change.id, share)
    # Before the first change of a log, or beside a small canary, the version is the one that it came from.
    first = next((one for one in log if one.from_version and (one.until > trace.timestamp or one is change)), None)
    if first is not None:
        return Version(facet, first.from_version or "", "inferred", first.id, 1 - share)
    return Version(facet, "", "not known")
