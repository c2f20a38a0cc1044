"""Cells: traces that agree on their facets and on a bin of time, as count, sum and sum of squares.

The join and the attribution read nothing else, so their cost does not grow with the number of traces. Three
suppliers make the same cells: records (here), stored traces (stored_cells.py), a metrics endpoint. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from postmortem.traces.records import TraceRecord
from postmortem.traces.signals import signal_value

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BIN_SECONDS = 600
MAX_CELLS = 20_000  # more traces than this are put into bins, the finest that keep to it
BIN_CHOICES = (60, 300, BIN_SECONDS, 1_800, 3_600, 7_200, 14_400)
_Key = tuple[tuple[str, str], ...]


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

    def rows(self, chosen: slice | npt.NDArray[np.generic]) -> "Cells":
        """Some of the cells, with all profiles."""
        return Cells(
            self.profiles, self.profile[chosen], self.start[chosen], self.end[chosen], self.seconds[chosen],
            self.count[chosen], self.total[chosen], self.total_squares[chosen],
        )  # fmt: skip

    def codes(self, facet: str) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
        """One facet of every profile as a position in its values, −1 where the profile does not record it."""
        numbers: dict[str, int] = {}
        found = (profile.get(facet) for profile in self.profiles)
        codes = [-1 if value is None else numbers.setdefault(str(value), len(numbers)) for value in found]
        return np.array(codes, dtype=np.int32), tuple(numbers)


class ProfileNumbers:
    """Numbers distinct sets of facet values from 0, whatever the order in which a trace names them."""

    def __init__(self) -> None:
        self._as_given: dict[_Key, int] = {}
        self._sorted: dict[_Key, int] = {}

    def of(self, facets: Mapping[str, str]) -> int:
        """The number of this set of facet values."""
        key = tuple(facets.items())
        number = self._as_given.get(key)
        if number is None:
            number = self._sorted.setdefault(tuple(sorted(key)), len(self._sorted))
            self._as_given[key] = number
        return number

    def profiles(self) -> tuple[Mapping[str, str], ...]:
        """All of them in the order of their numbers."""
        return tuple(dict(key) for key in self._sorted)


def bin_bounds(seconds: Floats, edges: Floats, bin_seconds: int = BIN_SECONDS) -> tuple[Floats, Floats]:
    """Start and end of the bin of each moment: the regular grid, split at every edge (sorted, seconds since 1970).

    Bins of no width (`bin_seconds` 0) are the moments themselves.
    """
    if bin_seconds == 0:
        return seconds, seconds
    grid = np.floor(seconds / bin_seconds) * bin_seconds
    if not len(edges):
        return grid, grid + bin_seconds
    after = np.searchsorted(edges, seconds, side="right")
    before = np.where(after > 0, edges[np.maximum(after - 1, 0)], -np.inf)
    following = np.where(after < len(edges), edges[np.minimum(after, len(edges) - 1)], np.inf)
    return np.maximum(grid, before), np.minimum(grid + bin_seconds, following)


def cells_of_columns(
    *,
    profiles: tuple[Mapping[str, str], ...],
    profile: npt.NDArray[np.int32],
    seconds: Floats,
    values: Floats,
    edges: Iterable[float] = (),
    bin_seconds: int | None = None,
) -> Cells:
    """Group traces, given as columns, into cells in order of time.

    `edges` are moments (seconds since 1970) at which a bin must end: those at which a change begins or is complete.
    `bin_seconds` 0 gives one cell a trace; None does so up to MAX_CELLS traces, and beyond it takes the finest bins
    of BIN_CHOICES that keep to MAX_CELLS.
    """
    bounds = np.unique(np.array(list(edges), dtype=np.float64))
    if bin_seconds is None:
        bin_seconds = _finest(profile, seconds, bounds)
    if bin_seconds == 0:
        order = np.argsort(seconds, kind="stable")
        moments, ordered = seconds[order], values[order]
        return Cells(
            profiles, profile[order], moments, moments, moments,
            np.ones(order.size, dtype=np.int64), ordered, ordered * ordered,
        )  # fmt: skip
    start, end = bin_bounds(seconds, bounds, bin_seconds)
    group, first = _numbered(profile, start)
    size = first.size
    count = np.bincount(group, minlength=size)
    mean_seconds = np.bincount(group, seconds, size) / np.maximum(count, 1)
    order = np.argsort(mean_seconds, kind="stable")
    return Cells(
        profiles, profile[first][order], start[first][order], end[first][order], mean_seconds[order],
        count[order].astype(np.int64),
        np.bincount(group, values, size)[order].astype(np.float64),
        np.bincount(group, values * values, size)[order].astype(np.float64),
    )  # fmt: skip


def cells_of_records(
    traces: Iterable[TraceRecord], signal: str, *, edges: Iterable[float] = (), bin_seconds: int | None = BIN_SECONDS
) -> Cells:
    """Group records into cells (see `cells_of_columns`); traces without a finite value of the signal are left out."""
    numbers = ProfileNumbers()
    rows = []
    for trace in traces:
        value = signal_value(trace, signal)
        if value is not None and np.isfinite(value):
            rows.append((numbers.of(trace.facets), trace.timestamp.timestamp(), float(value)))
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return cells_of_columns(
        profiles=numbers.profiles(), profile=table[:, 0].astype(np.int32), seconds=table[:, 1], values=table[:, 2],
        edges=edges, bin_seconds=bin_seconds,
    )  # fmt: skip


def cells_of_traces(traces: Sequence[TraceRecord]) -> Cells:
    """One cell a trace, in the order given and without a signal: what a join of single traces needs."""
    numbers = ProfileNumbers()
    profile = np.array([numbers.of(trace.facets) for trace in traces], dtype=np.int32)
    seconds = np.array([trace.timestamp.timestamp() for trace in traces], dtype=np.float64)
    nothing = np.zeros(len(traces))
    return Cells(
        numbers.profiles(), profile, seconds, seconds, seconds, np.ones(len(traces), dtype=np.int64), nothing, nothing
    )


def _finest(profile: npt.NDArray[np.int32], seconds: Floats, bounds: Floats) -> int:
    if seconds.size <= MAX_CELLS:
        return 0
    for bin_seconds in BIN_CHOICES:
        start, _ = bin_bounds(seconds, bounds, bin_seconds)
        if _numbered(profile, start)[1].size <= MAX_CELLS:
            return bin_seconds
    return BIN_CHOICES[-1]


def _numbered(profile: npt.NDArray[np.int32], start: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The cell number of every trace, and the first trace of every cell."""
    _, bins = np.unique(start, return_inverse=True)
    key = bins.reshape(-1).astype(np.int64) * (int(profile.max(initial=0)) + 1) + profile
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return group.reshape(-1), first
