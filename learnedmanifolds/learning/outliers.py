"""Points that are off what the others lie on."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

# Neighbours that a point is compared with, how much sparser it must be, and how often those left are
# looked at again, for outliers hide each other.
_NEIGHBORS, _SPARSER, _ROUNDS = (6, 20), 1.3, 10
# Neighbours whose plane a point is off, and by how much: in units of how far they are off it or the
# noise. Where it is farther along the plane, how much less dense it is there.
_PLANE, _OFF, _THINNER = 10, 5.0, 10.0
# So many points times (d + 2) may be a part of their own, if they are this much nearer to each other.
_PART, _NEARER = 2, 0.5


def outlying(x: np.ndarray, dim: int, noise: float) -> np.ndarray:
    """Which of points (N, q) are off the manifold of dimension d that the others are near, (N,).

    Where points are farther apart than around their neighbours, and off the plane of the nearest others
    rather than along it, as at a step in the density or the end of a tail, unless they are very sparse;
    and not nearer to enough of their kind for a component of its own. The noise is the mean squared
    distance of the others from the manifold.

    References
    ----------
    Schubert, Zimek, Kriegel, Data Mining and Knowledge Discovery 28, 2014 (simplified local outlier
    factor).
    """
    points, place = np.unique(x, axis=0, return_inverse=True)
    apart = np.zeros(len(points), dtype=bool)
    for _ in range(_ROUNDS if dim < x.shape[1] else 0):
        left = np.flatnonzero(~apart)
        if len(left) <= 2 * max(_NEIGHBORS):
            break
        own = points[left]
        factor = _factors(own)
        sparse = factor > _SPARSER
        # More than half are no outliers, but on a curve whose points are ever farther apart.
        if not sparse.any() or sparse.mean() > 0.5:
            break
        found = _off(own, sparse, dim, noise, factor[sparse] ** dim > _THINNER)
        if not found.any():
            break
        apart[left[np.flatnonzero(sparse)[found]]] = True
    return np.asarray(apart[place])


def _factors(x: np.ndarray) -> np.ndarray:
    """How much farther apart points (N, q) are than around their neighbours, (N,)."""
    gap, near = NearestNeighbors(n_neighbors=max(_NEIGHBORS)).fit(x).kneighbors()
    return np.max(
        [gap[:, k - 1] / gap[near[:, :k], k - 1].mean(1).clip(1e-300) for k in _NEIGHBORS], axis=0
    )


def _off(
    x: np.ndarray, some: np.ndarray, dim: int, noise: float, very_sparse: np.ndarray
) -> np.ndarray:
    """Which of some of points (N, q) are off the planes of the others and in no part of their own."""
    others, own = x[~some], x[some]
    whole = NearestNeighbors(n_neighbors=_PART * (dim + 2) + 1).fit(x)
    within = whole.kneighbors(own)[0][:, -1]
    search = NearestNeighbors(n_neighbors=_PLANE).fit(others)
    gap, nearest = search.kneighbors(own, 1)
    around = others[search.kneighbors(others[nearest[:, 0]], return_distance=False)]
    middle = around.mean(1, keepdims=True)
    size, axes = np.linalg.svd(around - middle, full_matrices=False)[1:]
    rough = np.sqrt(np.maximum(np.square(size[:, dim:]).sum(1) / _PLANE, noise))
    away = own - middle[:, 0]
    along = np.linalg.norm(np.einsum("pdq,pq->pd", axes[:, :dim], away), axis=1)
    off = np.sqrt(np.maximum(np.square(away).sum(1) - along**2, 0))
    return (off > _OFF * rough) & ((off > along) | very_sparse) & (within > _NEARER * gap[:, 0])
