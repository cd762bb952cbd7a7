"""Analytic charts of known manifolds: oracles for every geometric quantity."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive, real
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, JetRule, Pairs, jet_rule


class AnalyticCharts(Charts, abc.ABC):
    """Charts in closed form, written once in Taylor arithmetic; a subclass gives `push`, `encode`."""

    @abc.abstractmethod
    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """Rows (see `JetRule`) of the decoder from those of the coordinates."""

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        return self.push(coords.unsqueeze(-3), jet_rule(0, ()), chart).squeeze(-3)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; one pass of Taylor arithmetic."""
        rule = jet_rule(tangents.shape[-3], tuple(pairs))
        return rule.unpack(self.push(rule.pack(coords, tangents), rule, chart))


def _wrap(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


class CircleCharts(AnalyticCharts):
    """Arcs of a circle by angle: x = r (cos, sin)(2 pi k / K + w t).

    Parameters
    ----------
    radius : float
    n_charts : int
        K >= 2.
    overlap : float
        The half width is w = (1 + overlap) pi / K radians; must stay below pi.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.
    """

    def __init__(self, radius: float = 1.0, n_charts: int = 3, overlap: float = 0.5) -> None:
        super().__init__(integer(n_charts, "n_charts", minimum=1), 1, (2,))
        self.radius = positive(radius, "radius")
        self.half_width = (1 + real(overlap, "overlap")) * math.pi / n_charts
        if not 0 < self.half_width < math.pi:
            raise ValueError(
                f"overlap: expected arcs shorter than the circle, (1 + overlap) / n_charts < 1; "
                f"got overlap={overlap}, n_charts={n_charts}."
            )
        self.middle: Tensor
        self.register_buffer("middle", _angles(n_charts).view(-1, 1, 1))

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        angle = rule.shift(self.half_width * rows, _pick(self.middle, chart))
        return self.radius * torch.cat(rule.cos_sin(angle), dim=-1)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        angle = torch.atan2(x[..., 1:], x[..., :1]) - _pick(self.middle, chart)
        return _wrap(angle) / self.half_width


class SphereCharts(AnalyticCharts):
    """The sphere S^d of a radius by two stereographic charts, from the north and the south pole.

    With u = extent * t: x = radius * (2 u, +-(|u|^2 - 1)) / (1 + |u|^2). The chart's box contains
    a closed hemisphere when extent >= 1.

    Parameters
    ----------
    radius : float
    dim : int
    extent : float

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.
    """

    def __init__(self, radius: float = 1.0, dim: int = 2, extent: float = 1.5) -> None:
        super().__init__(2, integer(dim, "dim", minimum=1), (dim + 1,))
        self.radius, self.extent = positive(radius, "radius"), positive(extent, "extent")
        self.sign: Tensor
        self.register_buffer("sign", torch.tensor([1.0, -1.0], dtype=torch.float64).view(2, 1, 1))

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        u = self.extent * rows
        square = rule.product(u, u).sum(-1, keepdim=True)
        one = torch.ones_like(self.sign[0])
        pole = _pick(self.sign, chart).unsqueeze(-3) * rule.shift(square, -one)
        over = rule.elementwise(rule.shift(square, one), _reciprocal)
        return self.radius * rule.product(torch.cat([2 * u, pole], dim=-1), over)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`; a point off the sphere is first scaled onto it."""
        # Every point of the sphere is nearest to its centre; the one with coordinate 0 stands for them.
        x = x / x.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        height = _pick(self.sign, chart) * x[..., -1:]
        # At the chart's own pole the coordinate is infinite; a huge one stands for it.
        return x[..., :-1] / (1 - height).clamp(min=1e-12) / self.extent


class TorusCharts(AnalyticCharts):
    """The torus of revolution in R^3 by charts of its two angles.

    x = ((R + r cos v) cos u, (R + r cos v) sin u, r sin v), with u, v = centre + w t.

    Parameters
    ----------
    major, minor : float
        R > r > 0.
    per_circle : int
        Charts along each angle; K is its square.
    overlap : float
        The half width is w = (1 + overlap) pi / per_circle radians; must stay below pi.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.
    """

    def __init__(
        self, major: float = 3.0, minor: float = 1.0, per_circle: int = 2, overlap: float = 0.5
    ) -> None:
        super().__init__(integer(per_circle, "per_circle", minimum=1) ** 2, 2, (3,))
        self.major, self.minor = real(major, "major"), real(minor, "minor")
        if not self.major > self.minor > 0:
            raise ValueError(
                f"major, minor: expected major > minor > 0; got major={major}, minor={minor}."
            )
        self.half_width = (1 + real(overlap, "overlap")) * math.pi / per_circle
        if not 0 < self.half_width < math.pi:
            raise ValueError(
                f"overlap: expected (1 + overlap) / per_circle < 1; "
                f"got overlap={overlap}, per_circle={per_circle}."
            )
        angles = _angles(per_circle)
        self.middle: Tensor
        self.register_buffer("middle", torch.cartesian_prod(angles, angles).unsqueeze(1))

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        angle = rule.shift(self.half_width * rows, _pick(self.middle, chart))
        (cos_u, cos_v), (sin_u, sin_v) = (part.split(1, -1) for part in rule.cos_sin(angle))
        ring = rule.shift(self.minor * cos_v, torch.full_like(self.middle[0, :, :1], self.major))
        around = [rule.product(ring, part) for part in (cos_u, sin_u)]
        return torch.cat([*around, self.minor * sin_v], dim=-1)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        u = torch.atan2(x[..., 1], x[..., 0])
        ring = x[..., :2].norm(dim=-1)
        v = torch.atan2(x[..., 2], ring - self.major)
        angle = torch.stack([u, v], dim=-1) - _pick(self.middle, chart)
        return _wrap(angle) / self.half_width


class PlaneCharts(AnalyticCharts):
    """One chart of a piece of an affine subspace: x = origin + A t.

    Parameters
    ----------
    basis : array, shape (n, d)
        A, of full column rank; d is from 1 to n.
    origin : array, shape (n,), optional
        Zero where not given.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.
    """

    def __init__(self, basis: ArrayLike, origin: ArrayLike | None = None) -> None:
        matrix = as_tensor(basis, "basis", shape=(None, None), allow_empty=False)
        if not matrix.is_floating_point():
            raise TypeError(f"basis must have a floating point dtype, got {matrix.dtype}.")
        n, d = matrix.shape
        if d > n:
            raise ValueError(f"basis must have no more columns than rows, got shape {(n, d)}.")
        super().__init__(1, d, (n,))
        offset = matrix.new_zeros(n)
        if origin is not None:
            offset = as_tensor(origin, "origin", shape=(n,)).to(matrix)
        self.basis: Tensor
        self.origin: Tensor
        self.register_buffer("basis", matrix)
        self.register_buffer("origin", offset)

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        return rule.shift(rows @ self.basis.T, self.origin.unsqueeze(0))

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        if chart is None and x.dim() == 2:
            x = x.unsqueeze(0)
        return (x - self.origin) @ torch.linalg.pinv(self.basis).T


class GraphCharts(Charts):
    """One chart of the graph of a function: x = (t, f(t)).

    Parameters
    ----------
    function : callable, (N, d) -> (N, n - d)
        Smooth, written in torch, acting on every row alone.
    dim, n_ambient : int
        n is above d.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or an impossible value.
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], dim: int = 2, n_ambient: int = 3
    ) -> None:
        if not callable(function):
            raise TypeError(f"function must be a callable, got {type(function).__name__}.")
        least = integer(dim, "dim", minimum=1) + 1
        super().__init__(1, dim, (integer(n_ambient, "n_ambient", minimum=least),))
        self.function = function

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        value = self.function(coords.reshape(-1, self.dim))
        return torch.cat([coords, value.view(*coords.shape[:-1], -1)], dim=-1)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        coords = x[..., : self.dim]
        return coords.unsqueeze(0) if chart is None and x.dim() == 2 else coords


def _angles(count: int) -> Tensor:
    return 2 * math.pi / count * torch.arange(count, dtype=torch.float64)


def _pick(constant: Tensor, chart: int | None) -> Tensor:
    """The constant of one chart, or of all."""
    return constant if chart is None else constant[chart]


def _reciprocal(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value = 1 / u
    return value, -value * value, 2 * value**3
