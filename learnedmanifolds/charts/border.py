"""Nearest points on curved borders of domains, by Newton's method along them, batched."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.domain import Domain
from learnedmanifolds.charts.refine import Expand, Refined, cost_hessian

_ITERATIONS, _HALVINGS = 30, 20
_LONGEST = 0.25
# Differences of normals, which give the border's curvature, are taken this far apart.
_APART = 1e-5
_ROUNDINGS = 64


def refine_on_border(
    expand: Expand, domain: Domain, chart: Tensor, coords: Tensor, target: Tensor
) -> Refined:
    """Minimise |D(t) - x|^2 / 2 over the borders of domains, from the border points near ``coords``.

    Second derivatives are those of the Lagrange function: the cost's, and the border's curvature times
    the slope across it.

    Parameters
    ----------
    expand : callable
        See `refine`.
    domain : Domain
    chart : Tensor, shape (N,)
    coords : Tensor, shape (N, d)
        Outside the domain or on its border.
    target : Tensor, shape (N, n)
        x.

    References
    ----------
    Nocedal, Wright, Numerical Optimization, 2006, section 12.5.
    """
    t = domain.confine(coords, chart)
    everything = torch.arange(len(t), device=t.device)
    if t.shape[1] == 1:
        return Refined(t, expand(t, everything, False).point)
    eps = torch.finfo(t.dtype).eps
    active = everything
    at = expand(t, active, True)
    point = at.point.clone()
    for _ in range(_ITERATIONS):
        own, k = t[active], chart[active]
        residual = at.point - target[active]
        slope = (at.first @ residual.unsqueeze(-1)).squeeze(-1)
        along = _tangents(domain, own, k)
        normal = domain.walls(own, k, 0.0).normal[:, 0]
        pull = (along @ slope.unsqueeze(-1)).squeeze(-1)
        bend = along @ cost_hessian(at, residual) @ along.mT
        bend = bend - (slope * normal).sum(-1).view(-1, 1, 1) * _curvature(domain, own, k, along)
        size, axes = torch.linalg.eigh((bend + bend.mT) / 2)
        floor = 1e-12 * size.abs().amax(-1, keepdim=True) + torch.finfo(t.dtype).tiny
        step = -(
            axes
            @ ((axes.mT @ pull.unsqueeze(-1)).squeeze(-1) / size.abs().maximum(floor)).unsqueeze(-1)
        )
        step = (step.mT @ along).squeeze(-2)
        step = step * (_LONGEST / step.norm(dim=-1, keepdim=True).clamp(min=_LONGEST))
        moved = torch.zeros_like(active, dtype=torch.bool)
        for _ in range(_HALVINGS):
            left = (~moved).nonzero().squeeze(-1)
            trial = _onto(domain, k[left], own[left] + step[left], normal[left])
            made = expand(trial, active[left], True)
            gain = (
                (at.point[left] - made.point)
                * (at.point[left] + made.point - 2 * target[active[left]])
            ).sum(-1)
            good = gain > 0
            chosen = left[good]
            t[active[chosen]], point[active[chosen]] = trial[good], made.point[good]
            for old, new in zip(at, made, strict=True):
                old[chosen] = new[good]
            moved[chosen] = True
            step = step / 4
            if bool(moved.all()) or float(step[~moved].abs().max()) < _ROUNDINGS * eps:
                break
        active = active[moved]
        at = type(at)(*(part[moved] for part in at))
        if not len(active):
            break
    return Refined(t, point)


def _onto(domain: Domain, chart: Tensor, coords: Tensor, normal: Tensor) -> Tensor:
    """Border points near coordinates: steps along winding borders may end inside them."""
    ahead = _LONGEST * normal
    out = coords + domain.exit(coords, ahead, chart).unsqueeze(-1) * ahead
    inside = (domain.depth(coords, chart) > 0).unsqueeze(-1)
    return domain.confine(torch.where(inside, out, coords), chart)


def _tangents(domain: Domain, coords: Tensor, chart: Tensor) -> Tensor:
    """Orthonormal rows (N, d - 1, d) along the borders."""
    normal = domain.walls(coords, chart, 0.0).normal[:, :1]
    return torch.linalg.svd(normal, full_matrices=True).Vh[:, 1:]


def _curvature(domain: Domain, coords: Tensor, chart: Tensor, along: Tensor) -> Tensor:
    """Change (N, d - 1, d - 1) of the outward normals along the borders."""
    rows = []
    for direction in along.unbind(1):
        ahead, behind = (
            domain.walls(coords + sign * _APART * direction, chart, 0.0).normal[:, 0]
            for sign in (1, -1)
        )
        change = (ahead - behind) / (2 * _APART)
        rows.append((along @ change.unsqueeze(-1)).squeeze(-1))
    return torch.stack(rows, 1)
