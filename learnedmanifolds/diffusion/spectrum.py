"""Leading eigenfunctions of the random walk on a graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from learnedmanifolds.diffusion.graph import KernelGraph

# Of the residuals of the eigenvectors; the eigenvalues' errors are about its square.
_TOLERANCE = 1e-10
_KRYLOV = 40
# Relative, of the search for an eigenvalue that was missed.
_CHECK = 1e-3


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and eigenfunctions, without the constant.

    Attributes
    ----------
    values : ndarray, shape (m,)
        Eigenvalues of the walk, decreasing.
    functions : ndarray, shape (N, m)
        Their values at the data, of mean square 1 with respect to the stationary law.
    following : float
        The eigenvalue after the last.
    """

    values: np.ndarray
    functions: np.ndarray
    following: float

    @cached_property
    def gaps(self) -> np.ndarray:
        """Differences of consecutive eigenvalues from the constant's, 1, to the following, (m + 1,)."""
        return -np.diff(np.concatenate([[1.0], self.values, [self.following]]))


def leading(graph: KernelGraph, count: int) -> Spectrum:
    """The eigenfunctions of the largest eigenvalues of P = D^-1 W, by Lanczos' method.

    The symmetric D^-1/2 W D^-1/2 has the same eigenvalues; with its eigenvectors v, f = D^-1/2 v.

    Parameters
    ----------
    graph : KernelGraph
        Of N points.
    count : int
        At most N - 3.
    """
    root = np.sqrt(graph.degree)
    values, vectors = _largest(lambda v: (graph.weights @ (v / root)) / root, len(root), count + 2)
    functions = vectors[:, 1:-1] / np.sqrt(graph.stationary)[:, None]
    return Spectrum(values[1:-1], functions * signs(functions), float(values[-1]))


def _largest(
    apply: Callable[[np.ndarray], np.ndarray], size: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues, decreasing, and eigenvectors of a symmetric matrix of norm 1."""
    draws = np.random.default_rng(0)
    values, vectors = _lanczos(apply, draws.standard_normal(size), count, _TOLERANCE)

    def rest(v: np.ndarray) -> np.ndarray:
        return apply(v) - vectors @ ((values + 1) * (vectors.T @ v))

    # Of an eigenspace Lanczos' method sees a single vector, the projection of its start, and more only
    # by rounding: regular data, such as a circle at equal angles, have such spaces. So the
    # eigenvectors found are moved to -1, and what another start finds then must be none of the wanted.
    while True:
        start = draws.standard_normal(size)
        if _lanczos(rest, start, 1, _CHECK)[0][0] <= values[-1] + _CHECK * (1 - values[-1]):
            return values, vectors
        more, others = _lanczos(rest, start, count, _TOLERANCE)
        values = np.concatenate([values, more])
        order = np.argsort(-values)[:count]
        values, vectors = values[order], np.hstack([vectors, others])[:, order]


def _lanczos(
    apply: Callable[[np.ndarray], np.ndarray], start: np.ndarray, count: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    size = len(start)
    operator = LinearOperator((size, size), matvec=lambda v: apply(v.ravel()), dtype=np.float64)
    values, vectors = eigsh(
        operator,
        k=count,
        which="LA",
        ncv=min(size, max(2 * count + 1, _KRYLOV)),
        v0=start,
        tol=tolerance,
    )
    order = np.argsort(-values)
    return values[order], vectors[:, order]


def signs(functions: np.ndarray) -> np.ndarray:
    """Signs (m,) that make the entry of each column (N, m) that is largest in size positive."""
    largest = np.abs(functions).argmax(0)
    return np.where(functions[largest, np.arange(functions.shape[1])] < 0, -1.0, 1.0)
