"""Nearest points of charts by Newton's method in their boxes, batched."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds.charts.jet import Jet, Pairs

_MAX_ITERATIONS = 60
# Gauss-Newton's part of them, above few dimensions.
_FIRST_ITERATIONS, _FEW = 10, 3
_FIRST_DAMPING, _LEAST_DAMPING, _LARGEST_DAMPING = 1e-3, 1e-10, 1e12
# Shares of the decrease that the model foresees, below which a step is refused and above which it
# is trusted with longer ones.
_REFUSED, _TRUSTED = 1e-4, 0.75
# Of a coordinate: a longer step where the cost is nearly flat would end in another basin.
_LONGEST = 0.25
# Roundings that count as nothing: of coordinates, and of a difference of costs.
_ROUNDINGS = 8
# Share of the largest curvature that is added to all, so that steps are finite.
_FLATTEST = 1e-13


class Expansion(NamedTuple):
    """Points (M, n) with first (M, d, n) and second derivatives (M, d (d + 1) / 2, n)."""

    point: Tensor
    first: Tensor
    second: Tensor


class Refined(NamedTuple):
    """Coordinates (N, d) and the points (N, n) there."""

    coords: Tensor
    point: Tensor


Expand = Callable[[Tensor, Tensor, bool], Expansion]


def unit_pairs(dim: int) -> Pairs:
    """Pairs of the coordinates' directions in the order of an `Expansion`."""
    rows, columns = torch.triu_indices(dim, dim)
    return tuple(zip(rows.tolist(), columns.tolist(), strict=True))


def expansion(
    jet: Callable[[Tensor, Pairs], Jet], coords: Tensor, second: bool = True
) -> Expansion:
    """The expansion of ``jet(tangents, pairs)`` at coordinates (M, d), or only its first part."""
    d = coords.shape[-1]
    eye = torch.eye(d, dtype=coords.dtype, device=coords.device).unsqueeze(1)
    made = jet(eye.expand(d, *coords.shape), unit_pairs(d) if second else ())
    return Expansion(made.value, made.first.movedim(0, 1), made.second.movedim(0, 1))


def refine(expand: Expand, coords: Tensor, target: Tensor, bound: float = 1.0) -> Refined:
    """Minimise |D(t) - x|^2 / 2 over the box [-bound, bound]^d from given coordinates.

    Newton's method with Levenberg's damping, each eigenvalue of the Hessian by its absolute value, so
    that saddles are left; above three dimensions, where second derivatives are many, first Gauss-Newton,
    which has converged to a minimum in few steps where the residual is small. Steps are clipped to the
    box, and taken only where the cost falls by a share of what the model foresees; points that have
    converged leave the batch.

    Parameters
    ----------
    expand : callable
        ``expand(coords, index, second)`` gives the `Expansion` at coordinates (M, d) of the rows
        ``index`` (M,); without ``second`` its second derivatives may be none, (M, 0, n).
    coords : Tensor, shape (N, d)
        Starts; clipped to the box.
    target : Tensor, shape (N, n)
        x.
    bound : float

    Returns
    -------
    Refined

    References
    ----------
    Nocedal, Wright, Numerical Optimization, 2006, sections 10.3 and 16.7 (damping, gradient projection).
    """
    coords = coords.clamp(-bound, bound)
    eps = torch.finfo(coords.dtype).eps
    active = torch.arange(len(coords), device=coords.device)
    first = _FIRST_ITERATIONS if coords.shape[-1] > _FEW else 0
    at = _model(expand(coords, active, not first), coords, target, bound)
    point = at.point.clone()
    damping = torch.full_like(at.scale, _FIRST_DAMPING)
    for iteration in range(_MAX_ITERATIONS):
        if iteration == first > 0:
            at = _model(expand(at.coords, active, True), at.coords, target[active], bound)
        step, foreseen = _step(at, damping[active], bound)
        moves = step.abs().amax(-1) > _ROUNDINGS * eps
        active = active[moves]
        if not len(active):
            break
        at, step, foreseen = _Model(*(part[moves] for part in at)), step[moves], foreseen[moves]
        second = iteration >= first
        to = _model(
            expand(at.coords + step, active, second), at.coords + step, target[active], bound
        )
        # The difference of the squares, without cancelling where x is far away.
        gain = ((at.point - to.point) * (at.residual + to.residual)).sum(-1) / 2
        share = gain / foreseen
        better = (foreseen > 0) & (share > _REFUSED)
        # Where rounding hides the decrease, the slope tells.
        noise = _ROUNDINGS * eps * at.point.norm(dim=-1) * at.residual.norm(dim=-1)
        hidden = foreseen.abs() <= noise
        better = torch.where(hidden, to.slope(bound) < at.slope(bound) / 2, better)
        chosen = active[better]
        coords[chosen], point[chosen] = to.coords[better], to.point[better]
        for old, new in zip(at, to, strict=True):
            old[better] = new[better]
        factor = torch.full_like(share, 10.0)
        factor[better] = 1.0
        factor[better & (share > _TRUSTED)] = 0.1
        damping[active] = (damping[active] * factor).clamp(_LEAST_DAMPING, _LARGEST_DAMPING)
        goes_on = better | ~hidden
        active, at = active[goes_on], _Model(*(part[goes_on] for part in at))
    return Refined(coords, point)


