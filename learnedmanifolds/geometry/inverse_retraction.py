"""Inverse retractions as method objects: tangent vectors that lead from points to others."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.metric import InducedMetric

_ITERATIONS = 50


@dataclass(frozen=True)
class InverseRetraction(abc.ABC):
    """A map from pairs of points to tangent vectors at the first, inverse to a retraction.

    References
    ----------
    Absil, Malick, Projection-like retractions on matrix manifolds, SIAM J. Optim. 22, 2012.
    """

    @abc.abstractmethod
    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, other: Located) -> Tensor:
        """Tangent vectors (N, n) whose retractions are the other points.

        Parameters
        ----------
        manifold : ChartedManifold
        local : LocalGeometry
            Geometry of the manifold at N points.
        other : Located
            N points.
        """


@dataclass(frozen=True)
class InverseChartRetraction(InverseRetraction):
    """Inverse of `ChartRetraction` within a chart: J (z' - z).

    Raises
    ------
    ValueError
        If a point is not in the chart of the one it is seen from.
    """

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, other: Located) -> Tensor:
        """See `InverseRetraction`."""
        return local.vector(_in_chart_of(manifold, local, other) - local.coords)


@dataclass(frozen=True)
class InverseSecondOrderRetraction(InverseRetraction):
    """Inverse of `SecondOrderRetraction` within a chart, by Newton's method.

    Raises
    ------
    ValueError
        If a point is not in the chart of the one it is seen from, or no tangent vector short enough
        for the correction to be whole leads there.
    """

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, other: Located) -> Tensor:
        """See `InverseRetraction`."""
        step = _in_chart_of(manifold, local, other) - local.coords
        a, d = step.clone(), local.dim
        eye = torch.eye(d, dtype=a.dtype, device=a.device)
        christoffel = torch.einsum("nkx,nijx->nkij", local.inverse, local.second_derivatives)
        done = 8 * torch.finfo(a.dtype).eps
        for _ in range(_ITERATIONS):
            along = torch.einsum("nkij,nj->nki", christoffel, a)
            residual = a - 0.5 * (along @ a.unsqueeze(-1)).squeeze(-1) - step
            change = torch.linalg.lstsq(eye - along, residual.unsqueeze(-1)).solution.squeeze(-1)
            a = a - change
            if bool((change.norm(dim=-1) <= done * (1 + a.norm(dim=-1))).all()):
                break
        gap = (a - step).norm(dim=-1)
        far = (gap > 0.5 * a.norm(dim=-1)) | (residual.norm(dim=-1) > done**0.5)
        if bool(far.any()):
            raise ValueError(
                f"{int(far.sum())} of {len(a)} points are too far for the inverse of the second-order "
                f"retraction; the logarithm reaches them."
            )
        return local.vector(a)


@dataclass(frozen=True)
class InverseProjectiveRetraction(InverseRetraction):
    """Inverse of `ProjectiveRetraction`: the h in T_x with x + h - y normal at y.

    h = Q_x (Q_y^T Q_x)^-1 Q_y^T (y - x) with orthonormal bases Q of the tangent spaces.

    Raises
    ------
    ValueError
        If the tangent spaces at a pair of points are orthogonal in some direction.
    """

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, other: Located) -> Tensor:
        """See `InverseRetraction`."""
        there = LocalGeometry(manifold, other.coords, other.chart, first_order=True)
        turn = there.tangent_basis.mT @ local.tangent_basis
        if bool((torch.linalg.svdvals(turn)[..., -1] < torch.finfo(turn.dtype).eps ** 0.5).any()):
            raise ValueError(
                "the tangent spaces at a pair of points are orthogonal in a direction."
            )
        across = there.tangent_basis.mT @ (there.point - local.point).unsqueeze(-1)
        return (local.tangent_basis @ torch.linalg.solve(turn, across)).squeeze(-1)


@dataclass(frozen=True)
class LogarithmicInverse(InverseRetraction):
    """The Riemannian logarithm, inverse of `ExponentialRetraction`.

    Parameters
    ----------
    tolerance : float, optional
        See `learnedmanifolds.geometry.InducedMetric`.
    """

    tolerance: float | None = None

    def __call__(self, manifold: ChartedManifold, local: LocalGeometry, other: Located) -> Tensor:
        """See `InverseRetraction`; `BoundaryError` as of `InducedMetric.log`."""
        return InducedMetric(manifold, self.tolerance).log(local.located, other)


INVERSE_RETRACTIONS: dict[str, InverseRetraction] = {
    "second-order": InverseSecondOrderRetraction(),
    "chart": InverseChartRetraction(),
    "projection": InverseProjectiveRetraction(),
    "exponential": LogarithmicInverse(),
}
"""Inverse retractions by the name of the retraction."""


def _in_chart_of(manifold: ChartedManifold, local: LocalGeometry, other: Located) -> Tensor:
    """Coordinates of other points in the charts of the first."""
    chart = local.located.chart
    same = chart == other.chart
    if bool(same.all()):
        return other.coords
    points = manifold.decode(other.coords, other.chart).flatten(1)
    coords, error = manifold.claims(points)
    rows = torch.arange(len(chart), device=chart.device)
    theirs = torch.where(same.unsqueeze(-1), other.coords, coords[chart, rows])
    off = ~same & (error[chart, rows] > manifold.agreement)
    out = off | (manifold.charts.domain.depth(theirs, chart) < 0)
    if bool(out.any()):
        raise ValueError(
            f"{int(out.sum())} of {len(out)} points are not in the chart of the point that they are "
            f"seen from; the logarithm goes through several charts."
        )
    return theirs
