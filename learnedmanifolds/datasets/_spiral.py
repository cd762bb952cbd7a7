"""Arc length of, and nearest points on, the Archimedean spiral ``t -> t (cos t, sin t)``."""

from __future__ import annotations

import math

import torch

from learnedmanifolds.datasets._maps import polar

# The squared distance varies on the scale of a turn; 64 grid points a turn separate its minima.
POINTS_PER_TURN = 64
# A turn holds at most one local minimum of the distance, and each end of the curve adds at most one.
EXTRA_MINIMA = 3
# Bisection alone reaches the spacing of float64 in this many halvings.
MAX_STEPS = 60
ROWS_PER_BLOCK = 8192


def arc_length(t: torch.Tensor) -> torch.Tensor:
    """Return the length ``(t sqrt(1 + t^2) + asinh t) / 2`` of the spiral from 0 to `t`."""
    return (t * (1 + t.square()).sqrt() + t.asinh()) / 2


def invert_arc_length(length: torch.Tensor) -> torch.Tensor:
    """Return the parameter at which the spiral from 0 has the given positive length, by Newton."""
    t = (2 * length).sqrt()
    for _ in range(MAX_STEPS):
        step = (arc_length(t) - length) / (1 + t.square()).sqrt()
        t = t - step
        if not (step.abs() > 1e-15 * t).any():
            break
    return t


def nearest_parameter(plane: torch.Tensor, start: float, stop: float) -> torch.Tensor:
    """Return the parameter in [start, stop] of the point of the spiral nearest to each point.

    Every local minimum on a fine grid is bracketed and refined, and the least of them is taken.

    Parameters
    ----------
    plane : torch.Tensor, shape (n, 2)
        Points of the plane, float64.
    start, stop : float
        Ends of the curve, radians, ``0 < start < stop``.

    Returns
    -------
    torch.Tensor, shape (n,)
    """
    blocks = plane.split(ROWS_PER_BLOCK)
    return torch.cat([_nearest_in_block(block, start, stop) for block in blocks])


def _nearest_in_block(plane: torch.Tensor, start: float, stop: float) -> torch.Tensor:
    turns = (stop - start) / (2 * math.pi)
    grid = torch.linspace(
        start, stop, math.ceil(POINTS_PER_TURN * turns) + 2, dtype=plane.dtype, device=plane.device
    )
    values = _half_square(grid, plane)
    outside = torch.full_like(values[:, :1], math.inf)
    left = torch.cat([outside, values[:, :-1]], dim=1)
    right = torch.cat([values[:, 1:], outside], dim=1)
    is_minimum = (values <= left) & (values <= right)
    n_minima = min(math.ceil(turns) + EXTRA_MINIMA, len(grid))
    candidates = values.masked_fill(~is_minimum, math.inf).topk(n_minima, largest=False).indices
    low, high = grid[(candidates - 1).clamp(min=0)], grid[(candidates + 1).clamp(max=len(grid) - 1)]
    refined = _refine(plane, low, high)
    best = _half_square(refined, plane).argmin(dim=1, keepdim=True)
    return refined.gather(1, best)[:, 0]


def _half_square(t: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    """Half the squared distance less the constant ``|plane|^2 / 2``, which would only cancel."""
    return t.square() / 2 - t * (polar(t) * plane[:, None]).sum(dim=-1)


def _refine(plane: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Newton's method for a zero of the derivative, kept in a bracket that bisection shrinks."""
    slope_low, _ = _derivatives(low, plane)
    slope_high, _ = _derivatives(high, plane)
    # A minimum at an end of the curve has no zero of the derivative beside it.
    high = torch.where(slope_low >= 0, low, high)
    low = torch.where((slope_high <= 0) & (slope_low < 0), high, low)
    t = (low + high) / 2
    for _ in range(MAX_STEPS):
        slope, curvature = _derivatives(t, plane)
        low, high = torch.where(slope < 0, t, low), torch.where(slope > 0, t, high)
        newton = t - slope / curvature
        usable = (curvature > 0) & (newton > low) & (newton < high)
        following = torch.where(usable, newton, (low + high) / 2)
        moved = (following - t).abs()
        t = following
        if not (moved > 1e-15 * t).any():
            break
    return t


def _derivatives(t: torch.Tensor, plane: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    radial = (polar(t) * plane[:, None]).sum(dim=-1)
    across = (polar(t + math.pi / 2) * plane[:, None]).sum(dim=-1)
    return t - radial - t * across, 1 - 2 * across + t * radial
