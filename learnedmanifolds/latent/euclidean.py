"""Euclidean space with a standard normal prior: the latent space of the usual autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from learnedmanifolds._check import integer, positive
from learnedmanifolds.charts.analytic import PlaneCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.latent._call import call
from learnedmanifolds.latent._parameters import last_axis, positive_part, times
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.normal import StandardNormal

# In standard deviations of the prior; keeps a posterior from becoming a point.
_LEAST_SCALE = 1e-4


class Euclidean(LatentSpace):
    """R^d with the prior N(0, I) and normal posteriors with diagonal covariance.

    An encoder gives the mean and then d numbers r, the standard deviations being
    softplus(r) + 0.0001.

    Parameters
    ----------
    dim : int
        d.
    half_width : float
        The chart is the box [-half_width, half_width]^d, in standard deviations of the prior; the
        manifold ends at its faces.

    References
    ----------
    Kingma, Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv 1312.6114.
    """

    def __init__(self, dim: int, half_width: float = 4.0) -> None:
        d = integer(dim, "dim", minimum=1)
        super().__init__(d, (d,), 2 * d)
        self.half_width = positive(half_width, "half_width")

    def __repr__(self) -> str:
        return call(Euclidean, dim=self.dim, half_width=self.half_width)

    @property
    def space(self) -> Any:
        """Euclidean space in geomstats."""
        from learnedmanifolds._geomstats import require_geomstats

        require_geomstats()
        from geomstats.geometry.euclidean import Euclidean as GeomstatsEuclidean

        return GeomstatsEuclidean(self.dim)

    def prior(self) -> StandardNormal:
        """The standard normal distribution."""
        return StandardNormal(self.dim)

    def posterior(self, parameters: Tensor) -> Independent[Normal]:
        """Normal distribution; see `Euclidean` for the outputs (..., 2d)."""
        outputs = last_axis(parameters, "parameters", self.n_parameters)
        loc, raw = outputs.chunk(2, -1)
        return Independent(Normal(loc, positive_part(raw, _LEAST_SCALE)), 1)

    def project(self, z: Tensor) -> Tensor:
        """The points themselves."""
        return last_axis(z, "z", self.n_ambient)

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Straight lines."""
        start = last_axis(start, "start", self.n_ambient)
        step = last_axis(end, "end", self.n_ambient) - start
        return start + times(t, step) * step

    def charts(self) -> Charts:
        """One box; see `half_width`."""
        return PlaneCharts(self.half_width * torch.eye(self.dim, dtype=torch.float64))
