"""XᵀWX and XᵀMX of a thousand columns, of which only products with vectors and small parts are read. Pure.

The matrices themselves are never written out: XᵀWX is kept as dense × dense, steps × dense and slabs × slabs (slabs
that share no row have no entry), XᵀMX as XᵀWX − HᵀH with H = L⁻¹DᵀWX, one row a control. Single precision: they are
read to three digits.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.linalg import blas

from postmortem.attribution.steps import StepColumns

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]

BLOCK = 256  # columns that are weighted at once, to bound memory


class Products(Protocol):
    """A symmetric matrix of columns × columns."""

    @property
    def diagonal(self) -> Floats: ...

    def times(self, vector: Floats) -> Floats:
        """The matrix times a vector."""
        ...

    def block(self, places: Places) -> Floats:
        """The rows and columns `places` of it."""
        ...


@dataclass(frozen=True, slots=True)
class Overlap:
    """XᵀWX of the dense columns and then the steps."""

    dense: Singles  # w × w
    across: Singles  # steps × w
    slabs: sparse.csr_array  # slabs × slabs
    steps: StepColumns
    diagonal: Floats

    def times(self, vector: Floats) -> Floats:
        """XᵀWX v."""
        width = self.dense.shape[0]
        first, last = vector[:width].astype(np.float32), vector[width:]
        of_dense = self.dense @ first + self.across.T @ last.astype(np.float32)
        of_steps = self.across @ first + self.steps.over_slabs(self.slabs @ self.steps.on_slabs(last))
        return np.concatenate([of_dense, of_steps]).astype(np.float64)

    def block(self, places: Places) -> Floats:
        """Its rows and columns `places`, which are dense ones."""
        return np.asarray(self.dense[np.ix_(places, places)], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Information:
    """XᵀMX: what of XᵀWX the controls leave."""

    overlap: Overlap
    half: Singles  # controls × columns, L⁻¹DᵀWX
    diagonal: Floats

    def times(self, vector: Floats) -> Floats:
        """XᵀMX v."""
        taken = (self.half @ vector.astype(np.float32)) @ self.half
        return np.asarray(self.overlap.times(vector) - taken)

    def block(self, places: Places) -> Floats:
        """Its rows and columns `places`, which are dense ones."""
        half = self.half[:, places]
        return np.asarray(self.overlap.block(places) - half.T @ half)


def information_of(
    *, dense: Floats, steps: StepColumns, weights: Floats, controls: sparse.csr_array, factor: tuple[Floats, bool]
) -> Information:
    """XᵀMX of the dense columns (n × w) and the steps; `factor` is the Cholesky factor of the controls' system."""
    width = dense.shape[1]
    scale = np.sqrt(weights)[:, None]
    root = np.empty(dense.shape, dtype=np.float32)
    shared = np.empty((controls.shape[1], width + steps.kept.size), dtype=np.float32)
    across = np.empty((steps.kept.size, width), dtype=np.float32)
    rooted_controls = _single(controls.multiply(scale))
    rooted_slabs = _single(steps.slabs.multiply(scale))
    for low in range(0, width, BLOCK):
        part = slice(low, min(low + BLOCK, width))
        root[:, part] = dense[:, part] * scale
        shared[:, part] = rooted_controls.T @ root[:, part]
        across[:, part] = steps.over_slabs(rooted_slabs.T @ root[:, part])
    slabs = sparse.csr_array(rooted_slabs.T @ rooted_slabs)
    shared[:, width:] = steps.over_slabs((rooted_slabs.T @ rooted_controls).toarray()).T
    half = linalg.solve_triangular(factor[0].astype(np.float32), shared, lower=True, check_finite=False)
    inner = _squared(root)
    diagonal = np.concatenate([np.diag(inner), steps.over_slabs(slabs.diagonal())]).astype(np.float64)
    overlap = Overlap(inner, across, slabs, steps, diagonal)
    return Information(overlap, half, diagonal - np.einsum("ij,ij->j", half, half))


def _single(matrix: sparse.sparray) -> sparse.csr_array:
    return sparse.csr_array(matrix, dtype=np.float32)


def _squared(root: Singles) -> Singles:
    """AᵀA, each pair multiplied once."""
    if not root.shape[1]:
        return np.zeros((0, 0), dtype=np.float32)
    upper = blas.ssyrk(1.0, root.T)  # the lower half is left at 0
    upper += np.triu(upper, 1).T
    return np.asarray(upper)
