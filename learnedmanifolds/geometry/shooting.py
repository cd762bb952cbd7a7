"""Shooting: geodesics that end at targets, by Newton's method on the initial velocity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.geometry.geodesic import Flow, flow
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located

_ITERATIONS = 30
_LOOSE, _ROUGH_CHANGE = 1e-5, 1e-3
_LEAST_DAMPING = 0.05
_ROUNDING = 64

# Newton's method is left where a field with unit rate, of size 1 at the end on a flat manifold, is
# smaller there than this: on a sphere within 5 degrees of the antipode.
_CONJUGATE = 0.03

ARRIVED = 1e-3
"""What geodesics through charts that jump apart may miss of targets, relative to their length."""


class Shots(NamedTuple):
    """Geodesics that end at a target, or near it.

    ``vector`` (N, n), initial velocities; ``length`` (N,); ``gap`` (N,), normal to the manifold;
    ``bound`` (N,), on the distance of the target: with what is left of the way to it, infinite where
    no geodesic was found.
    """

    vector: Tensor
    length: Tensor
    gap: Tensor
    bound: Tensor


def shoot(
    manifold: ChartedManifold,
    start: Located,
    direction: Tensor,
    length: Tensor,
    target: Tensor,
    tolerance: float | None,
) -> Shots:
    """Geodesics that end nearest to the targets, from directions (N, n) and lengths near theirs."""
    local = LocalGeometry(manifold, start.coords, start.chart, first_order=True)
    velocity, _ = aimed(manifold, start, local, direction, length, target)
    last = last_change(velocity)
    velocity, gap, rest = newton(manifold, start, local, velocity, target, tolerance, last)
    vector = vectors(local, velocity)
    return judged(manifold, vector, velocity.norm(dim=-1), gap, rest, target)


def aimed(
    manifold: ChartedManifold,
    start: Located,
    local: LocalGeometry,
    direction: Tensor,
    length: Tensor,
    target: Tensor,
) -> tuple[Tensor, Tensor]:
    """Velocities (N, d) in the tangent bases that roughly lead to targets, and what is left (N,).

    From directions (N, n) and lengths (N,) near theirs.
    """
    along = (direction.unsqueeze(-2) @ local.tangent_basis).squeeze(-2)
    tiny = torch.finfo(length.dtype).tiny
    velocity = along * (length / along.norm(dim=-1).clamp(min=tiny)).unsqueeze(-1)
    rough = rough_tolerance(velocity)
    velocity, _, rest = newton(manifold, start, local, velocity, target, rough, _ROUGH_CHANGE)
    return velocity, rest


def vectors(local: LocalGeometry, velocity: Tensor) -> Tensor:
    """Ambient vectors (N, n) of velocities (N, d) in the tangent bases."""
    return (local.tangent_basis @ velocity.unsqueeze(-1)).squeeze(-1)


def rough_tolerance(value: Tensor) -> float:
    """Of geodesics that others start from."""
    return float(max(_LOOSE, torch.finfo(value.dtype).eps ** 0.55))


def last_change(velocity: Tensor) -> float:
    """Relative step after which Newton's method has arrived."""
    # The error after a last step of this size is its square; where charts disagree a tenth of it.
    return float(torch.finfo(velocity.dtype).eps ** (1 / 3))


def accurate(length: Tensor, target: Tensor) -> Tensor:
    """What may be left, along the manifold, of the way to targets that a geodesic reaches, (N,)."""
    return 2 * last_change(length) * length + _rounding(target)


def _rounding(target: Tensor) -> Tensor:
    return _ROUNDING * torch.finfo(target.dtype).eps * (1 + target.norm(dim=-1))


def judged(
    manifold: ChartedManifold,
    vector: Tensor,
    length: Tensor,
    gap: Tensor,
    rest: Tensor,
    target: Tensor,
) -> Shots:
    """Geodesics and what they bound: those that end too far from their targets nothing."""
    # Where charts jump apart, an end within the tolerance of the manifold is all there is.
    near = ARRIVED * length + manifold.agreement
    exact = rest <= accurate(length, target)
    bound = torch.where(exact, length, torch.where(rest <= near, length + rest, torch.inf))
    # An end that the target is straight above is on another sheet of the manifold.
    bound = torch.where(gap <= near, bound, torch.inf)
    return Shots(vector, length, gap, bound)


