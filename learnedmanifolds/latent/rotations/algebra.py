"""The Lie algebra so(3): hat, exponential and logarithm, with derivatives everywhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learnedmanifolds.charts.rotations import FORMS, leading_row
from learnedmanifolds.latent._parameters import floating, last_axis

# Below this square of the argument a series replaces sin(x) / x; 9 terms leave 1e-17 at 1.
_SINC_TERMS = 9
# Below this square of the tangent a series replaces atan(x) / x; 10 terms leave 1e-17.
_ARC_SWITCH, _ARC_TERMS = 0.02, 10


def matrices(value: Tensor, name: str) -> Tensor:
    """A floating point tensor (..., 3, 3); `TypeError` or `ValueError` if it is none."""
    floating(value, name)
    if value.dim() < 2 or value.shape[-2:] != (3, 3):
        raise ValueError(f"{name} must have shape (..., 3, 3), got {tuple(value.shape)}.")
    return value


def hat(vector: Tensor) -> Tensor:
    """Skew matrices (..., 3, 3) that act as the vector product with vectors (..., 3)."""
    x, y, z = last_axis(vector, "vector", 3).unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def vee(matrix: Tensor) -> Tensor:
    """Vectors (..., 3) of the skew parts of matrices (..., 3, 3); the inverse of `hat`."""
    skew = 0.5 * (matrices(matrix, "matrix") - matrix.mT)
    return torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)


def exp(vector: Tensor) -> Tensor:
    """Rotations (..., 3, 3) about vectors (..., 3) by their lengths, in radians (Rodrigues)."""
    square = last_axis(vector, "vector", 3).square().sum(-1)[..., None, None]
    sine, half = sinc_root(square), 0.5 * sinc_root(square / 4).square()
    eye = torch.eye(3, dtype=vector.dtype, device=vector.device)
    outer = vector.unsqueeze(-1) * vector.unsqueeze(-2)
    return (1 - half * square) * eye + sine * hat(vector) + half * outer


def log(rotation: Tensor) -> Tensor:
    """Shortest vectors (..., 3) with that exponential, of length at most pi.

    At the angle pi one of the two. Matrices near to rotations count as rotations near to them.
    """
    sine, arc = polar(rotation)
    return 2 * arc.unsqueeze(-1) * sine


def angle(rotation: Tensor) -> Tensor:
    """Angles of rotations (..., 3, 3) in [0, pi], (...); the derivative at the identity is zero."""
    square = log(rotation).square().sum(-1)
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())


def polar(rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Pair sin(theta / 2) u, (..., 3), and (theta / 2) / sin(theta / 2), (...), for u's angle theta.

    Both are smooth on rotations of angles below pi, at the identity too.
    """
    q = to_quaternion(rotation)
    w, sine = q[..., 0], q[..., 1:]
    square = sine.square().sum(-1)
    small = square < _ARC_SWITCH * w.square()
    root = torch.where(small, 1.0, square).sqrt()
    safe = torch.where(small, w, 1.0)
    tangent = torch.where(small, square, 0.0) / safe.square()
    series = horner([(-1) ** n / (2 * n + 1) for n in range(_ARC_TERMS)], tangent) / safe
    return sine, torch.where(small, series, torch.atan2(root, w) / root)


def to_quaternion(rotation: Tensor) -> Tensor:
    """Unit quaternions (w, x, y, z) with w >= 0 of rotations, (..., 3, 3) -> (..., 4)."""
    forms = torch.einsum("abij,...ab->...ij", FORMS.to(rotation), matrices(rotation, "rotation"))
    # This is 4 q q^T.
    q = leading_row(forms + torch.eye(4, dtype=rotation.dtype, device=rotation.device))
    return torch.where(q[..., :1] < 0, -q, q)


def from_quaternion(quaternion: Tensor) -> Tensor:
    """Rotations of quaternions (w, x, y, z) of any length, (..., 4) -> (..., 3, 3).

    The quaternion zero gives the identity.
    """
    one = quaternion.new_tensor([1.0, 0, 0, 0])
    q = normalised(last_axis(quaternion, "quaternion", 4), one)
    return torch.einsum("abij,...i,...j->...ab", FORMS.to(q), q, q)


def normalised(vector: Tensor, otherwise: Tensor) -> Tensor:
    """Vectors scaled to length 1, (..., n); shorter ones than rounding become ``otherwise`` (n,)."""
    square = vector.square().sum(-1, keepdim=True)
    usable = square > torch.finfo(vector.dtype).eps ** 2
    return torch.where(usable, vector, otherwise) / torch.where(usable, square, 1.0).sqrt()


def sinc_root(square: Tensor) -> Tensor:
    """sin(x) / x as a smooth function of x^2 >= 0."""
    small = square < 1
    root = torch.where(small, 1.0, square).sqrt()
    terms = [(-1) ** n / math.factorial(2 * n + 1) for n in range(_SINC_TERMS)]
    series = horner(terms, torch.where(small, square, 0.0))
    return torch.where(small, series, root.sin() / root)


def horner(coefficients: list[float], x: Tensor) -> Tensor:
    """Values of the polynomial with these coefficients, the constant one first."""
    total = torch.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = coefficient + x * total
    return total
