"""Ridges of the density of points near curves, and the chains of nodes along them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, depth_first_order
from scipy.spatial import cKDTree
from sklearn.neighbors import NearestNeighbors

from learnedmanifolds.geometry.farthest import farthest

# Points that the density is of, that tell it, and how many climb to its ridges for each node.
_MOST, _SOME, _CLIMBING = 20_000, 200, 2
# Neighbours that a step looks at, how far they are in units of the bandwidth, and how many are within it,
# at first one in so many.
_AROUND, _FAR, _WITHIN, _MANY = 64, 2.5, 2, 1000
# Steps along the curve too, at first, for points far out have no direction; all steps; of powers.
_FREE, _STEPS, _POWER_STEPS = 2, 6, 8
# How much wider the next bandwidth is, twice so where that part of the nodes is at ends. It must be noise
# that it averages if it is so much more than the distance of neighbours: points climb that part of it.
# The widest, in units of the size of all.
_WIDER, _TORN, _SPARSE, _NOISE, _WIDEST = 1.4, 0.25, 2.0, 0.25, 0.25
# Distance of nodes in units of the bandwidth, the cosine between an edge and both tangents, and others
# that may follow a node.
_APART, _ALONG, _NEIGHBORS = 0.7, 0.7, 16
# Share of nodes that may be ends on a clean ridge, and of points near pieces of fewer nodes than so many;
# how near these are to longer ones, in units of the bandwidth, or they are no scraps.
_ENDS, _SCRAPS, _PIECE, _NEAR = 0.05, 0.05, 6, 4.0
# Ends are joined where they are at most so many times as far apart as the longest edge of their chains,
# and neither is far behind the other, or both are nearer than that many bandwidths.
_CLOSES, _BACK, _TOGETHER, _BRIDGED, _BENT = 1.5, 0.7, 1.0, 8.0, 0.25
# Fewer nodes, or points, are no chain.
_SHORTEST = 3
# Points on either side of a gap that tell how dense they are there, and by how much a gap by chance may
# be longer than the mean one times the logarithm of their number: once in fifty data sets.
_BESIDE, _UNLIKELY = 20, 4.0
# So many gaps at most may be this much longer than all others, and these than the mean.
_GAPS, _OUTSTANDING = 3, 2.5


class Ridge(NamedTuple):
    """Nodes (M, n) on ridges and the lengths (M, M) of the edges of the chains they form."""

    points: np.ndarray
    graph: csr_array


def ridge(x: np.ndarray, count: int, seed: int) -> Ridge | None:
    """Chains of at most so many nodes along curves that points (N, n) are near; None if none are clean.

    Points climb to the ridge of their density by subspace-constrained mean shift: to the local mean, but
    not along the leading direction of what is near. Two nodes follow each other if each is the nearest of
    the other that lies along both tangents; then ends are joined, and edges cut, as the gaps between the
    points along the chains tell. The bandwidth is the first, from the distance of neighbours on, at which
    hardly a chain is broken, as long as it is noise that wider ones average.

    References
    ----------
    Ozertem, Erdogmus, JMLR 12, 2011 (ridges by subspace-constrained mean shift).
    """
    rng = np.random.default_rng(seed)
    x = np.unique(x[rng.permutation(len(x))[:_MOST]], axis=0)
    if len(x) <= _AROUND:
        return None
    start = x[farthest(torch.from_numpy(x), _CLIMBING * count)]
    # Of very many points the nearest are far nearer than noise.
    within = max(_WITHIN, len(x) // _MANY)
    near = NearestNeighbors(n_neighbors=within).fit(x).kneighbors()[0][:, -1]
    least = max(float(np.median(near)), 1e-300)
    best, fewest = None, math.inf
    width, most = least, _WIDEST * math.sqrt(float(x.var(0).sum()))
    while width <= most:
        found = _at(x, start, count, width, rng)
        if best is not None and found.broken >= fewest:
            break
        if found.clean:
            if width > _SPARSE * least and found.moved < _NOISE * width:
                break
            best, fewest = found, found.broken
            if fewest <= 2:
                break
        # Where most chains are broken a little wider is not enough.
        width *= _WIDER**2 if found.broken > _TORN * len(found.points) else _WIDER
    if best is None:
        return None
    return Ridge(best.points, closed(best.graph, best.points, x, best.width))


def closed(graph: csr_array, points: np.ndarray, x: np.ndarray, width: float) -> csr_array:
    """Chains (M, M) of nodes (M, n), joined and cut as gaps between the points (N, n) along them tell.

    Ends that are nearer than a width are of one curve.
    """
    return _cut_at_gaps(_joined(graph, points, x, width), points, x, width)


class _Found(NamedTuple):
    """Chains at one bandwidth, their ends, whether hardly any are broken, and how far points climbed."""

    points: np.ndarray
    graph: csr_array
    width: float
    broken: int
    clean: bool
    moved: float


def _at(
    x: np.ndarray, start: np.ndarray, count: int, width: float, rng: np.random.Generator
) -> _Found:
    some = x[rng.permutation(len(x))[:_SOME]]
    usual = float(np.median(cKDTree(x).query_ball_point(some, _FAR * width, return_length=True)))
    among = x[rng.permutation(len(x))[: max(_AROUND, int(len(x) * min(1.0, _AROUND / usual)))]]
    points, tangents = _climb(among, start, width)
    climbed = points - start
    climbed -= tangents * np.einsum("mn,mn->m", climbed, tangents)[:, None]
    moved = float(np.median(np.linalg.norm(climbed, axis=1)))
    pick = farthest(torch.from_numpy(points), count, _APART * width).numpy()
    points = points[pick]
    graph = _chains(points, tangents[pick])
    # Scraps between chains are of points that had no ridge to climb to.
    component = connected_components(graph, directed=False)[1]
    kept = np.bincount(component)[component] >= _PIECE
    if not kept.any():
        return _Found(points, graph, width, len(points), False, moved)
    broken = int((2 - np.diff(graph.indptr)[kept]).sum())
    gap, whose = cKDTree(points[kept]).query(points)
    # Of the points of each chain few are nearest to scraps beside it.
    owner = cKDTree(points).query(x)[1]
    chain = component[kept][whose][owner]
    lost = np.bincount(chain, ~kept[owner]) > _SCRAPS * np.bincount(chain)
    clean = broken <= max(2, _ENDS * kept.sum()) and not lost.any() and gap.max() <= _NEAR * width
    return _Found(points[kept], graph[kept][:, kept], width, broken, clean, moved)


def _climb(x: np.ndarray, y: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (M, n) moved to the ridge of the density of others (N, n), and its directions there."""
    search = NearestNeighbors(n_neighbors=min(_AROUND, len(x))).fit(x)
    y, along = y.copy(), np.zeros_like(y)
    for free in np.arange(_STEPS) < _FREE:
        gap, near = search.kneighbors(y)
        wide = np.maximum(width, gap[:, _WITHIN])[:, None]
        weight = np.exp(-0.5 * np.square(gap / wide))
        weight /= weight.sum(1, keepdims=True)
        around = x[near]
        mean = np.einsum("mk,mkn->mn", weight, around)
        away = np.sqrt(weight)[..., None] * (around - mean[:, None])
        # The leading direction, by powers of the covariance.
        along = np.where(
            along.any(1, keepdims=True),
            along,
            away[np.arange(len(y)), np.square(away).sum(2).argmax(1)],
        )
        for _ in range(_POWER_STEPS):
            along = np.einsum("mkn,mk->mn", away, np.einsum("mkn,mn->mk", away, along))
            along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-300)
        step = mean - y
        if not free:
            step -= along * np.einsum("mn,mn->m", step, along)[:, None]
        y = y + step
    return y, along


