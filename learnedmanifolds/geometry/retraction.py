"""Retractions as method objects, batched, through the charts of a manifold."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located

# Where the correction would exceed half the step, the Taylor polynomial is no longer trusted.
_LARGEST_CORRECTION = 0.5

_ALONG = 1e-12


@dataclass(frozen=True)
class Retraction(abc.ABC):
    """A map from tangent vectors to points that agrees with the exponential to first order or more.

    References
    ----------
    Absil, Mahony, Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, section 4.1.
    """

    @abc.abstractmethod
    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, vector: Tensor) -> Located:
        """Ends of tangent vectors.

        Parameters
        ----------
        manifold : ChartedManifold
        local : LocalGeometry
            Geometry of the manifold at N points.
        vector : Tensor, shape (N, n)
            Flat ambient vectors, of which the tangent part counts.
        """


@dataclass(frozen=True)
class ChartRetraction(Retraction):
    """First order: D(z + a) for h = J a, through the charts that the step crosses."""

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, vector: Tensor) -> Located:
        """See `Retraction`."""
        a = local.coordinates(vector)
        return manifold.move(local.located, _along_walls(manifold, local, a, a))


@dataclass(frozen=True)
class SecondOrderRetraction(Retraction):
    """Second order: D(z + a - R^-1 Q^T D2(a, a) / 2), whose acceleration at 0 is normal.

    The correction is bounded by half the step, both measured in coordinates.

    References
    ----------
    Absil, Malick, Projection-like retractions on matrix manifolds, SIAM J. Optim. 22, 2012.
    """

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, vector: Tensor) -> Located:
        """See `Retraction`."""
        a = local.coordinates(vector)
        step = retraction_step(local, a, 2)
        return manifold.move(local.located, _along_walls(manifold, local, a, step))


@dataclass(frozen=True)
class ProjectiveRetraction(Retraction):
    """Second order: the point of the manifold nearest to x + h.

    References
    ----------
    Absil, Malick, Projection-like retractions on matrix manifolds, SIAM J. Optim. 22, 2012.
    """

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, vector: Tensor) -> Located:
        """See `Retraction`."""
        return manifold.nearest_flat(local.point + local.project(vector))


@dataclass(frozen=True)
class ExponentialRetraction(Retraction):
    """The exponential map itself.

    Parameters
    ----------
    tolerance : float, optional
        See `learnedmanifolds.geometry.InducedMetric`.
    """

    tolerance: float | None = None

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, vector: Tensor) -> Located:
        """See `Retraction`; `BoundaryError` where a geodesic reaches the boundary."""
        end = flow(
            manifold,
            local.located,
            local.coordinates(vector).unsqueeze(1),
            torch.ones_like(vector[:, :1]),
            tolerance=self.tolerance,
        )
        return end.whole


RETRACTIONS: dict[str, Retraction] = {
    "second-order": SecondOrderRetraction(),
    "chart": ChartRetraction(),
    "projection": ProjectiveRetraction(),
    "exponential": ExponentialRetraction(),
}
"""Retractions by name."""


def retraction_step(local: LocalGeometry, a: Tensor, order: int) -> Tensor:
    """Coordinates step of a retraction along h = J a.

    The first-order (chart) retraction is p(a). The second-order one is p(a - R^-1 Q^T D2(a, a) / 2)
    whose acceleration at 0 is normal, as a geodesic's is; the correction is bounded by half the
    step, both measured in coordinates.

    Parameters
    ----------
    local : LocalGeometry
    a : Tensor, shape (N, d)
    order : int
        1 or 2.

    References
    ----------
    Absil, Malick, Projection-like retractions on matrix manifolds, SIAM J. Optim. 22, 2012.
    """
    if order == 1:
        return a
    correction = -0.5 * local.tangential_acceleration(a)
    size = correction.norm(dim=-1, keepdim=True)
    bound = _LARGEST_CORRECTION * a.norm(dim=-1, keepdim=True)
    return a + correction * (bound / size.clamp(min=torch.finfo(size.dtype).tiny)).clamp(max=1.0)


def _along_walls(
    manifold: ChartedManifold, local: LocalGeometry, first: Tensor, step: Tensor
) -> Tensor:
    """Steps (N, d) that leave a wall only where their first-order part (N, d) does.

    Descent along a boundary would otherwise be bent off it by the second-order correction, and
    pressed back at once.
    """
    chart, domain = local.located.chart, manifold.charts.domain
    walls = domain.walls(local.coords, chart, domain.on_wall)
    if not bool(walls.on.any()):
        return step
    across = (walls.normal @ first.unsqueeze(-1)).squeeze(-1).abs()
    along = walls.on & (across <= _ALONG * first.norm(dim=-1, keepdim=True))
    held = walls.normal * along.unsqueeze(-1)
    step = step - (torch.linalg.pinv(held) @ held @ step.unsqueeze(-1)).squeeze(-1)
    row = along.any(-1).nonzero().squeeze(-1)
    if not (domain.curved and len(row)):
        return step
    # Where a wall bends away, on to it: no farther than it could in a step of this length.
    chart, end = chart[row], local.coords[row] + step[row]
    ahead = held[row].sum(1) * step[row].norm(dim=-1, keepdim=True)
    part = domain.exit(end, ahead, chart).unsqueeze(-1)
    near = (part < 1) & (domain.depth(end, chart) > 0).unsqueeze(-1)
    onto = domain.confine(end + part * ahead, chart) - local.coords[row]
    return step.index_copy(0, row, torch.where(near, onto, step[row]))
