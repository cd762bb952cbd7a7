"""Analytic charts: on the manifold, invertible, covering, consistent where they overlap."""

import math

import numpy as np
import pytest
import torch
from oracles import draw, torus_distance

from learnedmanifolds.charts import (
    CircleCharts,
    GraphCharts,
    PlaneCharts,
    SphereCharts,
    TorusCharts,
)
from learnedmanifolds.charts.flat_torus import FlatTorusCharts
from learnedmanifolds.charts.product import AnalyticProductCharts
from learnedmanifolds.charts.rotations import RotationCharts


def wave(t):
    return (2 * t).sin().sum(-1, keepdim=True) + t.prod(-1, keepdim=True)


BASIS = draw(4, 2, seed=11)
ORIGIN = draw(4, seed=12)

# Family and the distance to its manifold, from the manifold's implicit equation.
CASES = {
    "circle": (CircleCharts(2.0, 4), lambda x: (x.norm(dim=-1) - 2).abs()),
    "sphere": (SphereCharts(1.7), lambda x: (x.norm(dim=-1) - 1.7).abs()),
    "sphere5": (SphereCharts(0.4, dim=5), lambda x: (x.norm(dim=-1) - 0.4).abs()),
    "torus": (TorusCharts(2.5, 0.8, 3), lambda x: torus_distance(x, 2.5, 0.8)),
    "plane": (
        PlaneCharts(BASIS, ORIGIN),
        lambda x: ((x - ORIGIN) - (x - ORIGIN) @ torch.linalg.pinv(BASIS).T @ BASIS.T).norm(dim=-1),
    ),
    "graph": (
        GraphCharts(wave),
        lambda x: (x[:, 2] - (2 * x[:, 0]).sin() - (2 * x[:, 1]).sin() - x[:, 0] * x[:, 1]).abs(),
    ),
}
CLOSED = ["circle", "sphere", "sphere5", "torus"]


@pytest.mark.parametrize("name", CASES)
def test_decoded_points_lie_on_the_manifold_and_encode_back(name):
    charts, distance = CASES[name]
    t = draw(charts.n_charts, 40, charts.dim, low=-1, high=1)
    x = charts.decode(t)
    assert x.shape == (charts.n_charts, 40, charts.n_ambient) and x.dtype == torch.float64
    assert distance(x.flatten(0, 1)).max() < 1e-12
    assert torch.allclose(charts.encode(x), t, rtol=0, atol=1e-11)
    for k in range(charts.n_charts):
        assert torch.equal(charts.decode(t[k], k), x[k])
        assert torch.allclose(charts.encode(x[k], k), t[k], rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", CLOSED)
def test_charts_agree_where_they_overlap(name):
    charts, _ = CASES[name]
    x = charts.decode(draw(charts.n_charts, 100, charts.dim, seed=1, low=-1, high=1)).flatten(0, 1)
    coords = charts.encode(x)
    inside = coords.abs().amax(-1) <= 1
    assert (inside.sum(0) >= 1).all() and (inside.sum(0) >= 2).any()
    again = charts.decode(coords)
    assert (again - x).norm(dim=-1)[inside].max() < 1e-11


def test_the_closed_manifolds_are_covered():
    g = draw(5000, 6, seed=2)
    angles = draw(5000, 2, seed=3, low=0, high=2 * math.pi)
    u, v = angles.T
    ring = 2.5 + 0.8 * v.cos()
    points = {
        "circle": 2 * torch.stack([u.cos(), u.sin()], -1),
        "sphere": 1.7 * g[:, :3] / g[:, :3].norm(dim=-1, keepdim=True),
        "sphere5": 0.4 * g / g.norm(dim=-1, keepdim=True),
        "torus": torch.stack([ring * u.cos(), ring * u.sin(), 0.8 * v.sin()], -1),
    }
    for name, x in points.items():
        charts, _ = CASES[name]
        coords = charts.encode(x)
        assert (coords.abs().amax(-1).amin(0) < 1).all(), name
        k = coords.abs().amax(-1).argmin(0)
        near = charts.decode(coords)[k, torch.arange(len(x))]
        assert torch.allclose(near, x, rtol=0, atol=1e-11), name


@pytest.mark.parametrize("name", ["circle", "sphere", "torus"])
def test_encoding_a_point_off_the_manifold_gives_the_nearest_point(name):
    charts, distance = CASES[name]
    x = draw(200, charts.n_ambient, seed=4)
    coords = charts.encode(x)
    k = coords.abs().amax(-1).argmin(0)
    row = torch.arange(len(x))
    gap = (charts.decode(coords)[k, row] - x).norm(dim=-1)
    assert torch.allclose(gap, distance(x), rtol=0, atol=1e-10)


def test_the_sphere_encodes_its_poles_and_centre_without_nan():
    charts = SphereCharts(2.0)
    x = torch.tensor([[0, 0, 2.0], [0, 0, -2.0], [0, 0, 0]], dtype=torch.float64)
    assert torch.isfinite(charts.encode(x)).all()
    assert torch.isfinite(charts.encode(x.float())).all()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: CircleCharts(n_charts=1), "overlap"),
        (lambda: CircleCharts(n_charts=2, overlap=1.0), "overlap"),
        (lambda: TorusCharts(1.0, 2.0), "major"),
        (lambda: TorusCharts(1.0, -0.5), "minor"),
        (lambda: TorusCharts(per_circle=2, overlap=1.5), "overlap"),
    ],
)
def test_bad_arguments_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()


