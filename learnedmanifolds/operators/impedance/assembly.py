"""The stiffness matrix as a linear function of the conductivity, its sparsity worked out once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from learnedmanifolds.operators.impedance.factor import elimination_order
from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh

# Entries of an element's matrix that are zero but for rounding, relative to the largest number.
_NOTHING = 1e-13


class SparseMap(NamedTuple):
    """A sparse matrix with its transpose, both by rows."""

    forward: sp.csr_array
    adjoint: sp.csr_array

    @classmethod
    def of(cls, matrix: sp.sparray) -> SparseMap:
        """Both from one matrix."""
        return cls(sp.csr_array(matrix), sp.csr_array(matrix.T))

    @property
    def transposed(self) -> SparseMap:
        """The map of the transpose."""
        return SparseMap(self.adjoint, self.forward)

    def multiply(self, x: Tensor) -> Tensor:
        """The matrix times many dense ones, (N, n, c) -> (N, m, c)."""
        return torch.from_numpy(np.stack([self.forward @ columns for columns in x.numpy()]))


class Assembly:
    """A(sigma) = G^T diag(sigma, sigma) G + constant, without its last row and column.

    Without them the kernel, constants, is gone: the matrix is positive definite and as sparse.
    Rows and columns are in the order of elimination.

    Parameters
    ----------
    mesh : ImpedanceMesh
        Its N vertices are the first unknowns.
    unknowns : int
        N + L, those without a place in the mesh included.
    constant : sparse array, shape (N + L, N + L), optional

    Attributes
    ----------
    gradient : SparseMap, (2 T, n)
        G: both components of the gradient on each triangle times the root of its area.
    order : ndarray of int, shape (n,)
        The unknowns in the order of elimination, n = N + L - 1.
    place : ndarray of int, shape (N + L,)
        Where each unknown is in that order; the last one, which is left out, is at n.
    """

    def __init__(
        self, mesh: ImpedanceMesh, unknowns: int, constant: sp.coo_array | None = None
    ) -> None:
        size, count = unknowns - 1, len(mesh.triangles)
        local = np.sqrt(mesh.areas)[:, None, None] * mesh.gradients
        rows = np.arange(2 * count).reshape(2, count, 1)
        places = np.broadcast_arrays(rows, mesh.triangles)
        gradient = sp.coo_array(
            (np.moveaxis(local, 2, 0).ravel(), tuple(a.ravel() for a in places)),
            shape=(2 * count, unknowns),
        ).tocsc()[:, :size]
        fixed = sp.csc_array((unknowns, unknowns)) if constant is None else constant.tocsc()
        fixed = fixed[:size, :size]
        self.order = elimination_order((gradient.T @ gradient + fixed).tocsc())
        self.gradient = SparseMap.of(gradient[:, self.order])
        self.place = np.full(unknowns, size)
        self.place[self.order] = np.arange(size)
        self._plan(mesh.triangles, local, fixed[self.order][:, self.order].tocoo())

    def matrix(self, conductivity: np.ndarray) -> sp.csc_array:
        """A at the conductivities (T,) of the triangles, (n, n)."""
        values = self._entries @ conductivity + self._fixed
        size = len(self._starts) - 1
        return sp.csc_array((values, self._rows, self._starts), shape=(size, size))

    def _plan(self, triangles: np.ndarray, local: np.ndarray, fixed: sp.coo_array) -> None:
        size, count = len(self.order), len(triangles)
        corner = self.place[triangles]
        row, column, owner, value = (
            a.ravel()
            for a in np.broadcast_arrays(
                corner[:, :, None],
                corner[:, None, :],
                np.arange(count)[:, None, None],
                local @ local.transpose(0, 2, 1),
            )
        )
        # Edges across from right angles have none: kept as zeros they would fill in as others do.
        kept = (
            (row < size) & (column < size) & (np.abs(value) > _NOTHING * np.abs(local).max() ** 2)
        )
        code = (column * size + row)[kept]
        extra = fixed.col.astype(np.int64) * size + fixed.row
        pattern, index = np.unique(np.concatenate([code, extra]), return_inverse=True)
        self._entries = sp.csr_array(
            (value[kept], (index[: len(code)], owner[kept])), shape=(len(pattern), count)
        )
        self._fixed = np.bincount(index[len(code) :], fixed.data, minlength=len(pattern))
        self._rows = (pattern % size).astype(np.intc)
        self._starts = np.searchsorted(pattern, np.arange(size + 1) * size).astype(np.intc)
