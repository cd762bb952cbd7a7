"""What several test files share: random networks, known surfaces, fitted slopes."""

import math

import torch

from learnedmanifolds.charts import FlowCharts, PlaneCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.domain import Domain, Walls


def draw(*shape, seed=0, low=None, high=None):
    """Normal numbers, or uniform ones on [low, high), float64."""
    source = torch.Generator().manual_seed(seed)
    if low is None:
        return torch.randn(*shape, generator=source, dtype=torch.float64)
    return low + (high - low) * torch.rand(*shape, generator=source, dtype=torch.float64)


def random_flow(dim, n_ambient, n_charts=3, seed=0, std=0.3):
    """FlowCharts in float64 with normal parameters, anywhere in space, in any frame, trimmed."""
    charts = FlowCharts(n_charts, dim, n_ambient, hidden=6, n_blocks=2, n_latent_blocks=2).double()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in charts.parameters():
            parameter.normal_(0, std, generator=source)
        charts.center.normal_(generator=source)
        charts.frame.normal_(generator=source)
        charts.frame.copy_(torch.linalg.qr(charts.frame)[0])
        charts.radius.uniform_(0.5, 2, generator=source)
    corners = draw(2, n_charts, dim, seed=seed + 1, low=0.6, high=1.0)
    charts.rebox(-corners[0], corners[1])
    return charts.requires_grad_(False)


class StepLine(Charts):
    """Two charts of the first axis, [-1, 1] and [0.2, 2.2], the second one raised by a step."""

    def __init__(self, step):
        super().__init__(2, 1, (2,))
        self.step = step

    def decode(self, coords, chart=None):
        if chart is None:
            return torch.stack([self.decode(t, k) for k, t in enumerate(coords)])
        return torch.cat([coords + 1.2 * chart, 0 * coords + chart * self.step], dim=-1)

    def encode(self, x, chart=None):
        if chart is None:
            return torch.stack([self.encode(x, k) for k in range(2)])
        return x[..., :1] - 1.2 * chart


class TwoSquares(Charts):
    """Two parallel squares in space, 5 apart."""

    def __init__(self):
        super().__init__(2, 2, (3,))

    def decode(self, coords, chart=None):
        if chart is None:
            return torch.stack([self.decode(t, k) for k, t in enumerate(coords)])
        return torch.cat([coords, 0 * coords[..., :1] + 5 * chart], dim=-1)

    def encode(self, x, chart=None):
        return x[..., :2].expand(2, -1, 2) if chart is None else x[..., :2]


def unit(vector):
    return vector / vector.norm(dim=-1, keepdim=True)


def slope(steps, errors):
    """Least-squares slope of log error against log step, one for every column of errors."""
    x = torch.as_tensor(steps, dtype=torch.float64).log()
    y = torch.as_tensor(errors, dtype=torch.float64).log()
    x = x - x.mean()
    return (x @ (y - y.mean(0))) / (x @ x)


def sphere_exp(x, h):
    """Geodesic of the sphere of centre 0 through the rows of x, at time 1."""
    r, speed = x.norm(dim=-1, keepdim=True), h.norm(dim=-1, keepdim=True)
    return (speed / r).cos() * x + (speed / r).sin() * r * h / speed


def torus_distance(x, major, minor):
    """Distance of points to a torus of revolution about the third axis."""
    ring = torch.hypot(x[:, 0], x[:, 1]) - major
    return (torch.hypot(ring, x[:, 2]) - minor).abs()


def angle_of(x):
    return torch.atan2(x[..., 1], x[..., 0]) % (2 * math.pi)


class Annulus(Domain):
    """The plane between two circles about the origin."""

    inner, outer = 0.35, 0.8

    def depth(self, coords, chart=None):
        radius = coords.norm(dim=-1)
        return torch.minimum(radius - self.inner, self.outer - radius)

    def walls(self, coords, chart, slack):
        radius = coords.norm(dim=-1, keepdim=True)
        normal = torch.stack([-coords / radius, coords / radius], 1)
        on = torch.cat([radius - self.inner <= slack, self.outer - radius <= slack], 1)
        return Walls(normal, on)

    def confine(self, coords, chart=None):
        radius = coords.norm(dim=-1, keepdim=True)
        return torch.where(
            self.depth(coords).unsqueeze(-1) < 0,
            coords * (radius.clamp(self.inner + 1e-13, self.outer - 1e-13) / radius),
            coords,
        )


class RingChart(PlaneCharts):
    """One chart of an annulus of the plane, in its own coordinates."""

    def __init__(self):
        super().__init__(torch.eye(2, dtype=torch.float64))

    @property
    def domain(self):
        return Annulus()
