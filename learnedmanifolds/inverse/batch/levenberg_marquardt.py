"""Levenberg and Marquardt's method, one radius and one secant correction a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from learnedmanifolds.inverse.batch.iterate import Iterate, Place
from learnedmanifolds.inverse.batch.method import BatchMethod, Verdict
from learnedmanifolds.inverse.batch.objective import Evaluation
from learnedmanifolds.inverse.batch.rows import Rows

# The numbers of `inverse.levenberg_marquardt`, which says what they are.
_ACCEPTED = 1e-4
_POOR, _GOOD = 0.25, 0.75
_GROWTH, _SHRINKAGE = 2.0, 0.5
_RETREAT = 0.1, 0.5
_ROUNDING, _OF_POINTS = 1e3 * torch.finfo(torch.float64).eps, 10
_GOOD_PREDICTION = 0.02
_LEAST_DAMPING, _LONGEST = 1e-14, 1e8
_MIN_COSINE = 1e-8

# The shortest step, in units of the manifold's size: rounding of the points hides it.
_MIN_STEP = torch.finfo(torch.float64).eps

# Newton's iteration for the damping converges from below; a few steps do, unless the gradient
# hardly has a part along the lowest eigenvector.
_MAX_NEWTON = 50
_LENGTH_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Trust(Rows):
    """What a run remembers.

    Attributes
    ----------
    radius : Tensor, shape (A,)
        Longest step that the model is trusted on.
    shortest : Tensor, shape (A,)
        The run ends where a step is shorter.
    corrected : Tensor, shape (A,)
        Whether the model has the secant correction.
    correction : Tensor, shape (A, d, d)
    promised : Tensor, shape (A,)
        By how much the model said that the last step tried would lower the cost.
    """

    radius: Tensor
    shortest: Tensor
    corrected: Tensor
    correction: Tensor
    promised: Tensor


class BatchLevenbergMarquardt(BatchMethod[Trust]):
    """The method of `LevenbergMarquardt`, for many runs at once."""

    def curvature(
        self, evaluation: Evaluation, index: Tensor, place: Place, gradient: Tensor
    ) -> Tensor:
        """Gauss and Newton's part of the Hessian."""
        return evaluation.gauss_newton(index, place.basis.mT)

    def start(self, iterate: Iterate, size: float) -> Trust:
        """See `BatchMethod.start`."""
        return Trust(
            torch.full_like(iterate.cost, size),
            torch.full_like(iterate.cost, _MIN_STEP * size),
            torch.zeros_like(iterate.at_boundary),
            torch.zeros_like(iterate.curvature),
            torch.full_like(iterate.cost, torch.inf),
        )

    def propose(self, iterate: Iterate, memory: Trust) -> Tensor:
        """See `BatchMethod.propose`."""
        used = torch.where(memory.corrected[:, None, None], memory.correction, 0.0)
        values, axes = torch.linalg.eigh(iterate.curvature + used)
        step = damped_steps(values, _apply(axes.mT, iterate.gradient), memory.radius)
        return _apply(axes, step)

    def judge(self, iterate: Iterate, memory: Trust, step: Tensor, cost: Tensor) -> Verdict[Trust]:
        """See `BatchMethod.judge`."""
        length, slope = step.norm(dim=-1), _dot(iterate.gradient, step)
        fall = iterate.cost - cost
        plain = -slope - 0.5 * _dot(step, _apply(iterate.curvature, step))
        better = plain - 0.5 * _dot(step, _apply(memory.correction, step))
        noise = _noise(iterate, memory)
        promised = torch.where(memory.corrected, better, plain)
        gain = (fall + noise) / (promised + noise)
        accepted = (gain > _ACCEPTED) & (length >= memory.shortest)
        tolerated = torch.maximum((fall - better).abs(), _GOOD_PREDICTION * fall.abs())
        corrected = torch.where(fall.isfinite(), (fall - plain).abs() > tolerated, memory.corrected)
        # The minimiser of the parabola through what is known along the step.
        shorter = (slope / (2 * (slope + fall))).clamp(*_RETREAT)
        shorter = torch.where(fall.isfinite(), shorter, _RETREAT[0])
        radius = torch.where(
            gain > _GOOD, torch.maximum(memory.radius, _GROWTH * length), memory.radius
        )
        radius = torch.where(gain < _POOR, _SHRINKAGE * length, radius)
        radius = torch.where(accepted, radius, shorter * length)
        given_up = ~accepted & (torch.minimum(radius, length) < memory.shortest)
        following = replace(memory, radius=radius, corrected=corrected, promised=promised)
        return Verdict(accepted, given_up, following)

    def advance(
        self, old: Iterate, memory: Trust, step: Tensor, new: Iterate
    ) -> tuple[Trust, Tensor]:
        """See `BatchMethod.advance`; the correction becomes that of the step just taken."""
        carried = new.free @ new.place.basis.mT @ old.place.basis
        moved = _apply(carried, step)
        change = new.gradient - _apply(carried, old.gradient)
        correction = secant(carried @ memory.correction @ carried.mT, new.curvature, moved, change)
        finite = correction.flatten(1).isfinite().all(-1)[:, None, None]
        # Nothing but rounding is left in the cost: go on only while the gradient falls.
        stalled = memory.promised <= _noise(old, memory)
        stalled &= new.gradient_norm >= old.gradient_norm
        return replace(memory, correction=torch.where(finite, correction, 0.0)), stalled


