"""One table for every model: which rows it has, and that they are right."""

import math
import sys

import pytest
import torch
from oracles import draw
from torch import nn

import learnedmanifolds as lm
from learnedmanifolds.charts import CircleCharts
from learnedmanifolds.geometry import Located
from learnedmanifolds.latent import Sphere
from learnedmanifolds.metrics import bi_lipschitz, gromov_wasserstein, report

CIRCLE = lm.datasets.Ring(1.0, 1.0 + 1e-9)
FAST = {
    "n_gromov": 40,
    "n_repeats": 2,
    "n_permutations": 40,
    "n_landmarks": 80,
    "max_dim": 1,
    "n_neighbors": 8,
}
ALWAYS = [
    "Gromov-Wasserstein",
    "MMD^2",
    "MMD p-value",
    "precision",
    "recall",
    "density",
    "coverage",
    "Betti 0",
    "Betti 1",
]


def circle(n, seed, radius=1.0):
    t = draw(n, 1, seed=seed, low=0, high=2 * math.pi)
    return radius * torch.cat([t.cos(), t.sin()], 1)


class Samples:
    """A model that can do nothing else."""

    def __init__(self, draw_points):
        self.draw_points, self.seeds = draw_points, []

    def sample(self, n, seed=None):
        self.seeds.append(seed)
        return self.draw_points(n, seed)


class Doubling(Samples):
    """Latent points are half of the data; data come back moved by 0.1 in every coordinate."""

    def transform(self, x):
        return x / 2

    def inverse_transform(self, z):
        return 2 * z + 0.1


class Encoding(Samples):
    def encode(self, x):
        return x / 3


class Moving(Samples):
    def project(self, x):
        return x + 0.1


@pytest.fixture(scope="module")
def data():
    return circle(500, 100)


@pytest.fixture(scope="module")
def perfect(data):
    model = Samples(lambda n, seed: circle(n, 1000 + seed))
    return model, report(model, data, manifold=CIRCLE, betti=(1, 1), **FAST)


def test_a_perfect_model_is_like_the_data(perfect):
    model, found = perfect
    assert [m.name for m in found.measures] == [
        *ALWAYS,
        "distance to manifold",
        "distance to manifold, 95 %",
        "coverage of manifold",
    ]
    assert (found.n_points, found.n_gromov, found.n_betti, found.n_repeats) == (250, 40, 500, 2)
    assert model.seeds == [0, 1]
    for name in ("precision", "recall", "density", "coverage", "coverage of manifold"):
        assert found[name].value == pytest.approx(found[name].floor, abs=0.06)
        assert found[name].ideal == 1.0 and found[name].value > 0.9
    assert abs(found["MMD^2"].value) < 0.01 and abs(found["MMD^2"].floor) < 0.01
    assert found["MMD p-value"].value > 0.02
    gromov = found["Gromov-Wasserstein"]
    assert 0.3 < gromov.value / gromov.floor < 3
    for name, number in (("Betti 0", 1), ("Betti 1", 1)):
        m = found[name]
        assert (m.value, m.error, m.floor, m.floor_error, m.ideal) == (number, 0, number, 0, number)
    assert found["distance to manifold"].value == pytest.approx(0, abs=1e-6)


def test_a_wrong_model_is_not():
    """A disc of radius 1.2 for a circle."""
    model = Samples(lambda n, seed: draw(n, 1, seed=seed, low=0, high=1) * circle(n, seed + 9, 1.2))
    found = report(model, circle(500, 3), manifold=CIRCLE, betti=(1, 1), **FAST)
    assert found["MMD p-value"].value == pytest.approx(1 / 41)
    assert found["MMD^2"].value > 10 * abs(found["MMD^2"].floor)
    assert found["Gromov-Wasserstein"].value > 4 * found["Gromov-Wasserstein"].floor
    assert found["precision"].value < 0.3 and found["coverage"].value < 0.5
    assert found["Betti 0"].value == 1 and found["Betti 1"].value == 0
    assert found["Betti 1"].ideal == found["Betti 1"].floor == 1
    # |1.2 u - 1| for u uniform on [0, 1]: (1 + 0.2^2) / 2.4.
    assert found["distance to manifold"].value == pytest.approx(1.04 / 2.4, abs=0.04)


