"""Atlases of analytic charts: evaluation in mixed charts, places, probabilities, samples."""

import math

import numpy as np
import pytest
import torch
from kernel_atlases import kernel_atlas
from oracles import StepLine, angle_of, draw, random_flow, torus_distance, unit
from scipy import stats

from learnedmanifolds import Atlas, load
from learnedmanifolds.charts import Charts, CircleCharts, SphereCharts, TorusCharts

CASES = {
    "circle": lambda: Atlas(CircleCharts(2.0, 3), tolerance=1e-6),
    "sphere": lambda: Atlas(SphereCharts(1.5), tolerance=1e-6),
    "torus": lambda: Atlas(TorusCharts(3.0, 1.0), tolerance=1e-6),
    "flow": lambda: Atlas(random_flow(2, 3), tolerance=1e-6),
}
DISTANCE = {
    "circle": lambda x: (x.norm(dim=-1) - 2).abs(),
    "sphere": lambda x: (x.norm(dim=-1) - 1.5).abs(),
    "torus": lambda x: torus_distance(x, 3, 1),
}


@pytest.fixture(params=CASES)
def name(request):
    return request.param


@pytest.fixture
def atlas(name):
    return CASES[name]()


def places(atlas, n=25, seed=0):
    """Coordinates in charts in random order, very unequally many a chart."""
    source = torch.Generator().manual_seed(seed)
    share = torch.tensor([10.0] + [1.0] * (atlas.n_charts - 1))
    chart = torch.multinomial(share, n, True, generator=source)
    assert len(set(chart.tolist())) > 1
    return draw(n, atlas.dim, seed=seed, low=-1, high=1), chart


def test_mixed_charts_equal_calls_for_single_charts(atlas):
    coords, chart = places(atlas)
    tangents = draw(3, len(coords), atlas.dim, seed=1)
    x = atlas.decode(coords, chart)
    back = atlas.encode(x, chart)
    jet = atlas.jet(coords, chart, tangents, [(0, 1), (2, 2)])
    assert torch.allclose(back, coords, rtol=0, atol=1e-10)
    for i, k in enumerate(chart.tolist()):
        row = slice(i, i + 1)
        assert torch.allclose(x[row], atlas.charts.decode(coords[row], k), rtol=0, atol=1e-11)
        one = atlas.charts.jet(coords[row], k, tangents[:, row], [(0, 1), (2, 2)])
        assert torch.allclose(jet.value[row], one.value, rtol=0, atol=1e-11)
        assert torch.allclose(jet.first[:, row], one.first, rtol=0, atol=1e-11)
        assert torch.allclose(jet.second[:, row], one.second, rtol=0, atol=1e-10)
        single = atlas.decode(coords[row], k)
        assert torch.equal(single, atlas.decode(coords[row], np.int64(k)))
        assert torch.equal(single, atlas.decode(coords[row].numpy(), np.array([k])))


def test_no_points_are_no_error(atlas):
    n = atlas.ambient_shape[0]
    none = np.zeros((0, n))
    assert atlas.decode(np.zeros((0, atlas.dim)), np.zeros(0, dtype=int)).shape == (0, n)
    assert atlas.encode(none, 0).shape == (0, atlas.dim)
    assert atlas.project(none).shape == (0, n)
    assert atlas.responsibilities(none).shape == (0, atlas.n_charts)
    assert atlas.locate(none).coords.shape == (0, atlas.dim)


