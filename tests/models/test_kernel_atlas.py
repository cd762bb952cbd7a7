"""Kernel atlases of closed manifolds: how near they are, and that the rest of the library takes them."""

import math
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds.geometry import InducedMetric
from learnedmanifolds.models.kernel_atlas import KernelAtlas

NOISE = 0.01
TOYS = {"circle": 1, "two_circles": 1, "sphere": 2}


@pytest.fixture(scope="module")
def fitted():
    found = {}
    for name, dim in TOYS.items():
        x = lm.datasets.toy(name).sample(2500, noise=NOISE, seed=0)
        found[name] = KernelAtlas(dim=dim, random_state=0).fit(x)
    return found


@pytest.mark.parametrize("name", TOYS)
def test_reconstructions_and_samples_are_within_a_third_of_the_noise(name, fitted):
    toy, model = lm.datasets.toy(name), fitted[name]
    clean = toy.sample(500, noise=0.0, seed=1).double()
    off = (model.atlas_.project(clean) - clean).norm(dim=1)
    assert float(off.mean()) < NOISE / 4
    assert float(toy.distance(model.sample(1000, seed=2)).max()) < NOISE
    assert model.quality_.healthy and model.quality_.coverage == 1.0
    assert model.atlas_.noise_std == pytest.approx(NOISE, rel=0.1)


@pytest.mark.parametrize("name", TOYS)
def test_charts_agree_to_a_tenth_of_the_noise(name, fitted):
    assert fitted[name].quality_.disagreement < NOISE / 10


def test_the_same_data_give_the_same_atlas():
    x = lm.datasets.toy("circle").sample(300, noise=NOISE, seed=0)
    first, second = (KernelAtlas(dim=1, random_state=0).fit(x).atlas_.charts for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0.0), (1e9, 0.0), (1.0, 1e6)])
def test_units_and_places_change_nothing_else(scale, offset):
    x = lm.datasets.toy("circle").sample(300, noise=NOISE, seed=0).double()
    home = KernelAtlas(dim=1, random_state=0).fit(x).atlas_
    away = KernelAtlas(dim=1, random_state=0).fit(scale * (x + offset)).atlas_
    moved = away.project(scale * (x[:50] + offset)) / scale - offset
    assert torch.allclose(moved, home.project(x[:50]), rtol=0, atol=1e-4)
    assert away.noise_std / scale == pytest.approx(home.noise_std, rel=1e-3)


def test_trust_regions_find_the_nearest_points_from_everywhere(fitted):
    atlas = fitted["sphere"].atlas_
    target = torch.tensor([0.3, -0.2, -2.0], dtype=torch.float64)
    problem = lm.InverseProblem(lm.operators.Identity(), target)
    comparison = lm.compare(problem, atlas, ["trust-regions"], n_starts=6, seed=0)
    nearest = target / target.norm()
    for run in comparison.solutions["trust-regions"].runs:
        assert run.status.name == "CONVERGED"
        assert float((torch.as_tensor(run.point) - nearest).norm()) < NOISE


def test_geodesics_go_round_and_distances_are_those_of_the_sphere(fitted):
    atlas = fitted["sphere"].atlas_
    metric = InducedMetric(atlas)
    start = atlas.sample_coords(20, seed=3)
    local = atlas.geometry(start.coords, start.chart)
    heading = local.project(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double())
    around = 2 * math.pi * heading / heading.norm(dim=1, keepdim=True)
    # Closed manifolds have no boundary: all geodesics come back to where they were, nearly.
    end = metric.exp(start, around)
    gap = atlas.decode(end.coords, end.chart) - atlas.decode(start.coords, start.chart)
    assert float(gap.norm(dim=1).max()) < 0.1
    x, y = (atlas.sample(20, seed=s) for s in (4, 5))
    angle = 2 * torch.atan2((x - y).norm(dim=1), (x + y).norm(dim=1))
    found = metric.dist(atlas.locate(x), atlas.locate(y))
    assert torch.allclose(found, angle, rtol=0.01, atol=0)