def _chains(points: np.ndarray, tangents: np.ndarray) -> csr_array:
    """Lengths (M, M) of the edges between nodes that follow each other along their tangents."""
    k = min(_NEIGHBORS, len(points) - 1)
    if k < 1:
        return csr_array((len(points),) * 2)
    gap, near = NearestNeighbors(n_neighbors=k).fit(points).kneighbors()
    step = (points[near] - points[:, None]) / np.maximum(gap, 1e-300)[..., None]
    own = np.einsum("mkn,mn->mk", step, tangents)
    others = np.abs(np.einsum("mkn,mkn->mk", step, tangents[near])) > _ALONG
    first = np.arange(len(points))
    follows = []
    for side in (own, -own):
        good = (side > _ALONG) & others
        follows.append(np.where(good.any(1), near[first, good.argmax(1)], -1))
    after = np.stack(follows, 1)
    row, column = (part.ravel() for part in (np.repeat(first, 2).reshape(-1, 2), after))
    mutual = (column >= 0) & (after[column] == row[:, None]).any(1)
    row, column = row[mutual], column[mutual]
    length = np.linalg.norm(points[row] - points[column], axis=1)
    graph = csr_array((length, (row, column)), shape=(len(points),) * 2)
    return graph.maximum(graph.T).tocsr()