def change(made: Expansion, coords: Tensor, x: Tensor, bound: float = 1.0) -> Tensor:
    """Zeros (N, d) with the derivative, once, of minimizers at coordinates (N, d) by x (N, n).

    By the implicit function theorem; coordinates held by a wall stay.
    """
    with torch.no_grad():
        at = _model(made, coords, x, bound)
        free = (~at.held(bound)).to(coords.dtype)
        hessian = at.hessian * free.unsqueeze(-1) * free.unsqueeze(-2) + torch.diag_embed(1 - free)
    pulled = (made.first @ (x - x.detach()).unsqueeze(-1)).squeeze(-1)
    return torch.linalg.solve_ex(hessian, (pulled * free).unsqueeze(-1))[0].squeeze(-1)


class _Model(NamedTuple):
    """Quadratic models of the cost."""

    coords: Tensor
    point: Tensor
    residual: Tensor
    gradient: Tensor
    hessian: Tensor
    scale: Tensor

    def held(self, bound: float) -> Tensor:
        """Coordinates at a wall against which the slope presses, (M, d)."""
        return (self.coords.abs() >= bound) & (self.gradient * self.coords < 0)

    def slope(self, bound: float) -> Tensor:
        """Norms of the gradients along the other coordinates, (M,)."""
        return self.gradient.masked_fill(self.held(bound), 0.0).norm(dim=-1)


def _model(made: Expansion, coords: Tensor, target: Tensor, bound: float) -> _Model:
    residual = made.point - target
    gradient = (made.first @ residual.unsqueeze(-1)).squeeze(-1)
    hessian = cost_hessian(made, residual)
    square = made.first.square().sum(-1).mean(-1).clamp(min=torch.finfo(coords.dtype).tiny)
    return _Model(coords, made.point, residual, gradient, hessian, square)


def cost_hessian(made: Expansion, residual: Tensor) -> Tensor:
    """Second derivatives (M, d, d) of |D(t) - x|^2 / 2; without those of D where there are none."""
    metric = made.first @ made.first.mT
    if not made.second.shape[1]:
        return metric
    row, column = torch.triu_indices(*metric.shape[-2:], device=metric.device)
    along = (made.second @ residual.unsqueeze(-1)).squeeze(-1)
    bend = torch.zeros_like(metric)
    bend[:, row, column] = bend[:, column, row] = along
    return metric + bend


def _step(at: _Model, damping: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Steps (M, d) in the box, and by how much the models fall along them, (M,)."""
    # Where what the walls leave of a step leads up, more damping turns it downhill.
    step = _free_step(at, damping, ~at.held(bound))
    step = step * (_LONGEST / step.abs().amax(-1, keepdim=True).clamp(min=_LONGEST))
    step = (at.coords + step).clamp(-bound, bound) - at.coords
    bent = (step.unsqueeze(-2) @ at.hessian @ step.unsqueeze(-1)).flatten()
    # Where a model is concave its slope alone is asked for.
    return step, -(at.gradient * step).sum(-1) - bent.clamp(min=0) / 2


def _free_step(at: _Model, damping: Tensor, free: Tensor) -> Tensor:
    """The damped Newton steps in the free coordinates, downhill at saddles too."""
    mask = free.to(at.coords.dtype)
    size, axes = torch.linalg.eigh(at.hessian * mask.unsqueeze(-1) * mask.unsqueeze(-2))
    size = size.abs()
    largest = torch.maximum(size.amax(-1), at.scale).unsqueeze(-1)
    size = size + (damping.unsqueeze(-1) + _FLATTEST) * largest
    along = (axes.mT @ (at.gradient * mask).unsqueeze(-1)).squeeze(-1) / size
    return -(axes @ along.unsqueeze(-1)).squeeze(-1) * mask
