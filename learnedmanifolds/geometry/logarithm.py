"""Logarithms and distances: shooting from the discrete geodesics of several starts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.graph import SampleGraph
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

_CHUNK = 512

# Which chains may belong to a shortest geodesic, in units of the length of the shortest: how much
# longer they are at most, and how far from each other at least. Before they are relaxed, ways of
# nodes zigzag; after some steps most have joined another.
_BEFORE, _BETWEEN, _RELAXED = (1.7, 0.1), (1.3, 0.1), (1.01, 0.02)
_FIRST_STEPS = 3

# A geodesic longer than its chain by more than this factor is another one.
_ELSEWHERE = 1.02

_ITERATIONS = 30
_LOOSE, _ROUGH_CHANGE = 1e-5, 1e-3
_LEAST_DAMPING = 0.05
_ARRIVED = 1e-3
_ROUNDING = 64


class Logarithm(NamedTuple):
    """Initial velocities of shortest geodesics between pairs of points.

    Attributes
    ----------
    vector : Tensor, shape (N, n)
        Ambient, tangent at the starts; NaN where no geodesic was found.
    distance : Tensor, shape (N,)
        Its length; where no geodesic was found that of the shortest discrete path (along a boundary
        of the manifold it is not a geodesic), infinity between components.
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
    chart that holds both points, and along ``n_ways`` ways of the graph. The shortest geodesic wins.

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


def _logarithm(
    manifold: ChartedManifold,
    graph: SampleGraph,
    start: Located,
    end: Located,
    n_ways: int,
    tolerance: float | None,
) -> Logarithm:
    x, y = (manifold.decode(p.coords, p.chart).flatten(1) for p in (start, end))
    vector = torch.full_like(y, torch.nan)
    distance = miss = torch.full_like(y[:, 0], torch.inf)
    # Which of two points is looked from depends on them alone, not on which comes first: so the
    # same chains are found there and back, and distances are symmetric.
    gap = y - x
    back = gap.gather(-1, gap.abs().argmax(-1, keepdim=True)) < 0
    forth, other = (
        Located(
            torch.where(back.squeeze(-1), p.chart, q.chart), torch.where(back, p.coords, q.coords)
        )
        for p, q in ((end, start), (start, end))
    )
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
    points, length, leaving, arriving = discrete_geodesics(manifold, chain)
    keep, distance = distinct(pair, points, length, len(y), *_RELAXED)
    pair, length, leaving, arriving = (v[keep] for v in (pair, length, leaving, arriving))
    turned = back[pair]
    leaving, arriving = (
        torch.where(turned, -arriving, leaving),
        torch.where(turned, -leaving, arriving),
    )
    starts, ends = (Located(p.chart[pair], p.coords[pair]) for p in (start, end))
    there = _shoot(manifold, starts, leaving, length, y[pair], tolerance)
    # Newton's method may fail from one end of a geodesic and not from the other.
    again = (~(there.speed <= _ELSEWHERE * length)).nonzero().squeeze(-1)
    if len(again):
        starts, ends = (Located(p.chart[again], p.coords[again]) for p in (starts, ends))
        turned_round = _shoot_back(
            manifold,
            starts,
            ends,
            -arriving[again],
            length[again],
            y[pair[again]],
            x[pair[again]],
            tolerance,
        )
        better = turned_round.speed < there.speed[again]
        for old, new in zip(there, turned_round, strict=True):
            old[again[better]] = new[better]
    shortest = torch.full_like(distance, torch.inf).scatter_reduce_(0, pair, there.speed, "amin")
    best = (there.speed.isfinite() & (there.speed == shortest[pair])).nonzero().squeeze(-1)
    vector[pair[best]] = there.vector[best]
    return Logarithm(
        vector,
        distance.index_copy(0, pair[best], there.speed[best]),
        miss.index_copy(0, pair[best], there.gap[best]),
    )


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
    holds = (own.abs().amax(-1) <= 1) & (error[start.chart, rows] <= manifold.tolerance)
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


class _Shots(NamedTuple):
    """Geodesics: initial velocities (N, n), speeds (N,), infinite where none was found, and gaps (N,)."""

    vector: Tensor
    speed: Tensor
    gap: Tensor


def _shoot(
    manifold: ChartedManifold,
    start: Located,
    direction: Tensor,
    length: Tensor,
    target: Tensor,
    tolerance: float | None,
) -> _Shots:
    """Geodesics that end nearest to the targets, from directions (N, n) and lengths near theirs."""
    local = LocalGeometry(manifold, start.coords, start.chart, first_order=True)
    along = (direction.unsqueeze(-2) @ local.tangent_basis).squeeze(-2)
    tiny = torch.finfo(length.dtype).tiny
    velocity = along * (length / along.norm(dim=-1).clamp(min=tiny)).unsqueeze(-1)
    rough = max(_LOOSE, torch.finfo(velocity.dtype).eps ** 0.55)
    velocity, _, _ = _newton(manifold, start, local, velocity, target, rough, _ROUGH_CHANGE)
    return _finish(manifold, start, local, velocity, target, tolerance)


