"""Intrinsic dimension: known manifolds, known laws, what must not matter, bad input."""

import math
import time

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import learnedmanifolds as lm
from learnedmanifolds.learning.scales import angles


def cube(n, d, rng):
    return rng.random((n, d))


def normal(n, d, rng):
    return rng.standard_normal((n, d))


def sphere(n, d, rng):
    x = rng.standard_normal((n, d + 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def torus(n, d, rng):
    angle = 2 * math.pi * rng.random((n, d))
    return np.concatenate([np.cos(angle), np.sin(angle)], 1)


def helix(n, d, rng):
    t = 4 * math.pi * rng.random((n, d))
    return np.concatenate([np.cos(t), np.sin(t), 0.3 * t], 1)


def mobius(n, d, rng):
    t, s = 2 * math.pi * rng.random(n), rng.random(n) - 0.5
    r = 1 + s * np.cos(t / 2)
    return np.stack([r * np.cos(t), r * np.sin(t), s * np.sin(t / 2)], 1)


def paraboloid(n, d, rng):
    x = rng.standard_normal((n, d))
    return np.concatenate([x, 0.3 * (x**2).sum(1, keepdims=True)], 1)


def frame(n_ambient, d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n_ambient, d)))[0]


KNOWN = [
    *[(law, d) for law in (cube, normal, sphere) for d in (1, 2, 3, 4)],
    *[(law, d) for law in (normal, sphere) for d in (6, 10)],
    *[(torus, d) for d in (1, 2, 3)],
    *[
        (sphere, 17),
        (normal, 20),
        (normal, 40),
        (helix, 1),
        (mobius, 2),
        (paraboloid, 2),
        (paraboloid, 3),
    ],
]


@pytest.mark.parametrize(("law", "d"), KNOWN, ids=lambda v: getattr(v, "__name__", str(v)))
def test_the_dimension_of_known_manifolds(law, d):
    for seed in range(2):
        found = lm.dimension(law(1000, d, np.random.default_rng(seed)))
        assert found.value == d, found
        assert not found.reason


@pytest.mark.parametrize("law", [normal, sphere])
@pytest.mark.parametrize("d", [2, 4])
def test_intervals_cover(law, d):
    # At least 8 of 12, where 11 are expected.
    n_in = 0
    for seed in range(12):
        low, high = lm.dimension(law(300, d, np.random.default_rng(seed))).interval
        n_in += low <= d <= high
    assert n_in >= 8


def test_the_error_falls_with_the_number_of_points():
    few, many = (lm.dimension(normal(n, 3, np.random.default_rng(0))) for n in (200, 2000))
    assert many.interval[1] - many.interval[0] < 0.8 * (few.interval[1] - few.interval[0])


@pytest.mark.parametrize(
    ("name", "d"),
    [
        ("circle", 1),
        ("two_circles", 1),
        ("loop", 1),
        ("ring", 2),
        ("swiss_roll", 2),
        ("sphere", 2),
        ("torus", 2),
    ],
)
@pytest.mark.parametrize("n", [300, 10_240])
def test_noise_is_seen_past(name, d, n):
    for seed in range(1 if n > 1000 else 3):
        found = lm.dimension(lm.datasets.toy(name).sample(n, noise=0.01, seed=seed))
        assert found.value == d, found


def test_noise_is_read_past_at_a_scale_above_it():
    found = lm.dimension(lm.datasets.toy("circle").sample(5000, noise=0.01, seed=0))
    assert found.scale > 0.05
    # The plane at the finest scale, the circle at that one.
    assert found.estimates[0] > 1.9
    assert found.estimate < 1.25
    assert (np.diff(found.scales) > 0).all()


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.02])
def test_a_surface_among_many_features_far_from_the_origin(noise):
    rng = np.random.default_rng(0)
    u = rng.uniform(-1, 1, (1000, 2))
    surface = np.column_stack([u, np.sin(2 * u[:, 0]), u[:, 0] * u[:, 1]])
    x = surface @ frame(300, 4).T + noise * rng.standard_normal((1000, 300)) + 1000
    assert lm.dimension(x).value == 2