def test_components_are_infinitely_far_from_each_other(fitted):
    atlas = fitted["two_circles"].atlas_
    x = torch.tensor([[-1.5, 1.0], [1.5, 1.0]], dtype=torch.float64)
    places = atlas.nearest(x)
    ends = [type(places)(*(part[i : i + 1] for part in places)) for i in (0, 1)]
    assert math.isinf(float(InducedMetric(atlas).dist(*ends)))


def test_many_features_are_fitted_in_few_dimensions():
    angle = torch.linspace(0, 2 * math.pi, 401, dtype=torch.float64)[:-1]
    waves = torch.cat(
        [torch.stack([(k * angle).cos(), (k * angle).sin()], 1) for k in (1, 2, 3)], 1
    )
    frame = torch.linalg.qr(
        torch.randn(200, 6, generator=torch.Generator().manual_seed(1)).double()
    )
    x = waves @ frame.Q.mT
    atlas = KernelAtlas(dim=1, random_state=0).fit(x[::2]).atlas_
    off = (atlas.project(x[1::2]) - x[1::2]).norm(dim=1)
    neighbour = torch.cdist(x[1::2], x[::2]).amin(1)
    assert float(off.mean()) < 0.02 * float(neighbour.mean())


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_given_noise_is_in_the_units_of_the_data(scale):
    x = lm.datasets.toy("circle").sample(400, noise=NOISE, seed=0).double()
    home = KernelAtlas(dim=1, noise_std=NOISE, random_state=0).fit(x)
    away = KernelAtlas(dim=1, noise_std=scale * NOISE, random_state=0).fit(scale * x)
    assert away.n_charts_ == home.n_charts_
    assert away.atlas_.tolerance / scale == pytest.approx(home.atlas_.tolerance, rel=1e-6)


X = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("options", "x", "message"),
    [
        ({"dim": 4, "charts": "kernel"}, torch.randn(100, 6), "dim must be at most 3"),
        ({"dim": 3}, X[:, :2], "dim must be at most"),
        ({"dim": 0}, X, "dim"),
        ({"dim": 1}, X[:4], "x must have a part of at least 6"),
        ({"n_charts": 0}, X, "n_charts"),
        ({"noise_std": 0.0}, X, "noise_std"),
        ({}, X[:, 0], "x must have shape"),
        ({}, X[:4], "x must have at least 10 points"),
        ({}, X[:1].expand(50, 3), "x must have a part of at least 6"),
        ({}, X * torch.nan, "x"),
    ],
)
def test_bad_input(options, x, message):
    with pytest.raises(ValueError, match=message):
        KernelAtlas(**options).fit(x)


def test_without_arguments_the_dimension_is_that_of_the_data(fitted):
    for name, dim in TOYS.items():
        x = lm.datasets.toy(name).sample(1500, noise=NOISE, seed=4)
        assert KernelAtlas(random_state=0).fit(x).dim_ == dim


@pytest.fixture(scope="module")
def turned():
    """A picture of two blobs turned by random angles, and another draw of it."""
    rows, columns = torch.meshgrid(*2 * [torch.linspace(-1, 1, 16).double()], indexing="ij")

    def picture(angle):
        x = angle.cos() * columns + angle.sin() * rows
        y = angle.cos() * rows - angle.sin() * columns
        return sum(
            height * torch.exp(-((x - at) ** 2 + y**2) / 0.02)
            for height, at in ((1.0, 0.5), (0.5, -0.5))
        )

    angles = 2 * math.pi * torch.rand(600, generator=torch.Generator().manual_seed(0)).double()
    return torch.stack([picture(angle) for angle in angles])


def test_a_turned_picture_is_a_circle_nearer_than_any_of_its_neighbours(turned):
    train, test = turned[:500], turned[500:]
    model = KernelAtlas(random_state=0).fit(train)
    assert model.dim_ == 1 and model.quality_.healthy and not model.left_out_.any()
    off = (model.atlas_.project(test) - test).flatten(1).norm(dim=1)
    near = torch.cdist(test.flatten(1), train.flatten(1)).amin(1)
    assert float(off.mean()) < 0.1 * float(near.mean())
    assert lm.metrics.betti_numbers(model.sample(1000, seed=0).flatten(1)).numbers[:2] == (1, 1)


