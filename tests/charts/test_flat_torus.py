"""Charts of the flat torus: on it, invertible, covering deeply, flat."""

import math

import pytest
import torch
from oracles import draw

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.flat_torus import FlatTorusCharts
from learnedmanifolds.charts.jet import functional_jet
from learnedmanifolds.geometry import Curvature


def torus_points(n, dim, seed=0):
    angles = draw(n, dim, seed=seed, low=-math.pi, high=math.pi)
    return torch.stack([angles.cos(), angles.sin()], -1).flatten(-2)


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
def test_decoded_points_lie_on_every_circle_and_encode_back(dim):
    charts = FlatTorusCharts(dim)
    t = draw(charts.n_charts, 30, dim, low=-1, high=1)
    x = charts.decode(t)
    assert x.shape == (charts.n_charts, 30, 2 * dim)
    for i in range(dim):
        assert torch.allclose(x[..., 2 * i : 2 * i + 2].norm(dim=-1), torch.ones(1).double())
    assert torch.allclose(charts.encode(x), t, rtol=0, atol=1e-12)
    for k in range(charts.n_charts):
        assert torch.equal(charts.decode(t[k], k), x[k])
        assert torch.allclose(charts.encode(x[k], k), t[k], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dim", "overlap"), [(1, 0.75), (2, 0.3), (2, 0.75), (3, 0.75), (5, 0.9)])
def test_every_point_is_deep_inside_a_box_and_the_bound_is_attained(dim, overlap):
    charts = FlatTorusCharts(dim, overlap)
    promised = overlap / (dim + overlap)

    def depth(x):
        return 1 - charts.encode(x).abs().amax(-1).amin(0)

    random = depth(torus_points(20_000, dim, seed=1))
    assert random.min() >= promised - 1e-12
    # Angles half-way between opposites of neighbouring charts put all charts equally far away.
    spread = math.pi + math.pi / (dim + 1) * (2 * torch.arange(dim, dtype=torch.float64) + 1)
    worst = torch.stack([spread.cos(), spread.sin()], -1).flatten()
    assert float(depth(worst.unsqueeze(0))) == pytest.approx(promised, abs=1e-12)
    found = charts.decode(charts.encode(torus_points(50, dim)))
    assert torch.allclose(found, torus_points(50, dim).expand_as(found), rtol=0, atol=1e-12)


@pytest.mark.parametrize("chart", [None, 1])
def test_jet_against_nested_differentiation(chart):
    charts, pairs = FlatTorusCharts(2), [(0, 0), (1, 0), (2, 1)]
    lead = (charts.n_charts,) if chart is None else ()
    t = draw(*lead, 5, 2, seed=2, low=-1, high=1)
    tangents = draw(*lead, 3, 5, 2, seed=3)
    jet = charts.jet(t, chart, tangents, pairs)
    for k in range(charts.n_charts) if chart is None else [chart]:
        at, directions = (t[k], tangents[k]) if chart is None else (t, tangents)
        oracle = functional_jet(lambda z, k=k: charts.decode(z, k), at, directions, pairs)
        mine = [part[k] if chart is None else part for part in jet]
        for part, wanted in zip(mine, oracle, strict=True):
            assert torch.allclose(part, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_torus_is_flat_and_its_circles_bend(dim):
    atlas = Atlas(FlatTorusCharts(dim))
    x = torus_points(40, dim, seed=4)
    located = atlas.locate(x)
    assert torch.allclose(atlas.decode(located.coords, located.chart), x, rtol=0, atol=1e-12)
    curvature = Curvature(atlas.geometry(located.coords, located.chart))
    u, v, w = draw(3, 40, 2 * dim, seed=5)
    assert curvature.riemann(u, v, w).abs().max() < 1e-12
    # Every circle has radius 1: the mean curvature vector points from x to the centre.
    assert torch.allclose(curvature.mean_curvature_vector, -x, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: FlatTorusCharts(0), ValueError, "dim"),
        (lambda: FlatTorusCharts(2.0), TypeError, "dim"),
        (lambda: FlatTorusCharts(2, 1.0), ValueError, "overlap"),
        (lambda: FlatTorusCharts(2, 0.0), ValueError, "overlap"),
        (lambda: FlatTorusCharts(2, "wide"), TypeError, "overlap"),
    ],
)
def test_bad_arguments_are_named(make, error, name):
    with pytest.raises(error, match=name):
        make()
