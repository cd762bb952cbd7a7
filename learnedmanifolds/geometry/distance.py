"""Squared distances and logarithms with derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.local import LocalGeometry, Located
from learnedmanifolds.geometry.metric import InducedMetric


def squared_distance(
    metric: InducedMetric, start: Located, end: Located, x: Tensor, y: Tensor
) -> Tensor:
    """Squared distances (N,) between points, differentiable once in their ambient values.

    The gradient of d(x, y)^2 is -2 log_x y at x and twice the arriving velocity at y.

    Parameters
    ----------
    metric : InducedMetric
    start, end : Located
        Where the points are.
    x, y : Tensor, shape (N, n)
        Their flat ambient values, to which the derivatives belong.

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018, theorem 6.3.
    """
    return _SquaredDistance.apply(metric, start, end, x, y)


def differentiable_log(
    metric: InducedMetric, start: Located, end: Located, x: Tensor, y: Tensor
) -> Tensor:
    """Initial velocities (N, n) of shortest geodesics, differentiable once in ambient values.

    Where v leads from x to y, a change dv leads to one of y by the Jacobi field A dv that vanishes at
    x, a change dx with v moved in parallel to B dx: A dv = dy - B dx along the manifold, and
    II(dx, v) across it.

    Parameters
    ----------
    metric : InducedMetric
    start, end : Located
        Where the points are.
    x, y : Tensor, shape (N, n)
        Their flat ambient values, to which the derivatives belong.

    Raises
    ------
    BoundaryError
        See `InducedMetric.log`.

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018, chapter 10.
    """
    start = Located(start.chart, start.coords.detach())
    with torch.no_grad():
        vector = metric.log(start, end)
    if not (torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)):
        return vector
    with torch.no_grad():
        manifold = metric.manifold
        at = metric.local(start)
        q = at.tangent_basis
        along = (vector.unsqueeze(-2) @ q).squeeze(-2)
        ends = flow(
            manifold,
            start,
            (at.inverse @ q).mT,
            along,
            jacobi=True,
            moving=True,
            tolerance=metric.tolerance,
        )
        there = LocalGeometry(manifold, ends.coords, ends.chart, first_order=True)
        by_end = torch.linalg.solve_ex(ends.jacobi, ends.carried @ there.jacobian.mT)[0]
        by_start = torch.linalg.solve_ex(ends.jacobi, ends.moved @ q.mT)[0]
    dx, dy = x - x.detach(), y - y.detach()
    parallel = by_end @ dy.unsqueeze(-1) - by_start @ dx.unsqueeze(-1)
    across = at.second_fundamental_form(at.coordinates(dx), at.coordinates(vector))
    return vector + (q @ parallel).squeeze(-1) + across


class _SquaredDistance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, metric: InducedMetric, start: Located, end: Located, x: Tensor, y: Tensor
    ) -> Tensor:
        ctx.back, start, end = metric.ordered(start, end)
        found = metric.logarithm(start, end)
        ctx.metric, ctx.start, ctx.end, ctx.vector = metric, start, end, found.vector
        return found.distance.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, Tensor, Tensor | None]:
        scale = 2 * gradients[0].unsqueeze(-1)
        leaving = arriving = -scale * ctx.vector
        if ctx.needs_input_grad[4] or bool(ctx.back.any()):
            vector = ctx.vector.nan_to_num()
            moved, velocity = ctx.metric.parallel_transport(vector.unsqueeze(1), ctx.start, vector)
            there, other = (
                LocalGeometry(ctx.metric.manifold, p.coords, p.chart, first_order=True)
                for p in (moved, ctx.end)
            )
            arriving = scale * there.turned(velocity, other).squeeze(1)
            arriving = torch.where(ctx.vector.isnan(), torch.nan, arriving)
        at_x = torch.where(ctx.back, arriving, leaving)
        at_y = torch.where(ctx.back, leaving, arriving) if ctx.needs_input_grad[4] else None
        return None, None, None, at_x, at_y
