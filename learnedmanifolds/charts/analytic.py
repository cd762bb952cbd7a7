"""Analytic charts of known manifolds: oracles for every geometric quantity."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

import torch
from torch import Tensor

from learnedmanifolds.charts.base import Charts


class AnalyticCharts(Charts, abc.ABC):
    """Charts in closed form; a subclass gives `decode_one` and `encode_one`."""

    @abc.abstractmethod
    def decode_one(self, coords: Tensor, chart: int) -> Tensor:
        """Points of one chart, (N, d) -> (N, n)."""

    @abc.abstractmethod
    def encode_one(self, x: Tensor, chart: int) -> Tensor:
        """Coordinates in one chart, (N, n) -> (N, d)."""

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        if chart is not None:
            return self.decode_one(coords, chart)
        return torch.stack([self.decode_one(coords[k], k) for k in range(self.n_charts)])

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        if chart is not None:
            return self.encode_one(x, chart)
        parts = x if x.dim() == 3 else x.expand(self.n_charts, *x.shape)
        return torch.stack([self.encode_one(parts[k], k) for k in range(self.n_charts)])


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
    """

    def __init__(self, radius: float = 1.0, n_charts: int = 3, overlap: float = 0.5) -> None:
        super().__init__(n_charts, 1, (2,))
        self.half_width = (1 + overlap) * math.pi / n_charts
        if not 0 < self.half_width < math.pi:
            raise ValueError(
                f"overlap: expected arcs shorter than the circle, (1 + overlap) / n_charts < 1; "
                f"got overlap={overlap}, n_charts={n_charts}."
            )
        self.radius = radius

    def decode_one(self, coords: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.decode_one`."""
        angle = 2 * math.pi * chart / self.n_charts + self.half_width * coords
        return self.radius * torch.cat([angle.cos(), angle.sin()], dim=-1)

    def encode_one(self, x: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.encode_one`."""
        angle = torch.atan2(x[..., 1:], x[..., :1]) - 2 * math.pi * chart / self.n_charts
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
    """

    def __init__(self, radius: float = 1.0, dim: int = 2, extent: float = 1.5) -> None:
        super().__init__(2, dim, (dim + 1,))
        self.radius, self.extent = radius, extent

    def decode_one(self, coords: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.decode_one`."""
        u = self.extent * coords
        square = u.square().sum(-1, keepdim=True)
        pole = (square - 1) if chart == 0 else (1 - square)
        return self.radius * torch.cat([2 * u, pole], dim=-1) / (1 + square)

    def encode_one(self, x: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.encode_one`; a point off the sphere is first scaled onto it."""
        # Every point of the sphere is nearest to its centre; the one with coordinate 0 stands for them.
        x = x / x.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        height = x[..., -1:] if chart == 0 else -x[..., -1:]
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
    """

    def __init__(
        self, major: float = 3.0, minor: float = 1.0, per_circle: int = 2, overlap: float = 0.5
    ) -> None:
        super().__init__(per_circle**2, 2, (3,))
        if not major > minor > 0:
            raise ValueError(
                f"major, minor: expected major > minor > 0; got major={major}, minor={minor}."
            )
        self.major, self.minor, self.per_circle = major, minor, per_circle
        self.half_width = (1 + overlap) * math.pi / per_circle
        if not 0 < self.half_width < math.pi:
            raise ValueError(
                f"overlap: expected (1 + overlap) / per_circle < 1; "
                f"got overlap={overlap}, per_circle={per_circle}."
            )

    def _center(self, chart: int) -> tuple[float, float]:
        step = 2 * math.pi / self.per_circle
        return step * (chart // self.per_circle), step * (chart % self.per_circle)

    def decode_one(self, coords: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.decode_one`."""
        center_u, center_v = self._center(chart)
        u = center_u + self.half_width * coords[..., 0]
        v = center_v + self.half_width * coords[..., 1]
        ring = self.major + self.minor * v.cos()
        return torch.stack([ring * u.cos(), ring * u.sin(), self.minor * v.sin()], dim=-1)

    def encode_one(self, x: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.encode_one`."""
        center_u, center_v = self._center(chart)
        u = torch.atan2(x[..., 1], x[..., 0])
        ring = x[..., :2].norm(dim=-1)
        v = torch.atan2(x[..., 2], ring - self.major)
        return torch.stack([_wrap(u - center_u), _wrap(v - center_v)], dim=-1) / self.half_width


class PlaneCharts(AnalyticCharts):
    """One chart of a piece of an affine subspace: x = origin + A t.

    Parameters
    ----------
    basis : Tensor, shape (n, d)
        A, of full column rank.
    origin : Tensor, shape (n,), optional
        Zero where not given.
    """

    def __init__(self, basis: Tensor, origin: Tensor | None = None) -> None:
        super().__init__(1, basis.shape[1], (basis.shape[0],))
        self.basis: Tensor
        self.origin: Tensor
        self.register_buffer("basis", basis)
        self.register_buffer("origin", basis.new_zeros(len(basis)) if origin is None else origin)

    def decode_one(self, coords: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.decode_one`."""
        return self.origin + coords @ self.basis.T

    def encode_one(self, x: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.encode_one`."""
        return torch.linalg.lstsq(self.basis, (x - self.origin).T).solution.T


class GraphCharts(AnalyticCharts):
    """One chart of the graph of a function: x = (t, f(t)).

    Parameters
    ----------
    function : callable, (N, d) -> (N, n - d)
        Smooth, written in torch, acting on every row alone.
    dim, n_ambient : int
    """

    def __init__(
        self, function: Callable[[Tensor], Tensor], dim: int = 2, n_ambient: int = 3
    ) -> None:
        super().__init__(1, dim, (n_ambient,))
        self.function = function

    def decode_one(self, coords: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.decode_one`."""
        return torch.cat([coords, self.function(coords)], dim=-1)

    def encode_one(self, x: Tensor, chart: int) -> Tensor:
        """See `AnalyticCharts.encode_one`."""
        return x[..., : self.dim]
