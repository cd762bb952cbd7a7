"""Logarithms and distances: shooting from the discrete geodesics of several starts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.geometry.geodesic import Flow, flow
from learnedmanifolds.geometry.graph import SampleGraph
from learnedmanifolds.geometry.hinge import straighten
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.paths import (
    SEGMENTS,
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
_STRAIGHT = (1 + 1e-4, 0.02)
_FIRST_STEPS = 3

# A geodesic longer than its chain by more than this factor is another one.
_ELSEWHERE = 1.02

_ITERATIONS = 30
_LOOSE, _ROUGH_CHANGE = 1e-5, 1e-3
_LEAST_DAMPING = 0.05
_ARRIVED = 1e-3
# Newton's method is left where a field with unit rate, of size 1 at the end on a flat manifold, is
# smaller there than this: on a sphere within 5 degrees of the antipode.
_CONJUGATE = 0.03
# What the first half of a path may miss of its middle, in units of the path.
_HALFWAY = 0.1
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
    pair, points, length, leaving, arriving = (
        v[keep] for v in (pair, points, length, leaving, arriving)
    )
    turned = back[pair]
    points = torch.where(turned.unsqueeze(-1), points.flip(1), points)
    leaving = torch.where(turned, -arriving, leaving)
    starts = Located(start.chart[pair], start.coords[pair])
    shots = _shoot(manifold, starts, leaving, length, y[pair], tolerance)
    # Where Newton's method fails, or goes elsewhere, or nearly conjugate points make it unsafe.
    limit = torch.minimum(_ELSEWHERE * length, (1 + _ARRIVED) * shots.length)
    again = (~(shots.bound <= limit)).nonzero().squeeze(-1)
    if len(again):
        middle = points[again, SEGMENTS // 2], points[again, SEGMENTS // 2 + 1]
        rows, hinged = _bend(
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
    """Geodesics that end at a target, or near it.

    ``vector`` (N, n), initial velocities; ``length`` (N,); ``gap`` (N,), normal to the manifold;
    ``bound`` (N,), on the distance of the target: with what is left of the way to it, infinite where
    no geodesic was found.
    """

    vector: Tensor
    length: Tensor
    gap: Tensor
    bound: Tensor


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
    velocity, _ = _aimed(manifold, start, local, direction, length, target)
    last = _last_change(velocity)
    velocity, gap, rest = _newton(manifold, start, local, velocity, target, tolerance, last)
    vector = _vector(local, velocity)
    return _shots(manifold, vector, velocity.norm(dim=-1), gap, rest, target)


def _bend(
    manifold: ChartedManifold,
    pair: Tensor,
    start: Located,
    direction: Tensor,
    length: Tensor,
    middle: tuple[Tensor, Tensor],
    target: Tensor,
    tolerance: float | None,
) -> tuple[Tensor, _Shots]:
    """Geodesics that end at the targets, straightened from two halves, and the rows they are of.

    Of rows of one pair that become the same one is left. The middles (N, n) are where the first
    halves end to begin with, and points a little further on.
    """
    local = LocalGeometry(manifold, start.coords, start.chart, first_order=True)
    velocity, rest = _aimed(manifold, start, local, direction, length / 2, middle[0])
    # Where no geodesic leads to the middle, the boundary of the manifold is in the way.
    rows = (rest <= _HALFWAY * length).nonzero().squeeze(-1)
    start, velocity = Located(start.chart[rows], start.coords[rows]), velocity[rows]
    target, length, ahead = target[rows], length[rows], (middle[1] - middle[0])[rows]
    frame = (local.inverse @ local.tangent_basis).mT[rows]
    rough = _rough(length)
    ends = flow(manifold, start, frame, velocity, tolerance=rough).located
    hinge = LocalGeometry(manifold, ends.coords, ends.chart, first_order=True)
    second, _ = _aimed(manifold, ends, hinge, ahead, length / 2, target)
    second = _vector(hinge, second)
    found = straighten(manifold, start, frame, velocity, second, target, rough)
    # Most have become the same by now.
    basis = local.tangent_basis[rows]
    directions = (basis @ found.velocity.unsqueeze(-1)).mT
    keep, _ = distinct(pair[rows], directions, found.length, int(pair.max()) + 1, *_STRAIGHT)
    keep = keep[found.length[keep].isfinite()]
    start, target = Located(start.chart[keep], start.coords[keep]), target[keep]
    frame, halves = frame[keep], (found.velocity[keep], found.second[keep])
    found = straighten(manifold, start, frame, *halves, target, tolerance)
    velocity = 2 * found.velocity
    end = flow(manifold, start, frame, velocity, tolerance=tolerance)
    gap, rest = _misses(manifold, end, target)
    length = found.length
    # Where charts jump apart, what two halves see of it is not what one geodesic sees.
    off = (rest > _exact(length, target)).nonzero().squeeze(-1)
    if len(off):
        rows_off = Located(start.chart[off], start.coords[off])
        local = LocalGeometry(manifold, *reversed(rows_off), first_order=True)
        last = _last_change(velocity)
        whole = _newton(
            manifold, rows_off, local, velocity[off], target[off], tolerance, last, field=0.0
        )
        shorter = whole[0].norm(dim=-1) <= (1 + _ARRIVED) * length[off]
        better = shorter & (whole[2] < rest[off])
        off, polished = off[better], [value[better] for value in whole]
        velocity[off], gap[off], rest[off] = polished
        length[off] = polished[0].norm(dim=-1)
    vector = (basis[keep] @ velocity.unsqueeze(-1)).squeeze(-1)
    return rows[keep], _shots(manifold, vector, length, gap, rest, target)


def _aimed(
    manifold: ChartedManifold,
    start: Located,
    local: LocalGeometry,
    direction: Tensor,
    length: Tensor,
    target: Tensor,
) -> tuple[Tensor, Tensor]:
    """Velocities (N, d) in the tangent bases that roughly lead to targets, and what is left (N,).

    From directions (N, n) and lengths (N,) near theirs.
    """
    along = (direction.unsqueeze(-2) @ local.tangent_basis).squeeze(-2)
    tiny = torch.finfo(length.dtype).tiny
    velocity = along * (length / along.norm(dim=-1).clamp(min=tiny)).unsqueeze(-1)
    rough = _rough(velocity)
    velocity, _, rest = _newton(manifold, start, local, velocity, target, rough, _ROUGH_CHANGE)
    return velocity, rest


def _vector(local: LocalGeometry, velocity: Tensor) -> Tensor:
    return (local.tangent_basis @ velocity.unsqueeze(-1)).squeeze(-1)


def _rough(value: Tensor) -> float:
    return float(max(_LOOSE, torch.finfo(value.dtype).eps ** 0.55))


def _last_change(velocity: Tensor) -> float:
    # The error after a last step of this size is its square; where charts disagree a tenth of it.
    return float(torch.finfo(velocity.dtype).eps ** (1 / 3))


def _exact(length: Tensor, target: Tensor) -> Tensor:
    return 2 * _last_change(length) * length + _rounding(target)


def _rounding(target: Tensor) -> Tensor:
    return _ROUNDING * torch.finfo(target.dtype).eps * (1 + target.norm(dim=-1))


def _shots(
    manifold: ChartedManifold,
    vector: Tensor,
    length: Tensor,
    gap: Tensor,
    rest: Tensor,
    target: Tensor,
) -> _Shots:
    # Where charts jump apart, an end within the tolerance of the manifold is all there is.
    exact = rest <= _exact(length, target)
    near = rest <= _ARRIVED * length + manifold.tolerance
    bound = torch.where(exact, length, torch.where(near, length + rest, torch.inf))
    return _Shots(vector, length, gap, bound)


def _misses(manifold: ChartedManifold, end: Flow, target: Tensor) -> tuple[Tensor, Tensor]:
    """How far geodesics end from targets, normal to the manifold and along it."""
    at = LocalGeometry(manifold, end.coords, end.chart, first_order=True)
    gap = target - at.point
    along = (gap.unsqueeze(-2) @ at.jacobian @ end.carried.mT).norm(dim=(-2, -1))
    along = torch.where(end.time == 1, along, torch.inf)
    return (gap.norm(dim=-1).square() - along.square()).clamp(min=0).sqrt(), along


def _newton(
    manifold: ChartedManifold,
    start: Located,
    local: LocalGeometry,
    velocity: Tensor,
    target: Tensor,
    tolerance: float | None,
    smallest_change: float,
    field: float = _CONJUGATE,
) -> tuple[Tensor, Tensor, Tensor]:
    """Damped Newton's method until a step is relatively below ``smallest_change``; it is still made.

    Returns velocities, what is left of the gaps normal to the manifold, and what was left of them
    along it before the last step: infinite where the end is nearly conjugate to the start, or beyond.
    """
    frame = (local.inverse @ local.tangent_basis).mT
    best, change = velocity.clone(), torch.zeros_like(velocity)
    least, residual = (torch.full_like(velocity[:, 0], torch.inf) for _ in range(2))
    damping = torch.ones_like(least)
    active = torch.arange(len(velocity), device=velocity.device)
    tiny = torch.finfo(velocity.dtype).tiny
    rounding = _rounding(target)
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
        conjugate = chosen[_conjugate(end.jacobi[better], field)]
        short = change.norm(dim=-1) <= smallest_change * best.norm(dim=-1) + rounding
        last = chosen[short[chosen]]
        best[last] += change[last]
        # What is left of the gap is normal to the manifold: the charts disagree by it.
        least[last] = (least[last].square() - residual[last].square()).clamp(min=0).sqrt()
        residual[conjugate], damping[conjugate] = torch.inf, 0.0
        active = active[~(better & short[active]) & (damping[active] > _LEAST_DAMPING)]
        if not len(active):
            break
    return best, least, residual


def _conjugate(jacobi: Tensor, field: float) -> Tensor:
    """Whether ends are nearly conjugate to the starts, or one conjugate point lies between."""
    least = torch.linalg.svdvals(jacobi)[:, -1]
    return (least < field) | (torch.linalg.det(jacobi) < 0)