@pytest.mark.parametrize("n_charts", [3, 5])
def test_so_many_charts_as_asked_for(n_charts):
    x = lm.datasets.toy("circle").sample(800, noise=NOISE, seed=0)
    model = KernelAtlas(n_charts, random_state=0).fit(x)
    assert model.n_charts_ == model.atlas_.n_charts == n_charts
    assert model.quality_.healthy


def test_a_point_far_away_is_left_out_and_changes_nothing_else():
    x = lm.datasets.toy("circle").sample(800, noise=NOISE, seed=0).double()
    far = torch.tensor([[1e6, -1e6]], dtype=torch.float64)
    model = KernelAtlas(random_state=0).fit(torch.cat([x, far]))
    assert model.left_out_.tolist() == 800 * [False] + [True]
    alone = KernelAtlas(random_state=0).fit(x)
    assert torch.allclose(model.atlas_.project(x), alone.atlas_.project(x), rtol=0, atol=1e-9)


def test_many_points_that_are_left_out_are_told():
    x = lm.datasets.toy("circle").sample(300, noise=NOISE, seed=0).double()
    crowd = torch.tensor([[50.0, 0.0]]).double() + 0.01 * torch.randn(
        4, 2, generator=torch.Generator().manual_seed(0)
    )
    with pytest.warns(UserWarning, match="4 of 304 points are left out"):
        model = KernelAtlas(dim=1, random_state=0).fit(torch.cat([x, crowd]))
    assert model.left_out_.sum() == 4


def ball(count, size, center, source):
    x = torch.randn(count, len(center), generator=source).double()
    return size * x / x.norm(dim=1, keepdim=True) + torch.tensor(center).double()


@pytest.mark.parametrize(("dim", "count"), [(1, 500), (2, 1000)])
def test_a_far_cluster_is_left_out_and_told(dim, count):
    for seed in range(2):
        source = torch.Generator().manual_seed(seed)
        x = ball(count, 1.0, (dim + 1) * [0.0], source)
        few = 3 * count // 100
        far = 4 + 0.05 * torch.randn(few, dim + 1, generator=source).double()
        x = torch.cat([x, far]) + NOISE * torch.randn(count + few, dim + 1, generator=source)
        with pytest.warns(UserWarning, match=f"{few} of {count + few} points .*another dimension"):
            model = KernelAtlas(random_state=0).fit(x)
        assert model.dim_ == dim and model.quality_.healthy
        assert model.left_out_.tolist() == count * [False] + few * [True]
        radius = model.sample(300, seed=0).norm(dim=1)
        assert float((radius - 1).abs().max()) < 5 * NOISE


@pytest.mark.parametrize(("dim", "count", "few"), [(1, 500, 20), (2, 800, 40)])
def test_a_small_component_of_the_same_dimension_is_learned(dim, count, few):
    source = torch.Generator().manual_seed(0)
    center = [3.0] + dim * [0.0]
    small = ball(few, 0.3, center, source)
    x = torch.cat([ball(count, 1.0, (dim + 1) * [0.0], source), small])
    x = x + NOISE * torch.randn(len(x), dim + 1, generator=source)
    model = KernelAtlas(random_state=0).fit(x)
    assert model.dim_ == dim and model.quality_.healthy and not model.left_out_.any()
    again = model.atlas_.project(small)
    assert float((again - small).norm(dim=1).max()) < 10 * NOISE


