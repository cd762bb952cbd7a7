"""Geodesics by an adaptive Runge-Kutta method that goes from chart to chart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.integrate import DOP853
from torch import Tensor

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
_ORDER = 8

_ON_BORDER = 1e-9
_FIRST_STEP = 0.1
_MAX_STEPS = 100_000


class Flow(NamedTuple):
    """Where geodesics are, and what they carried along.

    Attributes
    ----------
    chart : Tensor, shape (N,)
    coords : Tensor, shape (N, d)
    carried : Tensor, shape (N, m, d)
        Coordinates of m parallel vectors.
    jacobi : Tensor, shape (N, m, m), or None
        Derivative of the end by the initial velocity, both in the parallel frame.
    time : Tensor, shape (N,)
        1, or less where the geodesic left the manifold through its boundary.
    """

    chart: Tensor
    coords: Tensor
    carried: Tensor
    jacobi: Tensor | None
    time: Tensor

    @property
    def located(self) -> Located:
        """Chart and coordinates."""
        return Located(self.chart, self.coords.clamp(-1, 1))


def flow(
    manifold: ChartedManifold,
    start: Located,
    carried: Tensor,
    weights: Tensor,
    *,
    jacobi: bool = False,
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
    tolerance : float, optional
        Local error of a unit of time, relative to the velocity; by default that of the dtype.

    References
    ----------
    Lee, Introduction to Riemannian Manifolds, 2018, chapters 5 and 10.
    """
    if tolerance is None:
        tolerance = torch.finfo(carried.dtype).eps ** 0.6
    n, m, d = carried.shape
    dtype, device = carried.dtype, carried.device
    system = _System(manifold, m, jacobi)
    state = system.pack(start.coords, carried)
    chart, time = start.chart.clone(), torch.zeros(n, dtype=dtype, device=device)
    step = torch.full_like(time, _FIRST_STEP)
    speed = torch.einsum("nm,nmd->nd", weights, carried).abs().amax(-1)
    scale = system.scale(speed, carried) * tolerance
    active = torch.arange(n, device=device)
    slope = system.slope(chart, state, weights)
    for _ in range(_MAX_STEPS):
        # A geodesic on the border that leaves changes chart, or ends.
        z, velocity = state[active, :d], slope[active, :d]
        leaving = ((z.abs() >= 1 - _ON_BORDER) & (z * velocity > 0)).any(-1)
        if bool(leaving.any()):
            index = active[leaving]
            entered = system.cross(chart, state, index)
            again = index[entered]
            if len(again):
                slope[again] = system.slope(chart[again], state[again], weights[again])
            keep = torch.ones_like(leaving)
            keep[leaving] = entered
            active = active[keep]
        if not len(active):
            break
        h = torch.minimum(step[active], 1 - time[active])
        new, new_slope, error = system.step(
            chart[active], state[active], slope[active], weights[active], h, scale[active]
        )
        outside = new[:, :d].abs().amax(-1) > 1 + _ON_BORDER
        accurate = error <= 1
        accepted = accurate & ~outside
        factor = (0.9 * error.clamp(min=1e-10) ** (-1 / _ORDER)).clamp(0.2, 6.0)
        step[active] = h * torch.where(accurate, factor.clamp(min=0.9), factor)
        border = accurate & outside
        if bool(border.any()):
            index = active[border]
            part = _exit_time(
                state[index, :d],
                slope[index, :d],
                new[border, :d],
                new_slope[border, :d],
                h[border],
            )
            step[index] = h[border] * part
        index = active[accepted]
        state[index], slope[index] = new[accepted], new_slope[accepted]
        time[index] += h[accepted]
        active = active[time[active] < 1 - 1e-14]
        if bool((step[active] < 1e-14).any()):
            raise RuntimeError(f"the step of a geodesic fell to {float(step[active].min()):.1e}")
    coords, carried = state[:, :d], state[:, d : d + m * d].unflatten(-1, (m, d))
    ends = state[:, d + m * d :].unflatten(-1, (2, m, m))[:, 0] if jacobi else None
    time = torch.where(time >= 1 - 1e-14, torch.ones_like(time), time)
    return Flow(chart, coords, carried, ends, time)