NAN, INF = math.nan, math.inf
PARAMETERS = {
    "length": [0, 0.0, -1.0, NAN, INF, "1", None, True, 1j],
    "real": [NAN, INF, -INF, "1", None, True, 1j],
    "count": [0, -1, 2.0, NAN, "2", None, True],
    "basis": [
        torch.zeros(3),
        torch.zeros(0, 0),
        torch.zeros(3, 0),
        torch.zeros(2, 3),
        torch.eye(2, dtype=torch.int64),
        torch.eye(2, dtype=torch.complex64),
        [[1.0, NAN]],
        [[1.0, 2.0], [3.0]],
        "basis",
        None,
    ],
    "origin": [torch.zeros(3), torch.zeros(1, 2), [0.0, INF], "origin", 0.0],
    "function": [None, 3, "sin"],
}
KINDS = [
    (CircleCharts, "radius", "length"),
    (CircleCharts, "n_charts", "count"),
    (CircleCharts, "overlap", "real"),
    (SphereCharts, "radius", "length"),
    (SphereCharts, "dim", "count"),
    (SphereCharts, "extent", "length"),
    (TorusCharts, "major", "length"),
    (TorusCharts, "minor", "length"),
    (TorusCharts, "per_circle", "count"),
    (TorusCharts, "overlap", "real"),
    (PlaneCharts, "basis", "basis"),
    (PlaneCharts, "origin", "origin"),
    (GraphCharts, "function", "function"),
    (GraphCharts, "dim", "count"),
    (GraphCharts, "n_ambient", "count"),
    (FlatTorusCharts, "dim", "count"),
    (FlatTorusCharts, "overlap", "length"),
    (RotationCharts, "extent", "length"),
]


@pytest.mark.parametrize(("family", "name", "kind"), KINDS)
def test_impossible_parameters_are_named(family, name, kind):
    needed = {
        PlaneCharts: {"basis": torch.eye(2).double()},
        GraphCharts: {"function": torch.sin},
    }
    for value in PARAMETERS[kind]:
        with pytest.raises((TypeError, ValueError), match=rf"{name}\b.*(must|expected)"):
            family(**{**needed.get(family, {}), name: value})


def test_a_graph_has_more_entries_than_coordinates():
    with pytest.raises(ValueError, match="n_ambient must be an integer of at least 3, got 2"):
        GraphCharts(torch.sin, 2, 2)


def test_analytic_products_are_of_analytic_charts():
    graph = GraphCharts(lambda t: t, dim=1, n_ambient=2)
    with pytest.raises(TypeError, match="factors must be AnalyticCharts, got GraphCharts"):
        AnalyticProductCharts(CircleCharts(), graph)


def test_numbers_of_every_kind_and_lists_are_taken():
    for number in (2, 2.0, np.float32(2), np.int64(2), torch.tensor(2.0)):
        assert CircleCharts(number).radius == SphereCharts(number).radius == 2.0
    plane = PlaneCharts([[1.0], [2.0]], np.ones(2))
    torch.testing.assert_close(plane.decode(torch.ones(1, 1).double()).tolist(), [[2.0, 3.0]])


def test_families_without_a_config_say_so():
    with pytest.raises(NotImplementedError, match="SphereCharts"):
        SphereCharts().config()
