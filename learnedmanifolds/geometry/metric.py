"""The metric that a manifold of charts inherits from the ambient space: geodesics, parallel transport."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from learnedmanifolds._check import as_tensor
from learnedmanifolds.geometry.curvature import Curvature
from learnedmanifolds.geometry.geodesic import Flow, flow
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located

_CHUNK = 4096


class BoundaryError(ValueError):
    """A geodesic leaves the manifold through its boundary."""


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

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018.
    """

    def __init__(self, manifold: ChartedManifold, tolerance: float | None = None) -> None:
        self.manifold, self.tolerance = manifold, tolerance

    def local(self, point: Located) -> LocalGeometry:
        """First- and second-order geometry at points."""
        return LocalGeometry(self.manifold, point.coords, point.chart)

    def curvature(self, point: Located) -> Curvature:
        """Curvature at points."""
        return Curvature(self.local(point))

    def exp(self, point: Located, tangent_vector: Tensor, *, stop: bool = False) -> Located:
        """Ends of geodesics at time 1.

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
        TypeError, ValueError
            If vectors have the wrong type or shape, or are not finite.
        """
        local = self._at(point, tangent_vector, "tangent_vector")
        ends = self._flow(point, local.coordinates(tangent_vector).unsqueeze(1))
        return self._end(ends, stop)

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
        located = self._end(ends, stop)
        at = LocalGeometry(self.manifold, located.coords, located.chart, first_order=True)
        return located, (vectors @ q) @ (ends.carried @ at.jacobian.mT)

    def _at(self, point: Located, vector: Tensor, name: str) -> LocalGeometry:
        """Geometry at points, and a check of the vectors there."""
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
        columns = list(zip(*flows, strict=True))
        return Flow(
            torch.cat(columns[0]),
            torch.cat(columns[1]),
            torch.cat(columns[2]),
            None,
            torch.cat(columns[4]),
        )

    def _end(self, ends: Flow, stop: bool) -> Located:
        out = ends.time < 1
        if bool(out.any()) and not stop:
            raise BoundaryError(
                f"{int(out.sum())} of {len(out)} geodesics leave the manifold through its boundary, "
                f"the first after {float(ends.time[out].min()):.3g} of its length."
            )
        return ends.located
