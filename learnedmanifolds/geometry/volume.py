"""Volume of a manifold of charts, uniform samples, geodesic balls; overlaps count once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learnedmanifolds._check import generator
from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located

# Points at a time, and numbers in what all charts make of them.
_CHUNK, _NUMBERS = 4096, 2**24
_FEW = 128
_HEADROOM = 1.5


def shared_density(manifold: ChartedManifold, point: Located) -> Tensor:
    """Volume of a unit of coordinates times the chart's share of the point, (N,).

    Charts that hold a point share it in proportion to its depths in them: a partition of unity that
    is continuous where a chart ends inside another.
    """
    parts = []
    size = max(_FEW, min(_CHUNK, _NUMBERS // (manifold.n_charts * manifold.charts.n_ambient)))
    for chart, coords in zip(point.chart.split(size), point.coords.split(size), strict=True):
        if manifold.n_charts == 1:
            parts.append(_box_density(manifold, Located(chart, coords)))
            continue
        local = LocalGeometry(manifold, coords, chart, first_order=True)
        theirs, error = manifold.claims(local.point)
        domain = manifold.charts.domain
        depth = domain.depth(theirs).clamp(min=0) * (error <= manifold.agreement)
        rows = torch.arange(len(chart), device=chart.device)
        own = domain.depth(coords, chart)
        depth[chart, rows] = own.clamp(min=torch.finfo(coords.dtype).tiny)
        share = depth[chart, rows] / depth.sum(0)
        parts.append(torch.where(own >= 0, local.volume_density * share, 0.0))
    return torch.cat(parts)


def volume(manifold: ChartedManifold, n_points: int) -> float:
    """Riemannian volume by quasi-random points in the box of every chart."""
    d, k = manifold.dim, manifold.n_charts
    sobol = torch.quasirandom.SobolEngine(d, scramble=True, seed=0)
    coords = 2 * sobol.draw(n_points, dtype=torch.float64) - 1
    coords = coords.to(dtype=manifold.dtype, device=manifold.device).repeat(k, 1)
    chart = torch.arange(k, device=manifold.device).repeat_interleave(n_points)
    return float(shared_density(manifold, Located(chart, coords)).double().sum()) * 2**d / n_points


def _box_density(manifold: ChartedManifold, point: Located) -> Tensor:
    """Volume of a unit of coordinates, zero outside the charts, (N,): no `shared_density` is more."""
    local = LocalGeometry(manifold, point.coords, point.chart, first_order=True)
    inside = manifold.charts.domain.depth(point.coords, point.chart) >= 0
    return torch.where(inside, local.volume_density, 0.0)


def uniform(manifold: ChartedManifold, n: int, seed: int | None) -> Located:
    """Uniform points, by rejection from the boxes.

    A chart's share of a point takes most of the time, so it is found only of points where the density
    without it leaves a choice.
    """
    source = generator(seed)
    d, k = manifold.dim, manifold.n_charts

    def propose(count: int) -> tuple[Located, Tensor]:
        coords = 2 * torch.rand(count, d, generator=source, dtype=torch.float64) - 1
        chart = torch.randint(k, (count,), generator=source)
        point = Located(
            chart.to(manifold.device), coords.to(dtype=manifold.dtype, device=manifold.device)
        )
        pieces = zip(point.chart.split(_CHUNK), point.coords.split(_CHUNK), strict=True)
        return point, torch.cat([_box_density(manifold, Located(*piece)) for piece in pieces])

    def density(point: Located, rows: Tensor) -> Tensor:
        return shared_density(manifold, Located(point.chart[rows], point.coords[rows]))

    def highest(point: Located, limit: Tensor, least: float = 0.0) -> float:
        """The largest density above one, of points in the order of their limits."""
        for rows in limit.argsort(descending=True).split(_FEW):
            if float(limit[rows[0]]) <= least:
                break
            least = max(least, float(density(point, rows).max()))
        return least

    bound = _HEADROOM * highest(*propose(1024 * k))
    kept: list[Located] = []
    count = 0
    while count < n:
        point, limit = propose(max(1024, 2 * (n - count)))
        top = highest(point, limit, bound)
        if top > bound:
            # What was drawn under the smaller bound is not uniform.
            bound, kept, count = _HEADROOM * top, [], 0
            continue
        u = bound * torch.rand(len(limit), generator=source, dtype=torch.float64).to(limit)
        for rows in (u < limit).nonzero()[:, 0].split(max(_FEW, 2 * (n - count))):
            rows = rows[u[rows] < density(point, rows)]
            kept.append(Located(point.chart[rows], point.coords[rows]))
            count += len(rows)
            if count >= n:
                break
    return Located(*(torch.cat(parts)[:n] for parts in zip(*kept, strict=True)))


def ball_volume(
    manifold: ChartedManifold, center: Located, radius: float, n_points: int
) -> tuple[Tensor, int]:
    """Volumes of geodesic balls, (N,), and how many of them reach over a boundary."""
    d = manifold.dim
    vectors = _unit_ball(n_points, d).to(dtype=manifold.dtype, device=manifold.device) * radius
    volumes, out = [], 0
    for chart, coords in zip(*center, strict=True):
        start = Located(chart.expand(n_points), coords.expand(n_points, d))
        local = LocalGeometry(manifold, coords[None], chart[None], first_order=True)
        frame = (local.inverse @ local.tangent_basis).mT.expand(n_points, d, d)
        end = flow(manifold, start, frame, vectors, jacobi=True)
        volumes.append(torch.linalg.det(end.jacobi).abs().mean())
        out += bool((end.time < 1).any())
    unit = math.pi ** (d / 2) / math.gamma(d / 2 + 1)
    return torch.stack(volumes) * unit * radius**d, out


def _unit_ball(count: int, d: int) -> Tensor:
    """Quasi-random points of the unit ball, (count, d)."""
    sobol = torch.quasirandom.SobolEngine(d + 1, scramble=True, seed=0)
    u = sobol.draw(count, dtype=torch.float64).clamp(1e-9, 1 - 1e-9)
    normal = torch.special.ndtri(u[:, :d])
    return normal / normal.norm(dim=-1, keepdim=True) * u[:, d:] ** (1 / d)
