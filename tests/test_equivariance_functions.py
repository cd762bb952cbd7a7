"""Functions of data without an operator: units, origin and surroundings change nothing but units.

Data times s plus an offset: the same answer, moved and scaled. Gradient modes, default dtype, the
global random generators, threads and DataFrames: the same answer.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas
import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds import metrics
from learnedmanifolds.charts import Charts, CircleCharts, SphereCharts, TorusCharts
from learnedmanifolds.geometry import InducedMetric

X, Y = draw(60, 3), 1.2 * draw(50, 3, seed=1)
Z = X[:, :2].contiguous()
ANGLE = draw(300, low=0, high=2 * math.pi)
CIRCLE = torch.stack([ANGLE.cos(), ANGLE.sin()], 1)


class Length(NamedTuple):
    """A figure in units of a power of the data's."""

    value: Any
    power: int = 1


def mmd(f):
    found = metrics.mmd(f(X), f(Y), n_permutations=50)
    return {"value": found.value, "p": found.p_value, "null": found.null}


def gromov_wasserstein(f):
    found = metrics.gromov_wasserstein(f(X[:30]), f(Y[:20]), n_random=1)
    return {
        "value": Length(found.value, 2),
        "lower": Length(found.lower_bound, 2),
        "floor": Length(found.floor, 2),
        "coupling": found.coupling,
    }


def normalised_gromov_wasserstein(f):
    found = metrics.gromov_wasserstein(f(X[:30]), f(Y[:20]), normalize=True, n_random=1)
    return {"value": found.value, "lower": found.lower_bound, "floor": found.floor}


def precision_recall(f):
    return vars(metrics.precision_recall(f(X), f(Y)))


def bi_lipschitz(f):
    found = metrics.bi_lipschitz(f(Z), f(X), 8)
    return {"values": found.values, "scale_free": found.scale_free}


def betti(f):
    found = metrics.betti_numbers(f(CIRCLE), 1)
    return {
        "numbers": found.numbers,
        "scale": Length(found.scale),
        "radius": Length(found.covering_radius),
    }


def distance_to(f):
    return {"values": Length(metrics.distance_to(f(X), f(Y)).values)}


def coverage(f):
    return {"share": metrics.coverage(f(X), f(Y))}


METRICS = {
    function.__name__: function
    for function in (
        mmd,
        gromov_wasserstein,
        normalised_gromov_wasserstein,
        precision_recall,
        bi_lipschitz,
        betti,
        distance_to,
        coverage,
    )
}


def numbers(answer, unit=1.0):
    """All figures of an answer in one vector, those with a dimension in units of its power."""
    parts = []
    for value in answer.values():
        quantity, power = value if isinstance(value, Length) else (value, 0)
        parts.append(np.asarray(quantity, dtype=float).ravel() / unit**power)
    return np.concatenate(parts)


def same(values):
    return values


@pytest.fixture(scope="module")
def expected():
    return {name: numbers(function(same)) for name, function in METRICS.items()}


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1e9])
@pytest.mark.parametrize("name", METRICS)
def test_metrics_in_other_units(name, scale, offset, expected):
    found = numbers(METRICS[name](lambda x: scale * (x + offset)), scale)
    # At an offset of 1e6 the data are rounded to 1e-10 of their spread.
    tolerance = 1e-7 if offset else 1e-9
    np.testing.assert_allclose(found, expected[name], rtol=tolerance, atol=tolerance)


@pytest.fixture
def float64_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_with_another_default_dtype(name, expected, float64_default):
    assert np.array_equal(numbers(METRICS[name](same)), expected[name])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", METRICS)
def test_metrics_without_gradients(name, mode, expected):
    with mode():
        found = numbers(METRICS[name](same))
    assert np.array_equal(found, expected[name])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_leave_and_ignore_the_global_generators(name, expected):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002 - the global one is what is tested
        before = torch.random.get_rng_state()
        found = numbers(METRICS[name](same))
        assert torch.equal(torch.random.get_rng_state(), before)
        assert np.random.random() == np.random.RandomState(5).random()  # noqa: NPY002
    assert np.array_equal(found, expected[name])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_in_threads(name, expected):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: numbers(METRICS[name](same)), range(4)))
    for one in found:
        assert np.array_equal(one, expected[name])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_of_frames(name, expected):
    def frame(x):
        return pandas.DataFrame(x.numpy(), columns=list("abc")[: x.shape[1]])

    assert np.array_equal(numbers(METRICS[name](frame)), expected[name])


def test_metrics_do_not_change_their_data():
    before = X.clone(), Y.clone(), CIRCLE.clone()
    for function in METRICS.values():
        function(same)
    assert all(torch.equal(a, b) for a, b in zip(before, (X, Y, CIRCLE), strict=True))


CHARTS = {
    "circle": lambda s: CircleCharts(s),
    "sphere": lambda s: SphereCharts(s),
    "torus": lambda s: TorusCharts(2 * s, s),
}


def on(charts):
    """Points of a manifold, points beside it, and tangent vectors, of length below 1."""
    atlas = lm.Atlas(CHARTS[charts](1.0))
    spots = atlas.sample_coords(6, seed=0)
    points = atlas.decode(spots.coords, spots.chart)
    beside = points + 0.1 * draw(*points.shape, seed=2)
    vectors = atlas.geometry(spots.coords, spots.chart).project(0.3 * draw(*points.shape, seed=3))
    return points, beside, vectors