def _joined(graph: csr_array, points: np.ndarray, x: np.ndarray, width: float) -> csr_array:
    """Chains (M, M) of nodes (M, n) of points (N, n), with ends joined that face each other.

    The nearest first; hardly farther apart than nodes of the chains, or than points are by chance.
    """
    ends, before, longest, chance, piece = [], [], [], [], []
    for c, chain in enumerate(_chained(graph, points, x)):
        if chain.closed:
            continue
        edge = float(np.diff(chain.marks).max())
        for order, beside in (
            (chain.order, chain.gaps[:_BESIDE]),
            (chain.order[::-1], chain.gaps[-_BESIDE:]),
        ):
            ends.append(order[0])
            before.append(order[1])
            longest.append(_CLOSES * edge)
            usual = max(chain.gaps.mean(), beside.mean())
            chance.append(float(_by_chance(len(chain.along), usual)))
            piece.append(c if len(order) <= _PIECE else -len(ends))
    if not ends:
        return graph
    end, own = np.array(ends), np.array(piece)
    out = points[end] - points[before]
    step = points[end] - points[end][:, None]
    gap = np.linalg.norm(step, axis=-1)
    size = gap * np.linalg.norm(out, axis=1)[:, None]
    ahead = np.einsum("ijn,in->ij", step, out) / np.maximum(size, 1e-300)
    ahead = np.minimum(ahead, ahead.T)
    # Ends beside each other are of one curve, nearer than two are.
    able = ((ahead >= -_BACK) | (gap <= _TOGETHER * width)) & (own != own[:, None])
    most = np.maximum.outer(chance, chance)
    short = gap <= np.maximum(np.maximum.outer(longest, longest), most)
    # Or the way on leads past points all along, perhaps of another curve that crosses it.
    able &= short | ((ahead >= _ALONG) & (gap <= _BRIDGED * most))
    row, column = np.nonzero(np.triu(able, 1))
    free = np.ones(len(end), dtype=bool)
    edges, tree = graph.tolil(), cKDTree(x)
    for e in gap[row, column].argsort():
        i, j = row[e], column[e]
        if not (free[i] and free[j]):
            continue
        first, second = points[end[i]], points[end[j]]
        if short[i, j] or _widest(first, second, x, tree, width) <= most[i, j]:
            free[[i, j]] = False
            edges[end[i], end[j]] = edges[end[j], end[i]] = gap[i, j]
    return csr_array(edges.tocsr())


def _widest(
    first: np.ndarray, second: np.ndarray, x: np.ndarray, tree: cKDTree, width: float
) -> float:
    """The longest part of the way from one place to another (n,) without points (N, n) near it."""
    size = float(np.linalg.norm(second - first))
    near = x[tree.query_ball_point((first + second) / 2, size)] - first
    along = near @ (second - first) / size
    off = np.linalg.norm(near - along[:, None] / size * (second - first), axis=1)
    stops = np.sort(along[(off <= max(width, _BENT * size)) & (along > 0) & (along < size)])
    return float(np.diff(stops, prepend=0.0, append=size).max())


