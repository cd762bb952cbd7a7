"""Nodes that stand for data: evenly spread local means, and the graph of their neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

# Points that nodes are chosen from.
_MOST = 20_000
# Below so many points a node all points are nodes.
_PER_NODE = 2
# An edge longer than this many times the usual length at both its ends bridges a gap.
_BRIDGE, _ROUNDING = 4.0, 1e-9


class Nodes(NamedTuple):
    """Nodes of data.

    Attributes
    ----------
    points : ndarray, shape (M, n)
    graph : sparse array, shape (M, M)
        Lengths of the edges between neighbours, symmetric.
    component : ndarray of int, shape (M,)
        Connected components of the graph.
    """

    points: np.ndarray
    graph: csr_array
    component: np.ndarray

    def owners(self, x: np.ndarray) -> np.ndarray:
        """The nearest node of each of points (N, n), (N,)."""
        near = NearestNeighbors(n_neighbors=1).fit(self.points)
        return np.asarray(near.kneighbors(x, return_distance=False)[:, 0])


def make_nodes(x: np.ndarray, count: int, n_neighbors: int, seed: int, curve: bool) -> Nodes:
    """At most so many nodes of points (N, n), each joined to its nearest others.

    Farthest points of the data, so that sparse parts have as many as dense ones, each moved to the mean
    of the points nearest to it, which takes most of the noise away. On a curve only those neighbours are
    joined that no third one lies between, or sparse curves that come near themselves would be crossed.

    References
    ----------
    Gonzalez, Theoretical Computer Science 38, 1985 (farthest-point sampling); Toussaint, Pattern
    Recognition 12, 1980 (relative neighbourhood graph).
    """
    points = np.unique(x, axis=0) if len(x) <= _PER_NODE * count else _means(x, count, seed)
    if len(points) < 2:
        return Nodes(points, csr_array((len(points),) * 2), np.zeros(len(points), dtype=int))
    k = min(n_neighbors, len(points) - 1)
    distance, index = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    usual = np.maximum(distance[:, -1], 1e-300)
    row, column, length = np.repeat(np.arange(len(points)), k), index.ravel(), distance.ravel()
    if curve:
        row, column, length = _relative_neighbors(points, index)
    near = length <= _BRIDGE * np.minimum(usual[row], usual[column])
    graph = csr_array((length[near], (row[near], column[near])), shape=(len(points),) * 2)
    graph = graph.maximum(graph.T).tocsr()
    return Nodes(points, graph, connected_components(graph, directed=False)[1])


def _means(x: np.ndarray, count: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed).permutation(len(x))[:_MOST]
    points = x[np.sort(draw)]
    square = np.square(points).sum(1)
    pick = [0]
    gap = np.full(len(points), np.inf)
    for _ in range(count - 1):
        last = pick[-1]
        gap = np.minimum(gap, square + square[last] - 2 * (points @ points[last]))
        pick.append(int(gap.argmax()))
    owner = NearestNeighbors(n_neighbors=1).fit(points[pick]).kneighbors(points)[1][:, 0]
    share = np.bincount(owner, minlength=count)
    means = np.zeros((count, x.shape[1]))
    np.add.at(means, owner, points)
    kept = share > 0
    return np.asarray(means[kept] / share[kept, None])


def _relative_neighbors(
    points: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of points (M, n) that no third one is nearer to both of than they are to each other.

    Of the nearest others (M, k) of each, and where chains of these end: across wide gaps, not from one
    strand of a curve to another.
    """
    gaps = cdist(points, points)
    least = (1 - _ROUNDING) * gaps
    free = np.ones_like(gaps, dtype=bool)
    for third in index.T:
        free &= np.maximum(gaps[np.arange(len(points)), third][:, None], gaps[third]) >= least
    row, column = np.nonzero(np.triu(free & free.T, 1))
    between = (np.maximum(gaps[row], gaps[column]) < least[row, column][:, None]).any(1)
    row, column = row[~between], column[~between]
    close = (index[row] == column[:, None]).any(1) | (index[column] == row[:, None]).any(1)
    degree = np.bincount(np.concatenate([row[close], column[close]]), minlength=len(points))
    kept = close | ((degree[row] < 2) & (degree[column] < 2))
    return row[kept], column[kept], gaps[row, column][kept]