def test_the_rows_are_means_over_draws(data):
    model = Samples(lambda n, seed: circle(n, seed, 1.0 + seed))
    found = report(model, data, manifold=CIRCLE, seed=3, **FAST)
    assert model.seeds == [3, 4]
    row = found["distance to manifold"]
    assert row.value == pytest.approx(3.5, abs=1e-6) and row.error == pytest.approx(0.5, abs=1e-6)
    assert row.unit == "data units" and row.ideal == 0.0
    single = report(model, data, manifold=CIRCLE, seed=3, **{**FAST, "n_repeats": 1})
    assert single["distance to manifold"].value == pytest.approx(3, abs=1e-6)
    assert math.isnan(single["distance to manifold"].error)


def test_the_floor_compares_halves_of_the_data():
    """Of data whose points all differ, none lies in both halves."""
    data = circle(120, 5)
    found = report(Samples(lambda n, seed: data[torch.arange(n) % 120]), data, **FAST)
    assert found["Gromov-Wasserstein"].floor > 0
    assert found.n_points == 60 and found.n_betti == 120
    alone = gromov_wasserstein(data, data, normalize=True).floor
    assert 0.2 < found["Gromov-Wasserstein"].floor / alone < 5


def test_a_model_with_latent_points(data):
    found = report(Doubling(circle), data, **FAST)
    assert [m.name for m in found.measures] == [
        *ALWAYS,
        "bi-Lipschitz",
        "bi-Lipschitz, scale-free",
        "reconstruction error",
    ]
    assert found["bi-Lipschitz"].value == pytest.approx(2)
    assert found["bi-Lipschitz"].floor is None
    assert found["bi-Lipschitz, scale-free"].value == pytest.approx(1)
    assert found["reconstruction error"].value == pytest.approx(0.1 * math.sqrt(2))
    encoding = report(Encoding(circle), data, **FAST)
    assert encoding["bi-Lipschitz"].value == pytest.approx(3)
    assert encoding.measures[-1].name == "bi-Lipschitz, scale-free"


def test_images():
    bars = lm.datasets.Bars(16)
    data = bars.sample(200, seed=0)
    model = Moving(lambda n, seed: bars.sample(n, seed=seed))
    found = report(model, data, peak=0.5, betti=(1, 1), **FAST)
    assert found["PSNR"].value == pytest.approx(20 * math.log10(5), abs=1e-4)
    assert found["reconstruction error"].value == pytest.approx(0.1 * 16, abs=1e-5)
    assert 0 < found["SSIM"].value < 1 and found["SSIM"].ideal == 1.0
    assert (found["Betti 0"].value, found["Betti 1"].value) == (1, 1)
    flat = report(
        Moving(lambda n, seed: bars.sample(n, seed=seed).flatten(1)), data.flatten(1), **FAST
    )
    assert flat.measures[-1].name == "reconstruction error"
    assert flat["precision"].value == found["precision"].value


def test_an_atlas_and_a_mixture(data):
    atlas = lm.Atlas(CircleCharts(2.0).double())
    found = report(atlas, 2 * data, manifold=2 * circle(300, 7), betti=(1, 1), **FAST)
    # Three arcs of half width pi / 2 over [-1, 1].
    assert found["bi-Lipschitz"].value == pytest.approx(math.pi, rel=1e-3)
    assert found["bi-Lipschitz, scale-free"].value == pytest.approx(1, abs=1e-2)
    assert found["reconstruction error"].value == pytest.approx(0, abs=1e-6)
    assert found["Betti 0"].value == found["Betti 1"].value == 1
    assert found["distance to manifold"].value < 0.05
    model = lm.MixtureVAE(3, 1)
    model.atlas_ = atlas
    again = report(model, 2 * data, **FAST)
    assert again["bi-Lipschitz"].value == found["bi-Lipschitz"].value
    assert again["precision"].value == found["precision"].value
    assert (again.model, found.model) == ("MixtureVAE", "Atlas")


