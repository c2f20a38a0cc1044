"""Cells: traces that agree on their facets and on a bin of time, as count, sum and sum of squares.

The join and the attribution read nothing else, so their cost does not grow with the number of traces. Three
suppliers make the same cells: records (here), stored traces (stored_cells.py), a metrics endpoint. Pure.

Only facets that somebody asks about should go into cells: a facet of a thousand tenants splits each into a thousand.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

from postmortem.traces.columns import FacetCodes
from postmortem.traces.records import TraceRecord
from postmortem.traces.signals import signal_value

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BIN_SECONDS = 600
MAX_CELLS = 20_000  # more traces than this are put into bins, the finest that keep to it
BIN_CHOICES = (60, 300, BIN_SECONDS, 1_800, 3_600, 7_200, 14_400)
_Key = tuple[tuple[str, str], ...]
_MOST_COUNTED = 2**22  # numbers up to which counting beats sorting


class Profiles(Sequence[Mapping[str, str]]):
    """Distinct sets of facet values, held facet by facet; a set becomes a mapping when somebody asks for it."""

    def __init__(self, facets: Mapping[str, FacetCodes], size: int) -> None:
        self._facets = facets
        self._size = size

    @classmethod
    def of(cls, sets: Collection[_Key]) -> "Profiles":
        """Hold sets that are given one by one, as pairs of facet and value."""
        codes: dict[str, npt.NDArray[np.int32]] = {}
        numbers: dict[str, dict[str, int]] = {}
        for place, pairs in enumerate(sets):
            for name, value in pairs:
                if name not in codes:
                    codes[name] = np.full(len(sets), -1, dtype=np.int32)
                    numbers[name] = {}
                known = numbers[name]
                codes[name][place] = known.setdefault(value, len(known))
        return cls({name: FacetCodes(codes[name], tuple(numbers[name])) for name in codes}, len(sets))

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, place: int) -> Mapping[str, str]: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Mapping[str, str]]: ...

    def __getitem__(self, place: int | slice) -> Mapping[str, str] | Sequence[Mapping[str, str]]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._size))]
        if not -self._size <= place < self._size:
            raise IndexError(place)
        return {
            name: facet.values[facet.codes[place]] for name, facet in self._facets.items() if facet.codes[place] >= 0
        }

    @property
    def names(self) -> list[str]:
        """The facets that at least one set holds."""
        return list(self._facets)

    def codes(self, facet: str) -> FacetCodes:
        """One facet of every set, with the values that occur."""
        return self._facets.get(facet) or FacetCodes(np.full(self._size, -1, dtype=np.int32), ())


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one signal in order of time. All arrays have one entry a cell.

    `profile` is a position in `profiles` (facet name to value; a name missing: not recorded). `start` and `end` are
    the bounds of the cell's bin and `seconds` the mean time of its traces, all seconds since 1970 (UTC). `count`,
    `total` and `total_squares` are n, Σy and Σy² over its traces, y in the signal's own unit.
    """

    profiles: Sequence[Mapping[str, str]]
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
        if isinstance(self.profiles, Profiles):
            held = self.profiles.codes(facet)
            return held.codes, held.values
        numbers: dict[str, int] = {}
        found = (profile.get(facet) for profile in self.profiles)
        codes = [-1 if value is None else numbers.setdefault(str(value), len(numbers)) for value in found]
        return np.array(codes, dtype=np.int32), tuple(numbers)

    def facet_names(self) -> list[str]:
        """Every facet that a profile records, in the order of first sight."""
        if isinstance(self.profiles, Profiles):
            return self.profiles.names
        return list(dict.fromkeys(name for profile in self.profiles for name in profile))


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

    def profiles(self) -> Profiles:
        """All of them in the order of their numbers."""
        return Profiles.of(self._sorted)


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


def profiles_of(facets: Mapping[str, FacetCodes], size: int) -> tuple[Profiles, npt.NDArray[np.int32]]:
    """The distinct combinations of the facets of `size` rows, and which one each row has."""
    key = np.zeros(size, dtype=np.int64)
    width = 1
    for facet in facets.values():
        key = key * (len(facet.values) + 1) + (facet.codes + 1)
        width *= len(facet.values) + 1
        if width > _MOST_COUNTED:
            # Renumbered, so that no number of facets overflows.
            distinct, key = np.unique(key, return_inverse=True)
            width = distinct.size
    count, profile, first = _renumbered(key, width)
    held = {}
    for name, facet in facets.items():
        used, codes = np.unique(facet.codes[first], return_inverse=True)
        missing = int(used.size > 0 and used[0] < 0)
        if used.size > missing:
            values = tuple(facet.values[code] for code in used[missing:])
            held[name] = FacetCodes((codes.reshape(-1) - missing).astype(np.int32), values)
    return Profiles(held, count), profile.astype(np.int32)


