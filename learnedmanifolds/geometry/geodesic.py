"""Geodesics by an adaptive Runge-Kutta method that goes from chart to chart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.integrate import DOP853
from torch import Tensor

from learnedmanifolds.geometry.curve import walk
from learnedmanifolds.geometry.local import (
    ChartedManifold,
    LocalGeometry,
    Located,
    symmetric,
)

# Method of order 8 with error estimates of orders 5 and 3: Hairer, Norsett, Wanner, Solving
# Ordinary Differential Equations I, 2nd ed., 1993, section II.5; the tables are SciPy's.
_STAGES = [[float(a) for a in row[:i]] for i, row in enumerate(DOP853.A)][1:]
_STAGES.append([float(b) for b in DOP853.B])
_FIFTH, _THIRD = ([float(e) for e in table] for table in (DOP853.E5, DOP853.E3))
# Its interpolant of order 7: three more stages, and what the slopes add to the cubic.
_EXTRA = [[float(a) for a in row[: 13 + i]] for i, row in enumerate(DOP853.A_EXTRA)]
_DENSE = [[float(d) for d in row] for row in DOP853.D]
_ORDER = 8

_ON_BORDER = 1e-9
_BISECTIONS = 36
MAX_HOPS = 3

# Boxes are trimmed until they hardly overlap, and may leave holes of this size in depth.
GAP = 0.05
_FIRST_STEP = 0.1
# Some thousand times the radius of curvature; rounding errors have grown with every hill on the way.
MAX_STEPS = 20_000


class BoundaryError(ValueError):
    """A geodesic leaves the manifold through its boundary, or would have to."""


class Flow(NamedTuple):
    """Where geodesics are, and what they carried along.

    Attributes
    ----------
    chart : Tensor, shape (N,)
    coords : Tensor, shape (N, d)
    carried : Tensor, shape (N, m, d)
        Coordinates of m parallel vectors.
    jacobi : Tensor, shape (N, m, m), or (N, 0, 0) where it was not asked for
        Derivative of the end by the initial velocity, both in the parallel frame.
    rate : Tensor, shape as jacobi
        Covariant derivative of the final velocity by the initial one.
    moved : Tensor, shape as jacobi, or (N, 0, 0) where it was not asked for
        Derivative of the end by the start, the initial velocity moved in parallel.
    time : Tensor, shape (N,)
        1, or less where the geodesic left the manifold through its boundary.
    """

    chart: Tensor
    coords: Tensor
    carried: Tensor
    jacobi: Tensor
    rate: Tensor
    moved: Tensor
    time: Tensor

    @property
    def located(self) -> Located:
        """Chart and coordinates."""
        return Located(self.chart, self.coords)

    @property
    def whole(self) -> Located:
        """Chart and coordinates; `BoundaryError` if a geodesic ended before time 1."""
        out = self.time < 1
        if bool(out.any()):
            raise BoundaryError(
                f"{int(out.sum())} of {len(out)} geodesics leave the manifold through its boundary, "
                f"the first after {float(self.time[out].min()):.3g} of its length."
            )
        return self.located


def flow(
    manifold: ChartedManifold,
    start: Located,
    carried: Tensor,
    weights: Tensor,
    *,
    jacobi: bool = False,
    moving: bool = False,
    tolerance: float | None = None,
) -> Flow:
    """Follow geodesics for time 1, carrying vectors in parallel.

    The initial velocity is sum_i weights_i carried_i. A velocity alone is one carried vector with
    weight 1; with a basis of the tangent space as carried vectors, an orthonormal one when
    ``jacobi``, everything parallel along the geodesic has constant coefficients in it.

    In coordinates z, carried vectors w obey w' = -Gamma(z', w); in a parallel orthonormal frame, the
    Jacobi fields that vanish at the start A'' = -K A with K_ij = <R(e_i, z') z', e_j> by the Gauss
    equation. A geodesic that reaches the border of a chart goes on in the next one, its vectors
    turned by the rotation that is nearest to the projection between the tangent spaces.

    Parameters
    ----------
    manifold : ChartedManifold
    start : Located
    carried : Tensor, shape (N, m, d)
        In coordinates; m is 1 or d.
    weights : Tensor, shape (N, m)
    jacobi : bool
        Whether to integrate the derivative too; m must be d.
    moving : bool
        Whether to integrate the derivative by the start as well; only with ``jacobi``.
    tolerance : float, optional
        Local error of a unit of time, relative to the velocity; by default that of the dtype.

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018, chapters 5 and 10.
    """
    if tolerance is None:
        tolerance = torch.finfo(carried.dtype).eps ** 0.55
    n, m, d = carried.shape
    dtype, device = carried.dtype, carried.device
    if d == 1:
        return _curve_flow(manifold, start, carried, weights, jacobi, moving)
    fields = m * (1 + moving) if jacobi else 0
    system = _System(manifold, m, fields)
    state = system.pack(start.coords, carried)
    chart, time = start.chart.clone(), torch.zeros(n, dtype=dtype, device=device)
    step = torch.full_like(time, _FIRST_STEP)
    entry, hops = torch.full_like(start.coords, torch.inf), torch.zeros_like(chart)
    speed = torch.einsum("nm,nmd->nd", weights, carried).detach().abs().amax(-1)
    scale = system.scale(speed, carried.detach()) * tolerance
    active = torch.arange(n, device=device)
    # A copy, as everywhere below: states are written to, and derivatives need what they were.
    slope = system.slope(chart, state.clone(), weights)
    domain = manifold.charts.domain
    for _ in range(MAX_STEPS):
        # A geodesic on the border that leaves changes chart, or ends.
        z, velocity = state[active, :d], slope[active, :d]
        walls = domain.walls(z, chart[active], _ON_BORDER)
        leaving = walls.pressed(velocity).any(-1)
        if bool(leaving.any()):
            index = active[leaving]
            # Charts that end together hand a geodesic to and fro, and that is a boundary too.
            stuck = (state[index, :d] - entry[index]).abs().amax(-1) <= GAP
            hops[index] = torch.where(stuck, hops[index] + 1, 0)
            entered = system.cross(chart, state, index, hops[index] < MAX_HOPS)
            entry[index] = state[index, :d].detach()
            again = index[entered]
            if len(again):
                slope[again] = system.slope(chart[again], state[again], weights[again])
            keep = torch.ones_like(leaving)
            keep[leaving] = entered
            active = active[keep]
        if not len(active):
            break
        h = torch.minimum(step[active], 1 - time[active])
        new, slopes, error = system.step(
            chart[active], state[active], slope[active], weights[active], h, scale[active]
        )
        accurate = error <= 1
        factor = (0.9 * error.clamp(min=1e-10) ** (-1 / _ORDER)).clamp(0.2, 6.0)
        step[active] = h * torch.where(accurate, factor.clamp(min=0.9), factor)
        new_slope = slopes[-1]
        low, high = system.leaving(
            chart[active], state[active], new, slope[active], new_slope, h, accurate
        )
        outside = low < 1
        if bool(outside.any()):
            rows = active[outside]
            h, new, new_slope = h.clone(), new.clone(), new_slope.clone()
            short, landed = system.landing(
                chart[rows],
                state[rows],
                new[outside],
                [part[outside] for part in slopes],
                weights[rows],
                h[outside],
                low[outside],
                high[outside],
            )
            h[outside], new[outside] = short * h[outside], landed
            new_slope[outside] = system.slope(chart[rows], landed, weights[rows])
        index = active[accurate]
        state[index], slope[index] = new[accurate], new_slope[accurate]
        time[index] += h[accurate]
        active = active[time[active] < 1 - 1e-14]
        if bool((step[active] < 1e-14).any()):
            raise RuntimeError(f"the step of a geodesic fell to {float(step[active].min()):.1e}")
    else:
        raise RuntimeError(
            f"{len(active)} of {n} geodesics are too long: after {MAX_STEPS} steps the first of "
            f"them has gone {float(time[active[0]]):.3g} of its way."
        )
    coords, carried = state[:, :d], state[:, d : d + m * d].unflatten(-1, (m, d))
    coords = domain.confine(coords, chart)
    k = m if jacobi else 0
    ends, rates = state[:, d + m * d :].unflatten(-1, (2, k, fields)).unbind(1)
    time = torch.where(time >= 1 - 1e-14, torch.ones_like(time), time)
    j = m if moving else 0
    return Flow(chart, coords, carried, ends[..., :k], rates[..., :k], ends[..., k:][:, :j], time)


def _curve_flow(
    manifold: ChartedManifold,
    start: Located,
    carried: Tensor,
    weights: Tensor,
    jacobi: bool,
    moving: bool,
) -> Flow:
    """See `flow`; a curve has no curvature of its own, so that Jacobi fields are linear in time."""
    m = carried.shape[1]
    velocity = (weights.unsqueeze(-1) * carried).sum((1, 2))
    end = walk(manifold, start, velocity, GAP, MAX_HOPS, MAX_STEPS)
    none = carried.new_zeros(len(carried), 0, 0)
    one = torch.ones_like(carried[..., :1]).expand(-1, m, m)
    field, moved = (one if jacobi else none), (one if jacobi and moving else none)
    carried = end.scale.view(-1, 1, 1) * carried
    return Flow(
        end.chart, end.coords, carried, field * end.time.view(-1, 1, 1), field, moved, end.time
    )


class _System:
    """The differential equation on rows (z, carried, A, A'), A of shape (m, fields)."""

    def __init__(self, manifold: ChartedManifold, m: int, fields: int) -> None:
        self.manifold, self.m, self.d, self.fields = manifold, m, manifold.dim, fields
        self.domain = manifold.charts.domain
        # With a whole basis carried, it is also the basis that derivatives are split in; on a curve
        # the one carried vector may be a velocity of zero.
        self.first = 0 if m == self.d > 1 else self.d
        ends = range(self.first, self.first + m)
        self.pairs = [(i, j) for i in ends for j in ends if i <= j]

    def pack(self, coords: Tensor, carried: Tensor) -> Tensor:
        parts = [coords, carried.flatten(1)]
        if self.fields:
            # Fields that vanish at the start, then those with rate zero there.
            eye = torch.eye(2 * self.m, dtype=coords.dtype, device=coords.device)
            both = torch.stack(eye.roll(self.m, 0)[:, : self.fields].chunk(2)).flatten()
            parts.append(both.expand(len(coords), -1))
        return torch.cat(parts, dim=-1)

    def scale(self, speed: Tensor, carried: Tensor) -> Tensor:
        """What errors of the entries of a state are relative to, (N, entries)."""
        n, m, d = carried.shape
        tiny = torch.finfo(speed.dtype).tiny ** 0.5
        size = carried.flatten(1).abs().amax(-1)
        parts = [speed.unsqueeze(-1).expand(n, d), size.unsqueeze(-1).expand(n, m * d)]
        if self.fields:
            parts.append(torch.ones(n, 2 * m * self.fields, dtype=speed.dtype, device=speed.device))
        return torch.cat(parts, dim=-1).clamp(min=tiny)

    def slope(self, chart: Tensor, state: Tensor, weights: Tensor) -> Tensor:
        d, m = self.d, self.m
        coords, carried = state[:, :d], state[:, d : d + m * d].unflatten(-1, (m, d))
        tangents = carried.movedim(1, 0)
        if self.first:
            eye = torch.eye(d, dtype=state.dtype, device=state.device).unsqueeze(1)
            tangents = torch.cat([eye.expand(d, *coords.shape), tangents])
        jet = self.manifold.jet(coords, chart, tangents, self.pairs)
        basis = jet.first[:d].movedim(0, 1)  # (N, d, n)
        # Rows (i, j) of second derivatives, (N, m m, n), and their sums over i with the weights.
        second = symmetric(jet.second, m).flatten(1, 2)
        weight = weights.unsqueeze(1)
        n = second.shape[-1]
        along = (weight @ second.reshape(-1, m, m * n)).view(-1, m, n)
        gram = basis @ basis.mT
        # Components of D2(w_i, velocity) along the basis; the rest is normal.
        # Stages may look far outside the domain, where decoders break: their errors refuse the step.
        parts = torch.linalg.solve_ex(gram, basis @ along.mT)[0].mT  # (N, m, d)
        change = parts if self.first else parts @ carried
        velocity = (weight @ carried).squeeze(1)
        out = [velocity, -change.flatten(1)]
        if self.fields:
            normal = along - parts @ basis
            bend = (weight @ normal).mT
            # <II(e_i, e_j), II(v, v)>: II(v, v) is normal, so D2 will do for the first.
            k = (second @ bend).view(-1, m, m) - normal @ normal.mT
            field, rate = state[:, d + m * d :].unflatten(-1, (2, m, self.fields)).unbind(1)
            out += [rate.flatten(1), -(k @ field).flatten(1)]
        return torch.cat(out, dim=-1)

    def step(
        self,
        chart: Tensor,
        state: Tensor,
        slope: Tensor,
        weights: Tensor,
        h: Tensor,
        scale: Tensor,
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """One step: new state, slopes (the last is that of the new state), error by the scale."""
        long = h.unsqueeze(-1)
        slopes, new = [slope], state
        for row in _STAGES:
            new = state + long * _combine(row, slopes)
            slopes.append(self.slope(chart, new, weights))
        with torch.no_grad():
            # The steps are not part of the solution: derivatives do not go through them.
            fifth, third = ((_combine(e, slopes) / scale).abs().amax(-1) for e in (_FIFTH, _THIRD))
            tiny = torch.finfo(h.dtype).tiny ** 0.5
            error = h * fifth**2 / (fifth**2 + 0.01 * third**2).sqrt().clamp(min=tiny)
            error = torch.where(error.isnan(), torch.inf, error)
        return new, slopes, error

    @torch.no_grad()
    def leaving(
        self,
        chart: Tensor,
        state: Tensor,
        new: Tensor,
        slope: Tensor,
        new_slope: Tensor,
        h: Tensor,
        accurate: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Between which parts accurate steps first leave the domain; both 1 where they do not."""
        start, long = state[:, : self.d], h.unsqueeze(-1)
        end = torch.where(accurate.unsqueeze(-1), new[:, : self.d], start)
        first, last = (long * s[:, : self.d] for s in (slope, new_slope))
        change = end - start

        def at(s: float) -> Tensor:
            # Hermite's cubic.
            bend = (1 - s) * (first - change) - s * (last - change)
            return start + s * (change + (1 - s) * bend)

        # What is longer than the box ends outside.
        length = change.abs().amax(-1).clamp(max=2)
        low, high = self.domain.crossing(at, length, chart, _ON_BORDER)
        return torch.where(accurate, low, 1.0), torch.where(accurate, high, 1.0)

    def landing(
        self,
        chart: Tensor,
        state: Tensor,
        new: Tensor,
        slopes: list[Tensor],
        weights: Tensor,
        h: Tensor,
        low: Tensor,
        high: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The part of each step after which it leaves the domain, in (0, 1], and the state there.

        It leaves between the parts ``low`` and ``high``.
        """
        long, d = h.unsqueeze(-1), self.d
        for row in _EXTRA:
            slopes.append(self.slope(chart, state + long * _combine(row, slopes), weights))
        change = new - state
        parts = [long * _combine(row, slopes) for row in reversed(_DENSE)]
        parts += [2 * change - long * (slopes[12] + slopes[0]), long * slopes[0] - change, change]

        def at(part: Tensor, entries: int | None = None) -> Tensor:
            s = part.unsqueeze(-1)
            y = torch.zeros_like(state[:, :entries])
            for i, coefficient in enumerate(parts):
                y = (y + coefficient[:, :entries]) * (s if i % 2 == 0 else 1 - s)
            return state[:, :entries] + y

        with torch.no_grad():
            for _ in range(_BISECTIONS):
                middle = (low + high) / 2
                inside = self.domain.depth(at(middle, d), chart) >= 0
                low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        landed = at(high)
        if not landed.requires_grad:
            return high, landed
        # The time of landing has a derivative too: the depth there stays zero.
        z = landed[:, :d].detach().requires_grad_(True)
        (normal,) = torch.autograd.grad(self.domain.depth(z, chart).sum(), z)
        velocity = self.slope(chart, landed, weights)[:, :d]
        rate = (normal * velocity * long).sum(-1).detach()
        high = high - (normal * (landed[:, :d] - z.detach())).sum(-1) / rate
        return high, at(high)

    def cross(self, chart: Tensor, state: Tensor, index: Tensor, may: Tensor) -> Tensor:
        """Move the given rows that may to the chart that holds them most deeply; whether there is one.

        A gap of at most `GAP` between two charts is stepped over.
        """
        d, m = self.d, self.m
        at, k = state[index, :d], chart[index]
        here = LocalGeometry(self.manifold, at, k, first_order=True)
        entered, (new_chart, new_coords) = self.manifold.enter(here.point, k, -GAP)
        entered = entered & may
        new_coords = self.domain.confine(new_coords, new_chart)
        if bool(entered.any()):
            here, there = (
                LocalGeometry(self.manifold, z[entered], c[entered], first_order=True)
                for z, c in ((at, k), (new_coords, new_chart))
            )
            rows = index[entered]
            carried = state[rows, d : d + m * d].unflatten(-1, (m, d))
            turned = here.turned(carried @ here.jacobian.mT, there)
            chart[rows] = new_chart[entered]
            state[rows, :d] = new_coords[entered]
            state[rows, d : d + m * d] = torch.einsum(
                "nmx,ndx->nmd", turned, there.inverse
            ).flatten(1)
        return entered


def _combine(weights: list[float], slopes: list[Tensor]) -> Tensor:
    """Sum of slopes with weights."""
    total = torch.zeros_like(slopes[0])
    for weight, slope in zip(weights, slopes, strict=True):
        if weight:
            total.add_(slope, alpha=weight)
    return total