def test_responsibilities_are_deterministic_probabilities(atlas):
    x = 3 * draw(50, *atlas.ambient_shape, seed=3)
    r = atlas.responsibilities(x)
    assert r.shape == (50, atlas.n_charts) and (r >= 0).all()
    assert torch.allclose(r.sum(1), torch.ones(50, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(r, atlas.responsibilities(x.numpy()))


def test_weights_share_a_point_that_two_charts_hold():
    atlas = Atlas(CircleCharts(2.0, 3), weights=[1, 2, 3])
    angle = torch.tensor([60, 180, 300], dtype=torch.float64) * math.pi / 180
    x = 2 * torch.stack([angle.cos(), angle.sin()], -1)
    expected = torch.tensor(
        [[1 / 3, 2 / 3, 0], [0, 2 / 5, 3 / 5], [1 / 4, 0, 3 / 4]], dtype=torch.float64
    )
    assert torch.allclose(atlas.responsibilities(x), expected, rtol=0, atol=1e-12)


class Lines(Charts):
    """Two parallel lines (t, 0) and (t, 1)."""

    def __init__(self):
        super().__init__(2, 1, (2,))

    def decode(self, coords, chart=None):
        if chart is None:
            return torch.stack([self.decode(coords[k], k) for k in range(2)])
        return torch.cat([coords, torch.full_like(coords, chart)], -1)

    def encode(self, x, chart=None):
        return x[..., :1] if chart is not None or x.dim() == 3 else x[..., :1].expand(2, -1, -1)


def test_two_lines_are_told_apart_by_bayes_rule():
    atlas = Atlas(Lines(), weights=[0.25, 0.75], noise_std=0.3)
    y = np.linspace(-0.5, 1.5, 9)
    x = np.stack([0 * y + 0.1, y], -1)
    likelihood = np.stack([0.25 * stats.norm.pdf(y, 0, 0.3), 0.75 * stats.norm.pdf(y, 1, 0.3)], -1)
    expected = likelihood / likelihood.sum(1, keepdims=True)
    np.testing.assert_allclose(atlas.responsibilities(x).numpy(), expected, rtol=1e-10)
    # Up to the normalisation of the normal density, and the latent density of the coordinate.
    height = float(atlas.charts.density.log_prob(torch.tensor([0.1], dtype=torch.float64)))
    log_density = np.log(likelihood.sum(1) * 0.3 * math.sqrt(2 * math.pi)) + height
    np.testing.assert_allclose(
        atlas.log_density(torch.from_numpy(x)).numpy(), log_density, rtol=1e-10
    )


def test_locate_on_the_circle_takes_the_chart_of_the_nearest_centre():
    atlas, angle = CASES["circle"](), draw(200, seed=4, low=0, high=2 * math.pi)
    x = 2 * torch.stack([angle.cos(), angle.sin()], -1)
    located = atlas.locate(x)
    assert torch.equal(located.chart, torch.round(angle / (2 * math.pi / 3)).long() % 3)
    assert torch.allclose(atlas.decode(located.coords, located.chart), x, rtol=0, atol=1e-12)


def test_locate_on_the_sphere_takes_the_chart_of_the_hemisphere():
    atlas, x = CASES["sphere"](), 1.5 * unit(draw(200, 3, seed=5))
    located = atlas.locate(x)
    assert torch.equal(located.chart == 0, x[:, 2] < 0)
    assert torch.allclose(atlas.decode(located.coords, located.chart), x, rtol=0, atol=1e-12)


def test_locate_on_the_torus_takes_the_nearest_centre_of_both_angles():
    atlas = CASES["torus"]()
    u, v = draw(2, 200, seed=6, low=0, high=2 * math.pi)
    ring = 3 + v.cos()
    located = atlas.locate(torch.stack([ring * u.cos(), ring * u.sin(), v.sin()], -1))
    row, column = (torch.round(angle / math.pi).long() % 2 for angle in (u, v))
    assert torch.equal(located.chart, 2 * row + column)


class TestFind:
    def test_points_of_the_atlas_keep_their_coordinates(self):
        # The charts of a random flow share nothing: each point has one chart that reproduces it.
        atlas = Atlas(random_flow(2, 4))
        made = atlas.sample_coords(60, 0)
        found = atlas.find(atlas.decode(made.coords, made.chart))
        assert torch.equal(found.chart, made.chart)
        assert torch.allclose(found.coords, made.coords, rtol=0, atol=1e-9)

    def test_charts_that_disagree_do_not_share_points(self):
        atlas = Atlas(StepLine(0.01), tolerance=0.05)
        x = torch.tensor([[0.9, 0.0], [0.3, 0.01]], dtype=torch.float64)
        chart, coords = atlas.find(x)
        # Chart 1 holds the first point more deeply, but 0.01 off; as chart 0 does the second.
        assert chart.tolist() == [0, 1]
        assert torch.allclose(coords, torch.tensor([[0.9], [-0.9]], dtype=torch.float64))

    def test_charts_that_agree_give_the_deepest(self):
        atlas = Atlas(StepLine(0.0), tolerance=0.05)
        assert atlas.find(torch.tensor([[0.9, 0.0], [0.3, 0.0]]).double()).chart.tolist() == [1, 0]

    def test_others_are_moved_to_the_nearest_point_within_the_tolerance(self):
        atlas = Atlas(StepLine(0.01), tolerance=0.05)
        chart, coords = atlas.find(torch.tensor([[0.5, -0.04], [0.5, 0.04]]).double())
        assert chart.tolist() == [0, 1]
        with pytest.raises(ValueError, match=r"x must be on the manifold: it is 0\.06 away"):
            atlas.find(torch.tensor([[0.0, 0.0], [0.5, -0.06]]).double())


def test_locate_far_away_stays_in_a_box(atlas):
    located = atlas.locate(100 * draw(50, *atlas.ambient_shape, seed=7))
    assert located.coords.abs().max() <= 1 and torch.isfinite(located.coords).all()


@pytest.mark.parametrize("name", DISTANCE, indirect=True)
def test_samples_lie_on_the_manifold(atlas, name):
    x = atlas.sample(500, seed=1)
    assert x.shape == (500, *atlas.ambient_shape)
    assert DISTANCE[name](x).max() < 1e-12


def test_the_seed_decides_a_sample(atlas):
    state = torch.get_rng_state()
    assert torch.equal(atlas.sample(20, seed=1), atlas.sample(20, seed=1))
    assert not torch.equal(atlas.sample(20, seed=1), atlas.sample(20, seed=2))
    assert not torch.equal(atlas.sample(20), atlas.sample(20))
    assert torch.equal(state, torch.get_rng_state())


def test_samples_follow_weights_and_latent_density():
    atlas = Atlas(CircleCharts(1.0, 4), weights=[1, 0, 2, 5])
    located = atlas.sample_coords(8000, seed=2)
    counts = torch.bincount(located.chart, minlength=4).numpy()
    assert counts[1] == 0
    assert stats.chisquare(counts[[0, 2, 3]], [1000, 2000, 5000]).pvalue > 1e-3
    assert located.coords.abs().max() <= 1
    # 1.6 of the mass 1.6 + 0.21 of the box is the flat core.
    core = float((located.coords.abs() <= 0.8).double().mean())
    assert core == pytest.approx(1.6 / 1.81, abs=4 * math.sqrt(0.1 / 8000))


def test_the_atlas_owns_its_charts():
    charts = random_flow(2, 3).requires_grad_(True)
    atlas = Atlas(charts)
    coords, chart = places(atlas)
    x = atlas.decode(coords, chart)
    with torch.no_grad():
        charts.center.add_(1)
    assert torch.equal(atlas.decode(coords, chart), x)
    assert not any(p.requires_grad for p in atlas.charts.parameters())


def test_to_makes_a_copy_in_another_dtype():
    atlas = CASES["flow"]()
    coords, chart = places(atlas)
    single = atlas.to(torch.float32)
    assert atlas.dtype == torch.float64 and single.dtype == torch.float32
    x = single.decode(coords, chart)
    assert x.dtype == single.sample(3, seed=0).dtype == torch.float32
    assert single.responsibilities(x).dtype == torch.float32
    assert torch.allclose(x.double(), atlas.decode(coords, chart), rtol=0, atol=1e-4)
    assert single.project(x).dtype == torch.float32
    assert torch.allclose(single.project(x), x, rtol=0, atol=1e-3)


def test_log_density_is_smooth_and_falls_off_the_manifold():
    atlas = Atlas(SphereCharts(), noise_std=0.1)
    x = unit(draw(20, 3, seed=8))
    values = [atlas.log_density(s * x) for s in (1.0, 1.1, 1.2)]
    # Radially a Gaussian: differences -(0.1 / 0.1)^2 / 2 and -(0.2 / 0.1)^2 / 2.
    assert torch.allclose(values[1] - values[0], torch.tensor(-0.5).double(), rtol=0, atol=1e-9)
    assert torch.allclose(values[2] - values[0], torch.tensor(-2.0).double(), rtol=0, atol=1e-9)


def test_log_density_takes_every_array_and_keeps_the_graph(atlas):
    x = atlas.sample(4, seed=2)
    expected = atlas.log_density_flat(x.flatten(1))
    for given in (x, x.numpy(), x.tolist()):
        assert torch.equal(atlas.log_density(given), expected)
    point = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(atlas.log_density(point).sum(), point)
    along = torch.func.grad(lambda y: atlas.log_density_flat(y).sum())(x.flatten(1))
    assert torch.allclose(slope.flatten(1), along)


@pytest.mark.parametrize(
    ("x", "error"),
    [
        ([[0.0, 0.0, 1.5]], TypeError),
        (np.zeros((1, 3)), TypeError),
        (None, TypeError),
        (3, TypeError),
        (torch.zeros(1, 3, dtype=torch.int64), TypeError),
        (torch.zeros(1, 3, dtype=torch.complex128), TypeError),
        (torch.zeros(3).double(), ValueError),
        (torch.zeros(1, 2).double(), ValueError),
        (torch.zeros(2, 1, 3).double(), ValueError),
    ],
)
def test_claims_are_of_flat_tensors(x, error):
    with pytest.raises(error, match="x must .*flat, got"):
        SPHERE.claims(x)
    assert SPHERE.claims(torch.full((1, 3), torch.nan).double())[1].isnan().all()


@pytest.mark.parametrize("name", ["circle", "flow"])
def test_dtypes_by_name(name):
    atlas = CASES[name]()
    for dtype in (torch.float32, torch.float64):
        for target in (dtype, str(dtype), str(dtype).removeprefix("torch.")):
            moved = atlas.to(target)
            assert moved.dtype == moved.weights.dtype == moved.sample(2, seed=0).dtype == dtype
    for device in ("cpu", torch.device("cpu")):
        assert atlas.to(device).device.type == "cpu"
    assert atlas.to("meta").dtype == atlas.dtype


@pytest.mark.parametrize("name", ["circle", "flow"])
@pytest.mark.parametrize(
    "target",
    [
        *(
            torch.float16,
            torch.bfloat16,
            torch.complex64,
            torch.complex128,
            torch.int64,
            torch.bool,
        ),
        *("float16", "torch.bfloat16", "complex64", "int8", "half", "f8", "sphere", ""),
    ],
)
def test_other_dtypes_are_refused(name, target):
    with pytest.raises(ValueError, match="target must be torch.float32, torch.float64"):
        CASES[name]().to(target)


@pytest.mark.parametrize("target", [None, 3.0, np.float64, float, torch.zeros(1)])
def test_what_is_no_dtype_is_refused(target):
    with pytest.raises(TypeError, match="target must be a torch.dtype or a device, got"):
        SPHERE.to(target)


SPHERE = CASES["sphere"]()
GOOD = np.array([[0.0, 0.0, 1.5]])
NAN = np.array([[0.0, np.nan, 1.0]])
POINT_METHODS = ["log_density", "responsibilities", "locate", "project", "nearest", "flat"]


@pytest.mark.parametrize("method", POINT_METHODS)
@pytest.mark.parametrize(
    ("x", "error"),
    [
        (NAN, ValueError),
        (np.full((1, 3), np.inf), ValueError),
        (np.zeros((2, 4)), ValueError),
        (np.zeros(3), ValueError),
        ("sphere", TypeError),
        (None, TypeError),
    ],
    ids=["nan", "inf", "width", "one-point", "string", "none"],
)
def test_bad_points_are_refused(method, x, error):
    with pytest.raises(error, match="x must"):
        getattr(SPHERE, method)(x)


@pytest.mark.parametrize("method", ["decode", "encode", "geometry"])
@pytest.mark.parametrize(
    ("chart", "error"),
    [
        (2, ValueError),
        (-1, ValueError),
        (np.int64(5), ValueError),
        (np.array([0, 2]), ValueError),
        (np.array([0, -1]), ValueError),
        (np.array([0, 1, 1]), ValueError),
        (np.array([[0, 1]]), ValueError),
        (0.5, (TypeError, ValueError)),
        (np.array([0.0, 1.0]), TypeError),
        (True, TypeError),
        ("0", TypeError),
        (None, TypeError),
    ],
)
def test_bad_charts_are_refused(method, chart, error):
    argument = np.zeros((2, 3)) + 1 if method == "encode" else np.zeros((2, 2))
    with pytest.raises(error, match="chart must"):
        getattr(SPHERE, method)(argument, chart)


@pytest.mark.parametrize("method", ["decode", "geometry"])
@pytest.mark.parametrize(
    ("coords", "error"),
    [
        (np.zeros((2, 3)), ValueError),
        (np.zeros(2), ValueError),
        (np.full((2, 2), np.nan), ValueError),
        ("here", TypeError),
    ],
)
def test_bad_coordinates_are_refused(method, coords, error):
    with pytest.raises(error, match="coords must"):
        getattr(SPHERE, method)(coords, 0)


@pytest.mark.parametrize(
    ("n", "seed", "error", "name"),
    [
        (0, 0, ValueError, "n"),
        (-3, 0, ValueError, "n"),
        (2.0, 0, TypeError, "n"),
        (True, 0, TypeError, "n"),
        (3, -1, ValueError, "seed"),
        (3, 0.5, TypeError, "seed"),
        (3, "x", TypeError, "seed"),
    ],
)
def test_bad_sample_arguments_are_refused(n, seed, error, name):
    with pytest.raises(error, match=f"{name} must"):
        SPHERE.sample(n, seed=seed)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"charts": "sphere"}, TypeError, "charts"),
        ({"charts": torch.nn.Linear(2, 3)}, TypeError, "charts"),
        ({"weights": [1, -1]}, ValueError, "weights"),
        ({"weights": [0, 0]}, ValueError, "weights"),
        ({"weights": [1, 1, 1]}, ValueError, "weights"),
        ({"weights": [1, np.nan]}, ValueError, "weights"),
        ({"weights": "equal"}, TypeError, "weights"),
        ({"noise_std": 0}, ValueError, "noise_std"),
        ({"noise_std": -1.0}, ValueError, "noise_std"),
        ({"noise_std": np.inf}, ValueError, "noise_std"),
        ({"noise_std": "small"}, TypeError, "noise_std"),
        ({"tolerance": 0.0}, ValueError, "tolerance"),
        ({"tolerance": np.nan}, ValueError, "tolerance"),
        ({"tolerance": [1]}, TypeError, "tolerance"),
    ],
)
def test_bad_constructor_arguments_are_refused(arguments, error, name):
    with pytest.raises(error, match=f"{name} must"):
        Atlas(**{"charts": SphereCharts(), **arguments})


