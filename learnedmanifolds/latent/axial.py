"""Distributions on the sphere that are symmetric about an axis."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Size, Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import constraints

from learnedmanifolds.latent._directions import around, random_directions, unit_vector
from learnedmanifolds.latent._expanding import Expanding
from learnedmanifolds.latent._parameters import floating

# A piece of the law of so many widths, beside the angle that was drawn, holds all that counts, and
# with so many nodes its integral is right to nine digits.
_REACH = 9.0
_NODES = 40
# Draws whose nodes are held in memory at once.
_CHUNK = 4096

concentration_range = constraints.interval(1e-3, 1e6)


class AxialDistribution(Expanding):
    """A law on S^(m-1) with a density proportional to exp(kappa s(theta)), theta the angle to `loc`.

    A subclass gives the statistic s, its mean and a sampler of theta. Draws are differentiable in
    loc along the reflection that carries them there, and in kappa by implicit reparametrization:
    dtheta/dkappa = -(dP/dkappa) / p, with P the distribution function and p the density of theta.

    Parameters
    ----------
    loc : Tensor, shape (..., m)
        Unit vectors, m >= 2.
    concentration : Tensor or float
        kappa in [1e-3, 1e6], of the dtype of loc; its shape and loc's batch shape are broadcast.
    name : str
        The subclass's name of the concentration.

    References
    ----------
    Figurnov, Mohamed, Mnih, Implicit reparameterization gradients, NeurIPS 2018, arXiv 1805.08498.
    """

    _batched = {"loc": 1, "concentration": 0}
    has_rsample = True
    support = unit_vector

    def __init__(
        self,
        loc: Tensor,
        concentration: Tensor | float,
        name: str,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.concentration = _broadcast(loc, concentration, name)
        super().__init__(self.concentration.shape, self.loc.shape[-1:], validate_args)

    @abc.abstractmethod
    def statistic(self, angle: Tensor) -> Tensor:
        """The statistic s at angles in [0, pi], float64."""

    @abc.abstractmethod
    def mean_statistic(self) -> Tensor:
        """E s(theta), of the batch shape, float64."""

    @abc.abstractmethod
    def draw_angles(self, concentration: Tensor) -> Tensor:
        """Independent draws of theta, one for each concentration (n,), float64."""

    @property
    def mode(self) -> Tensor:
        """Point of the largest density, loc."""
        return self.loc

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with pathwise derivatives in loc and in the concentration."""
        shape = self._extended_shape(Size(sample_shape))
        kappa = self.concentration.double().expand(shape[:-1])
        with torch.no_grad():
            angle = self.draw_angles(kappa.reshape(-1)).view(shape[:-1])
            directions = random_directions(
                Size((*shape[:-1], shape[-1] - 1)), self.loc.dtype, self.loc.device
            )
        if kappa.requires_grad:
            mean = self.mean_statistic().detach().expand(shape[:-1])
            angle = _ImplicitAngle.apply(kappa, angle, mean, shape[-1], self.statistic)
        return around(self.loc.expand(shape), angle, directions)

    def _half_square(self, value: Tensor) -> Tensor:
        """1 - cos theta = |z - loc|^2 / 2, which keeps its digits where the cosine loses them."""
        if self._validate_args:
            self._validate_sample(value)
        return (value - self.loc).square().sum(-1) / 2


class _ImplicitAngle(torch.autograd.Function):
    """The angle, as a function of the concentration at a fixed value of its distribution function."""

    @staticmethod
    def forward(
        ctx: Any,
        kappa: Tensor,
        angle: Tensor,
        mean: Tensor,
        m: int,
        statistic: Callable[[Tensor], Tensor],
    ) -> Tensor:
        ctx.save_for_backward(kappa, angle, mean)
        ctx.m, ctx.statistic = m, statistic
        return angle.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = [part.reshape(-1).split(_CHUNK) for part in ctx.saved_tensors]
        rates = [_rate(k, a, s, ctx.m, ctx.statistic) for k, a, s in zip(*saved, strict=True)]
        rate = torch.cat(rates).view_as(gradients[0])
        return gradients[0] * rate, None, None, None, None


def _rate(
    kappa: Tensor, angle: Tensor, mean: Tensor, m: int, statistic: Callable[[Tensor], Tensor]
) -> Tensor:
    """Derivative of the angle: -integral_0^theta (s - E s) p / p(theta), p = exp(kappa s) sin^(m-2).

    The integral to pi vanishes. Beyond the mean the one from theta to pi serves, which does not
    cancel there.
    """
    # sin(theta) is a factor of the density even where it underflows.
    angle = angle.clamp(min=torch.finfo(angle.dtype).tiny).unsqueeze(-1)
    kappa, mean, here = kappa.unsqueeze(-1), mean.unsqueeze(-1), statistic(angle)
    side = torch.where(here > mean, -1.0, 1.0).to(angle)
    # Near its mode the log density is at least as curved as this: s'' <= -1 / 2 there.
    width = torch.hypot(kappa / 2, kappa.new_tensor(m - 2)).rsqrt()
    length = torch.minimum(torch.where(side < 0, angle, math.pi - angle), _REACH * width)
    nodes, weights = (t.to(angle) for t in _quadrature())
    theta = angle + side * length * nodes
    s = statistic(theta)
    density = (kappa * (s - here) + (m - 2) * (theta.sin() / angle.sin()).log()).exp()
    return (side * length * (s - mean) * density) @ weights


@functools.cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Gauss's rule on [0, 1] after x -> sin^2(pi x / 2), which crowds the nodes at the ends.

    At 0 is the angle that was drawn; the other end may be pi, where the statistic of the power
    spherical law has a logarithmic singularity.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    x = torch.from_numpy(math.pi * (nodes + 1) / 2)
    return (x / 2).sin().square(), math.pi / 4 * torch.from_numpy(weights) * x.sin()


def _broadcast(loc: Tensor, concentration: Tensor | float, name: str) -> tuple[Tensor, Tensor]:
    floating(loc, "loc")
    if loc.dim() < 1 or loc.shape[-1] < 2:
        raise ValueError(f"loc must have shape (..., m) with m >= 2, got {tuple(loc.shape)}.")
    if not isinstance(concentration, Tensor):
        concentration = loc.new_tensor(concentration)
    if concentration.dtype != loc.dtype:
        raise TypeError(f"{name} must have loc's dtype {loc.dtype}, got {concentration.dtype}.")
    try:
        batch = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
    except RuntimeError:
        raise ValueError(
            f"{name} must have a shape that broadcasts with loc's batch shape "
            f"{tuple(loc.shape[:-1])}, got {tuple(concentration.shape)}."
        ) from None
    return loc.expand(*batch, loc.shape[-1]), concentration.expand(batch)
