"""Wrapped normal and uniform distributions on the flat torus (S^1)^d in R^{2d}."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints, register_kl

from learnedmanifolds._check import integer
from learnedmanifolds.latent._circle import divergence_from_uniform, log_density
from learnedmanifolds.latent._expanding import Expanding
from learnedmanifolds.latent._pairs import angles_between, on_circles, turned

# How far from 1 the length of a pair may be; float32 points of a decoder are within 1e-6.
_TOLERANCE = 1e-4


class _UnitPairs(constraints.Constraint):
    """Vectors of pairs (cos, sin) of length 1."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        lengths = value.unflatten(-1, (-1, 2)).norm(dim=-1)
        return ((lengths - 1).abs() <= _TOLERANCE).all(-1)


unit_pairs = _UnitPairs()


class WrappedNormal(Expanding):
    """Product over d circles of the normal distribution wrapped around the circle.

    Points are d pairs (cos, sin) in R^{2d}. With the angle a_i from the i-th pair of ``loc``,

        q(z) = prod_i sum_k N(a_i + 2 pi k; 0, s_i^2),

    a density with respect to arc length, in 1 / radians^d. The wrapped sum serves small scales, its
    Poisson transform (a theta series) large ones, so that both the density and its derivatives are
    exact up to rounding.

    Parameters
    ----------
    loc : Tensor, shape (..., 2d)
        Unit pairs.
    scale : Tensor, shape (..., d)
        Standard deviations s > 0 before wrapping, in radians.

    Raises
    ------
    ValueError
        If the shapes do not fit, a pair has not length 1 or a scale is not positive (the latter two
        unless ``validate_args`` is False).

    References
    ----------
    Mardia, Jupp, Directional Statistics, 2000, section 3.5.7.
    """

    arg_constraints = {
        "loc": unit_pairs,
        "scale": constraints.independent(constraints.positive, 1),
    }
    _batched = {"loc": 1, "scale": 1}
    support = unit_pairs
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor, validate_args: bool | None = None) -> None:
        if loc.dim() < 1 or scale.dim() < 1 or loc.shape[-1] != 2 * scale.shape[-1]:
            raise ValueError(
                f"loc and scale must have shapes (..., 2d) and (..., d), "
                f"got {tuple(loc.shape)} and {tuple(scale.shape)}."
            )
        batch = torch.broadcast_shapes(loc.shape[:-1], scale.shape[:-1])
        self.loc = loc.expand(*batch, loc.shape[-1])
        self.scale = scale.expand(*batch, scale.shape[-1])
        super().__init__(batch, loc.shape[-1:], validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Mean in R^{2d}, exp(-s^2 / 2) loc; inside the torus, not on it."""
        shrink = (-self.scale.square() / 2).exp()
        return self.loc * shrink.repeat_interleave(2, -1)

    @property
    def mode(self) -> Tensor:
        """Point of the largest density, loc."""
        return self.loc

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with pathwise derivatives: loc turned by normal angles."""
        shape = Size(sample_shape) + self.scale.shape
        noise = torch.randn(shape, dtype=self.scale.dtype, device=self.scale.device)
        return turned(self.loc, self.scale * noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density with respect to arc length, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        return log_density(angles_between(self.loc, value), self.scale).sum(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats, by quadrature exact up to rounding, differentiable."""
        circles = math.log(2 * math.pi) - divergence_from_uniform(self.scale)
        return circles.sum(-1)


class TorusUniform(Expanding):
    """Uniform distribution on (S^1)^d, of density (2 pi)^{-d} with respect to arc length.

    It holds no tensors; draws are in torch's default dtype.

    Parameters
    ----------
    dim : int
        d.
    """

    arg_constraints = {}
    support = unit_pairs

    def __init__(self, dim: int, validate_args: bool | None = None) -> None:
        self.dim = integer(dim, "dim", minimum=1)
        super().__init__(Size(), Size((2 * self.dim,)), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """Mean in R^{2d}, zero."""
        return torch.zeros(self.batch_shape + self.event_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Independent uniform angles as pairs."""
        angles = 2 * math.pi * torch.rand(Size(sample_shape) + self.batch_shape + (self.dim,))
        return on_circles(angles)

    def log_prob(self, value: Tensor) -> Tensor:
        """-d log 2 pi, in nats."""
        if self._validate_args:
            self._validate_sample(value)
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return value.new_full(shape, -self.dim * math.log(2 * math.pi))

    def entropy(self) -> Tensor:
        """D log 2 pi, in nats."""
        return torch.full(self.batch_shape, self.dim * math.log(2 * math.pi))


@register_kl(WrappedNormal, TorusUniform)
def _kl_wrapped_normal_uniform(p: WrappedNormal, q: TorusUniform) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            f"the distributions must be on the same torus, got event shapes "
            f"{tuple(p.event_shape)} and {tuple(q.event_shape)}."
        )
    shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    return divergence_from_uniform(p.scale).sum(-1).expand(shape)
