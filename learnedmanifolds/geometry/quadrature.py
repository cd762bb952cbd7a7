"""Quadrature over a manifold of charts: points with weights that sum to its volume."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.volume import shared_density

MOST = 3
"""Largest dimension in which boxes are covered with cells."""

# Cells of all charts, by their dimension, and along an axis of one; fewer where points have many numbers.
_CELLS, _MOST = {1: 4096, 2: 8192, 3: 4096}, {1: 256, 2: 64, 3: 12}
_FEWEST, _NUMBERS = {1: 64, 2: 16, 3: 8}, 2**22
# Points along an axis at which domains are looked for.
_LOOKED = {1: 1024, 2: 192, 3: 40}
# Points of a chart that tell lengths, the fewest cells along an axis, and how many sides are no longer.
_TRIED, _THINNEST, _FEW_EXCEED = 64, 5, 0.95
# Random points, and their standard deviations.
_DRAWS, _FEWEST_DRAWS, _SCALES = 8192, 1024, (1.0, 0.5)


class Quadrature(NamedTuple):
    """Points in the domains of all charts: midpoints of cells, or random ones.

    The sum of weights times values of a function is its integral over the manifold with respect to the
    Riemannian volume; where charts overlap they share in it by their depths.

    Attributes
    ----------
    at : Located
        Of M points.
    points : Tensor, shape (M, n)
    weight : Tensor, shape (M,)
    cell : Tensor, shape (M, d, d)
        Sides of the cells in coordinates, as columns; of random points, of cubes of unit length.
    reach : float
        Length, in the units of the data, that few sides of cells exceed, or distances of random points.
    """

    at: Located
    points: Tensor
    weight: Tensor
    cell: Tensor
    reach: float


@torch.no_grad()
def quadrature(manifold: ChartedManifold) -> Quadrature:
    """Cells of a manifold of at most `MOST` dimensions, about as long as wide."""
    d, n_charts = manifold.dim, manifold.n_charts
    most = min(_CELLS[d], _NUMBERS / manifold.charts.n_ambient) / n_charts
    side = int(min(_MOST[d], max(_FEWEST[d], most ** (1 / d))))
    looked = _midpoints([_LOOKED[d]] * d).to(dtype=manifold.dtype, device=manifold.device)
    held = manifold.charts.domain.depth(looked.expand(n_charts, -1, d)) >= 0
    places, sides = [], []
    for k, inside in enumerate(held):
        if not bool(inside.any()):
            continue
        # Domains may be narrow.
        own = looked[inside]
        low = (own.amin(0) - 2 / _LOOKED[d]).clamp(min=-1)
        high = (own.amax(0) + 2 / _LOOKED[d]).clamp(max=1)
        some = own[:: -(-len(own) // _TRIED)]
        stretch = LocalGeometry(manifold, some, k, first_order=True).jacobian.norm(dim=1).mean(0)
        length = (high - low) * stretch
        counts = (side * length / length.log().mean().exp()).round().clamp(min=_THINNEST)
        unit = _midpoints([int(count) for count in counts]).to(looked)
        places.append(
            Located(
                torch.full_like(unit[:, 0], k, dtype=torch.int64),
                low + (high - low) * (1 + unit) / 2,
            )
        )
        sides.append(((high - low) / counts).expand_as(unit))
    chart, coords = (torch.cat(part) for part in zip(*places, strict=True))
    inside = manifold.charts.domain.depth(coords, chart) >= 0
    at, cell = Located(chart[inside], coords[inside]), torch.cat(sides)[inside]
    made = shared_density(manifold, at)
    points = manifold.decode(at.coords, at.chart).flatten(1)
    reach = _reach(manifold, at, cell)
    return Quadrature(at, points, made * cell.prod(1), torch.diag_embed(cell), reach)


@torch.no_grad()
def random_quadrature(manifold: ChartedManifold, about: Located, scale: float) -> Quadrature:
    """Points drawn about places (A,), by Gaussians of a standard deviation and half of it.

    Of functions that are large only near the places; in any dimension.

    References
    ----------
    Veach, Guibas, SIGGRAPH 1995 (weights by the density of all draws together).
    """
    d, source = manifold.dim, torch.Generator().manual_seed(0)
    count = min(_DRAWS, max(_FEWEST_DRAWS, _NUMBERS // manifold.charts.n_ambient))
    local = LocalGeometry(manifold, about.coords, about.chart, first_order=True)
    unit = local.inverse @ local.tangent_basis
    place = torch.arange(count, device=about.chart.device) % len(about.chart)
    size = torch.tensor(_SCALES, dtype=torch.float64)[
        torch.randint(len(_SCALES), (count,), generator=source)
    ]
    noise = torch.randn(count, d, 1, generator=source, dtype=torch.float64)
    step = (unit[place] @ (scale * size.view(-1, 1, 1) * noise).to(unit)).squeeze(-1)
    chart, coords = about.chart[place], about.coords[place] + step
    inside = manifold.charts.domain.depth(coords, chart) >= 0
    at, place = Located(chart[inside], coords[inside]), place[inside]
    density = torch.zeros_like(at.coords[:, 0])
    for k in range(manifold.n_charts):
        rows, own = (at.chart == k).nonzero()[:, 0], (about.chart == k).nonzero()[:, 0]
        away = at.coords[rows].unsqueeze(1) - about.coords[own]
        square = torch.einsum("rai,aij,raj->ra", away, local.metric[own], away)
        for part in _SCALES:
            wide = part * scale
            height = local.volume_density[own] / ((2 * math.pi) ** (d / 2) * wide**d)
            density[rows] += (height * torch.exp(-square / (2 * wide**2))).sum(1)
    # Each place has the same number of draws, but for one.
    weight = shared_density(manifold, at) * len(_SCALES) * len(about.chart) / (density * count)
    points = manifold.decode(at.coords, at.chart).flatten(1)
    return Quadrature(at, points, weight, unit[place], scale)


def _reach(manifold: ChartedManifold, at: Located, cell: Tensor) -> float:
    some = slice(None, None, -(-len(cell) // (_TRIED * manifold.n_charts)))
    local = LocalGeometry(manifold, at.coords[some], at.chart[some], first_order=True)
    return float((local.jacobian.norm(dim=1) * cell[some]).amax(1).quantile(_FEW_EXCEED))


def _midpoints(sides: list[int]) -> Tensor:
    """Midpoints (M, d) of so many cells along each axis of [-1, 1]^d."""
    axes = [2 * (torch.arange(side, dtype=torch.float64) + 0.5) / side - 1 for side in sides]
    return torch.cartesian_prod(*axes).view(-1, len(sides))
