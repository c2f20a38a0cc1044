"""Which change is inside which version: the order of the versions of one target, with its rollbacks.

The lineage of a trace for one version facet holds the logged changes of that facet whose scope takes the
trace in, in the order of the log. So "one target" is what the scopes say: prompt `answer` has one lineage,
prompt `draft` another, and a release without a scope belongs to everybody's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from postmortem.changes.records import ChangeRecord

UNKNOWN_SCOPE_SHARE = 0.5  # the trace does not say whether it was in scope: a coin's toss


@dataclass(frozen=True, slots=True)
class VersionState:
    """What a target runs on after one entry of the log, and the changes (by id) that are inside.

    `change_id` and `since` name that entry; `change_id` is None
    for a version that no entry brought, `since` is None when it was there before the log begins.
    """

    version: str
    change_id: str | None
    since: datetime | None
    holds: frozenset[str]


def in_log_order(changes: Iterable[ChangeRecord]) -> list[ChangeRecord]:
    """Changes by `at`, then `until`; equal moments keep the order of the log."""
    return sorted(changes, key=lambda change: (change.at, change.until))


def scope_share(change: ChangeRecord, facets: Mapping[str, str]) -> float:
    """1.0 when the change's scope takes in a trace with `facets`, 0.0 when it leaves it out.

    A scope facet that the trace does not record proves nothing either way: UNKNOWN_SCOPE_SHARE.
    """
    share = 1.0
    for facet, touched in change.scope.items():
        value = facets.get(facet)
        if value is None:
            share = UNKNOWN_SCOPE_SHARE
        elif value not in touched:
            return 0.0
    return share


def version_states(lineage: Sequence[ChangeRecord]) -> list[VersionState]:
    """The versions of one target in their order, each with the changes inside it.

    A new version holds its own change and everything before it. A change back to a version that was there
    earlier (or marked as a rollback) holds itself and what *that* version held: whatever came in between
    is over. Two entries for the same version in a row (10 %, then everyone) just add up.
    """
    states: list[VersionState] = []
    held_by: dict[str, frozenset[str]] = {}
    current: frozenset[str] = frozenset()
    for change in lineage:
        if change.to_version is None:
            continue
        before = change.from_version
        if before is not None and before not in held_by:
            held_by[before] = current
            states.append(VersionState(before, None, states[-1].since if states else None, current))
        if change.to_version in held_by:
            current = held_by[change.to_version]
        elif change.is_rollback:
            current = frozenset()
        current |= {change.id}
        held_by[change.to_version] = current
        states.append(VersionState(change.to_version, change.id, change.at, current))
    return states


def states_of_version(states: Sequence[VersionState], version: str) -> list[VersionState]:
    """Every visit of a target to `version`, in order; empty when no log entry speaks of it."""
    return [state for state in states if state.version == version]


def visit_at(visits: Sequence[VersionState], moment: datetime) -> VersionState:
    """Of several visits to one version, the last that had begun at `moment`, else the first."""
    begun = [visit for visit in visits if visit.since is None or visit.since <= moment]
    return begun[-1] if begun else visits[0]
