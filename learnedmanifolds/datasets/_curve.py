"""Nearest points on a curve that is given by its formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch

Jet: TypeAlias = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""Maps parameters (...) to the points of a curve in R^m and its first two derivatives, (..., m)."""

# Bisection alone reaches the spacing of float64 in this many halvings.
MAX_STEPS = 60
ROWS_PER_BLOCK = 8192


def nearest_parameter(
    x: torch.Tensor, jet: Jet, start: float, stop: float, n_grid: int, n_minima: int
) -> torch.Tensor:
    """Return the parameter in [start, stop] of the point of a curve nearest to each point.

    Every local minimum on a fine grid is bracketed and refined, and the least of them is taken. A
    closed curve needs nothing more: its first and its last parameter are two ends that meet.

    Parameters
    ----------
    x : torch.Tensor, shape (n, m)
        Points of the ambient space, float64.
    jet : callable
        The curve, twice differentiable.
    start, stop : float
        Ends of the curve.
    n_grid : int
        Number of grid points, enough to separate the minima of the distance.
    n_minima : int
        A bound on the number of these minima, the two ends included.

    Returns
    -------
    torch.Tensor, shape (n,)
    """
    grid = torch.linspace(start, stop, n_grid, dtype=x.dtype, device=x.device)
    blocks = x.split(ROWS_PER_BLOCK)
    return torch.cat(
        [_nearest_in_block(block, jet, grid, min(n_minima, n_grid)) for block in blocks]
    )


def _nearest_in_block(x: torch.Tensor, jet: Jet, grid: torch.Tensor, n_minima: int) -> torch.Tensor:
    points = jet(grid)[0]
    values = points.square().sum(dim=-1) / 2 - x @ points.mT
    outside = torch.full_like(values[:, :1], math.inf)
    left = torch.cat([outside, values[:, :-1]], dim=1)
    right = torch.cat([values[:, 1:], outside], dim=1)
    is_minimum = (values <= left) & (values <= right)
    candidates = values.masked_fill(~is_minimum, math.inf).topk(n_minima, largest=False).indices
    low, high = grid[(candidates - 1).clamp(min=0)], grid[(candidates + 1).clamp(max=len(grid) - 1)]
    refined = _refine(x, jet, low, high)
    best = _half_square(refined, x, jet).argmin(dim=1, keepdim=True)
    return refined.gather(1, best)[:, 0]


def _half_square(t: torch.Tensor, x: torch.Tensor, jet: Jet) -> torch.Tensor:
    """Half the squared distance less the constant ``|x|^2 / 2``, which would only cancel."""
    point = jet(t)[0]
    return (point * (point / 2 - x[:, None])).sum(dim=-1)


def _refine(x: torch.Tensor, jet: Jet, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Newton's method for a zero of the derivative, kept in a bracket that bisection shrinks."""
    slope_low, _ = _derivatives(low, x, jet)
    slope_high, _ = _derivatives(high, x, jet)
    # A minimum at an end of the curve has no zero of the derivative beside it.
    high = torch.where(slope_low >= 0, low, high)
    low = torch.where((slope_high <= 0) & (slope_low < 0), high, low)
    t = (low + high) / 2
    tolerance = 1e-15 * max(abs(float(t.min())), abs(float(t.max())))
    for _ in range(MAX_STEPS):
        slope, curvature = _derivatives(t, x, jet)
        low, high = torch.where(slope < 0, t, low), torch.where(slope > 0, t, high)
        newton = t - slope / curvature
        usable = (curvature > 0) & (newton > low) & (newton < high)
        following = torch.where(usable, newton, (low + high) / 2)
        moved = (following - t).abs()
        t = following
        if not (moved > tolerance).any():
            break
    return t


def _derivatives(t: torch.Tensor, x: torch.Tensor, jet: Jet) -> tuple[torch.Tensor, torch.Tensor]:
    point, velocity, acceleration = jet(t)
    offset = point - x[:, None]
    slope = (velocity * offset).sum(dim=-1)
    return slope, velocity.square().sum(dim=-1) + (acceleration * offset).sum(dim=-1)