def test_few_points_of_a_closed_curve():
    for seed in range(10):
        assert lm.dimension(sphere(30, 1, np.random.default_rng(seed))).value == 1


@pytest.mark.parametrize("n", [54, 200])
def test_images_that_turn_are_a_curve(n):
    angle = np.arange(n) * 2 * math.pi / n
    row, column = np.mgrid[-1:1:28j, -1:1:28j]
    u = np.cos(angle)[:, None, None] * row - np.sin(angle)[:, None, None] * column
    v = np.sin(angle)[:, None, None] * row + np.cos(angle)[:, None, None] * column
    found = lm.dimension((np.abs(u - 0.2) < 0.15) * (np.abs(v) < 0.7) * 255)
    assert found.value == 1


def test_grids():
    square = np.stack(np.meshgrid(np.arange(30), np.arange(30)), -1).reshape(-1, 2)
    assert lm.dimension(square).value == 2
    assert lm.dimension(np.arange(50)[:, None]).value == 1


@pytest.mark.parametrize("law", [helix, sphere])
@pytest.mark.parametrize(
    ("scale", "offset"), [(1e-9, 0.0), (1e9, 0.0), (1.0, 1e6), (1e-150, 0.0), (1e150, 0.0)]
)
def test_units_and_places_do_not_matter(law, scale, offset):
    x = law(400, 2 if law is sphere else 1, np.random.default_rng(0))
    home, away = lm.dimension(x), lm.dimension(scale * x + offset)
    assert away.value == home.value
    assert away.estimate == pytest.approx(home.estimate, rel=1e-6)
    assert away.scale == pytest.approx(scale * home.scale, rel=1e-6)
    assert away.scales == pytest.approx(scale * home.scales, rel=1e-6)


