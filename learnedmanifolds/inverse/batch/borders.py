"""Where runs meet the borders of their charts; what `inverse.borders` does for one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.atlas.transition import inward
from learnedmanifolds.charts.domain import Walls
from learnedmanifolds.geometry import Located
from learnedmanifolds.inverse.batch.iterate import Place
from learnedmanifolds.optimizers.borders import ON_WALL

# A gradient that small across a wall, relative to its norm, has been projected on the wall.
_ALONG_WALL = 1e-10


class Border(NamedTuple):
    """Gradients at borders, and what follows behind them; for the attributes see `Iterate`."""

    gradient: Tensor
    free: Tensor
    at_boundary: Tensor
    leads_on: Tensor
    follows: Located


def meet_borders(atlas: Atlas, place: Place, euclidean: Tensor) -> Border:
    """Riemannian gradients in the tangent bases, from Euclidean ones (A, n), borders heeded."""
    gradient = _along(place.basis, euclidean)
    count, d = gradient.shape
    free = torch.eye(d, dtype=gradient.dtype, device=gradient.device).repeat(count, 1, 1)
    at_boundary = torch.zeros(count, dtype=torch.bool, device=gradient.device)
    leads_on = at_boundary.clone()
    chart, coords = place.chart.clone(), place.coords.clone()
    finite = euclidean.isfinite().all(-1) & place.first.flatten(1).isfinite().all(-1)
    domain = atlas.charts.domain
    near = domain.depth(coords, chart) <= ON_WALL
    index = (near & finite).nonzero().squeeze(-1)
    if len(index):
        here = place.take(index)
        local = here.geometry(atlas)
        descent = -local.vector(local.coordinates(euclidean[index]))
        walls = domain.walls(here.coords, here.chart, ON_WALL)
        leaves = walls.pressed(local.coordinates(descent)).any(-1)
        entered, follows = atlas.enter(here.value, here.chart)
        at_boundary[index], leads_on[index] = leaves & ~entered, leaves & entered
        chart[index], coords[index] = follows
        gradient[index] = -_along(here.basis, inward(atlas, local, descent))
        free[index] = _free(here, walls, gradient[index])
    return Border(gradient, free, at_boundary, leads_on, Located(chart, coords))


def _along(basis: Tensor, vector: Tensor) -> Tensor:
    return (vector.unsqueeze(-2) @ basis).squeeze(-2)


def _free(place: Place, walls: Walls, gradient: Tensor) -> Tensor:
    """Projections (A, d, d) along the walls across which the gradient (A, d) has no part."""
    d = gradient.shape[-1]
    eye = torch.eye(d, dtype=gradient.dtype, device=gradient.device)
    # Rows: how the coordinates change along the tangent basis.
    rows = torch.linalg.solve_triangular(place.factor, eye.expand_as(place.factor), upper=True)
    normals = walls.normal @ rows
    across = (normals @ gradient.unsqueeze(-1)).squeeze(-1).abs()
    scale = normals.norm(dim=-1) * gradient.norm(dim=-1, keepdim=True)
    held = normals * (walls.on & (across <= _ALONG_WALL * scale)).unsqueeze(-1)
    return eye - torch.linalg.pinv(held) @ held
