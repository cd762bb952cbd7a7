"""The uniform distribution on the sphere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from learnedmanifolds._check import integer
from learnedmanifolds.latent._directions import random_directions, unit_vector
from learnedmanifolds.latent._expanding import Expanding
from learnedmanifolds.latent.bessel import log_area


class HypersphericalUniform(Expanding):
    """Uniform distribution on the unit sphere S^(m-1) of R^m, with respect to its area.

    It holds no tensors, so that it serves every dtype and device; draws are in torch's default dtype.

    Parameters
    ----------
    m : int
        Dimension of the space around the sphere, at least 2.

    Raises
    ------
    TypeError, ValueError
        If m is not an integer of at least 2.
    """

    arg_constraints = {}
    support = unit_vector
    has_rsample = True

    def __init__(self, m: int, validate_args: bool | None = None) -> None:
        super().__init__(Size(), Size((integer(m, "m", minimum=2),)), validate_args)

    @property
    def mean(self) -> Tensor:
        """Mean in R^m, zero."""
        return torch.zeros(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Tensor:
        """Variances of the coordinates in R^m, 1 / m."""
        return torch.full(self.batch_shape + self.event_shape, 1 / self.event_shape[0])

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Independent uniform points."""
        shape = self._extended_shape(Size(sample_shape))
        return random_directions(shape, None, None)

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the logarithm of the sphere's area, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -log_area(self.event_shape[0]))

    def entropy(self) -> Tensor:
        """Logarithm of the sphere's area, in nats."""
        return torch.full(self.batch_shape, log_area(self.event_shape[0]))


def same_sphere(p: Distribution, q: Distribution) -> int:
    """Dimension m of the space around the sphere of both; `ValueError` if there are two."""
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"the distributions must be on the same sphere, got event shapes "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}."
        )
    return p.event_shape[0]