def test_rotation_and_further_features_do_not_matter():
    x = torus(500, 2, np.random.default_rng(0))
    home = lm.dimension(x)
    for away in (
        x @ frame(4, 4),
        x @ frame(9, 4).T,
        np.pad(x, ((0, 0), (0, 5)), constant_values=3),
    ):
        assert lm.dimension(away).estimate == pytest.approx(home.estimate, rel=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_more_features_than_points_do_not_matter(noise):
    rng = np.random.default_rng(0)
    x = torus(200, 2, rng) @ frame(150, 4).T + noise * normal(200, 150, rng)
    home = lm.dimension(x, per_point=True)
    start = time.process_time()
    away = lm.dimension(x @ frame(4000, 150).T, per_point=True)
    assert time.process_time() - start < 5
    assert away.value == home.value
    assert noise or home.value == 2
    assert away.interval == pytest.approx(home.interval, rel=1e-9)
    assert away.scales == pytest.approx(home.scales, rel=1e-9)
    assert away.per_point == pytest.approx(home.per_point, rel=1e-9)


def test_repeated_points_count_once():
    x = cube(100, 2, np.random.default_rng(0))
    home = lm.dimension(x)
    again = lm.dimension(np.concatenate([x, x, x[:7]]), per_point=True)
    assert again.estimate == pytest.approx(home.estimate, rel=1e-9)
    assert (again.per_point[:100] == again.per_point[100:200]).all()


@pytest.mark.parametrize("d", [1, 2, 3])
def test_outliers_do_not_matter(d):
    rng = np.random.default_rng(0)
    x = np.pad(sphere(990, d, rng), ((0, 0), (0, 2)))
    stray = rng.uniform(-5, 5, (10, x.shape[1]))
    assert lm.dimension(np.concatenate([stray, x])).value == d
    far = np.full((1, x.shape[1]), 1e8)
    assert lm.dimension(np.concatenate([far, x])).value == d


def test_equal_points_are_of_dimension_zero():
    for x in (np.ones((20, 3)), np.zeros((20, 1)), np.full((20, 2), 0.1) + 1e6):
        found = lm.dimension(x, per_point=True)
        assert (found.value, found.estimate, found.interval) == (0, 0.0, (0.0, 0.0))
        assert (found.per_point == 0).all()


def test_points_on_a_line():
    x = np.random.default_rng(0).random((100, 1)) * np.array([[1.0, -2.0, 3.0]])
    found = lm.dimension(x)
    assert found.value == 1
    assert found.estimate == pytest.approx(1, abs=0.01)


def test_no_clear_dimension_is_said():
    few = lm.dimension(np.repeat(np.eye(3), 5, 0))
    assert few.value is None
    assert few.reason == "there are only 3 different points"
    assert math.isnan(few.estimate)
    # Noise of many sizes: the dimension falls on and on.
    rng = np.random.default_rng(0)
    circle = np.pad(sphere(500, 1, rng), ((0, 0), (0, 28)))
    noise = np.exp(rng.uniform(-3.5, -0.5, (500, 1)))
    found = lm.dimension(circle + noise * rng.standard_normal((500, 30)))
    assert found.value is None
    assert "scale" in found.reason
    assert found.reason in repr(found)
    curve_and_ball = np.concatenate(
        [np.pad(sphere(300, 1, rng), ((0, 0), (0, 3))), 4 + normal(300, 5, rng)]
    )
    assert lm.dimension(curve_and_ball).reason.startswith("parts of the points differ")


def test_each_component_has_its_own():
    rng = np.random.default_rng(0)
    line = np.linspace(0, 10, 300)[:, None] * np.array([[1.0, 0, 0]]) + 5
    x = np.concatenate([0.3 * normal(600, 3, rng), line])
    found = lm.dimension(x, per_component=True, per_point=True)
    assert [part.value for part in found.components] == [3, 1]
    assert (found.labels[600:] == 1).all()
    assert (found.labels[:600] == 0).mean() > 0.98
    assert np.median(found.per_point[:600]) == pytest.approx(3, abs=0.3)
    assert np.median(found.per_point[600:]) == pytest.approx(1, abs=0.05)
    plain = lm.dimension(x)
    assert plain.components == ()
    assert plain.labels is plain.per_point is None


def test_equal_components_are_in_the_order_of_their_points():
    first = sphere(100, 1, np.random.default_rng(0))
    for far in (10.0, -10.0):
        x = np.concatenate([first, first + far])
        for y in (x, x @ frame(300, 2).T):
            labels = lm.dimension(y, per_component=True).labels
            assert (labels == np.repeat([0, 1], 100)).all()


def test_tensors_integers_booleans_and_images():
    rng = np.random.default_rng(0)
    x = cube(200, 2, rng)
    home = lm.dimension(x)
    assert lm.dimension(torch.from_numpy(x)).estimate == home.estimate
    assert lm.dimension(torch.from_numpy(x).requires_grad_()).estimate == home.estimate
    assert lm.dimension(x.reshape(200, 1, 2)).estimate == home.estimate
    assert lm.dimension(x.astype(np.float32)).estimate == pytest.approx(home.estimate, rel=1e-3)
    assert lm.dimension((1e6 * x).astype(int)).value == 2
    assert lm.dimension(rng.random((100, 6)) < 0.5) is not None
    assert lm.dimension(np.asfortranarray(x)).estimate == home.estimate


def test_the_same_seed_gives_the_same_bits():
    x = normal(800, 3, np.random.default_rng(0))
    first, second, other = (lm.dimension(x, seed=seed) for seed in (1, 1, 2))
    assert first.estimate == second.estimate != other.estimate


def test_the_plot():
    figure = lm.dimension(helix(300, 1, np.random.default_rng(0))).plot()
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_xscale() == "log"
    assert isinstance(lm.dimension(np.ones((20, 3))).plot(), Figure)
    assert isinstance(lm.dimension(np.repeat(np.eye(3), 5, 0)).plot(), Figure)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((9, 2)), ValueError, "x must hold at least 10 points, got 9"),
        (np.zeros(20), ValueError, "x must have shape"),
        (np.zeros((0, 2)), ValueError, "x must not be empty"),
        (np.zeros((20, 0)), ValueError, "x must not be empty"),
        (np.full((20, 2), np.nan), ValueError, "x must be finite"),
        (np.full((20, 2), 1j), TypeError, "x must be"),
        ("points", TypeError, "x must be"),
    ],
)
def test_bad_points_are_refused(x, error, message):
    with pytest.raises(error, match=message):
        lm.dimension(x)