def test_angles_of_samples_cover_the_circle():
    angle = angle_of(CASES["circle"]().sample(300, seed=3)).sort().values
    assert (angle[1:] - angle[:-1]).max() < 0.2


def test_components_are_those_of_the_data():
    atlas = kernel_atlas("two_circles")
    label = atlas.components
    assert sorted(set(label.tolist())) == [0, 1]
    at = atlas.sample_coords(200, seed=0)
    left = atlas.decode(at.coords, at.chart)[:, 0] < 0
    # Each circle is on one side.
    assert len(set(zip(label[at.chart].tolist(), left.tolist(), strict=True))) == 2
    assert Atlas(TorusCharts()).components.tolist() == [0] * TorusCharts().n_charts


def test_agreement_is_kept_and_checked(tmp_path):
    atlas = kernel_atlas("two_circles")
    # Noise moves points far more than charts differ by.
    assert 0 < atlas.agreement < atlas.tolerance
    atlas.save(tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors").agreement == atlas.agreement
    assert Atlas(CircleCharts(), tolerance=0.1).agreement == 0.1
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="agreement must"):
            Atlas(CircleCharts(), agreement=bad)


def test_charts_are_copied_unless_they_are_given_away():
    charts = random_flow(2, 3).requires_grad_(True)
    assert Atlas(charts).charts is not charts
    assert next(charts.parameters()).requires_grad
    given = Atlas(charts, copy_charts=False)
    assert given.charts is charts
    assert not next(charts.parameters()).requires_grad
    with pytest.raises(TypeError, match="charts must be"):
        Atlas(torch.nn.Linear(2, 3), copy_charts=False)