class _System:
    """The differential equation on rows (z, carried, A, A')."""

    def __init__(self, manifold: ChartedManifold, m: int, jacobi: bool) -> None:
        self.manifold, self.m, self.d, self.jacobi = manifold, m, manifold.dim, jacobi
        # With a whole basis carried, it is also the basis that derivatives are split in.
        self.first = 0 if m == self.d else self.d
        ends = range(self.first, self.first + m)
        self.pairs = [(i, j) for i in ends for j in ends if i <= j]

    def pack(self, coords: Tensor, carried: Tensor) -> Tensor:
        parts = [coords, carried.flatten(1)]
        if self.jacobi:
            eye = torch.eye(self.m, dtype=coords.dtype, device=coords.device)
            both = torch.stack([torch.zeros_like(eye), eye]).flatten()
            parts.append(both.expand(len(coords), -1))
        return torch.cat(parts, dim=-1)

    def scale(self, speed: Tensor, carried: Tensor) -> Tensor:
        """What errors of the entries of a state are relative to, (N, entries)."""
        n, m, d = carried.shape
        tiny = torch.finfo(speed.dtype).tiny ** 0.5
        size = carried.flatten(1).abs().amax(-1)
        parts = [speed.unsqueeze(-1).expand(n, d), size.unsqueeze(-1).expand(n, m * d)]
        if self.jacobi:
            parts.append(torch.ones(n, 2 * m * m, dtype=speed.dtype, device=speed.device))
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
        second = symmetric(jet.second, m)  # (N, m, m, n)
        along = torch.einsum("nijx,nj->nix", second, weights)
        gram = basis @ basis.mT
        # Components of D2(w_i, velocity) along the basis; the rest is normal.
        parts = torch.linalg.solve(gram, basis @ along.mT).mT  # (N, m, d)
        change = parts if self.first else parts @ carried
        velocity = torch.einsum("nm,nmd->nd", weights, carried)
        out = [velocity, -change.flatten(1)]
        if self.jacobi:
            normal = along - parts @ basis
            bend = torch.einsum("nix,ni->nx", normal, weights)
            # <II(e_i, e_j), II(v, v)>: II(v, v) is normal, so D2 will do for the first.
            k = torch.einsum("nijx,nx->nij", second, bend) - normal @ normal.mT
            field, rate = state[:, d + m * d :].unflatten(-1, (2, m, m)).unbind(1)
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
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step: new state, its slope, estimated error in units of the scale."""
        long = h.unsqueeze(-1)
        slopes, new = [slope], state
        for row in _STAGES:
            new = state + long * _combine(row, slopes)
            slopes.append(self.slope(chart, new, weights))
        fifth, third = ((_combine(e, slopes) / scale).abs().amax(-1) for e in (_FIFTH, _THIRD))
        tiny = torch.finfo(h.dtype).tiny ** 0.5
        error = h * fifth**2 / (fifth**2 + 0.01 * third**2).sqrt().clamp(min=tiny)
        return new, slopes[-1], error

    def cross(self, chart: Tensor, state: Tensor, index: Tensor) -> Tensor:
        """Move the given rows to the chart that holds them most deeply; whether there is one."""
        d, m = self.d, self.m
        at, k = state[index, :d].clamp(-1, 1), chart[index]
        here = LocalGeometry(self.manifold, at, k, first_order=True)
        entered, (new_chart, new_coords) = self.manifold.enter(here.point, k)
        if bool(entered.any()):
            there = LocalGeometry(
                self.manifold, new_coords[entered], new_chart[entered], first_order=True
            )
            rows = index[entered]
            carried = state[rows, d : d + m * d].unflatten(-1, (m, d))
            ambient = carried @ here.jacobian[entered].mT  # (N, m, n)
            old, new = here.tangent_basis[entered], there.tangent_basis
            u, _, vh = torch.linalg.svd(new.mT @ old)
            turned = ambient @ old @ (u @ vh).mT @ new.mT
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


def _exit_time(z: Tensor, slope: Tensor, end: Tensor, end_slope: Tensor, h: Tensor) -> Tensor:
    """Part of the step after which the cubic through both ends leaves the box, in (0, 1)."""
    v, w = h.unsqueeze(-1) * slope, h.unsqueeze(-1) * end_slope
    low, high = torch.zeros_like(h), torch.ones_like(h)
    for _ in range(50):
        middle = (low + high) / 2
        s = middle.unsqueeze(-1)
        cubic = (
            z * (1 + 2 * s) * (1 - s) ** 2
            + v * s * (1 - s) ** 2
            + end * s**2 * (3 - 2 * s)
            + w * s**2 * (s - 1)
        )
        inside = cubic.abs().amax(-1) <= 1
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return high
