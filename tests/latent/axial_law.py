"""Laws of the angle to the mean direction by quadrature in NumPy, apart from the library."""

import math

import numpy as np
import torch
from scipy.integrate import cumulative_simpson, simpson
from scipy.interpolate import CubicSpline

_NODES = 8001


class AngleLaw:
    """The angle of a von Mises-Fisher law: distribution function and density on [0, pi], moments."""

    def __init__(self, m, kappa):
        # Beyond this angle the density is below e^-60 of its maximum.
        self.most = min(math.nextafter(math.pi, 0), (math.sqrt(m) + 12) / math.sqrt(kappa))
        self.theta = np.linspace(0, self.most, _NODES)
        self.gap = 2 * np.sin(self.theta / 2) ** 2
        ring = np.zeros(_NODES)
        if m > 2:
            ring[0], ring[1:] = -np.inf, (m - 2) * np.log(np.sin(self.theta[1:]))
        log_density = ring - kappa * self.gap
        density = np.exp(log_density - log_density.max())
        mass = cumulative_simpson(density, x=self.theta, initial=0)
        self.values = density / mass[-1]
        self._cdf = CubicSpline(self.theta, mass / mass[-1])
        self._density = CubicSpline(self.theta, self.values)

    def cdf(self, theta):
        return self._cdf(np.minimum(theta, self.most))

    def density(self, theta):
        return np.where(theta < self.most, self._density(theta), 0)

    def cosine_variance(self):
        mean = simpson(self.gap * self.values, x=self.theta)
        return simpson((self.gap - mean) ** 2 * self.values, x=self.theta)


def angles(z, loc):
    """Angles in float64 that keep their digits near zero and pi, whatever the dtype of the points."""
    z, loc = (v.double() / v.double().norm(dim=-1, keepdim=True) for v in (z, loc))
    return 2 * torch.atan2((z - loc).norm(dim=-1), (z + loc).norm(dim=-1))


def directions(*shape, seed=0, dtype=torch.float64):
    """Uniform unit vectors."""
    source = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, generator=source, dtype=torch.float64)
    return (noise / noise.norm(dim=-1, keepdim=True)).to(dtype)


def near_poles(m, dtype=torch.float64):
    """Unit vectors at, near and between the first unit vector and its antipode, (n, m)."""
    tilts = [0, 1e-12, 1e-8, 1e-5, 1e-4, 0.3, math.pi / 2 - 1e-9, math.pi / 2 + 1e-9]
    tilts = torch.tensor([*tilts, *(math.pi - t for t in tilts)], dtype=torch.float64)
    loc = torch.zeros(len(tilts), m, dtype=torch.float64)
    loc[:, 0], loc[:, 1] = tilts.cos(), tilts.sin()
    return loc.to(dtype)
