"""Distances where several shortest geodesics compete, or nearly: against closed forms."""

import math

import pytest
import torch
from oracles import draw, sphere_exp, unit
from scipy.special import ellipe

from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts, SphereCharts, TorusCharts
from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.local import LocalGeometry
from learnedmanifolds.geometry.metric import InducedMetric


def metric_of(charts, **options):
    atlas = Atlas(charts, **options).to(torch.float64)
    return atlas, InducedMetric(atlas)


def at_angle(x, across, angle):
    return angle.cos().unsqueeze(1) * x + angle.sin().unsqueeze(1) * across


@pytest.mark.parametrize("options", [{}, {"noise_std": 1e-5}])
def test_a_pair_of_the_sphere_nearly_antipodal(options):
    atlas, metric = metric_of(SphereCharts(), **options)
    angle = math.pi - 1e-3
    ends = torch.tensor([[1.0, 0, 0], [math.cos(angle), math.sin(angle), 0]], dtype=torch.float64)
    a, b = (atlas.locate(x[None]) for x in ends)
    found = metric.logarithm(a, b)
    assert float(found.distance) == pytest.approx(angle, rel=1e-8)
    wanted = torch.tensor([[0, angle, 0]], dtype=torch.float64)
    # The exponential moves ends a thousandth as far as velocities turn.
    assert torch.allclose(metric.log(a, b), wanted, rtol=0, atol=1e-5)


def test_pairs_of_the_sphere_up_to_antipodal_ones():
    atlas, metric = metric_of(SphereCharts())
    angle = math.pi - torch.cat([10.0 ** -torch.arange(1.0, 9), torch.zeros(1)]).double()
    x = unit(draw(len(angle), 3, seed=3))
    across = torch.linalg.cross(x, draw(len(angle), 3, seed=4))
    y = at_angle(x, unit(across), angle)
    found = metric.logarithm(atlas.locate(x), atlas.locate(y))
    assert torch.allclose(found.distance, angle, rtol=1e-8, atol=0)
    assert torch.allclose(found.vector.norm(dim=-1), angle, rtol=1e-8, atol=0)
    assert torch.allclose(sphere_exp(x, found.vector), y, rtol=0, atol=2e-8)
    # Directions are as well determined as the sine of the angle allows.
    turn = (unit(found.vector) - unit(across)).norm(dim=-1)[:-1]
    assert bool((turn * angle[:-1].sin() < 3e-8).all())


def test_through_the_antipode_distances_are_continuous_symmetric_and_no_longer_than_detours():
    atlas, metric = metric_of(SphereCharts())
    x, across = torch.eye(3, dtype=torch.float64)[:2]
    beyond = torch.tensor([-1e-3, 0, 1e-4], dtype=torch.float64)
    n = len(beyond)
    start = x.expand(n, 3)
    end = at_angle(start, across.expand(n, 3), math.pi + beyond)
    near = unit(end + 1e-3 * draw(n, 3, seed=5))
    # There, back, and by a detour, at once.
    first, second = torch.cat([start, end, start, near]), torch.cat([end, start, near, end])
    distance = metric.dist(atlas.locate(first), atlas.locate(second))
    there, back, out, on = distance.split(n)
    assert torch.allclose(there, math.pi - beyond.abs(), rtol=1e-8, atol=0)
    assert torch.allclose(back, there, rtol=1e-8, atol=0)
    assert bool((there <= out + on + 1e-8).all())


def test_the_shorter_of_two_ways_around():
    beyond = torch.tensor([-1e-2, -1e-6, 0, 1e-6, 1e-2], dtype=torch.float64)
    angle = math.pi + beyond
    expected = math.pi - beyond.abs()
    zero = torch.zeros_like(angle)
    circle = torch.stack([angle.cos(), angle.sin()], dim=1)
    # The inner equator of a torus and its meridians: geodesics, the shortest of their classes.
    inner = 2 * torch.stack([angle.cos(), angle.sin(), zero], dim=1)
    meridian = torch.stack([3 + angle.cos(), zero, angle.sin()], dim=1)
    ring = TorusCharts(3.0, 1.0)
    for charts, start, end, scale in (
        (CircleCharts(1.0, 3), [1.0, 0], circle, 1),
        (ring, [2.0, 0, 0], inner, 2),
        (ring, [4.0, 0, 0], meridian, 1),
    ):
        atlas, metric = metric_of(charts)
        a = atlas.locate(torch.tensor([start], dtype=torch.float64).expand(len(end), -1))
        found = metric.dist(a, atlas.locate(end))
        assert torch.allclose(found, scale * expected, rtol=1e-8, atol=0)


class Ellipsoid(SphereCharts):
    """An ellipsoid, by the charts of the sphere."""

    def __init__(self, axes):
        super().__init__()
        self.register_buffer("axes", torch.tensor(axes, dtype=torch.float64))

    def push(self, rows, rule, chart):
        return super().push(rows, rule, chart) * self.axes

    def encode(self, x, chart=None):
        return super().encode(x / self.axes, chart)


def test_opposite_ends_of_an_axis_of_an_ellipsoid():
    axes = [1.0, 1.1, 0.9]
    atlas, metric = metric_of(Ellipsoid(axes))
    ends = torch.diag(atlas.charts.axes)[:1]
    a, b = atlas.locate(ends), atlas.locate(-ends)
    found = metric.logarithm(a, b)
    # Half of the flatter principal ellipse, up or down.
    half = 2 * axes[0] * ellipe(1 - (axes[2] / axes[0]) ** 2)
    assert float(found.distance) == pytest.approx(half, rel=1e-8)
    reached = atlas.decode(*reversed(metric.exp(a, found.vector)))
    assert torch.allclose(reached, -ends, rtol=0, atol=1e-7)


def test_jacobi_fields_of_the_sphere():
    atlas, _ = metric_of(SphereCharts())
    start = atlas.locate(unit(draw(6, 3, seed=6)))
    local = LocalGeometry(atlas, start.coords, start.chart)
    frame = (local.inverse @ local.tangent_basis).mT
    ahead = unit(draw(6, 2, seed=7))
    angle = 2.0
    end = flow(atlas, start, frame, angle * ahead, jacobi=True, moving=True)
    along = ahead.unsqueeze(-1) * ahead.unsqueeze(-2)
    across = torch.eye(2, dtype=torch.float64) - along
    for field, value in (
        (end.jacobi, math.sin(angle) / angle),
        (end.rate, math.cos(angle)),
        (end.moved, math.cos(angle)),
    ):
        assert torch.allclose(field, along + value * across, rtol=0, atol=1e-8)