def test_bad_settings_are_refused():
    x = np.random.default_rng(0).random((20, 2))
    with pytest.raises(TypeError, match="per_point must be True or False"):
        lm.dimension(x, per_point=1)
    with pytest.raises(TypeError, match="seed must be an integer"):
        lm.dimension(x, seed=0.5)
    with pytest.raises(ValueError, match="seed"):
        lm.dimension(x, seed=-1)


def test_pairs_have_the_cosine_of_their_dimension():
    """E[cos^2] = 1 / d for any number of neighbours, without any bias to correct."""
    for d in (2, 8):
        x = normal(2000, d, np.random.default_rng(0))
        index = np.random.default_rng(1).integers(0, 2000, (500, 16))
        for scale in angles(x, index, (4, 8, 16), 2000, np.random.default_rng(0)):
            assert scale.dim == pytest.approx(d, rel=0.08)


def test_ten_thousand_points_take_a_moment():
    x = sphere(10_000, 2, np.random.default_rng(0)) @ frame(64, 3).T
    start = time.perf_counter()
    assert lm.dimension(x).value == 2
    # A third of a second alone; the machine may be busy.
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize("std", [0.07, 0.1])
@pytest.mark.parametrize("n", [500, 2000, 5000])
def test_a_circle_with_noise_of_a_tenth_of_its_radius_is_no_surface_in_silence(std, n):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        t = rng.uniform(0, 2 * np.pi, n)
        x = np.stack([np.cos(t), np.sin(t)], 1) + std * rng.standard_normal((n, 2))
        found = lm.dimension(x)
        assert found.value == 1 or "as where noise is" in found.reason
        # A band of the same length and width that ends sharply is one, of scales within its width.
        assert lm.dimension(rng.uniform(-1, 1, (n, 2)) * [np.pi, 0.6]).value == 2


def uneven(rng, count, dim):
    """Points of a paraboloid, dense at its tip, and functions of their coordinates."""
    weights = rng.exponential(size=(count, dim + 1))
    x = 1 / (1 + weights[:, 1:] / weights[:, :1])
    x = np.c_[x, (x**2).sum(1)]
    return np.c_[x, np.sin(x), x**2]


@pytest.mark.parametrize("dim", [6, 8])
def test_a_manifold_whose_points_are_spread_unevenly_is_not_taken_for_noise(dim):
    for seed in range(3):
        found = lm.dimension(uneven(np.random.default_rng(seed), 2500, dim))
        # The angles alone fall with scale, as where there is noise.
        assert found.estimates[-1] < 0.7 * found.estimates[0]
        assert found.value == dim and not found.reason
        assert found.interval[0] < dim < found.interval[1]


def test_a_fall_with_scale_by_noise_in_all_features_stays_unclear():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, 2 * np.pi, 2500)
        circle = np.pad(np.stack([np.cos(angle), np.sin(angle)], 1), ((0, 0), (0, 6)))
        found = lm.dimension(circle + 0.2 * rng.standard_normal(circle.shape))
        assert found.value is None and "falls" in found.reason
        # In a plane among more features, all points are as near to it as their neighbours are.
        flat = circle[:500] + np.pad(0.1 * rng.standard_normal((500, 2)), ((0, 0), (0, 6)))
        assert lm.dimension(flat @ frame(8, 8).T).value is None


