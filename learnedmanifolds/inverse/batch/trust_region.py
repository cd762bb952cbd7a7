"""Trust regions with the exact Riemannian Hessian, one radius a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from learnedmanifolds.inverse.batch.iterate import Iterate, Place
from learnedmanifolds.inverse.batch.method import BatchMethod, Verdict
from learnedmanifolds.inverse.batch.objective import Evaluation
from learnedmanifolds.inverse.batch.rows import Rows

# Pymanopt's: the first radius in units of the largest one, and the share of the promised decrease
# that a step must reach to be taken, and to make the radius larger or smaller.
_FIRST_RADIUS = 1 / 8
_ACCEPTED, _POOR, _GOOD = 0.1, 0.25, 0.75
_SHRINKAGE, _GROWTH = 0.25, 2.0

# Costs that differ by less, relative to the cost, are equal up to rounding; where the cost vanishes,
# relative to the smaller of 1 and the cost at the start.
_ROUNDING = 1e3 * torch.finfo(torch.float64).eps

# Conjugate gradient stops where the residual has fallen by this factor, or by its own first value.
_RESIDUAL = 0.1

# A step that long, in radii, has come to the border of its trust region.
_AT_RADIUS = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class Region(Rows):
    """Radii of the trust regions, the largest ones allowed, the cost at the start; (A,)."""

    radius: Tensor
    largest: Tensor
    cost: Tensor


class BatchTrustRegion(BatchMethod[Region]):
    """Steihaug's and Toint's truncated conjugate gradient, as in pymanopt's ``TrustRegions``.

    The Hessian is a (d, d) matrix a row, so that a step that is not taken costs one evaluation of
    the cost and nothing else.

    References
    ----------
    Absil, Baker, Gallivan, Trust-region methods on Riemannian manifolds, Found. Comput. Math. 7,
    2007.
    """

    second_order: ClassVar[bool] = True
    counts_rejected: ClassVar[bool] = True

    def curvature(
        self, evaluation: Evaluation, index: Tensor, place: Place, gradient: Tensor
    ) -> Tensor:
        """Q^T Hess f Q + R^-T c R^-1, c_ij = <D2(e_i, e_j), (I - P) grad f>."""
        basis = place.basis.mT
        flat = basis @ evaluation.hessian(index, basis).mT
        normal = gradient - (gradient.unsqueeze(-2) @ place.basis @ basis).squeeze(-2)
        second = place.geometry(evaluation.atlas).second_derivatives
        bent = torch.einsum("aijn,an->aij", second, normal)
        right = torch.linalg.solve_triangular(place.factor, bent, upper=True, left=False)
        hessian = flat + torch.linalg.solve_triangular(place.factor.mT, right, upper=False)
        return 0.5 * (hessian + hessian.mT)

    def start(self, iterate: Iterate, size: float) -> Region:
        """See `BatchMethod.start`."""
        largest = torch.full_like(iterate.cost, size)
        return Region(_FIRST_RADIUS * largest, largest, iterate.cost)

    def propose(self, iterate: Iterate, memory: Region) -> Tensor:
        """See `BatchMethod.propose`."""
        return truncated_conjugate_gradient(iterate.curvature, iterate.gradient, memory.radius)

    def judge(
        self, iterate: Iterate, memory: Region, step: Tensor, cost: Tensor
    ) -> Verdict[Region]:
        """See `BatchMethod.judge`."""
        least = memory.cost.abs().clamp(max=1.0)
        noise = _ROUNDING * torch.maximum(iterate.cost.abs(), least)
        promised = -_model(iterate.curvature, iterate.gradient, step) + noise
        share = (iterate.cost - cost + noise) / promised
        poor = ~(share >= _POOR) | (promised < 0)
        grows = (share > _GOOD) & (step.norm(dim=-1) >= _AT_RADIUS * memory.radius)
        larger = torch.minimum(_GROWTH * memory.radius, memory.largest)
        radius = torch.where(grows, larger, memory.radius)
        radius = torch.where(poor, _SHRINKAGE * memory.radius, radius)
        accepted = (share > _ACCEPTED) & (promised >= 0)
        return Verdict(accepted, torch.zeros_like(accepted), replace(memory, radius=radius))

    def advance(
        self, old: Iterate, memory: Region, step: Tensor, new: Iterate
    ) -> tuple[Region, Tensor]:
        """See `BatchMethod.advance`."""
        return memory, torch.zeros_like(new.at_boundary)


def truncated_conjugate_gradient(hessian: Tensor, gradient: Tensor, radius: Tensor) -> Tensor:
    """Steps (A, d) that lower <g, s> + <s, H s> / 2 within radii (A,), at most d products each.

    Parameters
    ----------
    hessian : Tensor, shape (A, d, d)
        Symmetric.
    gradient : Tensor, shape (A, d)
        Not zero.
    radius : Tensor, shape (A,)
    """
    step, residual, direction = torch.zeros_like(gradient), gradient, -gradient
    model = torch.zeros_like(radius)
    square = gradient.square().sum(-1)
    first = square.sqrt()
    target = first * first.clamp(max=_RESIDUAL)
    going = torch.ones_like(radius, dtype=torch.bool)
    for _ in range(gradient.shape[-1]):
        product = _apply(hessian, direction)
        bend = (direction * product).sum(-1)
        size = square / torch.where(bend > 0, bend, 1.0)
        inner = step + size.unsqueeze(-1) * direction
        ends = (bend <= 0) | (inner.norm(dim=-1) >= radius)
        outer = _to_radius(step, direction, radius)
        value = _model(hessian, gradient, inner)
        # Only rounding can make the model rise.
        taken = going & (ends | (value < model))
        step = torch.where(taken.unsqueeze(-1), torch.where(ends.unsqueeze(-1), outer, inner), step)
        going = taken & ~ends
        model = value
        residual = residual + size.unsqueeze(-1) * product
        previous, square = square, residual.square().sum(-1)
        going = going & (square.sqrt() > target)
        if not bool(going.any()):
            break
        direction = (square / previous).unsqueeze(-1) * direction - residual
    return step


def _to_radius(step: Tensor, direction: Tensor, radius: Tensor) -> Tensor:
    """The point at which a ray from inside a ball leaves it."""
    cross, square = (step * direction).sum(-1), direction.square().sum(-1)
    room = radius.square() - step.square().sum(-1)
    tau = (-cross + (cross.square() + square * room).clamp(min=0).sqrt()) / square
    return step + tau.unsqueeze(-1) * direction


def _model(hessian: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
    return (step * (gradient + 0.5 * _apply(hessian, step))).sum(-1)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
