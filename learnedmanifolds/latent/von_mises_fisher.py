"""The von Mises-Fisher distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Chi2, register_kl

from learnedmanifolds.latent import bessel
from learnedmanifolds.latent._directions import unit_vector
from learnedmanifolds.latent.axial import AxialDistribution, concentration_range
from learnedmanifolds.latent.hyperspherical_uniform import HypersphericalUniform, same_sphere


class VonMisesFisher(AxialDistribution):
    """Law of density C exp(kappa loc^T z) on the sphere S^(m-1), with respect to its area.

    Everything that depends on kappa is computed in float64, whatever the dtype.

    Parameters
    ----------
    loc : Tensor, shape (..., m)
        Mean directions of norm 1 up to 1e-5, float32 or float64.
    concentration : Tensor or float
        kappa in [1e-3, 1e6]; its shape and loc's batch shape are broadcast.

    Raises
    ------
    TypeError
        If loc is not a floating point tensor, or the concentration has another dtype.
    ValueError
        If the shapes do not fit, a mean direction is not of norm 1 or a concentration is out of
        range (the latter two unless ``validate_args`` is False).

    References
    ----------
    Wood, Simulation of the von Mises Fisher distribution, Comm. Statist. Simulation 23, 1994.
    Davidson, Falorsi, De Cao, Kipf, Tomczak, Hyperspherical variational auto-encoders, UAI 2018,
    arXiv 1804.00891.
    """

    arg_constraints = {"loc": unit_vector, "concentration": concentration_range}

    def __init__(
        self, loc: Tensor, concentration: Tensor | float, validate_args: bool | None = None
    ) -> None:
        super().__init__(loc, concentration, "concentration", validate_args)

    def statistic(self, angle: Tensor) -> Tensor:
        """The cosine."""
        return angle.cos()

    def mean_statistic(self) -> Tensor:
        """A(kappa)."""
        return bessel.mean_resultant(self.concentration.double(), self.event_shape[0])

    def draw_angles(self, concentration: Tensor) -> Tensor:
        """Angles by inversion where m = 3, otherwise by rejection."""
        m = self.event_shape[0]
        return _invert(concentration) if m == 3 else _reject(concentration, m)

    @property
    def mean(self) -> Tensor:
        """Mean in R^m, A loc; inside the sphere, not on it."""
        a = bessel.mean_resultant(self.concentration, self.event_shape[0])
        return a.unsqueeze(-1) * self.loc

    @property
    def variance(self) -> Tensor:
        """Variances of the coordinates in R^m: A' along loc, A / kappa across it."""
        m, kappa = self.event_shape[0], self.concentration.unsqueeze(-1)
        across = bessel.mean_resultant(kappa, m) / kappa
        along = bessel.mean_resultant_slope(kappa, m)
        return across + (along - across) * self.loc.square()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density with respect to the area of the sphere, in nats.

        It is written in |z - loc|^2, so that its gradients in R^m differ from kappa loc and kappa z
        by normal parts, which derivatives along the sphere do not see.
        """
        m = self.event_shape[0]
        constant = bessel.log_mean(self.concentration, m) + bessel.log_area(m)
        return -self.concentration * self._half_square(value) - constant

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        return bessel.entropy(self.concentration, self.event_shape[0])


@register_kl(VonMisesFisher, HypersphericalUniform)
def _kl_von_mises_fisher_uniform(p: VonMisesFisher, q: HypersphericalUniform) -> Tensor:
    kl = bessel.divergence_from_uniform(p.concentration, same_sphere(p, q))
    return kl.expand(torch.broadcast_shapes(kl.shape, q.batch_shape))


def _invert(kappa: Tensor) -> Tensor:
    # 1 - cos theta is exponential, cut off at 2.
    gap = -torch.log1p(torch.rand_like(kappa) * torch.expm1(-2 * kappa)) / kappa
    return 2 * (gap / 2).clamp(max=1).sqrt().asin()


def _reject(kappa: Tensor, m: int) -> Tensor:
    """Angles of the law, from those of uniform points of the sphere.

    Wood's envelope is the uniform law after a dilation of the stereographic plane by sqrt(b), which
    moves the angle phi to theta with tan(theta / 2) = sqrt(b) tan(phi / 2). With
    b = (1 - x) / (1 + x) and kappa (1 - x^2) = (m - 1) x, the best choice, phi is accepted with the
    probability (exp(t / (1 + t)) / (1 + t))^(m-1), t = x cos phi.
    """
    n = m - 1
    root = torch.hypot(2 * kappa, kappa.new_tensor(n))
    tilt, stretch = 2 * kappa / (n + root), (n / (2 * kappa + root)).sqrt()
    angle = torch.empty_like(kappa)
    left = torch.arange(len(kappa), device=kappa.device)
    while len(left):
        cos, tan_half = _uniform_colatitudes(tilt, m)
        t = tilt * cos
        accept = torch.rand_like(t).log() <= n * (t / (1 + t) - torch.log1p(t))
        # A rejected angle is written too, and overwritten by a later one.
        angle[left] = 2 * (stretch * tan_half).atan()
        again = (~accept).nonzero().squeeze(-1)
        left, tilt, stretch = left[again], tilt[again], stretch[again]
    return angle


def _uniform_colatitudes(like: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """The cosine and tan(phi / 2) of uniform points of the sphere, phi the angle to an axis."""
    if m == 2:
        phi = math.pi * torch.rand_like(like)
        return phi.cos(), (phi / 2).tan()
    axis = torch.randn_like(like)
    square = Chi2(like.new_tensor(m - 1), validate_args=False).sample(like.shape)
    radius = (axis.square() + square).sqrt()
    return axis / radius, square.sqrt() / (radius + axis)
