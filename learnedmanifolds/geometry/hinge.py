"""Shortest paths of two geodesics joined by a hinge: well-conditioned where shooting is not.

Near the cut locus a shortest geodesic is nearly conjugate to its start: some Jacobi field almost
vanishes at the end, and shooting has to invert it. None vanishes in the middle. So the path is cut
there, and the energy |v|^2 / 2 + |w|^2 / 2 of its halves is minimised over the hinge m between them;
its gradient is the kink v - w. Where ends are conjugate the energy is flat along a valley of hinges,
all of which make paths of nearly the same length.

References
----------
Milnor, Morse Theory, 1963, section 16: broken geodesics as a model of the space of paths.
Dauphin et al., Identifying and attacking the saddle point problem, 2014: steps by |eigenvalue|.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.paths import distinct
from learnedmanifolds.geometry.shooting import (
    ARRIVED,
    Shots,
    accurate,
    aimed,
    judged,
    last_change,
    misses,
    newton,
    rough_tolerance,
    vectors,
)

_ITERATIONS, _LAST_ITERATIONS = 25, 10
# What the first half of a path may miss of its middle, in units of the path.
_HALFWAY = 0.1
# Halves that are the same once they are roughly straight: see `distinct`.
_STRAIGHT = (1 + 1e-4, 0.02)
_FIRST_RADIUS, _LEAST_RADIUS, _LARGEST_RADIUS = 0.5, 1e-4, 0.7
_LARGEST_GAP = 0.3
# Curvatures of the energy below these parts of the largest count as none, and as negative.
_FLAT, _SADDLE = 1e-9, 1e-4
_KICK = 0.1


def bend(
    manifold: ChartedManifold,
    pair: Tensor,
    start: Located,
    direction: Tensor,
    length: Tensor,
    middle: tuple[Tensor, Tensor],
    target: Tensor,
    tolerance: float | None,
) -> tuple[Tensor, Shots]:
    """Geodesics that end at the targets, straightened from two halves, and the rows they are of.

    Of rows of one pair that become the same one is left. The middles (N, n) are where the first
    halves end to begin with, and points a little further on.
    """
    local = LocalGeometry(manifold, start.coords, start.chart, first_order=True)
    velocity, rest = aimed(manifold, start, local, direction, length / 2, middle[0])
    # Where no geodesic leads to the middle, the boundary of the manifold is in the way.
    rows = (rest <= _HALFWAY * length).nonzero().squeeze(-1)
    start, velocity = Located(start.chart[rows], start.coords[rows]), velocity[rows]
    target, length, ahead = target[rows], length[rows], (middle[1] - middle[0])[rows]
    frame = (local.inverse @ local.tangent_basis).mT[rows]
    rough = rough_tolerance(length)
    ends = flow(manifold, start, frame, velocity, tolerance=rough).located
    hinge = LocalGeometry(manifold, ends.coords, ends.chart, first_order=True)
    second, _ = aimed(manifold, ends, hinge, ahead, length / 2, target)
    second = vectors(hinge, second)
    found = straighten(manifold, start, frame, velocity, second, target, rough)
    # Most have become the same by now.
    basis = local.tangent_basis[rows]
    directions = (basis @ found.velocity.unsqueeze(-1)).mT
    keep, _ = distinct(pair[rows], directions, found.length, int(pair.max()) + 1, *_STRAIGHT)
    keep = keep[found.length[keep].isfinite()]
    start, target = Located(start.chart[keep], start.coords[keep]), target[keep]
    frame, halves = frame[keep], (found.velocity[keep], found.second[keep])
    found = straighten(manifold, start, frame, *halves, target, tolerance, _LAST_ITERATIONS)
    velocity = 2 * found.velocity
    end = flow(manifold, start, frame, velocity, tolerance=tolerance)
    gap, rest = misses(manifold, end, target)
    length = found.length
    # Where charts jump apart, what two halves see of it is not what one geodesic sees.
    off = (rest > accurate(length, target)).nonzero().squeeze(-1)
    if len(off):
        rows_off = Located(start.chart[off], start.coords[off])
        local = LocalGeometry(manifold, *reversed(rows_off), first_order=True)
        last = last_change(velocity)
        whole = newton(
            manifold,
            rows_off,
            local,
            velocity[off],
            target[off],
            tolerance,
            last,
            field=0.0,
            iterations=_LAST_ITERATIONS,
        )
        shorter = whole[0].norm(dim=-1) <= (1 + ARRIVED) * length[off]
        better = shorter & (whole[2] < rest[off])
        off, polished = off[better], [value[better] for value in whole]
        velocity[off], gap[off], rest[off] = polished
        length[off] = polished[0].norm(dim=-1)
    vector = (basis[keep] @ velocity.unsqueeze(-1)).squeeze(-1)
    return rows[keep], judged(manifold, vector, length, gap, rest, target)


class Hinged(NamedTuple):
    """Broken geodesics.

    Attributes
    ----------
    velocity : Tensor, shape (N, d)
        Of the first half, over half the path, in the orthonormal frame at the start.
    second : Tensor, shape (N, n)
        Of the second half, ambient, at the hinge.
    length : Tensor, shape (N,)
        Of both halves; infinite where none were found.
    """

    velocity: Tensor
    second: Tensor
    length: Tensor


class _State(NamedTuple):
    """Halves that were accepted: velocities, and what the next step needs."""

    energy: Tensor  # (N,)
    gap: Tensor  # (N,), by how much the second half missed the target before it was corrected
    velocity: Tensor  # (N, d), of the first half
    second: Tensor  # (N, d), of the second half, at the hinge
    frame: Tensor  # (N, d, n), the parallel frame at the hinge
    first_field: Tensor  # (N, d, d), derivative of the hinge by the first velocity
    turn: Tensor  # (N, d, d), minus derivative of the second velocity by the hinge
    curvature: Tensor  # (N, d, d), Hessian of the energy


def straighten(
    manifold: ChartedManifold,
    start: Located,
    frame: Tensor,
    velocity: Tensor,
    second: Tensor,
    target: Tensor,
    tolerance: float | None = None,
    iterations: int = _ITERATIONS,
) -> Hinged:
    """Least energy of two geodesics that meet at a hinge, by Newton's method in a trust region.

    Parameters
    ----------
    manifold : ChartedManifold
    start : Located
    frame : Tensor, shape (N, d, d)
        Coordinates of an orthonormal frame at the starts.
    velocity : Tensor, shape (N, d)
        Of the first half for unit time, in that frame.
    second : Tensor, shape (N, n)
        Of the second half, ambient; its tangent part at the end of the first counts.
    target : Tensor, shape (N, n)
        Where the second half ends.
    tolerance : float, optional
        Of geodesics, see `flow`.
    iterations : int
        At most.
    """
    dtype = velocity.dtype
    level = torch.finfo(dtype).eps ** 0.55 if tolerance is None else tolerance
    # Convergence is quadratic: after this step nothing is left that geodesics resolve.
    last_step = level**0.6
    radius = torch.full_like(velocity[:, 0], _FIRST_RADIUS)
    tried = torch.full_like(radius, torch.inf)
    trial, ahead = velocity.clone(), second.clone()
    state: _State | None = None
    found = torch.zeros_like(start.chart, dtype=torch.bool)
    active = torch.arange(len(velocity), device=velocity.device)
    for _ in range(iterations):
        rows = Located(start.chart[active], start.coords[active])
        new = _halves(
            manifold, rows, frame[active], trial[active], ahead[active], target[active], tolerance
        )
        speed = new.velocity.norm(dim=-1)
        good = (new.gap <= _LARGEST_GAP * speed) & new.curvature.isfinite().all(-1).all(-1)
        if state is None:
            state = _State(*(value.clone() for value in new))
            state.energy.fill_(torch.inf)
        before = state.energy[active]
        good &= new.energy <= before * (1 + 10 * level)
        chosen = active[good]
        for old, value in zip(state, new, strict=True):
            old[chosen] = value[good]
        # From the step that was refused, which the radius may not have bound.
        size = torch.minimum(radius[active], tried[active])
        radius[active] = torch.where(good, 2.0 * radius[active], 0.25 * size)
        radius.clamp_(max=_LARGEST_RADIUS)
        found[chosen] = True
        active = active[found[active] & (radius[active] > _LEAST_RADIUS)]
        if not len(active):
            break
        here = _State(*(value[active] for value in state))
        step, done = _step(here, radius[active], level, last_step)
        tried[active] = step.norm(dim=-1) / here.velocity.norm(dim=-1)
        moved = torch.linalg.solve(here.first_field, step)
        turned = here.second - (here.turn @ step.unsqueeze(-1)).squeeze(-1)
        trial[active] = _polar(here.velocity, moved)
        turned = _polar(here.second, turned - here.second)
        ahead[active] = (turned.unsqueeze(-2) @ here.frame).squeeze(-2)
        state.velocity[active[done]] = trial[active[done]]
        state.second[active[done]] = turned[done]
        active = active[~done]
        if not len(active):
            break
    if state is None:
        return Hinged(velocity, second, velocity.new_zeros(0))
    length = state.second.norm(dim=-1) + state.velocity.norm(dim=-1)
    second = (state.second.unsqueeze(-2) @ state.frame).squeeze(-2)
    return Hinged(state.velocity, second, torch.where(found, length, torch.inf))


def _halves(
    manifold: ChartedManifold,
    start: Located,
    frame: Tensor,
    velocity: Tensor,
    ahead: Tensor,
    target: Tensor,
    tolerance: float | None,
) -> _State:
    """Follow both halves, and correct the second."""
    first = flow(manifold, start, frame, velocity, jacobi=True, tolerance=tolerance)
    hinge = LocalGeometry(manifold, first.coords, first.chart, first_order=True)
    across = first.carried @ hinge.jacobian.mT
    along = (across @ ahead.unsqueeze(-1)).squeeze(-1)
    tiny = torch.finfo(along.dtype).tiny
    along = along * (ahead.norm(dim=-1) / along.norm(dim=-1).clamp(min=tiny)).unsqueeze(-1)
    second = flow(
        manifold,
        first.located,
        first.carried,
        along,
        jacobi=True,
        moving=True,
        tolerance=tolerance,
    )
    end = LocalGeometry(manifold, second.coords, second.chart, first_order=True)
    miss = second.carried @ end.jacobian.mT @ (target - end.point).unsqueeze(-1)
    whole = (first.time == 1) & (second.time == 1)
    # Fields that vanish at one end of a half; the other half's at the hinge.
    solved = torch.linalg.solve_ex(second.jacobi, torch.cat([second.moved, miss], dim=-1))[0]
    turn, change = solved[..., :-1], solved[..., -1]
    curvature = first.rate @ torch.linalg.inv_ex(first.jacobi)[0] + turn
    long = change.norm(dim=-1, keepdim=True).clamp(min=tiny)
    change = change * (0.5 * along.norm(dim=-1, keepdim=True) / long).clamp(max=1)
    along = along + change
    energy = 0.5 * (velocity.square().sum(-1) + along.square().sum(-1))
    gap = torch.where(whole, miss.squeeze(-1).norm(dim=-1), torch.inf)
    curvature = 0.5 * (curvature + curvature.mT)
    return _State(energy, gap, velocity, along, across, first.jacobi, turn, curvature)


def _step(state: _State, radius: Tensor, level: float, last_step: float) -> tuple[Tensor, Tensor]:
    """Steps (N, d) of the hinge in its frame, and whether they are the last."""
    kink = state.velocity - state.second
    speed = state.velocity.norm(dim=-1)
    value, vector = torch.linalg.eigh(state.curvature)
    largest = value.abs().amax(-1, keepdim=True)
    slope = (vector.mT @ kink.unsqueeze(-1)).squeeze(-1)
    step = -slope / value.abs().clamp(min=_FLAT * largest)
    size = step.norm(dim=-1)
    least = value[:, 0]
    # At a saddle the gradient vanishes too: off it, along the direction in which energy falls.
    straight = kink.norm(dim=-1) <= level * speed
    saddle = (least < -_SADDLE * largest.squeeze(-1)) & (size <= _KICK * speed)
    step[:, 0] = torch.where(
        saddle, step[:, 0] + torch.copysign(_KICK * speed, step[:, 0]), step[:, 0]
    )
    size = step.norm(dim=-1)
    done = ~saddle & (straight | (size <= last_step * speed)) & (state.gap <= last_step * speed)
    tiny = torch.finfo(size.dtype).tiny
    scale = (radius * speed / size.clamp(min=tiny)).clamp(max=1)
    # Straight up to the accuracy of geodesics: what is left along a valley is noise.
    scale = torch.where(done & (size > last_step * speed), 0.0, scale)
    return (vector @ (step * scale.unsqueeze(-1)).unsqueeze(-1)).squeeze(-1), done


def _polar(velocity: Tensor, change: Tensor) -> Tensor:
    """Velocities moved by changes whose part across turns them and does not make them longer."""
    tiny = torch.finfo(velocity.dtype).tiny
    speed = velocity.norm(dim=-1, keepdim=True).clamp(min=tiny)
    ahead = velocity / speed
    radial = (change * ahead).sum(-1, keepdim=True)
    across = change - radial * ahead
    width = across.norm(dim=-1, keepdim=True).clamp(min=tiny)
    angle = width / speed
    return (speed + radial) * (angle.cos() * ahead + angle.sin() * across / width)
