"""What the toy manifolds share: directions, an even lattice, and Kepler's equation."""

from __future__ import annotations

import math

import torch

GOLDEN_RATIO = (1 + math.sqrt(5)) / 2

# Newton from the far end is monotone and ends long before this, for any eccentricity below 1.
MAX_KEPLER_STEPS = 100


def polar(angle: torch.Tensor) -> torch.Tensor:
    """Return the unit vectors ``(cos angle, sin angle)``; shape ``(n,)`` to ``(n, 2)``."""
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def direction(vector: torch.Tensor) -> torch.Tensor:
    """Return ``vector / |vector|`` along the last axis, and the first unit vector in place of 0/0.

    Parameters
    ----------
    vector : torch.Tensor, shape (n, m)
        Any finite vectors; scaling keeps the largest and smallest from overflow.
    """
    scale = vector.abs().amax(dim=-1, keepdim=True)
    first = torch.zeros_like(vector)
    first[..., 0] = 1
    scaled = torch.where(scale > 0, vector / scale, first)
    return scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)


def even_lattice(n: int, dim: int) -> torch.Tensor:
    """Return `n` evenly spread points of the unit cube of dimension 1 or 2, shape (n, dim), float64.

    Midpoints for dimension 1. For dimension 2 the rank-1 lattice ``((i + 1/2) / n, {i m / n})`` with
    ``m / n`` close to the golden ratio: periodic in both directions and, because the golden ratio is
    badly approximable, even under any moderate stretching of the square.
    """
    index = torch.arange(n, dtype=torch.float64)
    middle = (index + 0.5) / n
    if dim == 1:
        return middle[:, None]
    return torch.stack([middle, (index * round(n * GOLDEN_RATIO) / n) % 1], dim=-1)


def solve_kepler(mean: torch.Tensor, eccentricity: float) -> torch.Tensor:
    """Solve Kepler's equation ``E - e sin E = M`` for ``E``.

    Parameters
    ----------
    mean : torch.Tensor, shape (n,)
        ``M`` in [-pi, pi], radians.
    eccentricity : float
        ``e`` in [0, 1).

    Returns
    -------
    torch.Tensor, shape (n,)
        ``E`` in [-pi, pi], radians.
    """
    size = mean.abs()
    # The left side is convex on [0, pi], so Newton's method from pi decreases to the root.
    root = torch.full_like(size, math.pi)
    for _ in range(MAX_KEPLER_STEPS):
        step = (root - eccentricity * root.sin() - size) / (1 - eccentricity * root.cos())
        root = root - step
        if not (step.abs() > 1e-15 * math.pi).any():
            break
    return root.clamp(0, math.pi) * mean.sign()
