"""Geodesics of curves: what has one dimension is walked by its arc length, and by nothing else."""

from __future__ import annotations

from typing import NamedTuple
from weakref import WeakKeyDictionary, proxy

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds.geometry.local import ChartedManifold, LocalGeometry, Located

# Panels of a box and nodes of Gauss's rule on each; panels are doubled until lengths agree to this many
# roundings to the power 3/4.
_PANELS, _MOST_PANELS, _NODES, _AGREE = 64, 4096, 10, 8.0
_NEWTON = 12


class ArcLength:
    """Lengths of the charts of a manifold of dimension one, from -1 to points of their boxes.

    Gauss's rule on panels; the sums up to each panel are kept.
    """

    def __init__(self, manifold: ChartedManifold) -> None:
        self.manifold = manifold
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        self._part, self._weight = (
            torch.from_numpy(value / 2).to(dtype=manifold.dtype, device=manifold.device)
            for value in (nodes + 1, weights)
        )
        rounding = _AGREE * torch.finfo(manifold.dtype).eps ** 0.75
        count, self._sums = _PANELS, self._table(_PANELS)
        while count < _MOST_PANELS:
            count *= 2
            before, self._sums = self._sums, self._table(count)
            change = (self._sums[:, ::2] - before).abs().amax(1)
            if bool((change <= rounding * before[:, -1]).all()):
                break

    @torch.no_grad()
    def _table(self, count: int) -> Tensor:
        """Lengths (K, M + 1) up to the ends of panels."""
        n_charts = self.manifold.n_charts
        edge = torch.linspace(-1, 1, count + 1, dtype=self._part.dtype, device=self._part.device)
        chart = torch.arange(n_charts, device=edge.device).repeat_interleave(count)
        low, high = (part.repeat(n_charts) for part in (edge[:-1], edge[1:]))
        sums = self._between(chart, low, high).view(n_charts, count).cumsum(1)
        return torch.nn.functional.pad(sums, (1, 0))

    def speed(self, chart: Tensor, z: Tensor) -> Tensor:
        """Length of a unit of the coordinate, (N,)."""
        ones = torch.ones(1, len(z), 1, dtype=z.dtype, device=z.device)
        first = self.manifold.jet(z.unsqueeze(-1), chart, ones).first[0]
        return first.norm(dim=-1)

    def _between(self, chart: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Length (N,) between coordinates (N,) of one panel."""
        long = high - low
        z = low.unsqueeze(-1) + long.unsqueeze(-1) * self._part
        speed = self.speed(chart.repeat_interleave(_NODES), z.flatten()).view_as(z)
        return long * (speed @ self._weight)

    def up_to(self, chart: Tensor, z: Tensor) -> Tensor:
        """Length (N,) of charts (N,) up to coordinates (N,); differentiable in these."""
        count = self._sums.shape[1] - 1
        panel = ((z.detach() + 1) * (count / 2)).long().clamp(0, count - 1)
        return self._sums[chart, panel] + self._between(chart, (2 * panel).to(z) / count - 1, z)

    def coordinate(self, chart: Tensor, length: Tensor) -> Tensor:
        """The coordinates (N,) up to which charts are so long (N,); differentiable twice in these."""
        with torch.no_grad():
            sums, count = self._sums[chart], self._sums.shape[1] - 1
            panel = torch.searchsorted(sums, length.unsqueeze(-1)).squeeze(-1) - 1
            low = (2 * panel.clamp(0, count - 1)).to(length) / count - 1
            high = low + 2 / count
            z = (low + high) / 2
            for _ in range(_NEWTON):
                left = length - self.up_to(chart, z)
                step = left / self.speed(chart, z).clamp(min=torch.finfo(z.dtype).tiny)
                low, high = torch.where(left > 0, z, low), torch.where(left < 0, z, high)
                new = z + step
                inside = (new >= low) & (new <= high)
                new = torch.where(inside, new, (low + high) / 2)
                done = bool(((new - z).abs() <= 4 * torch.finfo(z.dtype).eps).all())
                z = new
                if done:
                    break
        if length.requires_grad:
            for _ in range(2):
                z = z + (length - self.up_to(chart, z)) / self.speed(chart, z)
        return z


_ARCS: WeakKeyDictionary[ChartedManifold, ArcLength] = WeakKeyDictionary()


def arc_length(manifold: ChartedManifold) -> ArcLength:
    """The arc lengths of a manifold of dimension one, made when they are first asked for."""
    if manifold not in _ARCS:
        # Not the manifold itself, which the lengths would keep alive.
        _ARCS[manifold] = ArcLength(proxy(manifold))
    return _ARCS[manifold]


class Walk(NamedTuple):
    """Where walks along a curve end.

    ``chart`` (N,), ``coords`` (N, 1); ``scale`` (N,), coordinates of a parallel vector at the end in
    units of those at the start; ``time`` (N,), the part of the way that was gone.
    """

    chart: Tensor
    coords: Tensor
    scale: Tensor
    time: Tensor


def walk(
    manifold: ChartedManifold,
    start: Located,
    velocity: Tensor,
    gap: float,
    max_hops: int,
    most: int,
) -> Walk:
    """Follow a curve for time 1 from chart to chart, with velocities (N,) in coordinates.

    A gap of at most ``gap`` in depth between charts is stepped over; charts that hand a walk to and fro
    ``max_hops`` times end it, as a boundary does.

    Raises
    ------
    RuntimeError
        If a walk leads through more than ``most`` charts.
    """
    arcs, domain = arc_length(manifold), manifold.charts.domain
    chart, first = start.chart.clone(), start.coords.squeeze(-1)
    speed, at = arcs.speed(chart, first), arcs.up_to(chart, first)
    side = torch.where(velocity.detach() < 0, -1.0, 1.0).to(at)
    turn, ended = torch.ones_like(at), torch.zeros_like(chart, dtype=torch.bool)
    place = start.coords.detach().clone()
    whole = left = velocity * speed * side
    entry, hops = torch.full_like(place, torch.inf), torch.zeros_like(chart)
    active = (whole.detach() > 0).nonzero().squeeze(-1)
    for _ in range(most):
        k, z = chart[active], place[active]
        ahead = 2 * side[active].unsqueeze(-1)
        border = domain.confine(z + domain.exit(z, ahead, k).unsqueeze(-1) * ahead, k)
        room = (arcs.up_to(k, border.squeeze(-1)) - at[active]) * side[active]
        leaves = room.detach() < left[active].detach()
        active, k, border, room = active[leaves], k[leaves], border[leaves], room[leaves]
        if not len(active):
            break
        left = left.index_add(0, active, -room)
        stuck = (border - entry[active]).abs().squeeze(-1) <= gap
        hops[active] = torch.where(stuck, hops[active] + 1, 0)
        entry[active] = place[active] = border
        here = LocalGeometry(manifold, border, k, first_order=True)
        entered, other = manifold.enter(here.point, k, -gap)
        entered &= hops[active] < max_hops
        ended[active[~entered]] = True
        active, new = active[entered], other.chart[entered]
        coords = domain.confine(other.coords[entered], new)
        there = LocalGeometry(manifold, coords, new, first_order=True)
        along = (here.jacobian[entered] * there.jacobian).sum((1, 2))
        chart[active], place[active], entry[active] = new, coords, coords
        at = at.index_copy(0, active, arcs.up_to(new, coords.squeeze(-1)))
        back = torch.where(along < 0, -1.0, 1.0).to(turn)
        turn[active], side[active] = turn[active] * back, side[active] * back
    else:
        gone = 1 - float(left[active[0]] / whole[active[0]])
        raise RuntimeError(
            f"{len(active)} of {len(chart)} geodesics are too long: after {most} charts the first of "
            f"them has gone {gone:.3g} of its way."
        )
    inside = torch.where(ended, 0.0, left)
    coords = arcs.coordinate(chart, at + side * inside)
    # Without rounding, and with the derivative by the velocity, where that is zero.
    coords = torch.where(whole.detach() > 0, coords, first + velocity).unsqueeze(-1)
    coords = domain.confine(torch.where(ended.unsqueeze(-1), place, coords), chart)
    scale = turn * speed / arcs.speed(chart, coords.squeeze(-1))
    tiny = torch.finfo(at.dtype).tiny
    time = torch.where(ended, 1 - left / whole.clamp(min=tiny), torch.ones_like(at))
    return Walk(chart, coords, scale, time)
