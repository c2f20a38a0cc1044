"""Which facets the join has to tell apart. What no log entry asks about stays out of the cells. Pure."""

from collections.abc import Sequence
from typing import Protocol

from postmortem.changes.exposure import mentioned_values
from postmortem.changes.reconcile import KIND_OF_TRAFFIC, VERSION_FACETS
from postmortem.changes.records import ChangeRecord
from postmortem.traces.columns import FacetCodes, kept_apart

MOST_VERSIONS = 2_000  # values of a version facet; one with more is an id
FEW_VALUES = 40  # of a facet that only scopes name; beyond them, values that no scope names are one
ALL_OTHERS = "(all others)"


class FacetColumns(Protocol):
    """Traces whose facets can be asked for by name."""

    def facet_names(self) -> list[str]: ...

    def facet(self, name: str) -> FacetCodes: ...


def telling_facets(changes: Sequence[ChangeRecord], columns: FacetColumns) -> dict[str, FacetCodes]:
    """The facets by which exposure and reconciliation differ.

    All versions stand for themselves. A facet that only scopes or stages name is told apart as far as they name its
    values, for a trace with any other value is outside of all of them alike.
    """
    versions, named = _versions(changes), mentioned_values(changes)
    found = {}
    for name in columns.facet_names():
        if name in versions:
            found[name] = kept_apart(columns.facet(name), MOST_VERSIONS, named.get(name, ()))
        elif name in named:
            facet = columns.facet(name)
            few = len(facet.values) <= FEW_VALUES
            found[name] = facet if few else kept_apart(facet, 0, named[name], ALL_OTHERS)
    return found


def _versions(changes: Sequence[ChangeRecord]) -> set[str]:
    owners = {owner for _, owner in VERSION_FACETS.values() if owner}
    moved = {change.facet for change in changes if change.facet and change.to_version}
    return {*VERSION_FACETS, *owners, *KIND_OF_TRAFFIC, *moved}
