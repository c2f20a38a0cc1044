"""Cells: traces that agree on their facets and on a bin of time, as count, sum and sum of squares.

The join and the attribution read nothing else, so their cost does not grow with the number of traces. Three
suppliers make the same cells: pure records (here), the fact table (selectors.py), and a metrics endpoint. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from postmortem.traces.records import TraceRecord
from postmortem.traces.signals import signal_value

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BIN_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one signal in order of time. All arrays have one entry a cell.

    `profile` is a position in `profiles` (facet name to value; a name missing: not recorded). `start` and `end` are
    the bounds of the cell's bin and `seconds` the mean time of its traces, all seconds since 1970 (UTC). `count`,
    `total` and `total_squares` are n, Σy and Σy² over its traces, y in the signal's own unit.
    """

    profiles: tuple[Mapping[str, str], ...]
    profile: npt.NDArray[np.int32]
    start: Floats
    end: Floats
    seconds: Floats
    count: Ints
    total: Floats
    total_squares: Floats

    @property
    def trace_count(self) -> int:
        """How many traces are in the cells."""
        return int(self.count.sum())


def bin_bounds(seconds: Floats, edges: Floats, bin_seconds: int = BIN_SECONDS) -> tuple[Floats, Floats]:
    """Start and end of the bin of each moment: the regular grid, split at every edge (sorted, seconds since 1970)."""
    grid = np.floor(seconds / bin_seconds) * bin_seconds
    if not len(edges):
        return grid, grid + bin_seconds
    after = np.searchsorted(edges, seconds, side="right")
    before = np.where(after > 0, edges[np.maximum(after - 1, 0)], -np.inf)
    following = np.where(after < len(edges), edges[np.minimum(after, len(edges) - 1)], np.inf)
    return np.maximum(grid, before), np.minimum(grid + bin_seconds, following)


def cells_of_records(
    traces: Iterable[TraceRecord], signal: str, *, edges: Iterable[float] = (), bin_seconds: int = BIN_SECONDS
) -> Cells:
    """Group records into cells; traces without a finite value of the signal are left out.

    `edges` are moments (seconds since 1970) at which a bin must end: those at which a change begins or is complete.
    """
    numbers: dict[tuple[tuple[str, str], ...], int] = {}
    rows = []
    for trace in traces:
        value = signal_value(trace, signal)
        if value is not None and np.isfinite(value):
            key = tuple(sorted(trace.facets.items()))
            rows.append((numbers.setdefault(key, len(numbers)), trace.timestamp.timestamp(), float(value)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    seconds, values = table[:, 1], table[:, 2]
    start, end = bin_bounds(seconds, np.unique(np.array(list(edges), dtype=np.float64)), bin_seconds)
    keys = np.column_stack([start, table[:, 0]])
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    group = group.reshape(-1)
    count = np.bincount(group, minlength=len(first))
    return Cells(
        profiles=tuple(dict(key) for key in numbers),
        profile=table[first, 0].astype(np.int32),
        start=start[first],
        end=end[first],
        seconds=np.bincount(group, seconds, len(first)) / np.maximum(count, 1),
        count=count.astype(np.int64),
        total=np.bincount(group, values, len(first)).astype(np.float64),
        total_squares=np.bincount(group, values * values, len(first)).astype(np.float64),
    )
