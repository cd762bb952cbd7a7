"""Volumes, uniform samples and geodesic balls against closed forms."""

import math

import pytest
import torch
from scipy import stats

from learnedmanifolds import Atlas
from learnedmanifolds.charts import CircleCharts, PlaneCharts, SphereCharts, TorusCharts
from learnedmanifolds.geometry import BoundaryError, InducedMetric, Located


def metric_of(charts):
    return InducedMetric(Atlas(charts, tolerance=1e-6))


@pytest.mark.parametrize(
    ("charts", "expected"),
    [
        (CircleCharts(2.0, 3), 4 * math.pi),
        (SphereCharts(1.5), 9 * math.pi),
        (SphereCharts(0.5, dim=3), math.pi**2 / 4),
        (TorusCharts(3.0, 1.0, 3), 12 * math.pi**2),
        (PlaneCharts(torch.tensor([[1.0, 1.0], [0.0, 2.0], [0.0, 0.0]]).double()), 8.0),
    ],
    ids=["circle", "sphere", "sphere3", "torus", "plane"],
)
def test_overlaps_count_once(charts, expected):
    assert metric_of(charts).volume() == pytest.approx(expected, rel=1e-3)


def test_uniform_on_the_sphere_by_archimedes():
    metric = metric_of(SphereCharts(2.0))
    at = metric.uniform(4000, seed=0)
    x = metric.manifold.decode(at.coords, at.chart)
    # Every coordinate is uniform; the chance that a true sampler fails one of the three is 0.003.
    for axis in range(3):
        assert stats.kstest(x[:, axis].numpy(), stats.uniform(-2, 4).cdf).pvalue > 1e-3


def test_uniform_on_the_torus_is_denser_outside():
    metric = metric_of(TorusCharts(2.0, 1.0))
    at = metric.uniform(4000, seed=1)
    x = metric.manifold.decode(at.coords, at.chart)
    v = torch.atan2(x[:, 2], x[:, :2].norm(dim=-1) - 2).numpy()
    # The density (2 + cos v) / (4 pi); a true sampler fails with chance 0.001.
    assert (
        stats.kstest(v, lambda t: 0.5 + (2 * t + torch.as_tensor(t).sin().numpy()) / 4 / math.pi)[1]
        > 1e-3
    )


def test_the_seed_decides():
    metric = metric_of(SphereCharts())
    one, same, other = (metric.uniform(50, seed=s).coords for s in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_balls():
    sphere = metric_of(SphereCharts(2.0))
    at = sphere.manifold.sample_coords(3, 0)
    for radius in (0.3, 2.0, 5.0):
        expected = 8 * math.pi * (1 - math.cos(radius / 2))
        assert torch.allclose(
            sphere.ball_volume(at, radius), torch.tensor(expected).double(), rtol=3e-3
        )
    plane = metric_of(PlaneCharts(torch.eye(3).double()))
    middle = Located(torch.tensor([0]), torch.zeros(1, 3).double())
    assert float(plane.ball_volume(middle, 0.9)[0]) == pytest.approx(4 / 3 * math.pi * 0.9**3)
    with pytest.raises(BoundaryError, match="1 of 1 balls reach over the boundary"):
        plane.ball_volume(middle, 1.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.volume(0), "n_points must be an integer of at least 1"),
        (lambda m: m.uniform(0), "n must be an integer of at least 1"),
        (lambda m: m.ball_volume(m.manifold.sample_coords(1, 0), -1.0), "radius must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(metric_of(SphereCharts()))
