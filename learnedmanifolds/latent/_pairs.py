"""Points of (S^1)^d as d pairs (cos, sin), flattened to R^{2d}."""

from __future__ import annotations

import torch
from torch import Tensor


def normalised(z: Tensor) -> Tensor:
    """Pairs scaled to length 1, (..., 2d); a pair that is zero becomes (1, 0)."""
    pairs = z.unflatten(-1, (-1, 2))
    length = pairs.norm(dim=-1, keepdim=True)
    usable = length > torch.finfo(z.dtype).tiny
    first = torch.stack((torch.ones_like(length), torch.zeros_like(length)), -1).squeeze(-2)
    # The inner choice keeps the derivative of the norm at zero, NaN, out of the gradient.
    pairs = torch.where(usable, pairs, first)
    return (pairs / pairs.norm(dim=-1, keepdim=True)).flatten(-2)


def angles_between(start: Tensor, end: Tensor) -> Tensor:
    """Angles in [-pi, pi] that turn the pairs of one point (..., 2d) into another's, (..., d)."""
    a, b = start.unflatten(-1, (-1, 2)), end.unflatten(-1, (-1, 2))
    sine = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return torch.atan2(sine, (a * b).sum(-1))


def multiplied(z: Tensor, turn: Tensor) -> Tensor:
    """Pairs as complex numbers multiplied, (..., 2d) each: those of z turned by unit pairs."""
    x, y = z.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = turn.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((x * cos - y * sin, x * sin + y * cos), -1).flatten(-2)


def conjugate(turn: Tensor) -> Tensor:
    """The unit pairs that turn back, (..., 2d)."""
    cos, sin = turn.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((cos, -sin), -1).flatten(-2)


def on_circles(angles: Tensor) -> Tensor:
    """Unit pairs (..., 2d) of angles (..., d) in radians."""
    return torch.stack((angles.cos(), angles.sin()), -1).flatten(-2)


def turned(z: Tensor, angles: Tensor) -> Tensor:
    """Pairs (..., 2d) turned by angles (..., d) in radians."""
    return multiplied(z, on_circles(angles))