def test_an_immersion_and_a_variational_autoencoder():
    decoder = nn.Linear(3, 4, bias=False).double()
    decoder.weight.data = 3 * torch.linalg.qr(draw(4, 3))[0]
    encoder = nn.Linear(4, 3, bias=False).double()
    encoder.weight.data = decoder.weight.data.T.clone()
    manifold = lm.Immersion(Sphere(2), decoder, encoder, (4,))
    settings = {**FAST, "max_dim": 2, "n_landmarks": 300}
    found = report(manifold, manifold.sample(900, seed=5), betti=(1, 0, 1), **settings)
    assert found["bi-Lipschitz"].value == pytest.approx(3, rel=1e-6)
    assert [found[f"Betti {i}"].value for i in range(3)] == [1, 0, 1]
    x = lm.datasets.two_circles(300, seed=0)
    model = lm.ManifoldVAE(lm.latent.Euclidean(1), max_epochs=1, hidden=(8,), random_state=0)
    table = report(model.fit(x), x, **FAST)
    z = model.transform(model.sample(300, seed=0)[:150])
    expected = bi_lipschitz(z, model.decode(z), 8).median
    other = model.transform(model.sample(300, seed=1)[:150])
    expected = (expected + bi_lipschitz(other, model.decode(other), 8).median) / 2
    assert table["bi-Lipschitz"].value == pytest.approx(expected)


class Collapsed(Doubling):
    def transform(self, x):
        return 0 * x


def test_collapsed_models(data):
    """All latent points, and then all samples, are the same."""
    found = report(Collapsed(circle), data, **FAST)
    assert math.isnan(found["bi-Lipschitz"].value)
    found.plot().canvas.draw()
    folded = Doubling(circle)
    folded.transform = lambda x: x[:, :1].sign().expand(-1, 2)
    folded.inverse_transform = lambda z: z + draw(*z.shape)
    shown = report(folded, data, **FAST)
    assert shown["bi-Lipschitz"].value == math.inf
    shown.plot().canvas.draw()
    point = report(Samples(lambda n, seed: torch.ones(n, 2)), data, betti=(1, 1), **FAST)
    assert (point["Betti 0"].value, point["Betti 1"].value) == (1, 0)
    assert point["recall"].value == point["precision"].value == 0.0
    assert point["MMD p-value"].value == pytest.approx(1 / 41)


def test_reproducible(perfect, data):
    _, found = perfect
    again = report(
        Samples(lambda n, seed: circle(n, 1000 + seed)), data, manifold=CIRCLE, betti=(1, 1), **FAST
    )
    assert again == found


def test_table_frame_and_figure(perfect, data):
    _, found = perfect
    frame = found.to_frame()
    assert list(frame.index) == [m.name for m in found.measures]
    assert list(frame.columns) == ["value", "error", "floor", "floor_error", "ideal", "unit"]
    assert frame.loc["recall", "value"] == found["recall"].value
    assert math.isnan(frame.loc["MMD p-value", "ideal"])
    assert repr(found) == "Report(Samples, 12 measures, n_points=250, n_repeats=2)"
    figure = found.plot()
    figure.canvas.draw()
    assert len(figure.axes) == 12
    for axes, measure in zip(figure.axes, found.measures, strict=True):
        low, high = axes.get_xlim()
        assert low < measure.value < high and low < measure.floor < high
        assert measure.ideal is None or low < measure.ideal < high
    with pytest.raises(KeyError, match="no measure 'FID'; there are 'Gromov-Wasserstein'"):
        found["FID"]


