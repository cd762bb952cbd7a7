"""One chart for geomstats: an immersed set in coordinates, with its pullback metric."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from learnedmanifolds._check import as_tensor, integer
from learnedmanifolds._convert import to_numbers
from learnedmanifolds._geomstats import require_geomstats
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.single import SingleChart
from learnedmanifolds.geometry import Curvature, InducedMetric, LocalGeometry, Located
from learnedmanifolds.manifolds.source import as_atlas

require_geomstats()

from geomstats.geometry.base import ImmersedSet  # noqa: E402
from geomstats.geometry.euclidean import Euclidean  # noqa: E402
from geomstats.geometry.pullback_metric import PullbackMetric  # noqa: E402


class GeomstatsChart(ImmersedSet):
    """One chart as a geomstats manifold of its coordinates (..., d) in the box [-1, 1]^d.

    Geodesics end at the border of the box.

    Parameters
    ----------
    source : Atlas or Charts
    index : int
        Which chart.
    tolerance : float, optional
        Local error of geodesics relative to their velocity.
    equip : bool

    Raises
    ------
    TypeError, ValueError
        If the source is neither an Atlas nor Charts, or has no such chart.
    """

    def __init__(
        self,
        source: Atlas | Charts,
        index: int = 0,
        tolerance: float | None = None,
        equip: bool = True,
    ) -> None:
        atlas = as_atlas(source)
        if not 0 <= integer(index, "index") < atlas.n_charts:
            raise ValueError(f"index must be in 0..{atlas.n_charts - 1}, got {index}.")
        single = SingleChart(atlas.charts, index)
        single_atlas = Atlas(single, None, atlas.noise_std, atlas.tolerance, atlas.agreement)
        self.atlas = single_atlas.to(torch.float64).to("cpu")
        self.induced = InducedMetric(self.atlas, tolerance)
        super().__init__(self.atlas.dim, equip=equip)

    @staticmethod
    def default_metric() -> type[GeomstatsChartMetric]:
        """`GeomstatsChartMetric`."""
        return GeomstatsChartMetric

    def _define_embedding_space(self) -> Euclidean:
        return Euclidean(self.atlas.charts.n_ambient)

    def immersion(self, point: Any) -> Tensor:
        """Flat ambient points (..., n)."""
        local, batch = self.at(point)
        return local.point.reshape((*batch, -1))

    def jacobian_immersion(self, base_point: Any) -> Tensor:
        """J, (..., n, d)."""
        local, batch = self.at(base_point)
        return local.jacobian.reshape((*batch, *local.jacobian.shape[1:]))

    def hessian_immersion(self, base_point: Any) -> Tensor:
        """Second derivatives, (..., n, d, d)."""
        local, batch = self.at(base_point)
        second = local.second_derivatives.movedim(-1, 1)
        return second.reshape((*batch, *second.shape[1:]))

    def belongs(self, point: Any, atol: float = 1e-12) -> Tensor:
        """Whether coordinates are in the chart's domain, (...,)."""
        coords = to_numbers(point, "point")
        if not coords.dim() or coords.shape[-1] != self.dim:
            return torch.zeros(coords.shape[:-1], dtype=torch.bool)
        rows = coords.reshape(-1, self.dim)
        return (self.atlas.charts.domain.depth(rows, 0) >= -atol).reshape(coords.shape[:-1])

    def is_tangent(self, vector: Any, base_point: Any = None, atol: float = 1e-12) -> Tensor:
        """Whether vectors have d components, (...,)."""
        shape = to_numbers(vector, "vector").shape
        return torch.full(shape[:-1], shape[-1:] == (self.dim,))

    def to_tangent(self, vector: Any, base_point: Any = None) -> Tensor:
        """The vectors: in coordinates all are tangent, (..., d)."""
        checked = as_tensor(vector, "vector").to(torch.float64)
        batch = () if base_point is None else to_numbers(base_point, "base_point").shape[:-1]
        shape = torch.broadcast_shapes(checked.shape[:-1], batch)
        return checked.expand((*shape, self.dim)).clone()

    def projection(self, point: Any) -> Tensor:
        """Coordinates (..., d) of the points of the chart nearest to ambient points (..., n)."""
        flat = as_tensor(point, "point").to(torch.float64)
        rows = flat.reshape(-1, self.atlas.charts.n_ambient)
        return self.atlas.nearest_flat(rows).coords.reshape((*flat.shape[:-1], self.dim))

    def random_point(self, n_samples: int = 1, bound: float = 1.0) -> Tensor:
        """Coordinates uniform in the middle ``bound`` (at most 1) of the box, moved to the domain."""
        count = integer(n_samples, "n_samples", minimum=1)
        coords = min(bound, 1.0) * (2 * torch.rand(count, self.dim, dtype=torch.float64) - 1)
        coords = self.atlas.charts.domain.confine(coords, 0)
        return coords if count > 1 else coords[0]

    def at(self, point: Any) -> tuple[LocalGeometry, torch.Size]:
        """Geometry at coordinates (..., d), and their batch shape."""
        coords = as_tensor(point, "point").to(torch.float64)
        if coords.dim() == 0 or coords.shape[-1] != self.dim:
            raise ValueError(f"point must have shape (..., {self.dim}), got {tuple(coords.shape)}.")
        return LocalGeometry(self.atlas, coords.reshape(-1, self.dim), 0), coords.shape[:-1]


