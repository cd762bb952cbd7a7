"""Arc length of, and nearest points on, the Archimedean spiral ``t -> t (cos t, sin t)``."""

from __future__ import annotations

import math

import torch

from learnedmanifolds.datasets import _curve
from learnedmanifolds.datasets._maps import polar

# The squared distance varies on the scale of a turn; 64 grid points a turn separate its minima.
POINTS_PER_TURN = 64
# A turn holds at most one local minimum of the distance, and each end of the curve adds at most one.
EXTRA_MINIMA = 3
# Newton's method for the arc length ends long before this.
MAX_STEPS = 60


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
    turns = (stop - start) / (2 * math.pi)
    return _curve.nearest_parameter(
        plane,
        _jet,
        start,
        stop,
        n_grid=math.ceil(POINTS_PER_TURN * turns) + 2,
        n_minima=math.ceil(turns) + EXTRA_MINIMA,
    )


def _jet(t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    along, across, t = polar(t), polar(t + math.pi / 2), t.unsqueeze(-1)
    return t * along, along + t * across, 2 * across - t * along
