"""The metric that a manifold of charts inherits from the ambient space: geodesics and distances."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from learnedmanifolds._check import as_tensor, integer, positive
from learnedmanifolds.geometry.curvature import Curvature
from learnedmanifolds.geometry.geodesic import BoundaryError, Flow, flow
from learnedmanifolds.geometry.graph import sample_graph
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.logarithm import Logarithm, logarithm, ordered
from learnedmanifolds.geometry.volume import ball_volume, uniform, volume

_CHUNK = 4096


class InducedMetric:
    """Riemannian metric induced by the Euclidean ambient space, across all charts.

    Points are `Located` batches (charts (N,), coordinates (N, d)); tangent vectors are flat ambient
    vectors (N, n) at them, of which the tangent part counts. Everything is computed in the dtype and
    on the device of the manifold.

    Parameters
    ----------
    manifold : ChartedManifold
    tolerance : float, optional
        Local error of geodesics relative to their velocity; by default that of the dtype.
    n_ways : int
        Ways around holes that `log` and `dist` start from, at each of three distances between them.

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018.
    """

    def __init__(
        self, manifold: ChartedManifold, tolerance: float | None = None, n_ways: int = 6
    ) -> None:
        self.manifold, self.tolerance, self.n_ways = manifold, tolerance, n_ways

    def local(self, point: Located) -> LocalGeometry:
        """First- and second-order geometry at points."""
        _require_located(point, "point")
        return LocalGeometry(self.manifold, point.coords, point.chart)

    def curvature(self, point: Located) -> Curvature:
        """Curvature at points."""
        return Curvature(self.local(point))

    def exp(self, point: Located, tangent_vector: Tensor, *, stop: bool = False) -> Located:
        """Ends of geodesics at time 1.

        The time that this takes is in proportion to the longest vector: about five steps, sixty jets of
        the charts, for every radius of curvature on its way.

        Parameters
        ----------
        point : Located
        tangent_vector : Tensor, shape (N, n)
        stop : bool
            Whether a geodesic that reaches the boundary of the manifold ends there.

        Raises
        ------
        BoundaryError
            If a geodesic reaches the boundary and ``stop`` is not set.
        RuntimeError
            If a vector is some thousand times as long as the radii of curvature on its way.
        TypeError, ValueError
            If vectors have the wrong type or shape, or are not finite.
        """
        local = self._at(point, tangent_vector, "tangent_vector")
        ends = self._flow(point, local.coordinates(tangent_vector).unsqueeze(1))
        return ends.located if stop else ends.whole

    def geodesic(self, point: Located, tangent_vector: Tensor) -> Callable[[Tensor], Located]:
        """Geodesics as a function of times (T,), negative ones too, to `Located` (N * T,).

        The result is point by point: all times of the first geodesic, then of the second.
        """

        def at(t: Tensor) -> Located:
            times = torch.as_tensor(t, dtype=tangent_vector.dtype, device=tangent_vector.device)
            count = times.numel()
            starts = Located(*(part.repeat_interleave(count, dim=0) for part in point))
            vectors = tangent_vector.unsqueeze(1) * times.view(1, -1, 1)
            return self.exp(starts, vectors.flatten(0, 1))

        return at

    def parallel_transport(
        self, vectors: Tensor, point: Located, direction: Tensor, *, stop: bool = False
    ) -> tuple[Located, Tensor]:
        """Transport vectors (N, m, n) along the geodesics with initial velocities (N, n).

        Returns the ends and the vectors there. Lengths and angles are kept, also where charts meet.

        Raises
        ------
        BoundaryError
            If a geodesic reaches the boundary and ``stop`` is not set.
        TypeError, ValueError
            If vectors have the wrong type or shape, or are not finite.
        """
        local = self._at(point, direction, "direction")
        as_tensor(vectors, "vectors", shape=(len(direction), None, direction.shape[1]))
        q = local.tangent_basis
        ends = self._flow(point, (local.inverse @ q).mT, (direction.unsqueeze(-2) @ q).squeeze(-2))
        located = ends.located if stop else ends.whole
        at = LocalGeometry(self.manifold, located.coords, located.chart, first_order=True)
        return located, (vectors @ q) @ (ends.carried @ at.jacobian.mT)

    def logarithm(self, point: Located, end: Located) -> Logarithm:
        """Shortest geodesics between pairs of points; see `Logarithm`.

        Raises
        ------
        TypeError
            If points are not `Located`.
        ValueError
            If there are not as many ends as points.
        """
        _require_located(point, "point")
        _require_located(end, "end")
        if len(point.chart) != len(end.chart):
            raise ValueError(
                f"end must hold as many points as point, {len(point.chart)}, got {len(end.chart)}."
            )
        graph = sample_graph(self.manifold)
        point, end = (Located(p.chart, p.coords.detach()) for p in (point, end))
        return logarithm(self.manifold, graph, point, end, self.n_ways, self.tolerance)

    def log(self, point: Located, end: Located) -> Tensor:
        """Initial velocities (N, n) of shortest geodesics from each point to its end.

        Raises
        ------
        BoundaryError
            If a pair lies in two components, or no geodesic between them was found: the shortest
            path runs along the boundary of the manifold.
        """
        found = self.logarithm(point, end)
        apart = int(found.distance.isinf().sum())
        if apart:
            raise BoundaryError(
                f"{apart} of {len(found.distance)} pairs of points lie in different components of the "
                f"manifold; there is no geodesic between them."
            )
        missing = int(found.vector.isnan().any(-1).sum())
        if missing:
            raise BoundaryError(
                f"no geodesic was found between {missing} of {len(found.distance)} pairs of points; "
                f"a shortest path along the boundary of the manifold is not one (see dist)."
            )
        return found.vector

    def dist(self, point: Located, end: Located) -> Tensor:
        """Length of the shortest path, (N,), the same in both directions; infinity between components."""
        return self.logarithm(*self.ordered(point, end)[1:]).distance

    def ordered(self, point: Located, end: Located) -> tuple[Tensor, Located, Located]:
        """Pairs in an order that depends on them alone, and which were turned round, (N, 1)."""
        _require_located(point, "point")
        _require_located(end, "end")
        point, end = (Located(p.chart, p.coords.detach()) for p in (point, end))
        if len(point.chart) != len(end.chart):
            raise ValueError(
                f"end must hold as many points as point, {len(point.chart)}, got {len(end.chart)}."
            )
        x, y = (self.manifold.decode(p.coords, p.chart).flatten(1) for p in (point, end))
        return ordered(point, end, x, y)

    def volume(self, n_points: int = 16_384) -> float:
        """Riemannian volume, in (units of the data)^d; overlaps of charts count once.

        By ``n_points`` quasi-random points in the box of every chart; the error falls nearly as
        1 / n_points.
        """
        return volume(self.manifold, integer(n_points, "n_points", minimum=1))

    def uniform(self, n: int, seed: int | None = None) -> Located:
        """Points distributed uniformly with respect to the Riemannian volume, by rejection."""
        return uniform(self.manifold, integer(n, "n", minimum=1), seed)

    def ball_volume(self, center: Located, radius: float, n_points: int = 512) -> Tensor:
        """Volumes (N,) of the geodesic balls of a radius below the injectivity radius.

        The integral of |det d exp| over the ball of the tangent space, by quasi-random vectors.

        Raises
        ------
        BoundaryError
            If a ball reaches over the boundary of the manifold.
        """
        found, out = ball_volume(
            self.manifold,
            center,
            positive(radius, "radius"),
            integer(n_points, "n_points", minimum=1),
        )
        if out:
            raise BoundaryError(f"{out} of {len(found)} balls reach over the boundary.")
        return found

    def _at(self, point: Located, vector: Tensor, name: str) -> LocalGeometry:
        """Geometry at points, and a check of the vectors there."""
        _require_located(point, "point")
        local = LocalGeometry(self.manifold, point.coords, point.chart, first_order=True)
        as_tensor(vector, name, shape=tuple(local.point.shape))
        return local

    def _flow(self, point: Located, carried: Tensor, weights: Tensor | None = None) -> Flow:
        if weights is None:
            weights = torch.ones_like(carried[:, :, 0])
        parts = zip(
            *(v.split(_CHUNK) for v in (point.chart, point.coords, carried, weights)), strict=True
        )
        flows = [
            flow(self.manifold, Located(chart, coords), w, c, tolerance=self.tolerance)
            for chart, coords, w, c in parts
        ]
        return Flow(*(torch.cat(columns) for columns in zip(*flows, strict=True)))


def _require_located(point: object, name: str) -> None:
    if not isinstance(point, Located):
        raise TypeError(
            f"{name} must be Located, chart and coordinates as atlas.locate gives them, "
            f"got {type(point).__name__}."
        )