def misses(manifold: ChartedManifold, end: Flow, target: Tensor) -> tuple[Tensor, Tensor]:
    """How far geodesics end from targets, normal to the manifold and along it."""
    at = LocalGeometry(manifold, end.coords, end.chart, first_order=True)
    gap = target - at.point
    along = (gap.unsqueeze(-2) @ at.jacobian @ end.carried.mT).norm(dim=(-2, -1))
    along = torch.where(end.time == 1, along, torch.inf)
    return (gap.norm(dim=-1).square() - along.square()).clamp(min=0).sqrt(), along


def newton(
    manifold: ChartedManifold,
    start: Located,
    local: LocalGeometry,
    velocity: Tensor,
    target: Tensor,
    tolerance: float | None,
    smallest_change: float,
    field: float = _CONJUGATE,
    iterations: int = _ITERATIONS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Damped Newton's method until a step is relatively below ``smallest_change``; it is still made.

    Returns velocities, what is left of the gaps normal to the manifold, and what was left of them
    along it before the last step: infinite where the end is nearly conjugate to the start, or beyond.
    """
    frame = (local.inverse @ local.tangent_basis).mT
    best, change = velocity.clone(), torch.zeros_like(velocity)
    least, residual = (torch.full_like(velocity[:, 0], torch.inf) for _ in range(2))
    damping = torch.ones_like(least)
    active = torch.arange(len(velocity), device=velocity.device)
    tiny = torch.finfo(velocity.dtype).tiny
    rounding = _rounding(target)
    for _ in range(iterations):
        trial = best[active] + damping[active].unsqueeze(-1) * change[active]
        rows = Located(start.chart[active], start.coords[active])
        end = flow(manifold, rows, frame[active], trial, jacobi=True, tolerance=tolerance)
        at = LocalGeometry(manifold, end.coords, end.chart, first_order=True)
        gap = target[active] - at.point
        along = (gap.unsqueeze(-2) @ at.jacobian @ end.carried.mT).squeeze(-2)
        size = gap.norm(dim=-1)
        better = (end.time == 1) & (size <= least[active] * (1 + 1e-9))
        chosen = active[better]
        best[chosen], least[chosen] = trial[better], size[better]
        residual[chosen] = along[better].norm(dim=-1)
        step = torch.linalg.lstsq(end.jacobi[better], along[better].unsqueeze(-1)).solution
        # Far from the solution no step is longer than half the velocity and the gap.
        bound = 0.5 * trial[better].norm(dim=-1, keepdim=True) + residual[chosen].unsqueeze(-1)
        step = step.squeeze(-1)
        long = step.norm(dim=-1, keepdim=True)
        change[chosen] = step * (bound / long.clamp(min=tiny)).clamp(max=1)
        damping[chosen] = 1.0
        damping[active[~better]] /= 2
        conjugate = chosen[_conjugate(end.jacobi[better], field)]
        short = change.norm(dim=-1) <= smallest_change * best.norm(dim=-1) + rounding
        last = chosen[short[chosen]]
        best[last] += change[last]
        # What is left of the gap is normal to the manifold: the charts disagree by it.
        least[last] = (least[last].square() - residual[last].square()).clamp(min=0).sqrt()
        residual[conjugate], damping[conjugate] = torch.inf, 0.0
        active = active[~(better & short[active]) & (damping[active] > _LEAST_DAMPING)]
        if not len(active):
            break
    return best, least, residual


def _conjugate(jacobi: Tensor, field: float) -> Tensor:
    """Whether ends are nearly conjugate to the starts, or one conjugate point lies between."""
    least = torch.linalg.svdvals(jacobi)[:, -1]
    return (least < field) | (torch.linalg.det(jacobi) < 0)
