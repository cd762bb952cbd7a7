"""Logarithms and distances: shooting from the discrete geodesics of several starts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.geometry.curve import walk, way
from learnedmanifolds.geometry.geodesic import GAP, MAX_HOPS, MAX_STEPS
from learnedmanifolds.geometry.graph import SampleGraph
from learnedmanifolds.geometry.hinge import bend
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.paths import (
    chain_along,
    chain_points,
    chord_length,
    discrete_geodesics,
    distinct,
    energy_length,
    relax,
    straight_chain,
)
from learnedmanifolds.geometry.shooting import ARRIVED, shoot

_CHUNK = 512

# Which chains may belong to a shortest geodesic, in units of the length of the shortest: how much
# longer they are at most, and how far from each other at least. Before they are relaxed, ways of
# nodes zigzag; after some steps most have joined another.
_BEFORE, _BETWEEN, _RELAXED = (1.7, 0.1), (1.3, 0.1), (1.01, 0.02)
_FIRST_STEPS = 3

# A geodesic longer than its chain by more than this factor is another one.
_ELSEWHERE = 1.02


class Logarithm(NamedTuple):
    """Initial velocities of shortest geodesics between pairs of points.

    Attributes
    ----------
    vector : Tensor, shape (N, n)
        Ambient, tangent at the starts; NaN where no geodesic was found.
    distance : Tensor, shape (N,)
        Its length; where no geodesic was found that of the shortest discrete path (along a boundary
        of the manifold it is not a geodesic), or of a way through nodes of the charts, infinity between
        components.
    miss : Tensor, shape (N,)
        How far the geodesic ends from the target, in the units of the data: by how much the charts
        disagree, at most about the tolerance of the manifold.
    """

    vector: Tensor
    distance: Tensor
    miss: Tensor


def logarithm(
    manifold: ChartedManifold,
    graph: SampleGraph,
    start: Located,
    end: Located,
    n_ways: int = 6,
    tolerance: float | None = None,
) -> Logarithm:
    """Shortest geodesics from each start to its end, by Newton's method on the initial velocity.

    Newton's matrix is that of the Jacobi fields. It starts from chains of least energy: straight in a
    chart that holds both points, and along ``n_ways`` ways of the graph. The shortest geodesic wins. On
    a curve it is the shorter one of two ways.

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018, chapter 10.
    """
    parts = [
        _logarithm(manifold, graph, Located(*first), Located(*second), n_ways, tolerance)
        for first, second in zip(
            zip(*(v.split(_CHUNK) for v in start), strict=True),
            zip(*(v.split(_CHUNK) for v in end), strict=True),
            strict=True,
        )
    ]
    return Logarithm(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def ordered(start: Located, end: Located, x: Tensor, y: Tensor) -> tuple[Tensor, Located, Located]:
    """Pairs of points in an order that depends on them alone, and which were turned round, (N, 1).

    The same is then found there and back, also where charts disagree: distances are symmetric.
    """
    gap = y - x
    back = gap.gather(-1, gap.abs().argmax(-1, keepdim=True)) < 0
    forth, other = (
        Located(
            torch.where(back.squeeze(-1), p.chart, q.chart), torch.where(back, p.coords, q.coords)
        )
        for p, q in ((end, start), (start, end))
    )
    return back, forth, other


def _logarithm(
    manifold: ChartedManifold,
    graph: SampleGraph,
    start: Located,
    end: Located,
    n_ways: int,
    tolerance: float | None,
) -> Logarithm:
    if manifold.dim == 1:
        return _along_curve(manifold, graph, start, end)
    x, y = (manifold.decode(p.coords, p.chart).flatten(1) for p in (start, end))
    vector = torch.full_like(y, torch.nan)
    distance = miss = torch.full_like(y[:, 0], torch.inf)
    back, forth, other = ordered(start, end, x, y)
    pair, chain = _chains(manifold, graph, forth, other, torch.where(back, x, y), n_ways)
    if not len(pair):
        return Logarithm(vector, distance, miss)
    points = chain_points(manifold, chain)
    keep, _ = distinct(pair, points, chord_length(points), len(y), *_BEFORE)
    pair, chain = pair[keep], Located(chain.chart[keep], chain.coords[keep])
    chain = relax(manifold, chain, _FIRST_STEPS)
    points = chain_points(manifold, chain)
    keep, _ = distinct(pair, points, energy_length(points), len(y), *_BETWEEN)
    pair, chain = pair[keep], Located(chain.chart[keep], chain.coords[keep])
    points, length, leaving, arriving, whole = discrete_geodesics(manifold, chain)
    # Chains that leap count only as starts, where there are no others.
    some = torch.bincount(pair[whole], minlength=len(y)) > 0
    kept = whole | ~some[pair]
    pair, points, length, leaving, arriving = (
        v[kept] for v in (pair, points, length, leaving, arriving)
    )
    keep, distance = distinct(pair, points, length, len(y), *_RELAXED)
    if not bool(some.all()):
        distance = torch.where(some, distance, graph.distance(forth, other))
    pair, points, length, leaving, arriving = (
        v[keep] for v in (pair, points, length, leaving, arriving)
    )
    turned = back[pair]
    points = torch.where(turned.unsqueeze(-1), points.flip(1), points)
    leaving = torch.where(turned, -arriving, leaving)
    starts = Located(start.chart[pair], start.coords[pair])
    shots = shoot(manifold, starts, leaving, length, y[pair], tolerance)
    # Where Newton's method fails, or goes elsewhere, or nearly conjugate points make it unsafe.
    limit = torch.minimum(_ELSEWHERE * length, (1 + ARRIVED) * shots.length)
    left = ~(shots.bound <= limit)
    # Where charts that jump apart are in the way, another geodesic that is as short up to that will do.
    least = torch.full_like(distance, torch.inf).scatter_reduce_(0, pair, shots.bound, "amin")
    jumps = shots.bound.isfinite() & (shots.length <= _ELSEWHERE * length)
    left &= ~(jumps & (least[pair] <= (1 + ARRIVED) * shots.length))
    again = left.nonzero().squeeze(-1)
    if len(again):
        half = points.shape[1] // 2
        middle = points[again, half], points[again, half + 1]
        rows, hinged = bend(
            manifold,
            pair[again],
            Located(starts.chart[again], starts.coords[again]),
            leaving[again],
            length[again],
            middle,
            y[pair[again]],
            tolerance,
        )
        again = again[rows]
        better = hinged.bound < shots.bound[again]
        for old, new in zip(shots, hinged, strict=True):
            old[again[better]] = new[better]
    least = torch.full_like(distance, torch.inf).scatter_reduce_(0, pair, shots.bound, "amin")
    best = (shots.bound.isfinite() & (shots.bound == least[pair])).nonzero().squeeze(-1)
    vector[pair[best]] = shots.vector[best]
    return Logarithm(
        vector,
        distance.index_copy(0, pair[best], shots.length[best]),
        miss.index_copy(0, pair[best], shots.gap[best]),
    )


def _along_curve(
    manifold: ChartedManifold, graph: SampleGraph, start: Located, end: Located
) -> Logarithm:
    """The shorter of the two ways along a curve: its length is an integral, and nothing is searched."""
    velocity, distance = way(manifold, start, end, GAP, MAX_HOPS)
    found = distance.isfinite()
    place = walk(manifold, start, torch.where(found, velocity, 0.0), GAP, MAX_HOPS, MAX_STEPS)
    reached, target = (manifold.decode(p.coords, p.chart).flatten(1) for p in (place, end))
    miss = (reached - target).norm(dim=-1)
    found &= miss <= ARRIVED * distance + manifold.agreement
    local = LocalGeometry(manifold, start.coords, start.chart, first_order=True)
    vector = local.vector(velocity.unsqueeze(-1)).masked_fill(~found.unsqueeze(-1), torch.nan)
    miss = torch.where(found, miss, torch.inf)
    if not bool(found.all()):
        distance = torch.where(found, distance, graph.distance(start, end))
    return Logarithm(vector, distance, miss)


def _chains(
    manifold: ChartedManifold,
    graph: SampleGraph,
    start: Located,
    end: Located,
    target: Tensor,
    n_ways: int,
) -> tuple[Tensor, Located]:
    """Chains to start from, and the pair of points that each belongs to."""
    coords, error = manifold.claims(target)
    rows = torch.arange(len(target), device=target.device)
    same = start.chart == end.chart
    own = torch.where(same.unsqueeze(-1), end.coords, coords[start.chart, rows])
    inside = manifold.charts.domain.depth(own, start.chart) >= 0
    holds = inside & (error[start.chart, rows] <= manifold.agreement)
    reachable = graph.components[start.chart] == graph.components[end.chart]
    index = (reachable & (same | holds)).nonzero().squeeze(-1)
    first = Located(start.chart[index], start.coords[index])
    pairs, chains = [index], [straight_chain(first, Located(first.chart, own[index]))]
    index = reachable.nonzero().squeeze(-1)
    if len(index):
        s, t = (Located(p.chart[index], p.coords[index]) for p in (start, end))
        found = graph.paths(s, t, n_ways)
        flat = [(row, way) for row, ways in enumerate(found) for way in ways]
        some = torch.tensor([row for row, _ in flat], device=target.device)
        s, t = (Located(p.chart[some], p.coords[some]) for p in (s, t))
        pairs.append(index[some])
        chains.append(chain_along(manifold, graph, s, t, [way for _, way in flat]))
    return torch.cat(pairs), Located(*(torch.cat(parts) for parts in zip(*chains, strict=True)))