def test_the_printed_table(perfect, capsys):
    _, found = perfect
    found.print()
    text = capsys.readouterr().out
    assert "Samples" in text and "Gromov-Wasserstein, 500 for Betti" in " ".join(text.split())
    line = next(row for row in text.splitlines() if "Betti 1" in row)
    assert line.split() == ["Betti", "1", "1", "+-", "0", "1", "+-", "0", "1"]
    assert "distance to manifold (data" in text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.123456, 0.0321, "0.12 +- 0.03"),
        (0.123456, 0.0151, "0.123 +- 0.015"),
        (12.3456, 3.1, "12 +- 3"),
        (2.0, 0.0, "2 +- 0"),
        (0.5, 1e-15, "0.5000 +- 0.0000"),
        (1e-3, 2e-1, "0.0 +- 0.2"),
        (1.3e-17, 4.2e-18, "1.3e-17 +- 4e-18"),
        (1234567.0, 23.0, "1234567 +- 23"),
        (1.23456, math.nan, "1.235"),
        (math.inf, math.nan, "inf"),
    ],
)
def test_digits(value, error, text):
    measure = lm.metrics.Measure("m", value, error, None, None, None, "1")
    table = lm.metrics.Report("model", (measure,), 10, 10, 10, 2).__rich__()
    assert list(table.columns[1].cells) == [text]


@pytest.mark.parametrize("package", ["ot", "ripser"])
def test_without_the_extra(monkeypatch, package, data):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install 'learnedmanifolds\[metrics\]'"):
        report(Samples(circle), data)


class Located3(Samples):
    def transform(self, x):
        return Located(torch.zeros(len(x), dtype=torch.int64), x)


def test_charts_without_a_decoder(data):
    assert report(Located3(circle), data, **FAST)["bi-Lipschitz"].value == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: report(object(), x), TypeError, "model must have a method sample"),
        (lambda x: report(Samples(circle), x[:30]), ValueError, "x must hold at least 42 points"),
        (lambda x: report(Samples(circle), x[:, 0]), ValueError, r"x must have shape \(N, ...\)"),
        (lambda x: report(Samples(circle), x / 0), ValueError, "x must be finite"),
        (lambda x: report(Samples(circle), "x"), TypeError, "x must be an array"),
        (
            lambda x: report(Samples(lambda n, seed: circle(n - 1, seed)), x),
            ValueError,
            r"model.sample\(n\) must have shape \(100, 2\), got \(99, 2\)",
        ),
        (
            lambda x: report(Samples(lambda n, seed: circle(n, seed) / 0), x),
            ValueError,
            r"model.sample\(n\) must be finite",
        ),
        (lambda x: report(Samples(circle), x, betti="12"), TypeError, "betti must be a sequence"),
        (lambda x: report(Samples(circle), x, betti=()), ValueError, "betti must hold at least"),
        (lambda x: report(Samples(circle), x, betti=(1, -1)), ValueError, "betti must be an int"),
        (
            lambda x: report(Samples(circle), x, n_points=10),
            ValueError,
            "n_points must be at least",
        ),
        (lambda x: report(Samples(circle), x, n_repeats=0), ValueError, "n_repeats must be"),
        (lambda x: report(Samples(circle), x, n_gromov=1), ValueError, "n_gromov must be"),
        (lambda x: report(Samples(circle), x, k=0), ValueError, "k must be an integer"),
        (lambda x: report(Samples(circle), x, peak=0), ValueError, "peak must be a positive"),
        (lambda x: report(Samples(circle), x, seed=None), TypeError, "seed must be an integer"),
        (lambda x: report(Samples(circle), x, seed=-1), ValueError, "seed must be an integer"),
        (
            lambda x: report(Samples(circle), x, manifold="S"),
            TypeError,
            "manifold must be an array",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(circle(100, 0))