def test_a_part_of_another_dimension_that_is_no_small_group_is_refused():
    source = torch.Generator().manual_seed(0)
    for count, few in ((1000, 80), (8000, 300)):
        cluster = 4 + 0.1 * torch.randn(few, 2, generator=source).double()
        x = torch.cat([ball(count, 1.0, [0.0, 0.0], source), cluster])
        x = x + NOISE * torch.randn(len(x), 2, generator=source)
        with pytest.raises(ValueError, match=rf"one dimension, got 1 .*, 2 \({few} points\)"):
            KernelAtlas(random_state=0).fit(x)
    # With the dimension of the rest given, the group is left out.
    with pytest.warns(UserWarning, match="300 of 8300 points are left out"):
        assert KernelAtlas(dim=1, random_state=0).fit(x).left_out_[8000:].all()


def test_a_rounded_circle_is_a_circle_with_noise():
    for seed in range(3):
        angle = 2 * math.pi * draw(500, seed=seed, low=0, high=1)
        x = (20 * torch.stack([angle.cos(), angle.sin()], 1)).round().long()
        model = KernelAtlas(random_state=0).fit(x)
        assert model.dim_ == 1 and model.quality_.healthy
        assert float((model.sample(300, seed=0).norm(dim=1) - 20).abs().max()) < 0.5


def test_outliers_all_over_are_left_out():
    toy = lm.datasets.toy("circle")
    x, few = toy.sample(1000, noise=NOISE, seed=0).double(), 50
    source = torch.Generator().manual_seed(0)
    x[:few] = 4 * torch.rand(few, x.shape[1], generator=source, dtype=torch.float64) - 2
    with pytest.warns(UserWarning, match="points are left out"):
        model = KernelAtlas(dim=1, random_state=0).fit(x)
    assert model.quality_.healthy
    far = toy.distance(x).numpy() > 0.3
    assert 25 <= far.sum() <= few and model.left_out_[far].all() and not model.left_out_[few:].any()
    clean = toy.sample(300, noise=0.0, seed=1).double()
    assert float((model.atlas_.project(clean) - clean).norm(dim=1).mean()) < NOISE / 2


@pytest.mark.parametrize("count", [30, 60])
def test_few_random_points_of_a_circle_leave_no_gap(count):
    angle = 2 * math.pi * torch.linspace(0, 1, 500).double()
    every = torch.stack([angle.cos(), angle.sin()], 1)
    for seed in range(4):
        source = torch.Generator().manual_seed(seed)
        own = 2 * math.pi * torch.rand(count, generator=source).double()
        x = torch.stack([own.cos(), own.sin()], 1) + NOISE * torch.randn(count, 2, generator=source)
        atlas = KernelAtlas(dim=1, random_state=0).fit(x).atlas_
        codes = atlas.charts.encode(every)
        near = (atlas.charts.decode(codes) - every).norm(dim=-1) < 0.1
        assert bool(((atlas.charts.domain.depth(codes) >= 0) & near).any(0).all())


def test_copies_of_points_change_nothing():
    x = lm.datasets.toy("circle").sample(80, noise=NOISE, seed=0).double()
    again = x.repeat_interleave(5, 0)[
        torch.randperm(400, generator=torch.Generator().manual_seed(0))
    ]
    one, more = (KernelAtlas(random_state=0).fit(data) for data in (x, again))
    assert more.quality_.healthy and more.left_out_.shape == (400,)
    assert more.n_charts_ == one.n_charts_
    # The order of points decides which are nodes, so that the curves are near, not equal.
    assert float((more.atlas_.project(x) - one.atlas_.project(x)).norm(dim=1).max()) < NOISE


def test_a_figure_eight_of_little_noise_is_not_healthy():
    source = torch.Generator().manual_seed(0)
    u = 2 * math.pi * torch.rand(4000, generator=source).double()
    x = torch.stack([u.sin(), (2 * u).sin()], 1) + 0.005 * torch.randn(4000, 2, generator=source)
    with pytest.warns(UserWarning, match="sheets that cross"):
        KernelAtlas(dim=1, random_state=0).fit(x)


