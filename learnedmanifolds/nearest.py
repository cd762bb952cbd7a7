"""Nearest points of an atlas: damped Gauss-Newton in the box of every chart."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.geometry.local import Located

_MAX_ITERATIONS = 30


def nearest(atlas: Atlas, x: Tensor) -> Located:
    """Chart and coordinates of the point of the atlas nearest to each flat point, (N, n).

    Minimises |D_k(t) - x|^2 over the box of every chart (Levenberg-Marquardt, steps clipped to the
    box), starting from the encoder's coordinates, and keeps the best chart.
    """
    n_charts, n, d = atlas.n_charts, len(x), atlas.dim
    if not n:
        return Located(torch.zeros(0, dtype=torch.int64, device=x.device), x.new_zeros(0, d))
    coords = atlas.charts.encode(x).clamp(-1, 1).flatten(0, 1)
    chart = torch.arange(n_charts, device=x.device).repeat_interleave(n)
    target = x.repeat(n_charts, 1)
    value, tangents = _first_order(atlas, coords, chart)
    cost = (value - target).square().sum(-1)
    damping = torch.full_like(cost, 1e-9)
    small = torch.finfo(x.dtype).eps ** 0.75
    active = torch.arange(len(cost), device=x.device)
    for _ in range(_MAX_ITERATIONS):
        at, j, residual = coords[active], tangents[active], value[active] - target[active]
        gradient = (j @ residual.unsqueeze(-1)).squeeze(-1)
        metric = j @ j.mT
        # The floor keeps the system solvable where the Jacobian vanishes.
        scale = metric.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-30)
        # A coordinate that presses against its wall is held there.
        held = ((at >= 1) & (gradient < 0)) | ((at <= -1) & (gradient > 0))
        free = (~held).to(x.dtype)
        gradient = gradient * free
        metric = metric * free.unsqueeze(-1) * free.unsqueeze(-2)
        shift = (damping[active] * scale).unsqueeze(-1) * free + scale.unsqueeze(-1) * (1 - free)
        step = -torch.linalg.solve(metric + torch.diag_embed(shift), gradient)
        trial = (at + step).clamp(-1, 1)
        trial_value, trial_tangents = _first_order(atlas, trial, chart[active])
        trial_cost = (trial_value - target[active]).square().sum(-1)
        better = trial_cost <= cost[active]
        moved = (trial - at).abs().amax(-1)
        chosen = active[better]
        coords[chosen], cost[chosen] = trial[better], trial_cost[better]
        value[chosen], tangents[chosen] = trial_value[better], trial_tangents[better]
        damping[active] = torch.where(
            better, damping[active] / 5, damping[active].clamp(min=1e-4) * 10
        ).clamp(max=1e6)
        active = active[moved >= small]
        if not len(active):
            break
    best = cost.view(n_charts, n).argmin(0)
    return Located(best, coords.view(n_charts, n, d)[best, torch.arange(n, device=x.device)])


def _first_order(atlas: Atlas, coords: Tensor, chart: Tensor) -> tuple[Tensor, Tensor]:
    """Points (N, n) and the transposes of the Jacobians (N, d, n)."""
    d = atlas.dim
    eye = torch.eye(d, dtype=coords.dtype, device=coords.device).unsqueeze(1)
    jet = atlas.jet(coords, chart, eye.expand(d, *coords.shape))
    return jet.value, jet.first.movedim(0, 1)
