"""Nodes that stand for data: evenly spread local means, and the graph of their neighbours."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from learnedmanifolds.geometry.farthest import farthest
from learnedmanifolds.learning.ridges import closed, ridge
from learnedmanifolds.learning.scales import at_scales
from learnedmanifolds.learning.shortest_path import greedy_curves, shortest_path

# Points that nodes are chosen from.
_MOST = 20_000
# Below so many points a node, or so many near curves, all points are nodes.
_PER_NODE, _EXACT = 2, 2000
# Fewest nodes of a curve with noise, and most points that are put in order.
_FEWEST, _ORDERED = 24, 400
# Largest dimension at the finest scale that is a curve's, and how much larger it is at a coarser one
# where the points are too few for the bends, not having been smaller between; fewest points that tell.
_CURVE, _RISE, _FALL, _LEAST = 1.6, 1.1, 0.95, 20
# Part of the nodes that branch where noise is left between them; a curve that crosses itself has few.
_BRANCHED = 0.05
# Ends of a path are joined where their distance is at most so many times the longest of its steps.
_CLOSES = 1.5
# Ends nearer along their curve than so many of its longest edges are of one piece.
_PIECE = 4.0
# Edges of curves are gaps if so many at most are so much longer than all others.
# A gap by chance is hardly longer than the mean one times the logarithm of their number and this.
_GAPS, _WIDER, _UNLIKELY = 3, 2.5, 4.0
# Times that nodes move to the means of their points.
_MEANS = 5
# An edge longer than this many times the usual length at both its ends bridges a gap; latter on curves.
_BRIDGE, _BRIDGES, _ROUNDING = 4.0, 2.5, 1e-9
# An edge of a curve longer than this many times the second shortest at one of its ends, and at neither
# the shortest, joins two strands.
_RUNG = 2.5


class Nodes(NamedTuple):
    """Nodes of data.

    Attributes
    ----------
    points : ndarray, shape (M, n)
    graph : sparse array, shape (M, M)
        Lengths of the edges between neighbours, symmetric.
    component : ndarray of int, shape (M,)
        Connected components of the graph.
    exact : bool
        Whether the nodes are the points, too few for the bends of their curve: no noise can be told.
    """

    points: np.ndarray
    graph: csr_array
    component: np.ndarray
    exact: bool = False

    def owners(self, x: np.ndarray) -> np.ndarray:
        """The nearest node of each of points (N, n), (N,)."""
        near = NearestNeighbors(n_neighbors=1).fit(self.points)
        return np.asarray(near.kneighbors(x, return_distance=False)[:, 0])


def make_nodes(x: np.ndarray, count: int, n_neighbors: int, seed: int, curve: bool) -> Nodes:
    """At most so many nodes of points (N, n), each joined to its nearest others.

    Farthest points of the data, so that sparse parts have as many as dense ones, each moved to the mean
    of the points nearest to it, which takes most of the noise away. On noisy curves they are chains along
    ridges of the density, if these are clean. Else nodes are halved in number until no noise is left
    between them, and only those neighbours are joined that no third one lies between, or sparse curves
    that come near themselves would be crossed; where that leaves branches, few points are joined in the
    order of the shortest path through them.

    References
    ----------
    Gonzalez, Theoretical Computer Science 38, 1985 (farthest-point sampling); Toussaint, Pattern
    Recognition 12, 1980 (relative neighbourhood graph).
    """
    few = max(_PER_NODE * count, _EXACT if curve else 0)
    points = np.unique(x, axis=0) if len(x) <= few else _means(x, count, seed)
    if len(points) < 2:
        return Nodes(points, csr_array((len(points),) * 2), np.zeros(len(points), dtype=int))
    found = _seen(points, seed, len(points) < len(x)) if curve else _Seen.CURVE
    whole = len(points) == len(x)
    if curve and not (found is _Seen.BENDS or (whole and _chained(points, n_neighbors, found))):
        chains = ridge(x, count, seed)
        if chains is not None:
            return Nodes(*chains, connected_components(chains.graph, directed=False)[1])
    if found is not _Seen.BENDS and len(points) > _PER_NODE * count:
        points = _means(x, count, seed)
        found = _seen(points, seed, True)
    graph = _neighbor_graph(points, n_neighbors, curve, x)
    noisy = found is _Seen.NOISE
    while noisy and len(points) >= 2 * _FEWEST:
        points = _means(x, len(points) // 2, seed, _MEANS)
        found = _seen(points, seed, True)
        graph = _neighbor_graph(points, n_neighbors, curve, x)
        noisy = found is _Seen.NOISE or (found is _Seen.CURVE and _branches(graph))
    component = connected_components(graph, directed=False)[1]
    exact = found is _Seen.BENDS and len(points) == len(x)
    # Too few, or noisy to the last: neighbours alone would branch.
    if exact or found is _Seen.NOISE:
        graph = _in_order(points, graph, component)
        component = connected_components(graph, directed=False)[1]
    return Nodes(points, graph, component, exact)


def _chained(points: np.ndarray, n_neighbors: int, found: _Seen) -> bool:
    """Whether points (M, n) of a curve form chains as they are."""
    if found is not _Seen.CURVE:
        return False
    graph = _neighbor_graph(points, n_neighbors, True, points)
    return bool((np.diff(graph.indptr) <= 2).all())


def _neighbor_graph(points: np.ndarray, n_neighbors: int, curve: bool, x: np.ndarray) -> csr_array:
    """Lengths (M, M) of the edges between points (M, n) and others nearby, which are means of (N, n)."""
    k = min(n_neighbors, len(points) - 1)
    distance, index = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    usual = np.maximum(distance[:, -1], 1e-300)
    row, column, length = np.repeat(np.arange(len(points)), k), index.ravel(), distance.ravel()
    if curve:
        row, column, length = _relative_neighbors(points, index, len(points) < len(x))
    bridge = _BRIDGES if curve else _BRIDGE
    near = length <= bridge * np.minimum(usual[row], usual[column])
    graph = csr_array((length[near], (row[near], column[near])), shape=(len(points),) * 2)
    graph = graph.maximum(graph.T).tocsr()
    if not curve:
        return graph
    if (np.diff(graph.indptr) <= 2).all() and graph.nnz:
        return closed(graph, points, x, float(np.median(graph.data)))
    # Nodes that are means are spread more evenly than what they are of.
    chance = _by_chance(graph, len(x)) if len(points) < len(x) else 0.0
    return _cut_at_gaps(_ends_joined(points, graph, chance), chance)


def _by_chance(graph: csr_array, count: int) -> float:
    """The longest gap to expect between so many random points of curves, of graph (M, M) of nodes."""
    return float((np.log(count) + _UNLIKELY) * graph.data.sum() / 2 / count)


def _cut_at_gaps(graph: csr_array, chance: float) -> csr_array:
    """The graph (M, M) of curves without edges so much longer than all others of their component.

    Largest gaps between random points differ less; gaps by chance stay too.
    """
    component = connected_components(graph, directed=False)[1]
    row, column = graph.tocoo().coords
    length, part = graph.data.copy(), component[row]
    for c in range(component.max() + 1):
        own = np.sort(length[(part == c) & (row < column)])[::-1][: _GAPS + 1]
        wide = np.flatnonzero(own[:-1] > np.maximum(_WIDER * own[1:], chance))
        if len(wide):
            length[(part == c) & (length >= own[wide[-1]])] = 0
    kept = length > 0
    return csr_array((length[kept], (row[kept], column[kept])), shape=graph.shape).tocsr()


def _ends_joined(points: np.ndarray, graph: csr_array, chance: float) -> csr_array:
    """The graph (M, M) with ends of curves joined that are hardly farther apart than other neighbours.

    Or than some are by chance; of two that are nearest to each other, at least one of which is not the
    end of a twig that is shorter than what joins them.
    """
    degree = np.diff(graph.indptr)
    end, branch = np.flatnonzero(degree == 1), np.flatnonzero(degree > 2)
    if len(end) < 2:
        return graph
    twig = np.full(len(end), np.inf)
    if len(branch):
        twig = dijkstra(graph, directed=False, indices=branch, min_only=True)[end]
    gap = cdist(points[end], points[end])
    # Ends of one short piece are no neighbours.
    own = dijkstra(graph, directed=False, indices=end)[:, end]
    gap[own < _PIECE * graph.data.max()] = np.inf
    near = gap.argmin(1)
    first = np.arange(len(end))
    length = gap[first, near]
    most = max(_CLOSES * float(graph.data.max()), chance)
    free = length <= np.minimum(np.maximum(twig, twig[near]), most)
    first = first[(near[near] == first) & free & (first < near)]
    row, column = end[first], end[near[first]]
    edges = csr_array((length[first], (row, column)), shape=graph.shape)
    return graph.maximum(edges.maximum(edges.T)).tocsr()


def _branches(graph: csr_array) -> bool:
    """Whether more nodes have a third neighbour than where a curve crosses itself."""
    return bool((np.diff(graph.indptr) > 2).mean() > _BRANCHED)


class _Seen(Enum):
    """What points near a curve look like: a curve, noise between them, or too few for its bends."""

    CURVE, NOISE, BENDS = range(3)


def _seen(points: np.ndarray, seed: int, even: bool) -> _Seen:
    """What points (M, n) near a curve look like: noise is of more dimensions the nearer one looks.

    Where points are too few for the bends they are of more the farther one looks, at once: noise on
    arms beside each other is of fewer first. The nearest of nodes that are spread evenly are as on a
    grid, and count less.
    """
    if len(points) < _LEAST:
        return _Seen.CURVE
    rng = np.random.default_rng(seed)
    dims = [scale.dim for scale in at_scales(points[rng.permutation(len(points))], rng)]
    if dims[0] <= _CURVE:
        return _Seen.CURVE
    first, *coarser = dims[even:]
    top = int(np.argmax(coarser))
    rises = coarser[top] >= _RISE * first and min(coarser[: top + 1]) >= _FALL * first
    return _Seen.BENDS if rises else _Seen.NOISE


def _in_order(points: np.ndarray, graph: csr_array, component: np.ndarray) -> csr_array:
    """The graph (M, M), where components of few points (M, n) branch the shortest path through these.

    Its ends are joined if they are hardly farther from each other than two that follow.
    """
    branched = np.unique(component[np.diff(graph.indptr) > 2])
    kept = ~np.isin(component, branched)
    rows, columns = (part[kept[part]] for part in graph.tocoo().coords)
    pairs = [np.stack([rows, columns])]
    for c in branched:
        own = np.flatnonzero(component == c)
        if len(own) > _ORDERED:
            pairs.append(own[greedy_curves(cdist(points[own], points[own]))])
            continue
        path = own[shortest_path(cdist(points[own], points[own]))]
        steps = np.linalg.norm(points[path] - points[np.roll(path, 1)], axis=1)
        if steps[0] <= _CLOSES * steps[1:].max():
            path = np.append(path, path[0])
        pairs.append(np.stack([path[:-1], path[1:]]))
    row, column = np.concatenate(pairs, 1)
    length = np.sqrt(np.square(points[row] - points[column]).sum(1))
    ordered = csr_array((length, (row, column)), shape=graph.shape)
    return ordered.maximum(ordered.T).tocsr()


def _means(x: np.ndarray, count: int, seed: int, steps: int = 1) -> np.ndarray:
    draw = np.random.default_rng(seed).permutation(len(x))[:_MOST]
    points = x[np.sort(draw)]
    pick = farthest(torch.from_numpy(points), count).numpy()
    means = points[pick]
    for _ in range(steps):
        owner = NearestNeighbors(n_neighbors=1).fit(means).kneighbors(points)[1][:, 0]
        share = np.bincount(owner, minlength=len(means))
        total = np.zeros_like(means)
        np.add.at(total, owner, points)
        kept = share > 0
        means = total[kept] / share[kept, None]
    return means


def _relative_neighbors(
    points: np.ndarray, index: np.ndarray, even: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of points (M, n) that no third one is nearer to both of than they are to each other.

    Of the nearest others (M, k) of each, and where chains of these end: across wide gaps, not from one
    strand of a curve to another, which the length of an edge tells where points are spread evenly.
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
    chains = csr_array((close[close], (row[close], column[close])), shape=gaps.shape)
    component = connected_components(chains, directed=False)[1]
    # Of what branches, noise is in the way, and its ends are twigs.
    branched = np.isin(component, component[degree > 2])
    end = (degree < 2) & ~branched
    kept = close | (end[row] & end[column])
    row, column, length = row[kept], column[kept], gaps[row, column][kept]
    if not even:
        return row, column, length
    shortest, second = _two_shortest(row, column, length, len(points))
    rung = length > _RUNG * np.minimum(second[row], second[column])
    kept = ~rung | (length == shortest[row]) | (length == shortest[column])
    return row[kept], column[kept], length[kept]


def _two_shortest(
    row: np.ndarray, column: np.ndarray, length: np.ndarray, count: int
) -> np.ndarray:
    """Lengths of the two shortest edges at each node, infinite where there is none, (2, M)."""
    node, twice = np.concatenate([row, column]), np.concatenate([length, length])
    order = np.lexsort((twice, node))
    node, twice = node[order], twice[order]
    rank = np.arange(len(node)) - np.searchsorted(node, node)
    found = np.full((2, count), np.inf)
    found[rank[rank < 2], node[rank < 2]] = twice[rank < 2]
    return found
