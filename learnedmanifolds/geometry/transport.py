"""Vector transports as method objects, batched, through the charts of a manifold."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from learnedmanifolds._grad import differentiable, ordinary
from learnedmanifolds.geometry.inverse_retraction import (
    InverseRetraction,
    InverseSecondOrderRetraction,
)
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.metric import InducedMetric
from learnedmanifolds.geometry.retraction import (
    ProjectiveRetraction,
    Retraction,
    SecondOrderRetraction,
)


@dataclass(frozen=True)
class Transport(abc.ABC):
    """A linear map of tangent vectors along a direction, or to another point.

    References
    ----------
    Absil, Mahony, Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, section 8.1.
    """

    @abc.abstractmethod
    def along(
        self, manifold: ChartedManifold, local: LocalGeometry, direction: Tensor, vector: Tensor
    ) -> tuple[Located, Tensor]:
        """Ends of the directions (N, n), and there the vectors (N, n)."""

    @abc.abstractmethod
    def to(
        self, manifold: ChartedManifold, local: LocalGeometry, other: LocalGeometry, vector: Tensor
    ) -> Tensor:
        """Vectors (N, n) at other points, in their tangent spaces."""


@dataclass(frozen=True)
class ProjectionTransport(Transport):
    """Orthogonal projection on the tangent space at the end.

    Parameters
    ----------
    retraction : Retraction
        What leads to the end.
    """

    retraction: Retraction = SecondOrderRetraction()

    def along(
        self, manifold: ChartedManifold, local: LocalGeometry, direction: Tensor, vector: Tensor
    ) -> tuple[Located, Tensor]:
        """See `Transport.along`."""
        end = self.retraction(manifold, local, direction)
        there = LocalGeometry(manifold, end.coords, end.chart, first_order=True)
        return end, there.project(local.project(vector))

    def to(
        self, manifold: ChartedManifold, local: LocalGeometry, other: LocalGeometry, vector: Tensor
    ) -> Tensor:
        """See `Transport.to`."""
        return other.project(vector)


@dataclass(frozen=True)
class DifferentiatedRetraction(Transport):
    """The derivative of a retraction: d/dt R(h + t v) at t = 0, by forward mode through it.

    Parameters
    ----------
    retraction : Retraction
    inverse : InverseRetraction
        Of the retraction, for `to`.
    """

    retraction: Retraction = SecondOrderRetraction()
    inverse: InverseRetraction = InverseSecondOrderRetraction()

    def along(
        self, manifold: ChartedManifold, local: LocalGeometry, direction: Tensor, vector: Tensor
    ) -> tuple[Located, Tensor]:
        """See `Transport.along`."""
        if isinstance(self.retraction, ProjectiveRetraction):
            return _differentiated_projection(manifold, local, direction, vector)
        with differentiable(), forward_ad.dual_level():
            dual = forward_ad.make_dual(ordinary(direction), ordinary(vector))
            chart, coords = self.retraction(manifold, local, dual)
            coords, rate = forward_ad.unpack_dual(coords)
        there = LocalGeometry(manifold, coords, chart, first_order=True)
        rate = torch.zeros_like(coords) if rate is None else rate
        return Located(chart, coords), there.vector(rate)

    def to(
        self, manifold: ChartedManifold, local: LocalGeometry, other: LocalGeometry, vector: Tensor
    ) -> Tensor:
        """See `Transport.to`."""
        direction = self.inverse(manifold, local, other.located)
        return other.project(self.along(manifold, local, direction, vector)[1])


@dataclass(frozen=True)
class ParallelTransport(Transport):
    """Parallel transport along the geodesic; keeps lengths and angles.

    Parameters
    ----------
    tolerance : float, optional
        See `learnedmanifolds.geometry.InducedMetric`.
    """

    tolerance: float | None = None

    def along(
        self, manifold: ChartedManifold, local: LocalGeometry, direction: Tensor, vector: Tensor
    ) -> tuple[Located, Tensor]:
        """See `Transport.along`; `BoundaryError` where a geodesic reaches the boundary."""
        metric = InducedMetric(manifold, self.tolerance)
        end, moved = metric.parallel_transport(vector.unsqueeze(1), local.located, direction)
        return end, moved.squeeze(1)

    def to(
        self, manifold: ChartedManifold, local: LocalGeometry, other: LocalGeometry, vector: Tensor
    ) -> Tensor:
        """See `Transport.to`; along the shortest geodesic, `BoundaryError` as of its `log`."""
        metric = InducedMetric(manifold, self.tolerance)
        direction = metric.log(local.located, other.located)
        end, moved = self.along(manifold, local, direction, vector)
        # The geodesic may arrive in another chart, whose tangent space is not quite the same.
        there = LocalGeometry(manifold, end.coords, end.chart, first_order=True)
        return there.turned(moved.unsqueeze(1), other).squeeze(1)


TRANSPORTS: dict[str, Transport] = {
    "projection": ProjectionTransport(),
    "differentiated": DifferentiatedRetraction(),
    "parallel": ParallelTransport(),
}
"""Vector transports by name."""


def _differentiated_projection(
    manifold: ChartedManifold, local: LocalGeometry, direction: Tensor, vector: Tensor
) -> tuple[Located, Tensor]:
    """By the implicit function theorem: J^T (D(z) - u) = 0 gives (G + <D2, D - u>) dz = J^T du."""
    end = manifold.nearest_flat(local.point + local.project(direction))
    there = LocalGeometry(manifold, end.coords, end.chart)
    residual = there.point - local.point - local.project(direction)
    system = there.metric + torch.einsum("nijx,nx->nij", there.second_derivatives, residual)
    pulled = there.jacobian.mT @ local.project(vector).unsqueeze(-1)
    return end, there.vector(torch.linalg.solve(system, pulled).squeeze(-1))
