"""The uniform distribution on SO(3), and what all distributions on it share."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints, register_kl

from learnedmanifolds._check import floating_dtype, generator, integer
from learnedmanifolds.latent._expanding import Expanding
from learnedmanifolds.latent.rotations.algebra import from_quaternion, matrices

LOG_VOLUME = math.log(8 * math.pi**2)
"""Log of the volume of SO(3) in the metric whose distances are angles."""

# How far R^T R may be from the identity; rotations computed in float32 are within 1e-6.
_TOLERANCE = 1e-4


class _RotationMatrix(constraints.Constraint):
    """Rotation matrices: R^T R = 1 up to 1e-4, det R > 0."""

    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        eye = torch.eye(3, dtype=value.dtype, device=value.device)
        orthogonal = (
            ((matrices(value, "rotations").mT @ value - eye).abs() <= _TOLERANCE)
            .flatten(-2)
            .all(-1)
        )
        cross = torch.linalg.cross(value[..., 0], value[..., 1], dim=-1)
        return orthogonal & ((cross * value[..., 2]).sum(-1) > 0)

    def __repr__(self) -> str:
        return "RotationMatrix()"


rotation_matrix = _RotationMatrix()


def random_rotations(n: int, seed: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Independent uniformly distributed rotations, (n, 3, 3).

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.
    """
    shape = (integer(n, "n", minimum=0), 4)
    normal = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    return from_quaternion(normal).to(floating_dtype(dtype))


class HaarUniform(Expanding):
    """The uniform (Haar) distribution on SO(3), of density 1 / (8 pi^2).

    Densities are with respect to the volume of the metric whose distances are rotation angles in
    radians; the whole group has volume 8 pi^2. It holds no tensors; draws are in torch's default
    dtype.
    """

    arg_constraints = {}
    support = rotation_matrix

    def __init__(self, validate_args: bool | None = None) -> None:
        super().__init__(Size(), Size((3, 3)), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Mean in R^{3 x 3}, zero."""
        return torch.zeros(self.batch_shape + self.event_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Independent uniform rotations, of normal quaternions."""
        return from_quaternion(torch.randn(Size(sample_shape) + self.batch_shape + (4,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """-log 8 pi^2, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        return value.new_full(
            torch.broadcast_shapes(value.shape[:-2], self.batch_shape), -LOG_VOLUME
        )

    def entropy(self) -> Tensor:
        """Log of the volume, log 8 pi^2, in nats."""
        return torch.full(self.batch_shape, LOG_VOLUME)


@register_kl(HaarUniform, HaarUniform)
def _kl_uniform(p: HaarUniform, q: HaarUniform) -> Tensor:
    return torch.zeros(torch.broadcast_shapes(p.batch_shape, q.batch_shape))
