"""The normal distribution of rotation vectors, wrapped around SO(3)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints, register_kl

from learnedmanifolds.latent._expanding import Expanding
from learnedmanifolds.latent.rotations._quadrature import normal_nodes, unit_nodes
from learnedmanifolds.latent.rotations.algebra import exp, matrices, polar
from learnedmanifolds.latent.rotations.uniform import (
    LOG_VOLUME,
    HaarUniform,
    rotation_matrix,
)

MIN_SCALE, MAX_SCALE = 1e-4, 5.0
"""Range of the standard deviations, in radians."""

# Standard deviations beyond which the normal density is left out.
_TAIL = 6.0
# The mass beyond 9 standard deviations is 1e-16. The density has a logarithm at the angle 0, which
# the fourth power of the variable smooths.
_REACH, _NODES, _POWER = 9.0, 96, 4
# Gauss-Hermite nodes along one axis; 1e-8 off at the largest scale, rounding below 3.5.
_HERMITE = 32


class RotationNormal(Expanding):
    """Rotations R = loc exp(hat(v)) with v ~ N(0, diag(scale^2)) in R^3.

    With the angle t in [0, pi] and the axis u of loc^T R the density with respect to the volume of
    total mass 8 pi^2 is

        q(R) = sum_k N((t + 2 pi k) u; 0, diag(scale^2)) (t + 2 pi k)^2 / (2 - 2 cos t).

    Full turns lead back to loc, so the density grows like c / t^2 there, with c = 1e-8 for a scale of
    1, 2e-4 for 1.5. The family comes closest to the uniform distribution at a scale of 1.5 in all
    directions, with a divergence of 0.017; for larger scales the divergence grows again, to log 2.

    Parameters
    ----------
    loc : Tensor, shape (..., 3, 3)
        Rotations.
    scale : Tensor, shape (..., 3) or (...), or float
        Standard deviations along the axes of loc, or one for all directions, in radians, between
        1e-4 and 5. A tensor with as many axes as the batch, or fewer, is one for all directions.

    Raises
    ------
    TypeError, ValueError
        If the shapes do not fit, loc is not a rotation or a scale is out of range (the latter two
        unless ``validate_args`` is False).

    References
    ----------
    Falorsi, de Haan, Davidson, Forre, Reparameterizing distributions on Lie groups, AISTATS 2019,
    arXiv 1903.02958, and arXiv 1807.04689.
    """

    arg_constraints = {
        "loc": rotation_matrix,
        "scale": constraints.independent(constraints.interval(MIN_SCALE, MAX_SCALE), 1),
    }
    _batched = {"loc": 2, "scale": 1}
    support = rotation_matrix
    has_rsample = True

    def __init__(
        self, loc: Tensor, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.loc = matrices(loc, "loc")
        given = torch.as_tensor(scale, dtype=loc.dtype, device=loc.device)
        batch = loc.shape[:-2]
        self.isotropic = given.dim() <= len(batch)
        widened = given.unsqueeze(-1) if self.isotropic else given
        try:
            self.scale = widened.expand(*batch, 3)
        except RuntimeError:
            raise ValueError(
                f"scale must have shape {tuple(batch)} or {(*batch, 3)}, for loc of shape "
                f"{tuple(loc.shape)}, got {tuple(given.shape)}."
            ) from None
        super().__init__(batch, Size((3, 3)), validate_args=validate_args)

    @property
    def mode(self) -> Tensor:
        """Rotation of the largest density, loc."""
        return self.loc

    @property
    def mean(self) -> Tensor:
        """Mean in R^{3 x 3}, inside the group's convex hull, not on the group."""
        nodes, weights = normal_nodes(_HERMITE, self.scale)
        places = self.scale.unsqueeze(-2) * nodes
        average = (weights[:, None, None] * exp(places)).sum(-3)
        # Reflections of v leave its density: what is not on the diagonal cancels.
        return self.loc * average.diagonal(dim1=-2, dim2=-1).unsqueeze(-2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draws with pathwise derivatives, (*sample_shape, ..., 3, 3)."""
        shape = Size(sample_shape) + self.scale.shape
        noise = torch.randn(shape, dtype=self.scale.dtype, device=self.scale.device)
        return self.loc @ exp(self.scale * noise)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density in nats with respect to the volume of total mass 8 pi^2, (...)."""
        if self._validate_args:
            self._validate_sample(value)
        sine, arc = polar(self.loc.mT @ value)
        near = -2 * (arc.unsqueeze(-1) * sine / self.scale).square().sum(-1) + 2 * arc.log()
        # The limit at loc is infinite; the value at a distance of rounding stands for it.
        least = torch.finfo(sine.dtype).eps
        square = sine.square().sum(-1)
        away = square > least**2
        half = torch.where(away, square, least**2).sqrt()
        axis = torch.where(away.unsqueeze(-1), sine / half.unsqueeze(-1), 3**-0.5)
        precision = (axis / self.scale).square().sum(-1, keepdim=True)
        lengths = (2 * arc * half).unsqueeze(-1) + _turns(self.scale)
        others = (
            -precision * lengths.square() / 2 + 2 * (lengths / (2 * half.unsqueeze(-1))).abs().log()
        )
        log_sum = torch.logsumexp(torch.cat([near.unsqueeze(-1), others], -1), -1)
        return log_sum - 1.5 * math.log(2 * math.pi) - self.scale.log().sum(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats, where the scale is one for all directions.

        Raises
        ------
        NotImplementedError
            If the scale has a value for each axis.
        """
        return LOG_VOLUME - divergence_from_uniform(self)


def divergence_from_uniform(distribution: RotationNormal) -> Tensor:
    """KL(distribution | uniform) by quadrature over the angle, (...), in nats, differentiable."""
    if not distribution.isotropic:
        raise NotImplementedError(
            "the divergence of a RotationNormal has no simple form unless the scale is one for all "
            "directions; estimate it at draws z by posterior.log_prob(z) - prior.log_prob(z)."
        )
    scale = distribution.scale[..., :1]
    end = (_REACH * scale.detach()).clamp(max=math.pi)
    nodes, weights = unit_nodes(_NODES, scale)
    angle = end * nodes**_POWER
    lengths = angle.unsqueeze(-1) + torch.nn.functional.pad(_turns(scale), (1, 0))
    terms = 2 * lengths.abs().log() - 0.5 * (lengths / scale.unsqueeze(-1)).square()
    # Density of the angle; that of the rotation is this over 4 pi (2 - 2 cos t).
    log_angle = torch.logsumexp(terms, -1) + 0.5 * math.log(2 / math.pi) - 3 * scale.log()
    log_ratio = log_angle + math.log(math.pi / 2) - 2 * (angle / 2).sin().log()
    steps = end * _POWER * nodes ** (_POWER - 1) * weights
    return (steps * log_angle.exp() * log_ratio).sum(-1)


def _turns(scale: Tensor) -> Tensor:
    """2 pi k for all k but 0 that the largest scale needs."""
    largest = float(scale.detach().max()) if scale.numel() else 1.0
    count = math.ceil((_TAIL * largest + math.pi) / (2 * math.pi))
    forward = 2 * math.pi * torch.arange(1, count + 1, dtype=scale.dtype, device=scale.device)
    return torch.cat([forward, -forward])


@register_kl(RotationNormal, HaarUniform)
def _kl_normal_uniform(p: RotationNormal, q: HaarUniform) -> Tensor:
    divergence = divergence_from_uniform(p)
    return divergence.expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape))
