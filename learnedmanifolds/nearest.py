"""Nearest points of an atlas: damped Gauss-Newton in the box of every chart."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.geometry.local import Located

_MAX_ITERATIONS = 30


def nearest(atlas: Atlas, x: Tensor) -> Located:
    """Chart and coordinates of the point of the atlas nearest to each flat point, (N, n).

    Minimises |D_k(t) - x|^2 over the box of every chart at once (Levenberg-Marquardt, steps
    clipped to the box), starting from the encoder's coordinates, and keeps the best chart.
    """
    charts, d = atlas.charts, atlas.dim
    if not len(x):
        return Located(torch.zeros(0, dtype=torch.int64, device=x.device), x.new_zeros(0, d))
    coords = charts.encode(x).clamp(-1, 1)
    eye = torch.eye(d, dtype=x.dtype, device=x.device)
    tangents = eye.view(1, d, 1, d).expand(len(coords), d, len(x), d)
    damping = torch.full(coords.shape[:2], 1e-9, dtype=x.dtype, device=x.device)
    jet = charts.jet(coords, None, tangents)
    cost = (jet.value - x).square().sum(-1)
    small = torch.finfo(x.dtype).eps ** 0.75
    for _ in range(_MAX_ITERATIONS):
        residual = jet.value - x
        gradient = torch.einsum("kind,knd->kni", jet.first, residual)
        metric = torch.einsum("kind,kjnd->knij", jet.first, jet.first)
        # The floor keeps the system solvable where the Jacobian vanishes.
        scale = metric.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-30)
        # A coordinate that presses against its wall is held there.
        held = ((coords >= 1) & (gradient < 0)) | ((coords <= -1) & (gradient > 0))
        free = (~held).to(x.dtype)
        gradient = gradient * free
        metric = metric * free.unsqueeze(-1) * free.unsqueeze(-2)
        shift = (damping * scale).unsqueeze(-1) * free + scale.unsqueeze(-1) * (1 - free)
        step = -torch.linalg.solve(metric + torch.diag_embed(shift), gradient)
        trial = (coords + step).clamp(-1, 1)
        trial_jet = charts.jet(trial, None, tangents)
        trial_cost = (trial_jet.value - x).square().sum(-1)
        better = trial_cost <= cost
        moved = (trial - coords).abs().amax(-1)
        pick = better.unsqueeze(-1)
        coords = torch.where(pick, trial, coords)
        jet = type(jet)(
            torch.where(pick, trial_jet.value, jet.value),
            torch.where(pick.unsqueeze(1), trial_jet.first, jet.first),
            jet.second,
        )
        cost = torch.where(better, trial_cost, cost)
        damping = torch.where(better, damping / 5, damping.clamp(min=1e-4) * 10).clamp(max=1e6)
        if float(moved.max()) < small:
            break
    chart = cost.argmin(0)
    return Located(chart, coords[chart, torch.arange(len(x), device=x.device)])
