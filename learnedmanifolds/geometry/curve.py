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
SAME = 0.25
"""Charts that miss a point by less than this part of the manifold's `agreement` more than the best of
them are on one sheet of it."""


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

    @property
    def whole(self) -> float:
        """Length of all charts together."""
        return float(self._sums[:, -1].sum())

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


class _Walker:
    """Where walks (N,) along a curve are: charts, coordinates, arc lengths there, and which way they go.

    Charts that hand a walk to and fro ``max_hops`` times end it; they do where it moves by less than
    ``gap`` between hops, which is also the gap in depth between charts that is stepped over.
    """

    def __init__(
        self, manifold: ChartedManifold, start: Located, side: Tensor, gap: float, max_hops: int
    ) -> None:
        self.manifold, self.gap, self.max_hops = manifold, gap, max_hops
        self.arcs, self.domain = arc_length(manifold), manifold.charts.domain
        self.chart, self.place = start.chart.clone(), start.coords.detach().clone()
        self.at = self.arcs.up_to(start.chart, start.coords.squeeze(-1))
        self.side = side.clone()
        self._entry = torch.full_like(self.place, torch.inf)
        self._hops = torch.zeros_like(start.chart)

    def border(self, active: Tensor) -> tuple[Tensor, Tensor]:
        """Where the charts of some walks end ahead of them, (A, 1), and the lengths up to there."""
        k, z = self.chart[active], self.place[active]
        ahead = 2 * self.side[active].unsqueeze(-1)
        border = self.domain.confine(z + self.domain.exit(z, ahead, k).unsqueeze(-1) * ahead, k)
        return border, (self.arcs.up_to(k, border.squeeze(-1)) - self.at[active]) * self.side[
            active
        ]

    def cross(self, active: Tensor, border: Tensor) -> Tensor:
        """Go to the borders and on into other charts; which walks do so, (A,): others are at an end."""
        k = self.chart[active]
        stuck = (border - self._entry[active]).abs().squeeze(-1) <= self.gap
        self._hops[active] = torch.where(stuck, self._hops[active] + 1, 0)
        self._entry[active] = self.place[active] = border
        here = LocalGeometry(self.manifold, border, k, first_order=True)
        entered, other = self.manifold.enter(here.point, k, -self.gap)
        entered &= self._hops[active] < self.max_hops
        active, new = active[entered], other.chart[entered]
        coords = self.domain.confine(other.coords[entered], new)
        there = LocalGeometry(self.manifold, coords, new, first_order=True)
        along = (here.jacobian[entered] * there.jacobian).sum((1, 2))
        self.chart[active], self.place[active], self._entry[active] = new, coords, coords
        self.at = self.at.index_copy(0, active, self.arcs.up_to(new, coords.squeeze(-1)))
        self.side[active] = self.side[active] * torch.where(along < 0, -1.0, 1.0).to(self.side)
        return entered


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
    first = start.coords.squeeze(-1)
    side = torch.where(velocity.detach() < 0, -1.0, 1.0).to(first)
    walker = _Walker(manifold, start, side, gap, max_hops)
    speed, ended = walker.arcs.speed(start.chart, first), torch.zeros_like(side, dtype=torch.bool)
    whole = left = velocity * speed * side
    active = (whole.detach() > 0).nonzero().squeeze(-1)
    for _ in range(most):
        border, room = walker.border(active)
        leaves = room.detach() < left[active].detach()
        active, border, room = active[leaves], border[leaves], room[leaves]
        if not len(active):
            break
        left = left.index_add(0, active, -room)
        entered = walker.cross(active, border)
        ended[active[~entered]] = True
        active = active[entered]
    else:
        gone = 1 - float(left[active[0]] / whole[active[0]])
        raise RuntimeError(
            f"{len(active)} of {len(side)} geodesics are too long: after {most} charts the first of "
            f"them has gone {gone:.3g} of its way."
        )
    chart, inside = walker.chart, torch.where(ended, 0.0, left)
    coords = walker.arcs.coordinate(chart, walker.at + walker.side * inside)
    # Without rounding, and with the derivative by the velocity, where that is zero.
    coords = torch.where(whole.detach() > 0, coords, first + velocity).unsqueeze(-1)
    coords = walker.domain.confine(torch.where(ended.unsqueeze(-1), walker.place, coords), chart)
    scale = side * walker.side * speed / walker.arcs.speed(chart, coords.squeeze(-1))
    tiny = torch.finfo(left.dtype).tiny
    time = torch.where(ended, 1 - left / whole.clamp(min=tiny), torch.ones_like(left))
    return Walk(chart, coords, scale, time)


@torch.no_grad()
def way(
    manifold: ChartedManifold, start: Located, end: Located, gap: float, max_hops: int
) -> tuple[Tensor, Tensor]:
    """The shorter of the two ways along a curve between points.

    Returns velocities (N,) in coordinates for unit time, as `walk` takes them, and lengths (N,),
    infinite where neither way leads to the end. Of charts that hold the end only those are believed
    that are much nearer to it than charts must be, for another strand of the curve may be within that.
    """
    target = manifold.decode(end.coords, end.chart).flatten(1)
    rows = torch.arange(len(target), device=target.device)
    coords, error = manifold.claims(target)
    held = (manifold.charts.domain.depth(coords) >= 0) & (error <= SAME * manifold.agreement)
    coords[end.chart, rows], held[end.chart, rows] = end.coords, True
    arcs = arc_length(manifold)
    chart = torch.arange(len(coords), device=target.device).repeat_interleave(len(rows))
    mark = arcs.up_to(chart, coords.flatten()).view_as(error)
    lengths = torch.stack(
        [_length(manifold, start, side, mark, held, gap, max_hops) for side in (1.0, -1.0)]
    )
    length, best = lengths.min(0)
    speed = arcs.speed(start.chart, start.coords.squeeze(-1))
    return torch.where(best == 0, 1.0, -1.0) * length / speed, length


def _length(
    manifold: ChartedManifold,
    start: Located,
    side: float,
    mark: Tensor,
    held: Tensor,
    gap: float,
    max_hops: int,
) -> Tensor:
    """Lengths (N,) of walks in one direction up to arc lengths ``mark`` (K, N) of charts that count."""
    length = torch.full_like(mark[0], torch.inf)
    walker = _Walker(manifold, start, torch.full_like(length, side), gap, max_hops)
    gone = torch.zeros_like(length)
    slack = walker.arcs.whole * torch.finfo(length.dtype).eps ** 0.75
    active = torch.arange(len(length), device=length.device)
    # Once round at most.
    while len(active):
        border, room = walker.border(active)
        k = walker.chart[active]
        rest = (mark[k, active] - walker.at[active]) * walker.side[active]
        # An end behind the place where its chart is entered was passed, unless it is behind the start.
        found = held[k, active] & (rest >= -gone[active] - slack) & (rest <= room + slack)
        length[active[found]] = (gone[active] + rest).clamp(min=0)[found]
        active, border, room = active[~found], border[~found], room[~found]
        gone[active] += room
        active = active[walker.cross(active, border)]
        active = active[gone[active] <= walker.arcs.whole]
        slack = SAME * manifold.agreement
    return length
