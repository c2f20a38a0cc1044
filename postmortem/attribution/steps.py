"""Unlogged steps, of which there are hundreds, without a column each. Pure.

A step is 1[row in a group] · 1[time ≥ start] · sensitivity, tried for every group at every start. Between two starts
nothing tells the steps of a group apart, so the rows are kept as slabs (group × span between starts, sparse), and
every sum over a step is a running sum over its group's slabs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class StepColumns:
    """All steps that hold any row. Column `kept[i]` // `starts` is a group, % `starts` one of its starts."""

    slabs: sparse.csr_array  # rows × (groups · starts)
    starts: int
    kept: npt.NDArray[np.intp]

    def over_slabs(self, sums: Floats) -> Floats:
        """Turn sums over slabs (first axis) into sums over steps."""
        shape = (-1, self.starts, *sums.shape[1:])
        return np.asarray(np.cumsum(sums.reshape(shape), axis=1).reshape(sums.shape)[self.kept])

    def on_slabs(self, vector: Floats) -> Floats:
        """What a vector over the steps puts on each slab: a step holds its start's slab and all later ones."""
        full = np.zeros(self.slabs.shape[1])
        full[self.kept] = vector
        later = full.reshape(-1, self.starts)[:, ::-1]
        return np.asarray(np.cumsum(later, axis=1)[:, ::-1].reshape(-1))

    def times(self, vector: Floats) -> Floats:
        """Xᵀv of all steps."""
        return self.over_slabs(np.asarray(self.slabs.T @ vector))

    def rows(self, number: int) -> Masks:
        """The rows that one step touches."""
        group, start = divmod(int(self.kept[number]), self.starts)
        first = group * self.starts
        return np.asarray(self.slabs[:, first : first + start + 1].sum(axis=1)).reshape(-1) > 0


def step_columns(*, seconds: Floats, starts: Floats, groups: Sequence[Masks], sensitivity: Floats) -> StepColumns:
    """Steps of every group at every start (seconds since 1970, the latest first)."""
    # The slab of a row: how many starts come after it. Rows before the first start are in none.
    slab = np.searchsorted(-starts, -seconds, side="left")
    inside = slab < starts.size
    rows, places = [], []
    for number, group in enumerate(groups):
        chosen = np.flatnonzero(group & inside)
        rows.append(chosen)
        places.append(slab[chosen] + number * starts.size)
    row, place = np.concatenate(rows), np.concatenate(places)
    width = len(groups) * starts.size
    slabs = sparse.csr_array((sensitivity[row], (row, place)), shape=(seconds.size, width))
    counts = np.bincount(place, minlength=width).reshape(len(groups), starts.size).cumsum(axis=1)
    return StepColumns(slabs, int(starts.size), np.flatnonzero(counts.reshape(-1)))


def no_steps(rows: int) -> StepColumns:
    """No step at all."""
    return StepColumns(sparse.csr_array((rows, 0)), 1, np.zeros(0, dtype=np.intp))