def _cut_at_gaps(graph: csr_array, points: np.ndarray, x: np.ndarray, width: float) -> csr_array:
    """Chains (M, M) of nodes (M, n) without edges in gaps between the points (N, n) that they are of.

    A gap is longer than any is to expect by chance, where points are as dense as beside it.
    """
    edges, tree = graph.tolil(), cKDTree(x)
    for order, is_closed, marks, along, gaps in _chained(graph, points, x):
        usual = gaps.mean()
        if len(gaps) > 2 * _BESIDE:
            usual = np.maximum(usual, _beside(gaps, is_closed))
        wide = gaps > _by_chance(len(along), usual)
        # Or longer than all others by more than chance explains, where points are spread evenly.
        longest = np.sort(gaps)[::-1][: _GAPS + 1]
        outstanding = np.flatnonzero(longest[:-1] > _OUTSTANDING * longest[1:])
        if len(outstanding) and longest[outstanding[-1] + 1] < _OUTSTANDING * gaps.mean():
            wide |= gaps >= longest[outstanding[-1]]
        found = np.flatnonzero(wide)
        middle = along[found] + gaps[found] / 2
        middle = middle % marks[-1] if is_closed else middle
        edge = np.searchsorted(marks, middle, side="right") - 1
        for a, b, gap in zip(
            order[edge % len(order)], order[(edge + 1) % len(order)], gaps[found], strict=True
        ):
            # What crosses there is no gap.
            if _widest(points[a], points[b], x, tree, width) > gap / 2:
                edges[a, b] = edges[b, a] = 0
    cut = csr_array(edges.tocsr())
    cut.eliminate_zeros()
    return cut


def _beside(gaps: np.ndarray, closed: bool) -> np.ndarray:
    """The mean of some gaps (N,) before each, or after it where that is longer."""
    padded = np.pad(gaps, _BESIDE, mode="wrap" if closed else "reflect")
    sums = np.concatenate([[0.0], np.cumsum(padded)])
    first = np.arange(len(gaps)) + _BESIDE
    before, after = sums[first] - sums[first - _BESIDE], sums[first + 1 + _BESIDE] - sums[first + 1]
    return np.maximum(before, after) / _BESIDE


def _by_chance(count: int, usual: float | np.ndarray) -> float | np.ndarray:
    """The longest gap to expect between so many random points of a usual gap."""
    return (math.log(count) + _UNLIKELY) * usual


class _Chain(NamedTuple):
    """Nodes of a chain in order, whether it is closed, where along it they and points are, and gaps."""

    order: np.ndarray
    closed: bool
    marks: np.ndarray
    along: np.ndarray
    gaps: np.ndarray


def _chained(graph: csr_array, points: np.ndarray, x: np.ndarray) -> list[_Chain]:
    """The chains (M, M) of nodes (M, n), and where along them the points (N, n) nearest to each are."""
    component = connected_components(graph, directed=False)[1]
    degree = np.diff(graph.indptr)
    owner = component[cKDTree(points).query(x)[1]]
    found = []
    for c in range(component.max() + 1):
        own = np.flatnonzero(component == c)
        if min(len(own), int((owner == c).sum())) < _SHORTEST:
            continue
        ends = own[degree[own] < 2]
        closed = not len(ends)
        order = depth_first_order(graph, own[0] if closed else ends[0], directed=False)[0]
        corners = points[np.append(order, order[0]) if closed else order]
        marks = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
        along = np.sort(_along(corners, marks, closed, x[owner == c]))
        gaps = np.diff(along)
        if closed:
            gaps = np.append(gaps, along[0] + marks[-1] - along[-1])
        found.append(_Chain(order, closed, marks, along, gaps))
    return found


def _along(corners: np.ndarray, marks: np.ndarray, closed: bool, x: np.ndarray) -> np.ndarray:
    """Position of points (N, n) along a polygon with corners (M, n) at marks (M,)."""
    step = np.diff(corners, axis=0)
    near = cKDTree(corners).query(x)[1]
    best, place = np.full(len(x), np.inf), np.zeros(len(x))
    for edge in (near - 1, near):
        edge = edge % len(step) if closed else edge.clip(0, len(step) - 1)
        away = x - corners[edge]
        part = np.einsum("pn,pn->p", away, step[edge]) / np.square(step[edge]).sum(1)
        # Beyond the ends there are points too.
        low = np.where(closed | (edge > 0), 0, -np.inf)
        high = np.where(closed | (edge < len(step) - 1), 1, np.inf)
        part = part.clip(low, high)
        gap = np.linalg.norm(away - part[:, None] * step[edge], axis=1)
        better = gap < best
        best[better] = gap[better]
        place[better] = (marks[edge] + part * (marks[edge + 1] - marks[edge]))[better]
    return place
