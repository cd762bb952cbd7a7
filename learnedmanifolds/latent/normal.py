"""The standard normal distribution without tensors of its own, and its divergence."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Independent, Normal, constraints, register_kl

from learnedmanifolds._check import integer
from learnedmanifolds.latent._expanding import Expanding


class StandardNormal(Expanding):
    """N(0, I) on R^d; it holds no tensors, so that it serves every dtype and device.

    Draws are in torch's default dtype.

    Parameters
    ----------
    dim : int
        d.
    """

    arg_constraints = {}
    support = constraints.real_vector

    def __init__(self, dim: int, validate_args: bool | None = None) -> None:
        self.dim = integer(dim, "dim", minimum=1)
        super().__init__(Size(), Size((self.dim,)), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Zero."""
        return torch.zeros(self.batch_shape + self.event_shape)

    @property
    def mode(self) -> Tensor:
        """Zero."""
        return self.mean

    @property
    def variance(self) -> Tensor:
        """One in every coordinate."""
        return torch.ones(self.batch_shape + self.event_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Independent normal numbers."""
        return torch.randn(Size(sample_shape) + self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """-|z|^2 / 2 - (d / 2) log 2 pi, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        constant = 0.5 * self.dim * math.log(2 * math.pi)
        log_prob = -0.5 * value.square().sum(-1) - constant
        return log_prob.expand(torch.broadcast_shapes(log_prob.shape, self.batch_shape))

    def entropy(self) -> Tensor:
        """(d / 2) log 2 pi e, in nats."""
        return torch.full(self.batch_shape, 0.5 * self.dim * math.log(2 * math.pi * math.e))


@register_kl(Independent, StandardNormal)
def _kl_independent_standard_normal(p: Independent[Any], q: StandardNormal) -> Tensor:
    base = p.base_dist
    if not isinstance(base, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"the distributions must be of the same dimension, got event shapes "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}."
        )
    variance = base.scale.square()
    kl = 0.5 * (base.loc.square() + variance - 1 - variance.log()).sum(-1)
    return kl.expand(torch.broadcast_shapes(kl.shape, q.batch_shape))