def cells_of_columns(
    *,
    profiles: Sequence[Mapping[str, str]],
    profile: npt.NDArray[np.int32],
    seconds: Floats,
    values: Floats | None = None,
    edges: Iterable[float] = (),
    bin_seconds: int | None = None,
) -> Cells:
    """Group traces, given as columns, into cells in order of time; without `values` the sums are 0.

    `edges` are moments (seconds since 1970) at which a bin must end: those at which a change begins or is complete.
    `bin_seconds` 0 gives one cell a trace; None does so up to MAX_CELLS traces, and beyond it takes the finest bins
    of BIN_CHOICES that keep to MAX_CELLS.
    """
    bounds = np.unique(np.array(list(edges), dtype=np.float64))
    after = np.searchsorted(bounds, seconds, side="right")
    if bin_seconds is None:
        bin_seconds = _finest(profile, seconds, after, len(profiles))
    if bin_seconds == 0:
        order = np.argsort(seconds, kind="stable")
        moments, ordered = seconds[order], np.zeros(order.size) if values is None else values[order]
        return Cells(
            profiles, profile[order], moments, moments, moments,
            np.ones(order.size, dtype=np.int64), ordered, ordered * ordered,
        )  # fmt: skip
    key, width = _numbered(profile, seconds, after, bin_seconds, len(profiles))
    size, group, first = _renumbered(key, width)
    start, end = bin_bounds(seconds[first], bounds, bin_seconds)
    count = np.bincount(group, minlength=size)
    mean_seconds = np.bincount(group, seconds, size) / np.maximum(count, 1)
    order = np.argsort(mean_seconds, kind="stable")
    total = np.zeros(size) if values is None else np.bincount(group, values, size)
    squares = np.zeros(size) if values is None else np.bincount(group, values * values, size)
    return Cells(
        profiles, profile[first][order], start[order], end[order], mean_seconds[order],
        count[order].astype(np.int64), total[order].astype(np.float64), squares[order].astype(np.float64),
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


def _finest(profile: npt.NDArray[np.int32], seconds: Floats, after: npt.NDArray[np.intp], profiles: int) -> int:
    """The finest bins that keep to MAX_CELLS, by halves: finer bins never make fewer cells."""
    if seconds.size <= MAX_CELLS:
        return 0
    low, high = 0, len(BIN_CHOICES) - 1
    while low < high:
        middle = (low + high) // 2
        if _distinct(*_numbered(profile, seconds, after, BIN_CHOICES[middle], profiles)) <= MAX_CELLS:
            high = middle
        else:
            low = middle + 1
    return BIN_CHOICES[low]


def _numbered(
    profile: npt.NDArray[np.int32], seconds: Floats, after: npt.NDArray[np.intp], bin_seconds: int, profiles: int
) -> tuple[Ints, int]:
    """A number for the cell of every trace, and how large the numbers can be; `after` counts the edges passed.

    The place on the grid and the number of edges passed both only grow with time, so their sum names the bin.
    """
    if not seconds.size:
        return np.zeros(0, dtype=np.int64), 0
    grid = np.floor(seconds / bin_seconds).astype(np.int64)
    bins = grid + after
    bins -= bins.min()
    return bins * profiles + profile, (int(bins.max()) + 1) * profiles


def _distinct(key: Ints, width: int) -> int:
    if width <= _MOST_COUNTED:
        return int(np.count_nonzero(np.bincount(key, minlength=1)))
    return int(np.unique(key).size)


def _renumbered(key: Ints, width: int) -> tuple[int, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """How many distinct numbers below `width` there are, the place of each row's among them, and one row of each."""
    if width > _MOST_COUNTED:
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        return first.size, group.reshape(-1), first
    present = np.flatnonzero(np.bincount(key, minlength=1)) if key.size else np.zeros(0, dtype=np.intp)
    places = np.zeros(width, dtype=np.intp)
    places[present] = np.arange(present.size)
    group = places[key]
    first = np.zeros(present.size, dtype=np.intp)
    first[group[::-1]] = np.arange(key.size - 1, -1, -1)
    return present.size, group, first
