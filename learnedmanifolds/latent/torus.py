"""The flat torus and the circle as latent spaces, with wrapped normal posteriors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from learnedmanifolds._check import integer
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.flat_torus import FlatTorusCharts
from learnedmanifolds.latent._pairs import angles_between, normalised, turned
from learnedmanifolds.latent._parameters import last_axis, positive_part, times
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.wrapped_normal import TorusUniform, WrappedNormal

# Radians; keeps a posterior from becoming a point, which float32 angles could not resolve.
_LEAST_SCALE = 1e-3


class Torus(LatentSpace):
    """The flat torus (S^1)^d: d pairs (cos, sin), flattened to R^{2d}.

    An encoder gives for every circle a vector in the plane, whose direction is the mean direction,
    and then d numbers r, the scales in radians being softplus(r) + 0.001. Vectors of length zero
    stand for the angle 0.

    Parameters
    ----------
    dim : int
        d.

    References
    ----------
    Falorsi, de Haan, Davidson, Forre, Reparameterizing distributions on Lie groups, AISTATS 2019,
    arXiv 1903.02958; the paper's SO(2), of which this is a power.
    """

    def __init__(self, dim: int) -> None:
        d = integer(dim, "dim", minimum=1)
        super().__init__(d, (2 * d,), 3 * d)

    def __repr__(self) -> str:
        return f"Torus({self.dim})"

    @property
    def space(self) -> Any:
        """Circles in the plane, or their product, in geomstats."""
        from learnedmanifolds._geomstats import require_geomstats

        require_geomstats()
        from geomstats.geometry.hypersphere import Hypersphere
        from geomstats.geometry.product_manifold import ProductManifold

        circles = [Hypersphere(1) for _ in range(self.dim)]
        return circles[0] if self.dim == 1 else ProductManifold(circles, point_ndim=1)

    def prior(self) -> TorusUniform:
        """The uniform distribution."""
        return TorusUniform(self.dim)

    def posterior(self, parameters: Tensor) -> WrappedNormal:
        """Wrapped normal distribution; see `Torus` for the outputs (..., 3d)."""
        outputs = last_axis(parameters, "parameters", self.n_parameters)
        direction, raw = outputs.split((2 * self.dim, self.dim), -1)
        return WrappedNormal(normalised(direction), positive_part(raw, _LEAST_SCALE))

    def project(self, z: Tensor) -> Tensor:
        """Every pair scaled to length 1; a zero pair becomes (1, 0)."""
        return normalised(last_axis(z, "z", self.n_ambient))

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Every pair turned the shorter way; from opposite ones, one of the two ways."""
        start = last_axis(start, "start", self.n_ambient)
        angles = angles_between(start, last_axis(end, "end", self.n_ambient))
        return turned(start, times(t, angles) * angles)

    def charts(self) -> Charts:
        """See `FlatTorusCharts`: d + 1 boxes of angles."""
        return FlatTorusCharts(self.dim)


class Circle(Torus):
    """The circle in the plane, `Torus` (1)."""

    def __init__(self) -> None:
        super().__init__(1)

    def __repr__(self) -> str:
        return "Circle()"
