"""Points that are off what the others lie on, alone and in groups."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.neighbors import NearestNeighbors

from learnedmanifolds.learning.scales import NEIGHBOURS, at_scales

# Neighbours that a point is compared with, how much sparser it must be, and how often those left are
# looked at again, for outliers hide each other.
_NEIGHBORS, _SPARSER, _ROUNDS = (6, 20), 1.3, 10
# Neighbours whose plane a point is off, and by how much: in units of how far they are off it or the
# noise. Where it is farther along the plane, how much less dense it is there.
_PLANE, _OFF, _THINNER = 10, 5.0, 10.0
# So many points times (d + 2) may be a part of their own, if they are this much nearer to each other.
_PART, _NEARER = 2, 0.9
SHARE_APART = 0.05
"""Groups that are together a smaller share of the points may be left out."""
# How far from the dimension a group's is at all scales, and how near its mean points of a blob come.
_ANOTHER, _HOLLOW = 0.5, 0.35
# Points of a group that its dimension is of.
_LOOKED_AT = 1000


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


def groups_apart(x: np.ndarray, group: np.ndarray, dim: int) -> np.ndarray:
    """Which of points (N, q), in groups numbered (N,), are in small ones of another dimension than d.

    In blobs and lines, say, farther from all others than their own size; not in closed curves and
    surfaces, which look like blobs where points are few, but are hollow. None where they are no small
    share, and no blobs where most other points are in groups that look like more than d dimensions too.
    """
    found = np.zeros(len(x), dtype=bool)
    count = np.bincount(group)
    dimensions = cache(lambda g: _dimensions(x[group == g]))
    told = np.flatnonzero(count > NEIGHBOURS[0])
    for g in told[count[told] < SHARE_APART * len(x)]:
        own = group == g
        if not _is_far(x[own], x[~own]):
            continue
        dims = dimensions(g)
        if max(dims) < dim - _ANOTHER:
            found[own] = True
        elif min(dims) > dim + _ANOTHER and not _is_hollow(x[own], dim):
            rest = told[told != g]
            more = [min(dimensions(h)) > dim + _ANOTHER for h in rest]
            found[own] = count[rest][more].sum() <= count[rest].sum() / 2
    return found if found.mean() < SHARE_APART else np.zeros_like(found)


def _is_far(own: np.ndarray, others: np.ndarray) -> bool:
    """Whether some points (N, q) are farther from others than they are wide."""
    gap = NearestNeighbors(n_neighbors=1).fit(others).kneighbors(own)[0].min()
    return bool(gap >= np.sqrt(np.square(own - own.mean(0)).sum(1).mean()))


def _is_hollow(x: np.ndarray, dim: int) -> bool:
    """Whether none of points (N, q) is near their mean, in the d + 1 directions of most variance."""
    away = x - x.mean(0)
    axes = np.linalg.svd(away, full_matrices=False)[2][: dim + 1]
    radius = np.linalg.norm(away @ axes.T, axis=1)
    return bool(radius.min() >= _HOLLOW * radius.max())


def _dimensions(x: np.ndarray) -> list[float]:
    """Dimensions at the scales of points (N, q), of some of them where they are many."""
    rng = np.random.default_rng(0)
    dims = [scale.dim for scale in at_scales(x[rng.permutation(len(x))[:_LOOKED_AT]], rng)]
    # The finest scale of so few points tells little alone.
    return [float(np.mean(dims[:2])), *dims[1:]]


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
