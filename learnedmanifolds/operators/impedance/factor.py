"""Sparse factorizations that may be used and dropped in any thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

# For a symmetric positive definite matrix: pivots on the diagonal, ordering for A + A^T.
SYMMETRIC = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


class _Thread(threading.local):
    def __init__(self) -> None:
        self.dropped: deque[Any] = deque()


_thread = _Thread()


class Factor:
    """A factorization of a symmetric positive definite matrix.

    SciPy releases the memory of a factorization only in the thread that made it (scipy issue
    15921). One that is dropped elsewhere is therefore handed back, and released when its own
    thread makes the next.

    Parameters
    ----------
    matrix : sparse array, csc
        Its rows and columns in the order of elimination.
    """

    def __init__(self, matrix: sp.csc_array) -> None:
        self._home = _thread.dropped
        self._home.clear()
        self._lu = splu(matrix, permc_spec="NATURAL", **SYMMETRIC)

    def solve(self, right: np.ndarray) -> np.ndarray:
        """Solutions for all columns of an array (n, c), C-contiguous."""
        # SuperLU works on columns; the sparse products that follow work on rows.
        return np.ascontiguousarray(self._lu.solve(np.asfortranarray(right)))

    def __del__(self) -> None:
        if self._home is not _thread.dropped and hasattr(self, "_lu"):
            self._home.append(self._lu)


def elimination_order(matrix: sp.csc_array) -> np.ndarray:
    """An order of rows and columns in which little fills in (minimum degree), (n,)."""
    return np.argsort(splu(matrix, permc_spec="MMD_AT_PLUS_A", **SYMMETRIC).perm_c)
