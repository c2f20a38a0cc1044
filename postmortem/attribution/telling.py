"""Which facets a case has to tell apart: what the join asks about, and what traffic can be grouped by. Pure."""

from collections.abc import Sequence

from postmortem.attribution.baseline import MAX_GROUP_VALUES
from postmortem.changes.records import ChangeRecord
from postmortem.changes.telling import FEW_VALUES, FacetColumns, telling_facets
from postmortem.traces.columns import FacetCodes, kept_apart

# Under this share of the traces the most frequent values of a facet group nothing (baseline.usable_groups asks for
# half); the margin is for cases that hold but a part of the traces.
_GROUPS_NOTHING = 0.4


def case_facets(changes: Sequence[ChangeRecord], columns: FacetColumns) -> dict[str, FacetCodes]:
    """The facets of a case's cells. An id that no change names splits every cell and explains none, so it is left out;
    of other facets the rare values count as not recorded, as they do in the baseline.
    """
    found = telling_facets(changes, columns)
    for name in columns.facet_names():
        if name in found:
            continue
        facet = columns.facet(name)
        if len(facet.values) > FEW_VALUES:
            counts = sorted(facet.counts(), reverse=True)
            if sum(counts[:MAX_GROUP_VALUES]) < _GROUPS_NOTHING * facet.codes.size:
                continue
        found[name] = kept_apart(facet, FEW_VALUES)
    return found
