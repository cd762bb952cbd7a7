"""The power spherical distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Chi2, register_kl

from learnedmanifolds.latent._directions import unit_vector
from learnedmanifolds.latent.axial import AxialDistribution, concentration_range
from learnedmanifolds.latent.bessel import log_area
from learnedmanifolds.latent.hyperspherical_uniform import HypersphericalUniform, same_sphere


class PowerSpherical(AxialDistribution):
    """Law of density (1 + loc^T z)^kappa / N on the sphere S^(m-1), with respect to its area.

    With T = (1 + loc^T z) / 2, T has the law Beta((m-1) / 2 + kappa, (m-1) / 2). Everything that
    depends on kappa is computed in float64, whatever the dtype. Derivatives of draws are those of
    `AxialDistribution`, not of torch's Beta law, which are off by up to 0.7 % at large kappa.

    Parameters
    ----------
    loc : Tensor, shape (..., m)
        Mean directions of norm 1 up to 1e-5, float32 or float64.
    scale : Tensor or float
        kappa in [1e-3, 1e6], a concentration; its shape and loc's batch shape are broadcast.

    Raises
    ------
    TypeError
        If loc is not a floating point tensor, or the scale has another dtype.
    ValueError
        If the shapes do not fit, a mean direction is not of norm 1 or a scale is out of range (the
        latter two unless ``validate_args`` is False).

    References
    ----------
    De Cao, Aziz, The power spherical distribution, arXiv 2006.04437, 2020.
    """

    arg_constraints = {"loc": unit_vector, "scale": concentration_range}

    def __init__(
        self, loc: Tensor, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        super().__init__(loc, scale, "scale", validate_args)

    @property
    def scale(self) -> Tensor:
        """The concentration kappa."""
        return self.concentration

    def statistic(self, angle: Tensor) -> Tensor:
        """The logarithm of T = cos^2(theta / 2)."""
        return 2 * (angle / 2).cos().log()

    def mean_statistic(self) -> Tensor:
        """E log T."""
        alpha, beta = self._shapes()
        return torch.digamma(alpha) - torch.digamma(alpha + beta)

    def draw_angles(self, concentration: Tensor) -> Tensor:
        """Angles from the two Gamma variables of which Beta's are quotients."""
        half = self.event_shape[0] - 1
        # A Gamma(a) variable is half of a chi-squared one of 2 a degrees of freedom.
        near = Chi2(half + 2 * concentration, validate_args=False).sample()
        far = Chi2(torch.full_like(concentration, half), validate_args=False).sample()
        return 2 * torch.atan2(far.sqrt(), near.sqrt())

    @property
    def mean(self) -> Tensor:
        """Mean in R^m, kappa / (kappa + m - 1) loc; inside the sphere, not on it."""
        kappa = self.concentration
        return (kappa / (kappa + self.event_shape[0] - 1)).unsqueeze(-1) * self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density with respect to the area of the sphere, in nats."""
        # T from the distance to whichever of loc and its antipode is closer keeps its digits.
        near, far = self._half_square(value) / 2, (value + self.loc).square().sum(-1) / 4
        log_t = torch.where(near < 0.5, torch.log1p(-near.clamp(max=0.5)), far.log())
        return self.scale * log_t - self._log_normalizer().to(self.scale.dtype)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        return self._entropy().to(self.scale.dtype)

    def _entropy(self) -> Tensor:
        return self._log_normalizer() - self.scale.double() * self.mean_statistic()

    def _log_normalizer(self) -> Tensor:
        """Log of the integral of T^kappa, float64."""
        alpha, beta = self._shapes()
        constant = 2 * beta * math.log(2) + beta * math.log(math.pi)
        return constant + torch.lgamma(alpha) - torch.lgamma(alpha + beta)

    def _shapes(self) -> tuple[Tensor, float]:
        beta = (self.event_shape[0] - 1) / 2
        return self.scale.double() + beta, beta


@register_kl(PowerSpherical, HypersphericalUniform)
def _kl_power_spherical_uniform(p: PowerSpherical, q: HypersphericalUniform) -> Tensor:
    kl = (log_area(same_sphere(p, q)) - p._entropy()).to(p.scale.dtype)
    return kl.expand(torch.broadcast_shapes(kl.shape, q.batch_shape))