@pytest.mark.parametrize("seed", range(3))
def test_a_knot_does_not_run_through_outliers(seed):
    source = torch.Generator().manual_seed(seed)
    u = 2 * math.pi * torch.rand(800, generator=source).double()
    dense = 2 * math.pi * torch.linspace(0, 1, 5000).double()

    def knot(t):
        return torch.stack(
            [t.sin() + 2 * (2 * t).sin(), t.cos() - 2 * (2 * t).cos(), -(3 * t).sin()], 1
        )

    x = knot(u) + NOISE * torch.randn(800, 3, generator=source)
    x[:8] = 3 * (2 * torch.rand(8, 3, generator=source) - 1)
    model = KernelAtlas(dim=1, random_state=0).fit(x)
    assert model.quality_.healthy
    assert float(torch.cdist(model.sample(1000, seed=0), knot(dense)).amin(1).max()) < 5 * NOISE


def test_data_without_a_clear_dimension_are_told_with_what_is_done():
    # Noise of many sizes: the dimension falls on and on with scale.
    source = torch.Generator().manual_seed(0)
    circle = lm.datasets.toy("circle").sample(500, noise=0.0, seed=0).double()
    size = torch.exp(-3.5 + 3 * torch.rand(500, 1, generator=source)).double()
    x = torch.nn.functional.pad(circle, (0, 28)) + size * torch.randn(500, 30, generator=source)
    with pytest.warns(UserWarning) as told:
        model = KernelAtlas(n_charts=4, charts="kernel", random_state=0).fit(x)
    assert re.search("no clear dimension: .*interval.* is taken", str(told[0].message))
    assert 1 <= model.dim_ <= 3


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_too_few_charts_of_a_helix_are_told(noise):
    turns = 2 * math.pi * draw(3000, seed=0, low=0, high=12)
    x = torch.stack([turns.cos(), turns.sin(), turns / 12], 1)
    x = x + noise * draw(3000, 3, seed=1)
    with pytest.warns(UserWarning, match="does not hold the data: coverage 0"):
        few = KernelAtlas(n_charts=3, dim=1, random_state=0).fit(x)
    assert not few.quality_.healthy
    assert few.quality_.coverage < 0.9


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_noise_that_is_given_is_what_charts_are_held_to(noise, fitted):
    x = lm.datasets.toy("circle").sample(500, noise=noise, seed=0)
    with pytest.warns(UserWarning, match="does not hold the data") if noise else nullcontext():
        model = KernelAtlas(dim=1, noise_std=0.003, random_state=0).fit(x)
    assert model.atlas_.noise_std == pytest.approx(0.003)
    assert model.quality_.healthy == (noise == 0)


