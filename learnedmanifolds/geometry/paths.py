"""Discrete geodesics: chains of points with the least energy, through the charts of a manifold."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.geometry.graph import SampleGraph
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located

_SEGMENTS = 16

_ITERATIONS = 12
_LARGEST_STEP = 0.3
# Entries of the points of ways that are looked at together.
_CHUNK = 4_000_000
# A chain is shorter than its arc by a part of turn^2 / 24, 0.4 percent, at so many chords at most.
_LARGEST_TURN, _MOST = 0.3, 128
# A chord whose middle is farther from the manifold, in units of it, than that of an arc leaps to another
# part: halfway along the manifold is elsewhere.
_LEAP = 0.15
# Quadratic convergence: after this step the chain is off by far less than by its chords.
_LAST_STEP = 1e-2


def straight_chain(start: Located, end: Located) -> Located:
    """Chains (N, M + 1) that are straight in the coordinates of one chart."""
    t = torch.linspace(0, 1, _SEGMENTS + 1, dtype=start.coords.dtype, device=start.coords.device)
    coords = torch.lerp(start.coords.unsqueeze(1), end.coords.unsqueeze(1), t.view(1, -1, 1))
    return Located(start.chart.unsqueeze(1).expand(-1, len(t)), coords)


def chain_along(
    manifold: ChartedManifold,
    graph: SampleGraph,
    start: Located,
    end: Located,
    ways: list[list[int]],
) -> Located:
    """Chains (N, M + 1), evenly spaced along ways of nodes from start to end."""
    # The nodes, then all starts, then all ends; a way that is short stays at its end.
    first, last = (manifold.decode(p.coords, p.chart).flatten(1) for p in (start, end))
    points = torch.cat([graph.points, first, last])
    chart = torch.cat([graph.nodes.chart, start.chart, end.chart])
    coords = torch.cat([graph.nodes.coords, start.coords, end.coords])
    count, n_nodes = len(ways), len(graph.points)
    longest = max(len(way) for way in ways)
    index = torch.tensor(
        [
            [n_nodes + row, *way, *[n_nodes + count + row] * (longest + 1 - len(way))]
            for row, way in enumerate(ways)
        ],
        device=points.device,
    )
    spaced = torch.linspace(0, 1, _SEGMENTS + 1, dtype=points.dtype)
    t = spaced.to(points.device).unsqueeze(-1)
    picks = []
    for part in index.split(max(1, _CHUNK // (index.shape[1] * max(points.shape[1], len(t))))):
        length = points[part].diff(dim=1).norm(dim=-1).cumsum(1)
        length = torch.nn.functional.pad(length, (1, 0)).unsqueeze(1)
        pick = (length - t * length[..., -1:]).abs().argmin(-1)
        pick[:, 0], pick[:, -1] = 0, index.shape[1] - 1
        picks.append(part.gather(1, pick))
    chosen = torch.cat(picks)
    return Located(chart[chosen], coords[chosen])


def relax(manifold: ChartedManifold, chain: Located, iterations: int = _ITERATIONS) -> Located:
    """Chains with the least sum of squared chords near the given ones, ends fixed.

    Newton's method in the coordinates of the inner points, which go from chart to chart.

    Parameters
    ----------
    manifold : ChartedManifold
    chain : Located
        Charts (N, M + 1) and coordinates (N, M + 1, d).
    iterations : int
        At most.
    """
    chart, coords = chain.chart.clone(), chain.coords.clone()
    active = torch.arange(len(chart), device=chart.device)
    for _ in range(iterations):
        step = _newton_step(manifold, chart[active], coords[active])
        inner = Located(chart[active, 1:-1].flatten(), coords[active, 1:-1].flatten(0, 1))
        moved = manifold.move(inner, step.flatten(0, 1))
        chart[active, 1:-1] = moved.chart.view(step.shape[:2])
        coords[active, 1:-1] = moved.coords.view(step.shape)
        active = active[step.abs().amax((1, 2)) > _LAST_STEP]
        if not len(active):
            break
    return Located(chart, coords)


def _newton_step(manifold: ChartedManifold, chart: Tensor, coords: Tensor) -> Tensor:
    """Step (N, M - 1, d) of the inner points towards least energy."""
    n, count, d = coords.shape
    m = count - 2
    local = LocalGeometry(manifold, coords.flatten(0, 1), chart.flatten())
    x = local.point.unflatten(0, (n, count))
    j = local.jacobian.unflatten(0, (n, count))[:, 1:-1]
    chord = x[:, 1:] - x[:, :-1]
    bend = chord[:, :-1] - chord[:, 1:]
    gradient = torch.einsum("nmxd,nmx->nmd", j, bend)
    hessian = torch.zeros(n, m, d, m, d, dtype=x.dtype, device=x.device)
    inner = torch.arange(m, device=x.device)
    hessian[:, inner, :, inner, :] = 2 * (j.mT @ j).transpose(0, 1)
    off = -(j[:, :-1].mT @ j[:, 1:]).transpose(0, 1)
    hessian[:, inner[:-1], :, inner[1:], :] = off
    hessian[:, inner[1:], :, inner[:-1], :] = off.mT
    full = hessian.clone()
    second = local.second_derivatives.unflatten(0, (n, count))[:, 1:-1]
    full[:, inner, :, inner, :] += torch.einsum("nmabx,nmx->mnab", second, bend)
    hessian, full = (matrix.flatten(3, 4).flatten(1, 2) for matrix in (hessian, full))
    # Where the energy is not convex, the Gauss-Newton matrix stands for its Hessian.
    definite = torch.linalg.cholesky_ex(full)[1] == 0
    system = torch.where(definite.view(-1, 1, 1), full, hessian)
    # A point that presses against a wall is on the boundary of the manifold, and is held by it.
    walls = manifold.charts.domain.walls(
        coords[:, 1:-1].flatten(0, 1), chart[:, 1:-1].flatten(), 0.0
    )
    held = walls.normal * walls.pressed(-gradient.flatten(0, 1)).unsqueeze(-1)
    if bool(held.any()):
        # Steps along the walls only, by the projections of both sides.
        free = torch.eye(d, dtype=x.dtype, device=x.device) - torch.linalg.pinv(held) @ held
        along = torch.zeros(n, m, d, m, d, dtype=x.dtype, device=x.device)
        along[:, inner, :, inner, :] = free.unflatten(0, (n, m)).transpose(0, 1)
        along = along.flatten(3, 4).flatten(1, 2)
        system = along @ system @ along + torch.eye(m * d, dtype=x.dtype, device=x.device) - along
        gradient = (free @ gradient.flatten(0, 1).unsqueeze(-1)).view_as(gradient)
    gradient = gradient.flatten(1)
    # Positive definite, so by Cholesky: torch 2.13's batched LU fails at times on two threads.
    factor = torch.linalg.cholesky_ex(system)[0]
    step = -torch.cholesky_solve(gradient.unsqueeze(-1), factor).squeeze(-1).unflatten(1, (m, d))
    # A chain whose matrix could not be factored stays as it is.
    whole = step.isfinite().flatten(1).all(1).view(-1, 1, 1)
    step = torch.where(whole, step, 0.0)
    size = step.abs().amax((1, 2), keepdim=True)
    return step * (_LARGEST_STEP / size.clamp(min=_LARGEST_STEP))


class DiscreteGeodesics(NamedTuple):
    """Chains of least energy.

    Attributes
    ----------
    points : Tensor, shape (N, M + 1, n)
        Evenly spaced points of them.
    length : Tensor, shape (N,)
    tangent, arriving : Tensor, shape (N, n)
        Directions at the start and at the end, to second order in the chords.
    whole : Tensor of bool, shape (N,)
        Whether all chords are along the manifold; else the chain leaps from one part of it to another.
    """

    points: Tensor
    length: Tensor
    tangent: Tensor
    arriving: Tensor
    whole: Tensor


def discrete_geodesics(manifold: ChartedManifold, chain: Located) -> DiscreteGeodesics:
    """Relaxed chains, with as many chords as their curvature needs."""
    chain = relax(manifold, chain)
    x = chain_points(manifold, chain)
    points, length = x.clone(), x[:, 0, 0].clone()
    tangent, arriving = x[:, 0].clone(), x[:, 0].clone()
    rows = torch.arange(len(x), device=x.device)
    whole = torch.zeros_like(rows, dtype=torch.bool)
    stride = 1
    while True:
        chords = x[:, 1:] - x[:, :-1]
        size = chords.norm(dim=-1)
        points[rows], length[rows] = x[:, ::stride], size.sum(-1)
        tangent[rows] = 1.5 * chords[:, 0] - 0.5 * chords[:, 1]
        arriving[rows] = 1.5 * chords[:, -1] - 0.5 * chords[:, -2]
        along = (chords[:, 1:] * chords[:, :-1]).sum(-1)
        bent = (along < math.cos(_LARGEST_TURN) * size[:, 1:] * size[:, :-1]).any(-1)
        halved = _halved(manifold, chain)
        off = (chain_points(manifold, halved)[:, 1::2] - 0.5 * (x[:, 1:] + x[:, :-1])).norm(dim=-1)
        leaps = (off > _LEAP * size + manifold.noise_std).any(-1)
        whole[rows] = ~leaps
        bent |= leaps
        if chords.shape[1] >= _MOST or not bool(bent.any()):
            break
        stride *= 2
        rows = rows[bent]
        chain = relax(manifold, Located(halved.chart[bent], halved.coords[bent]))
        x = chain_points(manifold, chain)
    return DiscreteGeodesics(points, length, tangent, arriving, whole)


def _halved(manifold: ChartedManifold, chain: Located) -> Located:
    """Chains with a point more on every chord: half the chord, walked on the manifold."""
    n, count, d = chain.coords.shape
    start = Located(chain.chart[:, :-1].flatten(), chain.coords[:, :-1].flatten(0, 1))
    x = chain_points(manifold, chain)
    local = LocalGeometry(manifold, start.coords, start.chart, first_order=True)
    half = 0.5 * (x[:, 1:] - x[:, :-1]).flatten(0, 1)
    middle = manifold.move(start, local.coordinates(half))
    chart = chain.chart.new_empty(n, 2 * count - 1)
    coords = chain.coords.new_empty(n, 2 * count - 1, d)
    chart[:, ::2], coords[:, ::2] = chain.chart, chain.coords
    chart[:, 1::2] = middle.chart.view(n, count - 1)
    coords[:, 1::2] = middle.coords.view(n, count - 1, d)
    return Located(chart, coords)


def chain_points(manifold: ChartedManifold, chain: Located) -> Tensor:
    """Points (N, M + 1, n) of chains."""
    n, count, _ = chain.coords.shape
    flat = manifold.decode(chain.coords.flatten(0, 1), chain.chart.flatten()).flatten(1)
    return flat.unflatten(0, (n, count))


def chord_length(points: Tensor) -> Tensor:
    """Sum of the chords of chains (N, M + 1, n), (N,)."""
    return (points[:, 1:] - points[:, :-1]).norm(dim=-1).sum(-1)


def energy_length(points: Tensor) -> Tensor:
    """Root of M times the sum of squared chords: the length of a chain whose chords are equal.

    Else larger, so that a chain that leaps from one part of the manifold to another is not short.
    """
    chords = points[:, 1:] - points[:, :-1]
    return (chords.square().sum((1, 2)) * chords.shape[1]).sqrt()


def distinct(
    pair: Tensor, points: Tensor, length: Tensor, n_pairs: int, longer: float, apart: float
) -> tuple[Tensor, Tensor]:
    """The shortest chain of each pair, and others not much longer and apart from all shorter ones.

    Parameters
    ----------
    pair : Tensor, shape (N,)
        What pair of points each chain belongs to.
    points : Tensor, shape (N, M + 1, n)
    length : Tensor, shape (N,)
    n_pairs : int
    longer, apart : float
        In units of the length of the shortest: at most, and more than.

    Returns
    -------
    Indices of the chains, and the lengths of the shortest (n_pairs,), infinite where there is none.
    """
    shortest = _least(pair, length, n_pairs)
    left = (length <= longer * shortest[pair]).nonzero().squeeze(-1)
    kept = []
    while len(left):
        least = _least(pair[left], length[left], n_pairs)
        at_least = left[length[left] == least[pair[left]]]
        best = pair.new_zeros(n_pairs)
        best[pair[at_least]] = at_least
        chosen = best[pair[left]]
        kept.append(left[chosen == left])
        gap = (points[left] - points[chosen]).norm(dim=-1).amax(-1)
        left = left[(gap > apart * shortest[pair[left]]) & (chosen != left)]
    return torch.cat([pair[:0], *kept]), shortest


def _least(pair: Tensor, value: Tensor, n_pairs: int) -> Tensor:
    return value.new_full((n_pairs,), torch.inf).scatter_reduce(0, pair, value, "amin")