class GeomstatsChartMetric(PullbackMetric):
    """The pullback metric of a chart; its derivatives are ours, exact and in one pass."""

    def _instantiate_solvers(self) -> None:
        """Geodesics need none of geomstats' solvers."""

    def metric_matrix(self, base_point: Any) -> Tensor:
        """G = J^T J, (..., d, d)."""
        local, batch = self._space.at(base_point)
        return local.metric.reshape((*batch, *local.metric.shape[1:]))

    def inner_product_derivative_matrix(self, base_point: Any) -> Tensor:
        """d_k g_ij at [..., i, j, k]."""
        local, batch = self._space.at(base_point)
        half = torch.einsum("nkix,nxj->nijk", local.second_derivatives, local.jacobian)
        out = half + half.transpose(1, 2)
        return out.reshape((*batch, *out.shape[1:]))

    def christoffels(self, base_point: Any) -> Tensor:
        """Gamma^k_ij at [..., k, i, j]."""
        local, batch = self._space.at(base_point)
        symbols = Curvature(local).christoffel_symbols
        return symbols.reshape((*batch, *symbols.shape[1:]))

    def riemann_tensor(self, base_point: Any) -> Tensor:
        """R_ijk^l = dx^l(R(X_j, X_k) X_i) at [..., i, j, k, l], by the Gauss equation."""
        local, batch = self._space.at(base_point)
        second = local.second_derivatives
        form = second - torch.einsum(
            "nijx,nxc,nyc->nijy", second, local.tangent_basis, local.tangent_basis
        )
        # <R(X_j, X_k) X_i, X_m> = <II_ki, II_jm> - <II_ji, II_km>
        lower = torch.einsum("nkix,njmx->nijkm", form, form)
        lower = lower - lower.transpose(2, 3)
        raised = torch.einsum("nijkm,nml->nijkl", lower, torch.linalg.inv(local.metric))
        return raised.reshape((*batch, *raised.shape[1:]))

    def exp(self, tangent_vec: Any, base_point: Any) -> Tensor:
        """Ends of geodesics at time 1; `BoundaryError` where one leaves the box."""
        start, batch, (vectors,) = self._start(base_point, tangent_vec)
        end = self._space.induced.exp(start.located, start.vector(vectors))
        return end.coords.reshape((*batch, -1))

    def log(self, point: Any, base_point: Any) -> Tensor:
        """Initial velocities of shortest geodesics; `BoundaryError` where there is none."""
        start, batch, (other,) = self._start(base_point, point)
        end = Located(start.located.chart, other)
        vectors = self._space.induced.log(start.located, end)
        return start.coordinates(vectors).reshape((*batch, -1))

    def dist(self, point_a: Any, point_b: Any) -> Tensor:
        """Lengths of shortest paths, (...,)."""
        start, batch, (other,) = self._start(point_a, point_b)
        end = Located(start.located.chart, other)
        return self._space.induced.dist(start.located, end).reshape(batch)

    def squared_dist(self, point_a: Any, point_b: Any) -> Tensor:
        """Squares of `dist`."""
        return self.dist(point_a, point_b) ** 2

    def parallel_transport(
        self, tangent_vec: Any, base_point: Any, direction: Any = None, end_point: Any = None
    ) -> Tensor:
        """Transport along the geodesic with a direction, or the shortest one to an end point."""
        if (direction is None) == (end_point is None):
            raise ValueError("exactly one of direction and end_point must be given.")
        if direction is None:
            direction = self.log(end_point, base_point)
        start, batch, (vectors, along) = self._start(base_point, tangent_vec, direction)
        end, moved = self._space.induced.parallel_transport(
            start.vector(vectors).unsqueeze(1), start.located, start.vector(along)
        )
        there = LocalGeometry(self._space.atlas, end.coords, 0, first_order=True)
        return there.coordinates(moved.squeeze(1)).reshape((*batch, -1))

    def _start(
        self, base_point: Any, *others: Any
    ) -> tuple[LocalGeometry, torch.Size, tuple[Tensor, ...]]:
        """Geometry at base points broadcast against other coordinates; the batch; the others."""
        base = as_tensor(base_point, "base_point").to(torch.float64)
        rest = [as_tensor(other, "argument").to(torch.float64) for other in others]
        base, *rest = torch.broadcast_tensors(base, *rest)
        local, batch = self._space.at(base)
        return local, batch, tuple(other.reshape(-1, self._space.dim) for other in rest)
