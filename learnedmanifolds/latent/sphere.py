"""The sphere as a latent space, with von Mises-Fisher or power spherical posteriors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from learnedmanifolds._check import integer, one_of
from learnedmanifolds.charts.analytic import SphereCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.latent._call import call
from learnedmanifolds.latent._directions import normalised
from learnedmanifolds.latent._parameters import last_axis, positive_part, times
from learnedmanifolds.latent.axial import AxialDistribution, concentration_range
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.hyperspherical_uniform import HypersphericalUniform
from learnedmanifolds.latent.power_spherical import PowerSpherical
from learnedmanifolds.latent.von_mises_fisher import VonMisesFisher

_FAMILIES: dict[str, type[VonMisesFisher] | type[PowerSpherical]] = {
    "von-mises-fisher": VonMisesFisher,
    "power-spherical": PowerSpherical,
}

# The Bessel functions of the von Mises-Fisher law are checked up to here.
_MAX_DIM = 1024

# The paper's least concentration.
_LEAST_CONCENTRATION = 1.0

# Points are antipodal when their sum is of this norm, in units of rounding.
_ANTIPODAL = 100


class Sphere(LatentSpace):
    """The unit sphere S^d in R^(d+1), with the uniform prior.

    An encoder gives a vector of d + 1 numbers, whose direction is the mean direction, and a number
    r, the concentration being min(softplus(r) + 1, 1e6), of zero derivative beyond that. A vector
    of length zero stands for the first unit vector.

    Parameters
    ----------
    dim : int
        d from 1 to 1024.
    posterior : "von-mises-fisher" or "power-spherical"
        The family. A power spherical draw costs no rejection, its density no Bessel function; with
        equal concentration it is about as wide as a von Mises-Fisher law of half of that.

    Raises
    ------
    TypeError, ValueError
        If dim is not an integer in its range, or there is no such posterior.

    References
    ----------
    Davidson, Falorsi, De Cao, Kipf, Tomczak, Hyperspherical variational auto-encoders, UAI 2018,
    arXiv 1804.00891.
    """

    def __init__(self, dim: int, posterior: str = "von-mises-fisher") -> None:
        d = integer(dim, "dim", minimum=1)
        if d > _MAX_DIM:
            raise ValueError(f"dim must be at most {_MAX_DIM}, got {d}")
        super().__init__(d, (d + 1,), d + 2)
        self.family = one_of(posterior, "posterior", _FAMILIES)

    def __repr__(self) -> str:
        return call(Sphere, dim=self.dim, posterior=self.family)

    @property
    def space(self) -> Any:
        """The sphere in geomstats."""
        from learnedmanifolds._geomstats import require_geomstats

        require_geomstats()
        from geomstats.geometry.hypersphere import Hypersphere

        return Hypersphere(self.dim)

    def prior(self) -> HypersphericalUniform:
        """The uniform distribution."""
        return HypersphericalUniform(self.n_ambient)

    def posterior(self, parameters: Tensor) -> AxialDistribution:
        """Distribution of the family; see `Sphere` for the outputs (..., d + 2)."""
        outputs = last_axis(parameters, "parameters", self.n_parameters)
        kappa = positive_part(outputs[..., -1], _LEAST_CONCENTRATION)
        loc = normalised(outputs[..., :-1])
        return _FAMILIES[self.family](loc, kappa.clamp(max=concentration_range.upper_bound))

    def von_mises_fisher(self, loc: Tensor, concentration: Tensor | float) -> VonMisesFisher:
        """`VonMisesFisher` on this sphere, loc (..., d + 1)."""
        return VonMisesFisher(last_axis(loc, "loc", self.n_ambient), concentration)

    def power_spherical(self, loc: Tensor, scale: Tensor | float) -> PowerSpherical:
        """`PowerSpherical` on this sphere, loc (..., d + 1)."""
        return PowerSpherical(last_axis(loc, "loc", self.n_ambient), scale)

    def project(self, z: Tensor) -> Tensor:
        """Points divided by their norms; zero becomes the first unit vector."""
        return normalised(last_axis(z, "z", self.n_ambient))

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Arcs of great circles; between antipodes one through the coordinate axis furthest away."""
        start, end = torch.broadcast_tensors(
            last_axis(start, "start", self.n_ambient), last_axis(end, "end", self.n_ambient)
        )
        gap, total = (v.norm(dim=-1, keepdim=True) for v in (end - start, end + start))
        least = start.abs().argmin(-1, keepdim=True)
        axis = torch.zeros_like(start).scatter(-1, least, 1.0)
        antipodal = total <= _ANTIPODAL * torch.finfo(start.dtype).eps
        tangent = torch.where(antipodal, axis, end - start)
        # Near the antipode one projection leaves a part along start.
        for _ in range(2):
            tangent = normalised(tangent - (tangent * start).sum(-1, keepdim=True) * start)
        angle = times(t, start) * (2 * torch.atan2(gap, total))
        return angle.cos() * start + angle.sin() * tangent

    def charts(self) -> Charts:
        """Two stereographic charts; see `SphereCharts`."""
        return SphereCharts(dim=self.dim)
