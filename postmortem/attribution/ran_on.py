"""The version tuple before and during the incident: what the answers ran on in each window. Pure."""

from collections.abc import Sequence

import numpy as np

from postmortem.attribution.columns import Columns, Facet
from postmortem.attribution.shapes import VersionRow, VersionWindow, WindowLevel
from postmortem.changes.reconcile import version_facets
from postmortem.changes.records import ChangeRecord
from postmortem.lib.layers import Layer

MOST_VALUES = 5


def versions_ran(
    columns: Columns, changes: Sequence[ChangeRecord], before: WindowLevel, after: WindowLevel
) -> tuple[VersionRow, ...]:
    """Each version facet that traces of the two windows record, in the order of the layers.

    Values are counted in traces that carry the signal; the rarest beyond MOST_VALUES of a window are only counted.
    """
    order = list(Layer)
    rows = []
    for name, (layer, _) in sorted(version_facets(changes).items(), key=lambda pair: order.index(pair[1][0])):
        if facet := columns.facets.get(name):
            windows = [_window(columns, facet, span) for span in (before, after)]
            if any(window.values for window in windows):
                rows.append(VersionRow(name, layer, *windows))
    return tuple(rows)


def _window(columns: Columns, facet: Facet, span: WindowLevel) -> VersionWindow:
    rows = columns.between(span.start.timestamp(), span.end.timestamp())
    count, codes = columns.count[rows], facet.codes[rows]
    recorded = codes >= 0
    totals = np.bincount(codes[recorded], count[recorded], minlength=len(facet.values)).astype(int)
    seen = [int(place) for place in np.argsort(-totals, kind="stable") if totals[place]]
    values = tuple((facet.values[place], int(totals[place])) for place in seen[:MOST_VALUES])
    return VersionWindow(int(count.sum()), values, len(seen) - len(values), int(count[~recorded].sum()))