def maps(charts, scale):
    """Answers at one scale in natural units: what is a length is divided by the scale."""
    points, beside, vectors = on(charts)
    atlas = lm.Atlas(CHARTS[charts](scale), noise_std=0.01 * scale)
    metric, spots = InducedMetric(atlas), lm.Atlas(CHARTS[charts](1.0)).sample_coords(6, seed=0)
    ends = metric.exp(spots, scale * vectors)
    located = atlas.locate(scale * points)
    return {
        "locate": atlas.decode(located.coords, located.chart) / scale,
        "project": atlas.project(scale * beside) / scale,
        "exp": atlas.decode(ends.coords, ends.chart) / scale,
        "dist": metric.dist(spots, ends) / scale,
        "log": metric.log(spots, ends) / scale,
        "responsibilities": atlas.responsibilities(scale * beside),
        "size": torch.tensor(atlas.half_diagonal / scale),
    }


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1e9])
@pytest.mark.parametrize("charts", CHARTS)
def test_maps_in_other_units(charts, scale):
    points, _, vectors = on(charts)
    one, other = maps(charts, 1.0), maps(charts, scale)
    torch.testing.assert_close(one["locate"], points)
    torch.testing.assert_close(one["log"], vectors, rtol=0, atol=1e-6)
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=1e-6, atol=1e-7, msg=name)


class Moved(Charts):
    """The images of charts, moved in space."""

    def __init__(self, charts, offset):
        super().__init__(charts.n_charts, charts.dim, charts.ambient_shape)
        self.inner, self.offset = charts, offset

    def decode(self, coords, chart=None):
        return self.inner.decode(coords, chart) + self.offset

    def encode(self, x, chart=None):
        return self.inner.encode(x - self.offset, chart)

    def jet(self, coords, chart, tangents, pairs=()):
        jet = self.inner.jet(coords, chart, tangents, pairs)
        return jet._replace(value=jet.value + self.offset)


@pytest.mark.parametrize("offset", [1e3, 1e6])
@pytest.mark.parametrize("charts", CHARTS)
def test_maps_elsewhere(charts, offset):
    points, beside, vectors = on(charts)
    home = lm.Atlas(CHARTS[charts](1.0))
    away = lm.Atlas(Moved(CHARTS[charts](1.0), offset))
    spots = home.sample_coords(6, seed=0)
    ends = [InducedMetric(atlas).exp(spots, vectors) for atlas in (home, away)]
    reached = [atlas.decode(e.coords, e.chart) for atlas, e in zip((home, away), ends, strict=True)]
    # Places are rounded to eps times the offset; logarithms of rounded ends are as far off.
    rounding = 100 * torch.finfo(torch.float64).eps * offset
    close = {"rtol": 0, "atol": rounding}
    torch.testing.assert_close(
        away.project(beside + offset) - offset, home.project(beside), **close
    )
    torch.testing.assert_close(
        away.locate(points + offset).coords, home.locate(points).coords, **close
    )
    torch.testing.assert_close(reached[1] - offset, reached[0], rtol=0, atol=1e-7)
    distances = [
        InducedMetric(atlas).dist(spots, e) for atlas, e in zip((home, away), ends, strict=True)
    ]
    torch.testing.assert_close(distances[1], distances[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(InducedMetric(away).log(spots, ends[1]), vectors, rtol=0, atol=1e-6)


def test_maps_of_frames():
    points, beside, _ = on("sphere")
    atlas = lm.Atlas(SphereCharts())
    for method in (atlas.project, atlas.responsibilities, lambda x: atlas.locate(x).coords):
        for x in (points, beside):
            frame = pandas.DataFrame(x.numpy(), columns=list("abc"))
            assert torch.equal(method(frame), method(x))


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e5)])
def test_report_in_other_units(scale, offset):
    options = {"n_points": 60, "n_gromov": 30, "n_repeats": 2, "n_permutations": 20}

    def measures(s, o):
        atlas = lm.Atlas(Moved(SphereCharts(s), o * s), noise_std=0.01 * s)
        return lm.metrics.report(atlas, s * (atlas_data + o), **options).measures

    atlas_data = lm.Atlas(SphereCharts()).sample(120, seed=3) + 0.01 * draw(120, 3)
    for here, there in zip(measures(1.0, 0.0), measures(scale, offset), strict=True):
        unit = scale if here.unit == "data units" else 1.0
        assert there.name == here.name
        # By definition it compares units of the data with those of the coordinates.
        if here.name == "bi-Lipschitz":
            continue
        found = np.array([there.value, there.floor], dtype=float) / unit
        expected = np.array([here.value, here.floor], dtype=float)
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-6, equal_nan=True), here.name


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_maps_without_gradients(mode):
    expected = maps("sphere", 1.0)
    with mode():
        found = maps("sphere", 1.0)
    for name in expected:
        assert torch.equal(found[name], expected[name]), name


def test_maps_with_another_default_dtype(float64_default):
    found = maps("sphere", 1.0)
    torch.set_default_dtype(torch.float32)
    expected = maps("sphere", 1.0)
    for name in ("locate", "project", "exp", "dist", "log", "responsibilities"):
        assert torch.equal(found[name], expected[name]), name


def test_maps_in_threads():
    expected = maps("sphere", 1.0)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: maps("sphere", 1.0), range(4)):
            assert all(torch.equal(found[name], expected[name]) for name in expected)
