"""Nearest points of an atlas: damped Gauss-Newton in the box of every chart."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.refine import refine
from learnedmanifolds.geometry.local import ChartedManifold, Located


def nearest(manifold: ChartedManifold, x: Tensor) -> Located:
    """Chart and coordinates of the point of the atlas nearest to each flat point, (N, n).

    Minimises |D_k(t) - x|^2 over the box of every chart, starting from the encoder's coordinates,
    and keeps the best chart.
    """
    n_charts, n, d = manifold.n_charts, len(x), manifold.dim
    if not n:
        return Located(torch.zeros(0, dtype=torch.int64, device=x.device), x.new_zeros(0, d))
    chart = torch.arange(n_charts, device=x.device).repeat_interleave(n)

    def linearize(coords: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        eye = torch.eye(d, dtype=coords.dtype, device=coords.device).unsqueeze(1)
        jet = manifold.jet(coords, chart[index], eye.expand(d, *coords.shape))
        return jet.value, jet.first.movedim(0, 1)

    coords, cost = refine(linearize, manifold.charts.encode(x).flatten(0, 1), x.repeat(n_charts, 1))
    best = cost.view(n_charts, n).argmin(0)
    return Located(best, coords.view(n_charts, n, d)[best, torch.arange(n, device=x.device)])