def _noise(iterate: Iterate, memory: Trust) -> Tensor:
    """By how much rounding may change the costs, (A,)."""
    cost = iterate.cost.abs()
    stretch = (2 * cost).sqrt() * iterate.curvature.flatten(1).norm(dim=-1).sqrt()
    return _ROUNDING * cost + _OF_POINTS * memory.shortest * stretch


def damped_steps(values: Tensor, gradient: Tensor, radius: Tensor) -> Tensor:
    """Steps -g / (lambda + mu), no longer than radii (A,), with mu >= 0 as small as may be.

    Parameters
    ----------
    values : Tensor, shape (A, d)
        Eigenvalues lambda of the Hessians, ascending; for a negative one, mu is larger.
    gradient : Tensor, shape (A, d)
        g, in coordinates along the eigenvectors.
    radius : Tensor, shape (A,)

    References
    ----------
    More, Sorensen, Computing a trust region step, SIAM J. Sci. Stat. Comput. 4, 1983.
    """
    steepest = gradient.norm(dim=-1) / radius
    scale = torch.maximum(values.abs().amax(-1), steepest / _LONGEST)
    damping = (-values[:, 0]).clamp(min=0) + _LEAST_DAMPING * scale
    for _ in range(_MAX_NEWTON):
        shifted = values + damping.unsqueeze(-1)
        step = -gradient / shifted
        length = step.norm(dim=-1)
        long = length > (1 + _LENGTH_TOLERANCE) * radius
        if not bool(long.any()):
            break
        # Newton's step for 1 / |s(mu)| = 1 / radius, a concave function of mu.
        slope = (step.square() / shifted).sum(-1)
        change = (length.square() / slope) * (length - radius) / radius
        damping = torch.where(long, damping + change, damping)
    return step


def secant(curvature: Tensor, gauss_newton: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """S (A, d, d) with (S + Gauss-Newton's Hessian) step = change, near to a given S.

    The given S is first made smaller where it is too large along the step, then changed as little
    as possible, in the weighted norm of Davidon, Fletcher and Powell.

    Parameters
    ----------
    curvature, gauss_newton : Tensor, shape (A, d, d)
        The last S and Gauss-Newton's Hessian, at the end of the step.
    step, change : Tensor, shape (A, d)
        The step and the change of the gradient, carried to its end.

    References
    ----------
    Dennis, Gay, Welsch, An adaptive nonlinear least-squares algorithm, ACM Trans. Math. Softw. 7,
    1981.
    """
    wanted = change - _apply(gauss_newton, step)
    along = _dot(step, _apply(curvature, step)).abs()
    size = (_dot(step, wanted).abs() / torch.where(along > 0, along, 1.0)).clamp(max=1.0)
    curvature = torch.where(along > 0, size, 1.0)[:, None, None] * curvature
    product = _dot(step, change)
    usable = product > _MIN_COSINE * step.norm(dim=-1) * change.norm(dim=-1)
    product = torch.where(usable, product, 1.0)
    missing = wanted - _apply(curvature, step)
    mixed = missing.unsqueeze(-1) * change.unsqueeze(-2)
    square = (_dot(missing, step) / product)[:, None, None] * (
        change.unsqueeze(-1) * change.unsqueeze(-2)
    )
    updated = curvature + (mixed + mixed.mT - square) / product[:, None, None]
    return torch.where(usable[:, None, None], updated, curvature)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
