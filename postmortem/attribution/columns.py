"""Cells as columns: one array a fact, facet values coded once. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from postmortem.attribution.intervals import Moments
from postmortem.traces.cells import Cells

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Facet:
    """One facet of every row: position in `values`, −1 where it was not recorded."""

    codes: Codes
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """Traces that have the signal, oldest first: a row is a cell of `count` traces, often of one.

    `seconds` count from 1970 (UTC), `signal` is the mean of the row in the signal's own unit, `squares` its Σy².
    """

    cells: Cells
    seconds: Floats
    count: Floats
    signal: Floats
    squares: Floats
    facets: Mapping[str, Facet]
    is_binary: bool  # whether the signal takes no values but 0 and 1

    @property
    def trace_count(self) -> int:
        """How many traces the rows hold."""
        return int(self.count.sum())

    def between(self, start: float, end: float) -> Rows:
        """Mask of rows with start ≤ time < end."""
        return (self.seconds >= start) & (self.seconds < end)

    def moments(self, rows: Rows | slice) -> Moments:
        """Count, sum and sum of squares of some rows."""
        count = self.count[rows]
        return Moments(int(count.sum()), float((count * self.signal[rows]).sum()), float(self.squares[rows].sum()))

    def first(self, rows: int) -> "Columns":
        """The first so many rows."""
        return Columns(
            self.cells.rows(slice(rows)), self.seconds[:rows], self.count[:rows], self.signal[:rows],
            self.squares[:rows],
            {name: Facet(facet.codes[:rows], facet.values) for name, facet in self.facets.items()},
            self.is_binary,
        )  # fmt: skip


def to_columns(cells: Cells) -> Columns:
    """Cells of one signal, in order of time, with their facets coded."""
    facets = {}
    for name in cells.facet_names():
        codes, values = cells.codes(name)
        facets[name] = Facet(codes[cells.profile], values)
    count = cells.count.astype(np.float64)
    # For 0 and 1 alone Σy² = Σy, and no other values between them keep that.
    within = bool((cells.total >= 0).all() and (cells.total <= count).all())
    binary = within and bool((np.abs(cells.total_squares - cells.total) <= 1e-9 * np.maximum(count, 1)).all())
    return Columns(cells, cells.seconds, count, cells.total / np.maximum(count, 1), cells.total_squares, facets, binary)


def combine(parts: Sequence[Codes], size: int) -> tuple[npt.NDArray[np.intp], int]:
    """Number the combinations of several codes from 0; returns the number of each row and how many there are."""
    joint = np.zeros(size, dtype=np.int64)
    for codes in parts:
        joint = joint * (int(codes.max(initial=-1)) + 2) + (codes + 1)
    _, numbers = np.unique(joint, return_inverse=True)
    return numbers.astype(np.intp), int(numbers.max(initial=-1)) + 1