def _finish(
    manifold: ChartedManifold,
    start: Located,
    local: LocalGeometry,
    velocity: Tensor,
    target: Tensor,
    tolerance: float | None,
) -> _Shots:
    # The error after a last step of this size is its square; where charts disagree a tenth of it.
    last = torch.finfo(velocity.dtype).eps ** (1 / 3)
    velocity, gap, found = _newton(manifold, start, local, velocity, target, tolerance, last)
    speed = torch.where(found, velocity.norm(dim=-1), torch.inf)
    return _Shots((velocity.unsqueeze(-2) @ local.tangent_basis.mT).squeeze(-2), speed, gap)


def _shoot_back(
    manifold: ChartedManifold,
    start: Located,
    end: Located,
    direction: Tensor,
    length: Tensor,
    target: Tensor,
    origin: Tensor,
    tolerance: float | None,
) -> _Shots:
    """Geodesics from start to end, found from the end with directions there."""
    shots = _shoot(manifold, end, direction, length, origin, tolerance)
    found = shots.speed.isfinite().nonzero().squeeze(-1)
    if not len(found):
        return shots
    start, end = (Located(p.chart[found], p.coords[found]) for p in (start, end))
    there, here = (
        LocalGeometry(manifold, p.coords, p.chart, first_order=True) for p in (end, start)
    )
    carried = there.coordinates(shots.vector[found]).unsqueeze(1)
    ends = flow(manifold, end, carried, torch.ones_like(carried[:, :, 0]), tolerance=tolerance)
    arrival = LocalGeometry(manifold, ends.coords, ends.chart, first_order=True)
    vector = -arrival.turned(ends.carried @ arrival.jacobian.mT, here).squeeze(1)
    velocity = (vector.unsqueeze(-2) @ here.tangent_basis).squeeze(-2)
    finished = _finish(manifold, start, here, velocity, target[found], tolerance)
    shots.vector[found] = vector
    same = finished.speed <= _ELSEWHERE * shots.speed[found]
    for old, new in zip(shots, finished, strict=True):
        old[found[same]] = new[same]
    return shots


def _newton(
    manifold: ChartedManifold,
    start: Located,
    local: LocalGeometry,
    velocity: Tensor,
    target: Tensor,
    tolerance: float | None,
    smallest_change: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Damped Newton's method until a step is relatively below ``smallest_change``; it is still made."""
    frame = (local.inverse @ local.tangent_basis).mT
    best, change = velocity.clone(), torch.zeros_like(velocity)
    least, residual = (torch.full_like(velocity[:, 0], torch.inf) for _ in range(2))
    damping = torch.ones_like(least)
    active = torch.arange(len(velocity), device=velocity.device)
    tiny = torch.finfo(velocity.dtype).tiny
    rounding = _ROUNDING * torch.finfo(velocity.dtype).eps * (1 + target.norm(dim=-1))
    for _ in range(_ITERATIONS):
        trial = best[active] + damping[active].unsqueeze(-1) * change[active]
        rows = Located(start.chart[active], start.coords[active])
        end = flow(manifold, rows, frame[active], trial, jacobi=True, tolerance=tolerance)
        at = LocalGeometry(manifold, end.coords, end.chart, first_order=True)
        gap = target[active] - at.point
        along = (gap.unsqueeze(-2) @ at.jacobian @ end.carried.mT).squeeze(-2)
        size = gap.norm(dim=-1)
        better = (end.time == 1) & (size <= least[active] * (1 + 1e-9))
        chosen = active[better]
        best[chosen], least[chosen] = trial[better], size[better]
        residual[chosen] = along[better].norm(dim=-1)
        step = torch.linalg.lstsq(end.jacobi[better], along[better].unsqueeze(-1)).solution
        # Far from the solution no step is longer than half the velocity and the gap.
        bound = 0.5 * trial[better].norm(dim=-1, keepdim=True) + residual[chosen].unsqueeze(-1)
        step = step.squeeze(-1)
        long = step.norm(dim=-1, keepdim=True)
        change[chosen] = step * (bound / long.clamp(min=tiny)).clamp(max=1)
        damping[chosen] = 1.0
        damping[active[~better]] /= 2
        short = change.norm(dim=-1) <= smallest_change * best.norm(dim=-1) + rounding
        last = chosen[short[chosen]]
        best[last] += change[last]
        # What is left of the gap is normal to the manifold: the charts disagree by it.
        least[last] = (least[last].square() - residual[last].square()).clamp(min=0).sqrt()
        active = active[~(better & short[active]) & (damping[active] > _LEAST_DAMPING)]
        if not len(active):
            break
    # Where charts jump apart, an end within the tolerance of the manifold is all there is.
    arrived = residual <= _ARRIVED * best.norm(dim=-1) + rounding + manifold.tolerance
    return best, least, arrived & least.isfinite()
