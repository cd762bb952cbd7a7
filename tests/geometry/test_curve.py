"""Geodesics of curves: arc length of an ellipse in closed form, and of a curve that crosses itself."""

import math

import pytest
import torch
from scipy.special import ellipe, ellipeinc

import learnedmanifolds as lm
from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts
from learnedmanifolds.geometry import InducedMetric, Located

AXES = torch.tensor([3.0, 1.0], dtype=torch.float64)


class Ellipse(CircleCharts):
    """An ellipse, by the charts of the circle."""

    def push(self, rows, rule, chart):
        return super().push(rows, rule, chart) * AXES

    def encode(self, x, chart=None):
        return super().encode(x / AXES, chart)


def ellipse():
    atlas = Atlas(Ellipse(1.0, 3), tolerance=1e-6).to(torch.float64)
    return atlas, InducedMetric(atlas)


def quarter():
    return 3 * ellipe(1 - 1 / 9)


def test_a_geodesic_goes_round_an_ellipse():
    atlas, metric = ellipse()
    x = torch.tensor([[3.0, 0]], dtype=torch.float64).expand(3, 2)
    lengths = quarter() * torch.tensor([1.0, -2.0, 41.0], dtype=torch.float64)
    up = torch.tensor([0.0, 1.0], dtype=torch.float64)
    end = metric.exp(atlas.locate(x), lengths.unsqueeze(1) * up)
    wanted = torch.tensor([[0.0, 1], [-3, 0], [0, 1]], dtype=torch.float64)
    assert torch.allclose(atlas.decode(end.coords, end.chart), wanted, rtol=0, atol=1e-8)


def test_distances_on_an_ellipse_are_elliptic_integrals():
    atlas, metric = ellipse()
    # From the top by the angle whose sine is x / 3.
    angle = torch.linspace(-3, 3, 13, dtype=torch.float64)
    point = torch.stack([angle.sin(), angle.cos()], 1) * AXES
    top = torch.tensor([[0.0, 1]], dtype=torch.float64).expand(13, 2)
    wanted = 3 * torch.from_numpy(ellipeinc(angle.abs().numpy(), 1 - 1 / 9))
    found = metric.dist(atlas.locate(top), atlas.locate(point))
    assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_derivatives_by_the_velocity_are_the_tangent_and_the_curvature():
    atlas, metric = ellipse()
    start = atlas.locate(torch.tensor([[3.0, 0]], dtype=torch.float64))
    up = torch.tensor([[0.0, 1]], dtype=torch.float64)

    def at(length):
        end = metric.exp(start, length * up)
        return atlas.decode(end.coords, end.chart).squeeze(0)

    # To the top through a border of charts: there the curvature is 1 / 9, downward.
    length = torch.tensor(quarter(), dtype=torch.float64)
    first = torch.autograd.functional.jacobian(at, length)
    assert torch.allclose(first, torch.tensor([-1.0, 0]).double(), rtol=0, atol=1e-8)
    second = torch.autograd.functional.hessian(lambda s: at(s)[1], length)
    assert abs(float(second) + 1 / 9) < 1e-7


@pytest.mark.filterwarnings("ignore:The atlas does not hold the data")
def test_distances_on_a_curve_that_crosses_itself_take_few_decodes():
    source = torch.Generator().manual_seed(0)
    t = 2 * math.pi * torch.rand(2000, generator=source, dtype=torch.float64)
    x = torch.stack([t.cos(), t.sin() * t.cos()], 1) / (1 + t.sin() ** 2).unsqueeze(1)
    x = x + 0.01 * torch.randn(2000, 2, generator=source, dtype=torch.float64)
    atlas = lm.KernelAtlas(random_state=0).fit(x).atlas_
    metric, calls = InducedMetric(atlas), []
    at = atlas.nearest(x[:12])
    start, end = Located(at.chart[:6], at.coords[:6]), Located(at.chart[6:], at.coords[6:])
    jet = type(atlas).jet
    atlas.jet = lambda *args, **kwargs: (calls.append(1), jet(atlas, *args, **kwargs))[1]
    found = metric.dist(start, end)
    # By integrating the geodesic equation there were a hundred thousand.
    assert len(calls) < 5000
    chord = (atlas.decode(*reversed(start)) - atlas.decode(*reversed(end))).norm(dim=1)
    assert bool((found.isfinite() & (found >= chord * (1 - 1e-9))).all())
    assert torch.equal(metric.dist(end, start), found)


def test_points_that_are_not_located_are_refused():
    atlas, metric = ellipse()
    x = torch.tensor([[3.0, 0]], dtype=torch.float64)
    for wrong in ((x, atlas.locate(x)), (atlas.locate(x), x)):
        for call in (metric.dist, metric.log, metric.logarithm):
            with pytest.raises(TypeError, match="must be Located, .* got Tensor"):
                call(*wrong)
    for one in (metric.local, metric.curvature, lambda point: metric.exp(point, x)):
        with pytest.raises(TypeError, match="point must be Located"):
            one(x)