def test_noise_in_every_pixel_is_no_dimension():
    """A blob in pictures: around a circle, and all over a square."""
    axis = np.linspace(-1, 1, 20)
    rng = np.random.default_rng(0)
    for count, dim in ((600, 1), (900, 2)):
        turn = 2 * np.pi * rng.random(count)
        at = (
            np.stack([np.cos(turn), np.sin(turn)], 1)
            if dim == 1
            else 2 * rng.random((count, 2)) - 1
        )
        square = (axis[:, None] - at[:, :1, None] / 2) ** 2 + (axis - at[:, 1:, None] / 2) ** 2
        x = np.exp(-square / 0.06)
        x = x + 0.01 * rng.standard_normal(x.shape)
        assert lm.dimension(x).value == dim
        assert lm.KernelAtlas(random_state=0).fit(x).dim_ == dim


def test_neighbours_at_right_angles_are_no_error():
    for seed in range(3):
        found = lm.dimension(np.random.default_rng(seed).random((100, 5)) > 0.5)
        assert math.isfinite(found.estimate)


def turning(n, std, rng):
    """A closed curve of three frequencies, in fifty features."""
    t = rng.uniform(0, 2 * math.pi, n)
    waves = [a * f(k * t) for k, a in ((1, 1), (2, 0.5), (3, 0.3)) for f in (np.cos, np.sin)]
    x = np.stack(waves, 1) @ np.linalg.qr(rng.standard_normal((50, 6)))[0].T
    return x + std * rng.standard_normal(x.shape)


def bent(name, n, std, rng):
    """Curves and surfaces in three features."""
    u, v = rng.uniform(0, 1, (2, n))
    t = 2 * math.pi * u
    x = {
        "helix": lambda: (np.cos(3 * t), np.sin(3 * t), 0.6 * t),
        "circle": lambda: (np.cos(t), np.sin(t), 0 * t),
        "square": lambda: (u, v, 0 * u),
        "saddle": lambda: (u - 0.5, v - 0.5, (u - 0.5) ** 2 - (v - 0.5) ** 2),
        "tube": lambda: (np.cos(t), np.sin(t), v),
    }[name]()
    return np.stack(x, 1) + std * rng.standard_normal((n, 3))


def test_curves_whose_neighbourhoods_are_near_lines_are_read_through_their_noise():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert lm.dimension(turning(600, 0.02, rng)).value == 1
        assert lm.dimension(bent("helix", 500, 0.05, rng)).value == 1


def test_planes_in_which_a_noisy_curve_bends_are_not_its_dimension():
    y, x = np.mgrid[-4:5, -4:5]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        turn = rng.uniform(0, math.pi, (300, 1, 1))
        lines = np.exp(-((x * np.sin(turn) - y * np.cos(turn)) ** 2))
        assert lm.dimension(lines + 0.02 * rng.standard_normal(lines.shape)).value in (1, None)


@pytest.mark.parametrize(
    ("name", "n", "std", "d"),
    [
        ("circle", 5000, 0.05, None),
        ("circle", 5000, 0.07, None),
        ("square", 500, 0.03, 2),
        ("square", 3000, 0.06, 2),
        ("saddle", 3000, 0.06, 2),
        ("tube", 500, 0.1, 2),
    ],
)
def test_noise_as_large_as_neighbourhoods_is_no_dimension_in_silence(name, n, std, d):
    for seed in range(3):
        found = lm.dimension(bent(name, n, std, np.random.default_rng(seed)))
        assert found.value is None
        assert "falls" in found.reason
        # What `KernelAtlas` then takes.
        assert d is None or round(found.estimate) == d


@pytest.mark.parametrize("n", [200, 500, 3000])
@pytest.mark.parametrize("shape", ["cube", "ball", "slab"])
def test_solids_are_not_taken_for_surfaces_with_noise(shape, n):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (n, 3)) * ([1, 1, 0.5] if shape == "slab" else 1)
        if shape == "ball":
            x *= (rng.uniform(0, 1, n) ** (1 / 3) / np.linalg.norm(x, axis=1))[:, None]
        assert lm.dimension(x).value == 3
