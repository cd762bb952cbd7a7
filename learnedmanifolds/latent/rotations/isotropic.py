"""The isotropic Gaussian distribution on SO(3): Brownian motion that starts at a rotation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints, register_kl

from learnedmanifolds.latent._expanding import Expanding
from learnedmanifolds.latent.rotations._heat import (
    divergence_from_uniform,
    log_kernel,
    quantile,
)
from learnedmanifolds.latent.rotations.algebra import exp, log, matrices, normalised
from learnedmanifolds.latent.rotations.uniform import (
    LOG_VOLUME,
    HaarUniform,
    rotation_matrix,
)

MIN_TIME, MAX_TIME = 1e-8, 10.0
"""Range of the heat-kernel times; at 10 the divergence from the uniform distribution is 1e-17."""


class IsotropicGaussian(Expanding):
    """IGSO(3), the heat kernel of SO(3) at a time s: density f(t; s) / (8 pi^2), t the angle to loc.

        f(t; s) = sum_l (2 l + 1) exp(-l (l + 1) s) sin((l + 1/2) t) / sin(t / 2)

    For small times it is close to a normal distribution of standard deviation sqrt(2 s) radians in
    every direction, for large ones to the uniform distribution. Densities are with respect to the
    volume of total mass 8 pi^2.

    Parameters
    ----------
    loc : Tensor, shape (..., 3, 3)
        Rotations.
    time : Tensor, shape (...), or float
        Heat-kernel times s, between 1e-8 and 10.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not fit, loc is not a rotation or a time is out of range (the latter two
        unless ``validate_args`` is False).

    References
    ----------
    Nikolayev, Savyolova, Normal distribution on the rotation group SO(3), Textures and
    Microstructures 29, 1997.
    """

    arg_constraints = {
        "loc": rotation_matrix,
        "time": constraints.interval(MIN_TIME, MAX_TIME),
    }
    _batched = {"loc": 2, "time": 0}
    support = rotation_matrix
    has_rsample = True

    def __init__(
        self, loc: Tensor, time: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.loc = matrices(loc, "loc")
        given = torch.as_tensor(time, dtype=loc.dtype, device=loc.device)
        batch = loc.shape[:-2]
        try:
            self.time = given.expand(batch)
        except RuntimeError:
            raise ValueError(
                f"time must have shape {tuple(batch)} for loc of shape {tuple(loc.shape)}, "
                f"got {tuple(given.shape)}."
            ) from None
        super().__init__(batch, Size((3, 3)), validate_args=validate_args)

    @property
    def mode(self) -> Tensor:
        """Rotation of the largest density, loc."""
        return self.loc

    @property
    def mean(self) -> Tensor:
        """Mean in R^{3 x 3}, exp(-2 s) loc; inside the group's convex hull, not on the group."""
        return (-2 * self.time).exp()[..., None, None] * self.loc

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with pathwise (first) derivatives, (*sample_shape, ..., 3, 3).

        The angle is the quantile of a uniform number, so the same random numbers give draws that
        depend smoothly on the time.
        """
        batch = Size(sample_shape) + self.batch_shape
        share = torch.rand(batch, dtype=torch.float64, device=self.time.device)
        normal = torch.randn((*batch, 3), dtype=self.time.dtype, device=self.time.device)
        flat = quantile(share.reshape(-1, self.time.numel()), self.time.reshape(-1))
        angle = flat.reshape(batch).to(self.time.dtype)
        axis = normalised(normal, normal.new_tensor([1.0, 0, 0]))
        return self.loc @ exp(angle.unsqueeze(-1) * axis)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats with respect to the volume of total mass 8 pi^2, (...)."""
        if self._validate_args:
            self._validate_sample(value)
        relative = self.loc.mT @ value
        square = log(relative).square().sum(-1)
        cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
        return log_kernel(square, cosine, self.time) - LOG_VOLUME

    def entropy(self) -> Tensor:
        """Entropy in nats, (...)."""
        return LOG_VOLUME - divergence_from_uniform(self.time)


@register_kl(IsotropicGaussian, HaarUniform)
def _kl_isotropic_uniform(p: IsotropicGaussian, q: HaarUniform) -> Tensor:
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    return divergence_from_uniform(p.time).expand(shape)
