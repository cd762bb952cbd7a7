"""Unit vectors: their constraint, normalisation, random ones, and points at angles around them."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import constraints


class UnitVector(constraints.Constraint):
    """Vectors of Euclidean norm 1, up to a tolerance that single precision keeps."""

    event_dim = 1
    tolerance = 1e-5

    def check(self, value: Tensor) -> Tensor:
        """See `torch.distributions.constraints.Constraint`."""
        return (value.norm(dim=-1) - 1).abs() <= self.tolerance

    def __repr__(self) -> str:
        return f"UnitVector(tolerance={self.tolerance})"


unit_vector = UnitVector()


def normalised(vector: Tensor) -> Tensor:
    """Vectors (..., m) divided by their norms; the first unit vector stands for the zero vector."""
    # Scaled first, so that neither huge nor tiny vectors have squares out of range.
    scale = vector.detach().abs().amax(-1, keepdim=True)
    first = torch.zeros_like(vector)
    first[..., 0] = 1
    vector = torch.where(scale == 0, first, vector / torch.where(scale == 0, 1, scale))
    return vector / vector.norm(dim=-1, keepdim=True)


def random_directions(
    shape: Size, dtype: torch.dtype | None, device: torch.device | None
) -> Tensor:
    """Uniform points of a unit sphere, of shape (..., m); signs where m = 1."""
    noise = torch.randn(shape, dtype=dtype, device=device)
    norm = noise.norm(dim=-1, keepdim=True)
    # Of torch's normal numbers in single precision one in 10^7 is exactly zero.
    zero = norm == 0
    noise[..., :1] += zero
    return noise / (norm + zero)


def around(loc: Tensor, angle: Tensor, direction: Tensor) -> Tensor:
    """Points of the sphere at angles to unit vectors, in directions of their tangent spaces.

    A direction is carried into the tangent space by the reflection that takes e_1 or -e_1, whichever
    is further away, to loc, so that nothing is ever divided by a small number. The points jump where
    the first coordinate of loc changes its sign; the law of uniform directions does not, and
    everywhere else they are smooth in loc, so that derivatives along them have the right mean.

    Parameters
    ----------
    loc : Tensor, shape (..., m)
    angle : Tensor, shape (...)
        Radians.
    direction : Tensor, shape (..., m - 1)
        Of norm 1.
    """
    head, tail = loc[..., :1], loc[..., 1:]
    sign = torch.where(head < 0, -1.0, 1.0).to(loc.dtype)
    angle = angle.unsqueeze(-1)
    # A small angle's sine keeps its digits in single precision; its cosine does not need them.
    cos, sin = angle.cos().to(loc.dtype), angle.sin().to(loc.dtype)
    along = sin * (tail * direction).sum(-1, keepdim=True)
    rest = torch.addcmul(sin * direction, cos - along / (1 + sign * head), tail)
    return torch.cat([cos * head - sign * along, rest], dim=-1)