def test_components_of_different_dimension_and_too_large_ones_are_named():
    source = torch.Generator().manual_seed(0)
    circle = lm.datasets.toy("circle").sample(600, noise=0.0, seed=0).double()
    circle = torch.cat([circle, torch.zeros(600, 1)], 1)
    ball = torch.randn(3000, 3, generator=source).double()
    ball = 0.5 * ball / ball.norm(dim=1, keepdim=True) + torch.tensor([4.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"one dimension, got 2 \(3000 points\), 1 \(600 points\)"):
        KernelAtlas(random_state=0).fit(torch.cat([circle, ball]))
    with pytest.raises(ValueError, match="dimension of at most 3, got [4567] .*give dim"):
        KernelAtlas(charts="kernel").fit(torch.randn(2000, 6, generator=source))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_integers_and_booleans_are_data(dtype):
    rows = torch.arange(60).unsqueeze(1)
    # Bars that grow: a curve of corners.
    x = (torch.arange(60) < rows).to(dtype)
    model = KernelAtlas(dim=1, random_state=0).fit(x)
    assert model.quality_.coverage > 0.9


@pytest.mark.parametrize(
    ("name", "size", "noise"), [("two_circles", 1000, 0.01), ("loop", 2000, 0.01)]
)
def test_curves_run_on_at_their_charts_ends(name, size, noise):
    x = lm.datasets.toy(name).sample(size, noise=noise, seed=0)
    atlas = KernelAtlas(random_state=0).fit(x).atlas_
    for k in range(atlas.n_charts):
        t = torch.linspace(-1, 1, 2001, dtype=torch.float64).unsqueeze(1)
        t = t[atlas.charts.domain.depth(t, k) >= 0]
        slope = atlas.charts.jet(t, k, torch.ones_like(t).unsqueeze(0)).first[0]
        speed = slope.norm(dim=1)
        # Charts that fold back nearly stop, and then turn round.
        assert float(speed.min()) > 0.3 * float(speed.median())
        assert bool(((slope[1:] * slope[:-1]).sum(1) > 0).all())


def test_holes_and_gaps_stay_open():
    directions = draw(6000, 3, seed=1)
    directions /= directions.norm(dim=1, keepdim=True)
    wide = directions[:, :2].norm(dim=1)
    model = KernelAtlas(random_state=0).fit(directions[(directions[:, 2] > 0) & (wide > 0.4)])
    # Points are 0.04 apart; holes of less than about eight times that are closed.
    drawn = model.sample(4000, seed=0)[:, :2].norm(dim=1)
    assert float(drawn.min()) > 0.35
    assert float((drawn < 0.4).double().mean()) < 0.01
    turn = torch.linspace(0.3, 2 * math.pi, 800, dtype=torch.float64)
    arc = torch.stack([turn.cos(), turn.sin()], 1)
    metric = InducedMetric(KernelAtlas(random_state=0).fit(arc).atlas_)
    ends = [metric.manifold.locate(arc[[i]]) for i in (0, -1)]
    assert float(metric.dist(*ends)) == pytest.approx(2 * math.pi - 0.3, rel=5e-3)


@pytest.mark.parametrize("n_features", [2, 10])
def test_a_noisy_line_is_no_solid(n_features):
    # 1,000 points along a length of 4: much nearer to each other than the noise.
    x = 0.02 * draw(1000, n_features, seed=0)
    x[:, 0] += draw(1000, seed=1, low=0, high=4)
    found = lm.dimension(x)
    assert found.value == 1 or "does not settle" in found.reason
    with pytest.warns(UserWarning, match="no clear dimension") if found.reason else nullcontext():
        assert KernelAtlas(random_state=0).fit(x).dim_ <= 2


@pytest.mark.parametrize("seed", [31, 32])
def test_charts_nearer_than_points_can_tell_are_not_split(seed):
    """Pictures of bars without noise, a Moebius band: more charts would be no nearer to unseen ones."""
    atlas = KernelAtlas(random_state=0).fit(lm.datasets.bars(2000, 32, seed=seed)).atlas_
    unseen = lm.datasets.bars(200, 32, seed=seed + 1000).double()
    assert atlas.n_charts <= 4
    assert float((atlas.project(unseen) - unseen).square().mean()) < 1e-8


def test_many_equal_points_are_no_noise():
    circle = lm.datasets.toy("circle").sample(400, noise=0.0, seed=0).double()
    model = KernelAtlas(random_state=0).fit(torch.cat([circle, circle[:1].expand(400, 2)]))
    assert model.quality_.healthy
    with pytest.raises(ValueError, match="got 1 different ones of 100"):
        KernelAtlas(dim=1).fit(torch.ones(100, 3))


def test_masked_entries_are_refused():
    x = np.ma.masked_greater(np.random.default_rng(0).normal(size=(50, 2)), 1)
    with pytest.raises(ValueError, match="x must have no masked entries, got"):
        KernelAtlas().fit(x)


def test_ten_points_have_at_most_the_dimension_of_their_space():
    with pytest.warns(UserWarning) as told:
        model = KernelAtlas(random_state=0).fit(draw(10, 2, seed=0))
    assert "no clear dimension" in str(told[0].message)
    assert model.dim_ <= 2
    assert torch.isfinite(model.sample(20, seed=0)).all()


@pytest.mark.parametrize("shape", [(500, 100), (100, 1000)])
def test_noise_alone_has_no_low_dimension(shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    with (
        pytest.raises(ValueError, match="dimension of at most 12, got [2-9][0-9]")
        if shape[0] == 500
        else pytest.warns(UserWarning, match="no clear dimension")
    ):
        KernelAtlas(random_state=0).fit(x)
