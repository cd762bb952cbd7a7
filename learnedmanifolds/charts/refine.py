"""Nearest points of charts by damped Gauss-Newton, batched."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Linearize = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_MAX_ITERATIONS = 30


def refine(
    linearize: Linearize, coords: Tensor, target: Tensor, bound: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Minimise |D(t) - x|^2 over the box [-bound, bound]^d from given coordinates.

    Levenberg-Marquardt, steps clipped to the box; points that have converged leave the batch.

    Parameters
    ----------
    linearize : callable
        ``linearize(coords, index)`` gives the points (M, n) and the transposes of the Jacobians
        (M, d, n) at coordinates (M, d) of the rows ``index`` (M,).
    coords : Tensor, shape (N, d)
        Starts; clipped to the box.
    target : Tensor, shape (N, n)
    bound : float

    Returns
    -------
    coords : Tensor, shape (N, d)
    cost : Tensor, shape (N,)
        Squared distances.
    """
    coords = coords.clamp(-bound, bound)
    active = torch.arange(len(coords), device=coords.device)
    value, tangents = linearize(coords, active)
    cost = (value - target).square().sum(-1)
    damping = torch.full_like(cost, 1e-9)
    small = torch.finfo(coords.dtype).eps ** 0.75
    for _ in range(_MAX_ITERATIONS):
        at, j, residual = coords[active], tangents[active], value[active] - target[active]
        gradient = (j @ residual.unsqueeze(-1)).squeeze(-1)
        metric = j @ j.mT
        # The floor keeps the system solvable where the Jacobian vanishes.
        scale = metric.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-30)
        # A coordinate that presses against its wall is held there.
        held = ((at >= bound) & (gradient < 0)) | ((at <= -bound) & (gradient > 0))
        free = (~held).to(coords.dtype)
        gradient = gradient * free
        metric = metric * free.unsqueeze(-1) * free.unsqueeze(-2)
        shift = (damping[active] * scale).unsqueeze(-1) * free + scale.unsqueeze(-1) * (1 - free)
        step = -torch.linalg.solve(metric + torch.diag_embed(shift), gradient)
        trial = (at + step).clamp(-bound, bound)
        trial_value, trial_tangents = linearize(trial, active)
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
    return coords, cost
