"""A learned manifold for geomstats."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from learnedmanifolds._check import as_tensor, integer
from learnedmanifolds._convert import to_numbers
from learnedmanifolds._geomstats import require_geomstats
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.geometry import (
    InducedMetric,
    LocalGeometry,
    Located,
    differentiable_log,
    squared_distance,
)
from learnedmanifolds.manifolds.source import as_atlas

require_geomstats()

from geomstats.geometry.manifold import Manifold  # noqa: E402
from geomstats.geometry.riemannian_metric import RiemannianMetric  # noqa: E402

if TYPE_CHECKING:
    from learnedmanifolds.manifolds.geomstats_chart import GeomstatsChart

_ATOL = 1e-8


class GeomstatsManifold(Manifold):
    """An atlas, or a chart family, as a geomstats manifold of ambient points, with its metric.

    Points and tangent vectors are torch tensors of the ambient shape, with batches as geomstats
    means them: ``(..., *ambient_shape)``, a single one broadcast against many. A point's chart is
    found at every call; points that the manifold returned are found exactly. ``metric`` is the
    `GeomstatsMetric`.

    geomstats computes in torch's default dtype, and sets it to float64 when ``geomstats.backend`` is
    imported. Import that first, or call ``geomstats.backend.set_default_dtype("float64")``: where
    this library is the first to import it, the default dtype stays what it was.

    Parameters
    ----------
    source : Atlas or Charts
        Copied, and evaluated in float64 on the CPU, geomstats' default.
    tolerance : float, optional
        Local error of geodesics relative to their velocity.
    equip : bool
        Whether to equip the manifold with its metric.

    Raises
    ------
    TypeError
        If the source is neither an Atlas nor Charts.
    ImportError
        If geomstats was imported before with another backend than PyTorch.
    """

    def __init__(
        self, source: Atlas | Charts, tolerance: float | None = None, equip: bool = True
    ) -> None:
        source = as_atlas(source)
        if torch.get_default_dtype() != torch.float64:
            warnings.warn(
                "torch's default dtype is not float64, which geomstats' estimators compute in: call "
                "geomstats.backend.set_default_dtype('float64'), or import geomstats.backend first.",
                stacklevel=2,
            )
        self.atlas = source.to(torch.float64).to("cpu")
        self.induced = InducedMetric(self.atlas, tolerance)
        super().__init__(self.atlas.dim, self.atlas.ambient_shape, intrinsic=False, equip=equip)

    @staticmethod
    def default_metric() -> type[GeomstatsMetric]:
        """`GeomstatsMetric`."""
        return GeomstatsMetric

    def chart(self, index: int) -> GeomstatsChart:
        """One chart as a geomstats manifold of its coordinates."""
        from learnedmanifolds.manifolds.geomstats_chart import GeomstatsChart

        return GeomstatsChart(self.atlas, index)

    def belongs(self, point: Any, atol: float = _ATOL) -> Tensor:
        """Whether points are within ``atol`` of the manifold, (...,)."""
        points = to_numbers(point, "point")
        batch = points.shape[: points.dim() - self.point_ndim]
        if points.shape[len(batch) :] != self.shape:
            return torch.zeros(batch, dtype=torch.bool)
        flat, _ = self.flat(points, name="point")
        near = self.atlas.nearest_flat(flat)
        gap = (self.place(near).flatten(1) - flat).norm(dim=-1)
        return (gap <= atol).reshape(batch)

    def is_tangent(self, vector: Any, base_point: Any = None, atol: float = _ATOL) -> Tensor:
        """Whether vectors are within ``atol`` of the tangent space at their base points, (...,)."""
        gap = to_numbers(vector, "vector") - self.to_tangent(vector, base_point)
        return gap.flatten(gap.dim() - self.point_ndim).norm(dim=-1) <= atol

    def to_tangent(self, vector: Any, base_point: Any = None) -> Tensor:
        """Orthogonal projection of ambient vectors on the tangent spaces at their base points."""
        local, batch, (vectors,) = self.at(base_point, vector=vector)
        return self.unflat(local.project(vectors), batch)

    def projection(self, point: Any) -> Tensor:
        """Nearest points of the manifold; differentiable, once."""
        flat, batch = self.flat(point, name="point")
        return self.place(self.atlas.nearest_flat(flat)).reshape((*batch, *self.shape))

    def random_point(self, n_samples: int = 1, bound: float = 1.0) -> Tensor:
        """Points distributed uniformly with respect to the Riemannian volume.

        From torch's global random numbers, as of all geomstats manifolds: ``gs.random.seed`` decides.
        A single point has no batch axis; ``bound`` is not used, the charts being compact.
        """
        count = integer(n_samples, "n_samples", minimum=1)
        seed = int(torch.randint(2**62, (), dtype=torch.int64))
        points = self.place(self.induced.uniform(count, seed))
        return points if count > 1 else points[0]

    def flat(self, array: Any, name: str) -> tuple[Tensor, torch.Size]:
        """A checked array as flat rows (N, n), and its batch shape."""
        tensor = as_tensor(array, name)
        batch = tensor.shape[: max(0, tensor.dim() - self.point_ndim)]
        if tensor.shape[len(batch) :] != self.shape:
            raise ValueError(
                f"{name} must have shape (..., {', '.join(map(str, self.shape))}), "
                f"got {tuple(tensor.shape)}."
            )
        return tensor.to(torch.float64).reshape(-1, self.atlas.charts.n_ambient), batch

    def at(
        self, base_point: Any, **vectors: Any
    ) -> tuple[LocalGeometry, torch.Size, tuple[Tensor, ...]]:
        """Geometry at base points broadcast against vectors; the batch shape; the vectors flat."""
        flat, batch = self.flat(base_point, name="base_point")
        parts = [self.flat(vector, name=name) for name, vector in vectors.items()]
        shape = torch.broadcast_shapes(batch, *(part for _, part in parts))
        found = self.atlas.find(flat.view(-1, *self.shape), "base_point")
        located = Located(*(_broadcast(part, batch, shape) for part in found))
        local = LocalGeometry(self.atlas, located.coords, located.chart)
        return local, shape, tuple(_broadcast(v, b, shape) for v, b in parts)

    def place(self, located: Located) -> Tensor:
        """Points (N, *ambient_shape)."""
        return self.atlas.decode(located.coords, located.chart)

    def unflat(self, rows: Tensor, batch: torch.Size) -> Tensor:
        """Rows (N, n) as (*batch, *ambient_shape)."""
        return rows.reshape((*batch, *self.shape))


class GeomstatsMetric(RiemannianMetric):
    """The metric that a learned manifold inherits from the ambient space.

    Parameters
    ----------
    space : GeomstatsManifold
    """

    def __init__(self, space: GeomstatsManifold) -> None:
        super().__init__(space)

    def metric_matrix(self, base_point: Any = None) -> Tensor:
        """The identity of the ambient space, (..., n, n): vectors are ambient ones."""
        eye = torch.eye(self._space.atlas.charts.n_ambient, dtype=torch.float64)
        if base_point is None:
            return eye
        _, batch = self._space.flat(base_point, name="base_point")
        return eye.expand(*batch, *eye.shape)

    def inner_product(
        self, tangent_vec_a: Any, tangent_vec_b: Any, base_point: Any = None
    ) -> Tensor:
        """Euclidean inner product of ambient vectors, (...,); NaN of NaN."""
        a = self._vectors(tangent_vec_a, "tangent_vec_a")
        value = (a * self._vectors(tangent_vec_b, "tangent_vec_b")).sum(-1)
        if base_point is None:
            return value
        _, batch = self._space.flat(base_point, name="base_point")
        return value.expand(torch.broadcast_shapes(value.shape, batch))

    def exp(self, tangent_vec: Any, base_point: Any) -> Tensor:
        """Ends of geodesics at time 1.

        Raises
        ------
        BoundaryError
            If a geodesic leaves the manifold through its boundary.
        """
        local, batch, (vectors,) = self._space.at(base_point, tangent_vec=tangent_vec)
        end = self._space.induced.exp(local.located, vectors)
        return self._space.unflat(self._space.place(end).flatten(1), batch)

    def log(self, point: Any, base_point: Any) -> Tensor:
        """Initial velocities of shortest geodesics from the base points; differentiable, once.

        Raises
        ------
        BoundaryError
            If a pair lies in two components, or no geodesic between them was found.
        """
        start, end, x, y, batch = self._pairs(point, base_point)
        vector = differentiable_log(self._space.induced, start, end, x, y)
        return self._space.unflat(vector, batch)

    def squared_dist(self, point_a: Any, point_b: Any) -> Tensor:
        """Squares of `dist`, differentiable in both points."""
        start, end, x, y, batch = self._pairs(point_b, point_a)
        return squared_distance(self._space.induced, start, end, x, y).reshape(batch)

    def dist(self, point_a: Any, point_b: Any) -> Tensor:
        """Lengths of shortest paths, (...,); infinity between components."""
        return self.squared_dist(point_a, point_b).sqrt()

    def dist_pairwise(self, points: Any, n_jobs: int = 1, **joblib_kwargs: Any) -> Tensor:
        """Distances between all of N points in one batch, (N, N); ``n_jobs`` is not used."""
        points = to_numbers(points, "points")
        i, j = torch.triu_indices(len(points), len(points), offset=1)
        distances = points.new_zeros(len(points), len(points), dtype=torch.float64)
        distances[i, j] = distances[j, i] = self.dist(points[i], points[j])
        return distances

    def parallel_transport(
        self, tangent_vec: Any, base_point: Any, direction: Any = None, end_point: Any = None
    ) -> Tensor:
        """Transport along the geodesic with a direction, or the shortest one to an end point.

        Raises
        ------
        BoundaryError
            As of `exp` and `log`.
        ValueError
            Unless exactly one of ``direction`` and ``end_point`` is given.
        """
        if (direction is None) == (end_point is None):
            raise ValueError("exactly one of direction and end_point must be given.")
        if direction is None:
            direction = self.log(end_point, base_point)
        local, batch, (vectors, along) = self._space.at(
            base_point, tangent_vec=tangent_vec, direction=direction
        )
        metric = self._space.induced
        end, moved = metric.parallel_transport(vectors.unsqueeze(1), local.located, along)
        if end_point is not None:
            # The geodesic may arrive in another chart, whose tangent space is not quite the same.
            there = LocalGeometry(self._space.atlas, end.coords, end.chart, first_order=True)
            other, _, _ = self._space.at(
                torch.as_tensor(end_point).expand(*batch, *self._space.shape)
            )
            moved = there.turned(moved, other)
        return self._space.unflat(moved.squeeze(1), batch)

    def curvature(
        self, tangent_vec_a: Any, tangent_vec_b: Any, tangent_vec_c: Any, base_point: Any = None
    ) -> Tensor:
        """R(a, b) c, a tangent vector."""
        curvature, batch, vectors = self._curvature(
            base_point, a=tangent_vec_a, b=tangent_vec_b, c=tangent_vec_c
        )
        return self._space.unflat(curvature.riemann(*vectors), batch)

    def ricci_tensor(self, base_point: Any = None) -> Tensor:
        """The Ricci form on ambient vectors, of which the tangent part counts, (..., n, n)."""
        curvature, batch, _ = self._curvature(base_point)
        q = curvature.local.tangent_basis
        form = q @ curvature.ricci_form @ q.mT
        return form.reshape((*batch, *form.shape[1:]))

    def scalar_curvature(self, base_point: Any = None) -> Tensor:
        """Scalar curvature, (...,)."""
        curvature, batch, _ = self._curvature(base_point)
        return curvature.scalar.reshape(batch)

    def _vectors(self, array: Any, name: str) -> Tensor:
        """Vectors (..., n), flat, finite or not."""
        vectors, shape = to_numbers(array, name), self._space.shape
        start = vectors.dim() - len(shape)
        if start < 0 or vectors.shape[start:] != shape:
            expected = ", ".join(map(str, ("...", *shape)))
            raise ValueError(f"{name} must have shape ({expected}), got {tuple(vectors.shape)}.")
        return vectors.flatten(start)

    def _curvature(self, base_point: Any, **vectors: Any) -> Any:
        local, batch, flat = self._space.at(base_point, **vectors)
        return self._space.induced.curvature(local.located), batch, flat

    def _pairs(
        self, point: Any, base_point: Any
    ) -> tuple[Located, Located, Tensor, Tensor, torch.Size]:
        """Where base points and points are, their flat values, and the batch they broadcast to."""
        found = []
        for array, name in ((base_point, "base_point"), (point, "point")):
            flat, batch = self._space.flat(array, name=name)
            located = self._space.atlas.find(flat.view(-1, *self._space.shape), name)
            found.append(((*located, flat), batch))
        shape = torch.broadcast_shapes(*(batch for _, batch in found))
        (chart, coords, x), (other_chart, other_coords, y) = (
            [_broadcast(part, batch, shape) for part in parts] for parts, batch in found
        )
        return Located(chart, coords), Located(other_chart, other_coords), x, y, shape

    def _geodesic_ivp(
        self, initial_point: Any, initial_tangent_vec: Any
    ) -> Callable[[Any], Tensor]:
        local, batch, (vectors,) = self._space.at(
            initial_point, initial_tangent_vec=initial_tangent_vec
        )
        geodesic = self._space.induced.geodesic(local.located, vectors)

        def path(t: Any) -> Tensor:
            """Points at times (T,) or a single one, (..., T, *ambient_shape)."""
            times = torch.atleast_1d(as_tensor(t, "t", dtype=torch.float64))
            points = self._space.place(geodesic(times))
            return points.reshape((*batch, len(times), *self._space.shape))

        return path


def _broadcast(rows: Tensor, batch: torch.Size, shape: torch.Size) -> Tensor:
    """Rows of a batch as rows of a larger one."""
    rest = rows.shape[1:]
    return rows.reshape((*batch, *rest)).expand((*shape, *rest)).reshape((-1, *rest))
