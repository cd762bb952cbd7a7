"""What kernel atlases are for: solves, slopes, geodesics, distances, curvature, against closed forms."""

import math

import numpy as np
import pymanopt
import pytest
import torch
from kernel_atlases import NOISE, kernel_atlas
from oracles import draw, unit

import learnedmanifolds as lm
from learnedmanifolds.charts import TorusCharts
from learnedmanifolds.geometry import InducedMetric, Located
from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.inverse.solve_batch import BATCH_OPTIMIZERS

CLOSED = ("two_circles", "loop", "sphere", "torus")
TARGETS = {
    "two_circles": [0.0, 0.3],
    "sphere": [0.5, 0.0, -2.0],
    "torus": [-5.0, 1.0, 0.5],
}
OPTIMIZERS = (
    "steepest-descent",
    "conjugate-gradient",
    "trust-regions",
    "levenberg-marquardt",
    "lbfgs",
)
# On the torus, where runs are longest, those whose steps differ most.
RUNS = [(name, optimizer) for name in ("two_circles", "sphere") for optimizer in OPTIMIZERS]
RUNS += [("torus", "conjugate-gradient"), ("torus", "levenberg-marquardt")]


def values(atlas, at):
    return atlas.decode(at.coords, at.chart)


def tangents(atlas, at, length, seed):
    """Random tangent vectors (N, n) of a length."""
    local = atlas.geometry(at.coords, at.chart)
    return length * unit(local.project(draw(*local.point.shape, seed=seed)))


@pytest.mark.parametrize(("name", "optimizer"), RUNS)
def test_all_runs_from_random_starts_end_at_the_nearest_point_of_the_starts_component(
    name, optimizer
):
    toy, target = lm.datasets.toy(name), torch.tensor([TARGETS[name]], dtype=torch.float64)
    problem = lm.InverseProblem(lm.operators.Identity(), target[0])
    solution = lm.solve(problem, kernel_atlas(name), optimizer, n_starts=2, seed=2, n_screen=0)
    for run in solution.runs:
        nearest = toy.nearest(target)
        if name == "two_circles":
            component = 2 * toy.component(run.history.points[:1]) - 1
            center = torch.tensor([[1.5 * component, 0.0]], dtype=torch.float64)
            nearest = center + unit(target - center)
        assert run.converged
        assert np.linalg.norm(run.point - nearest[0].numpy()) < 2 * NOISE
        assert float(toy.distance(run.history.points).max()) < 2 * NOISE


def test_descent_follows_the_bent_border_of_a_hole():
    atlas = kernel_atlas("ring")
    manifold = lm.PymanoptManifold(atlas)
    angle = torch.linspace(0, 6, 8, dtype=torch.float64)
    inward = -torch.stack([angle.cos(), angle.sin()], 1)
    aside = torch.stack([-angle.sin(), angle.cos()], 1)
    for x, pull in zip(atlas.project(-0.3 * inward), inward + 0.5 * aside, strict=True):
        # Of a descent into the hole what its border, which bends away from every tangent, leaves.
        point = manifold.locate(x.numpy())
        slope = manifold.euclidean_to_riemannian_gradient(point, -pull.numpy())
        end = manifold.retraction(point, -0.2 * slope)
        depth = atlas.charts.domain.depth(torch.tensor(end.coords)[None], end.chart)
        # The border, of samples, leans by up to 0.3.
        assert 0.1 < np.linalg.norm(slope) < 0.9
        assert np.linalg.norm(end - point) == pytest.approx(0.2 * np.linalg.norm(slope), rel=0.1)
        assert float(depth) < 1e-9


@pytest.mark.parametrize("optimizer", BATCH_OPTIMIZERS)
def test_a_batch_of_problems_ends_where_single_runs_do(optimizer):
    atlas = kernel_atlas("torus")
    problems = [lm.InverseProblem(lm.operators.Identity(), y) for y in 3 * draw(5, 3, seed=3)]
    starts = atlas.sample(5, seed=5).unsqueeze(1)
    batch = lm.solve_batch(problems, atlas, optimizer, initial_points=starts)
    for i, (problem, start) in enumerate(zip(problems, starts, strict=True)):
        single = lm.solve(problem, atlas, optimizer, initial_points=start)
        np.testing.assert_allclose(batch.points[i], single.point, atol=1e-6)
        assert batch.chart[i] == single.chart
        # At the threshold of the gradient rounding tells which of the two it is.
        ends = {lm.optimizers.Status.CONVERGED, lm.optimizers.Status.STEP_TOO_SMALL}
        assert {batch.status[i], single.status} <= ends


@pytest.mark.parametrize("name", CLOSED)
def test_taylor_errors_have_slopes_two_and_three(name):
    manifold = lm.PymanoptManifold(kernel_atlas(name), seed=0)

    @pymanopt.function.pytorch(manifold)
    def cost(point):
        return (1.3 * point + 0.4).sin().sum() + point.prod()

    problem = pymanopt.Problem(manifold, cost)
    gradient, hessian = (
        check(problem, n_points=3, seed=1) for check in (lm.check_gradient, lm.check_hessian)
    )
    assert gradient, gradient
    assert hessian, hessian


@pytest.mark.parametrize("name", CLOSED)
def test_long_geodesics_of_closed_manifolds_meet_no_boundary(name):
    toy, atlas = lm.datasets.toy(name), kernel_atlas(name)
    start = atlas.sample_coords(30, seed=1)
    length = torch.linspace(2, 10, 30, dtype=torch.float64).unsqueeze(1)
    vector = tangents(atlas, start, length, seed=2)
    local = atlas.geometry(start.coords, start.chart)
    velocity = local.coordinates(vector).unsqueeze(1)
    end = flow(atlas, start, velocity, torch.ones_like(velocity[:, :, 0]))
    assert bool((end.time == 1).all())
    there = atlas.geometry(end.coords, end.chart)
    speed = there.vector(end.carried[:, 0]).norm(dim=1)
    assert torch.allclose(speed, length.squeeze(1), rtol=1e-6, atol=0)
    assert float(toy.distance(there.point).max()) < NOISE


def test_geodesics_go_round_circles_and_come_back():
    atlas = kernel_atlas("two_circles")
    start = atlas.sample_coords(20, seed=3)
    end = InducedMetric(atlas).exp(start, tangents(atlas, start, 2 * math.pi, seed=4))
    gap = (values(atlas, end) - values(atlas, start)).norm(dim=1)
    assert float(gap.max()) < 2 * NOISE


def test_distances_along_a_bent_curve_are_those_of_arcs():
    # Its radius of curvature is as little as 0.15, its length 16.
    atlas, toy = kernel_atlas("loop"), lm.datasets.toy("loop")
    a, b = (atlas.sample_coords(24, seed=s) for s in (5, 6))
    even = toy.grid(40_001, torch.float64)
    place = [torch.cdist(values(atlas, p), even).argmin(1) for p in (a, b)]
    arc = (place[0] - place[1]).abs().double() * toy.volume / 40_000
    arc = torch.minimum(arc, toy.volume - arc)
    found = InducedMetric(atlas).logarithm(a, b)
    assert torch.allclose(found.distance, arc, rtol=0.01, atol=NOISE)
    assert bool(found.vector.isfinite().all())
    assert float(found.miss.max()) < NOISE


def test_distances_on_the_torus_are_those_of_analytic_charts():
    atlas, toy = kernel_atlas("torus"), lm.datasets.toy("torus")
    exact = lm.Atlas(TorusCharts(3.0, 1.0), tolerance=1e-6)
    a, b = (atlas.sample_coords(4, seed=s) for s in (7, 8))
    there = [exact.nearest(toy.nearest(values(atlas, p))) for p in (a, b)]
    found, truth = InducedMetric(atlas).dist(a, b), InducedMetric(exact).dist(*there)
    assert torch.allclose(found, truth, rtol=0.02, atol=0)


def test_curvature_and_area_of_the_sphere_and_gauss_and_bonnet():
    metric = InducedMetric(kernel_atlas("sphere"))
    curvature = metric.curvature(metric.uniform(1000, 0)).scalar / 2
    assert float((curvature - 1).abs().median()) < 0.1
    area = metric.volume(4096)
    assert area == pytest.approx(4 * math.pi, rel=0.01)
    # The integral of curvature is 2 pi times the Euler characteristic.
    assert float(curvature.mean()) * area == pytest.approx(4 * math.pi, rel=0.05)


@pytest.mark.parametrize("name", ("two_circles", "sphere"))
def test_points_and_distances_hardly_change_where_a_chart_takes_over(name):
    atlas = kernel_atlas(name)
    domain, metric = atlas.charts.domain, InducedMetric(atlas)
    chart = torch.arange(200) % atlas.n_charts
    box = draw(200, atlas.dim, seed=9, low=-1, high=1)
    box = box / box.abs().amax(1, keepdim=True)
    out = domain.depth(box, chart) < 0
    border = Located(chart[out], domain.confine(box[out], chart[out]))
    entered, other = atlas.enter(values(atlas, border), border.chart)
    assert bool(entered.all())
    jump = (values(atlas, border) - values(atlas, other)).norm(dim=1)
    assert float(jump.max()) < NOISE
    near = [Located(p.chart[:8], p.coords[:8]) for p in (border, other)]
    at = atlas.sample_coords(len(near[0].chart), seed=10)
    first, second = (metric.dist(at, end) for end in near)
    same = first.isfinite()
    assert torch.equal(same, second.isfinite())
    assert torch.allclose(first[same], second[same], rtol=0, atol=NOISE)


@pytest.mark.parametrize(("pace", "count"), [(5, 1000), (7, 2000)])
def test_distances_keep_to_their_strand_where_another_is_near(pace, count):
    # A Lissajous curve that turns through more than 50 rad; strands are 12 and 21 noise widths apart.
    def curve(t):
        return np.c_[np.cos(3 * t + 0.7), np.cos(2 * t + 0.2), np.cos(pace * t)]

    rng = np.random.default_rng(0)
    x = curve(rng.uniform(0, 2 * np.pi, count)) + NOISE * rng.standard_normal((count, 3))
    atlas = lm.KernelAtlas(dim=1, random_state=0).fit(x).atlas_
    even = curve(np.linspace(0, 2 * np.pi, 20_001))
    arc = np.r_[0, np.linalg.norm(np.diff(even, axis=0), axis=1).cumsum()]
    first, second = rng.integers(20_001, size=(2, 200))
    wanted = np.abs(arc[first] - arc[second])
    wanted = np.minimum(wanted, arc[-1] - wanted)
    a, b = (atlas.locate(even[i]) for i in (first, second))
    metric = InducedMetric(atlas)
    found = metric.logarithm(a, b)
    np.testing.assert_allclose(found.distance, wanted, rtol=0.01, atol=5 * NOISE)
    np.testing.assert_allclose(found.vector.norm(dim=1), found.distance, rtol=1e-9)
    end = metric.exp(a, found.vector)
    np.testing.assert_allclose(atlas.decode(end.coords, end.chart), even[second], atol=5 * NOISE)
    np.testing.assert_allclose(metric.dist(b, a), metric.dist(a, b), rtol=1e-9)


@pytest.mark.parametrize("name", ["two_circles", "loop", "swiss_roll", "sphere", "torus"])
def test_asked_together_charts_find_their_own_points_up_to_their_borders(name):
    atlas = kernel_atlas(name)
    box = draw(2000, atlas.dim, low=-1, high=1)
    for k in range(atlas.n_charts):
        z = box[atlas.charts.domain.depth(box, k) >= 0]
        coords, error = atlas.claims(atlas.decode(z, k).flatten(1))
        assert torch.allclose(coords[k], z, rtol=0, atol=1e-7)
        assert float(error[k].max()) < 1e-9


@pytest.mark.parametrize("seed", [101, 104, 109])
def test_distances_on_a_circle_of_few_exact_points_go_the_short_way(seed):
    # What such charts leave of their points says nothing of how far apart they are between these.
    def circle(t):
        return np.c_[np.cos(t), np.sin(t)]

    rng = np.random.default_rng(seed)
    q = np.sort(rng.uniform(0, 2 * np.pi, 40))
    atlas = lm.KernelAtlas(random_state=0).fit(circle(q)).atlas_
    first, second = np.r_[q, rng.uniform(0, 2 * np.pi, 40)], np.r_[np.roll(q, 1), q]
    wanted = np.abs(first - second)
    wanted = np.minimum(wanted, 2 * np.pi - wanted)
    found = InducedMetric(atlas).dist(*(atlas.locate(circle(t)) for t in (first, second)))
    np.testing.assert_allclose(found, wanted, rtol=0.02, atol=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_distances_on_a_circle_whose_tolerance_is_larger_than_it(seed):
    # Noise of 0.05 in 300 features is 0.87 in all.
    frame = np.linalg.qr(np.random.default_rng(5).standard_normal((300, 2)))[0].T
    rng = np.random.default_rng(seed)

    def circle(t):
        return np.c_[np.cos(t), np.sin(t)] @ frame

    x = circle(rng.uniform(0, 2 * np.pi, 600)) + 0.05 * rng.standard_normal((600, 300))
    atlas = lm.KernelAtlas(random_state=0).fit(x).atlas_
    assert atlas.tolerance > 1 > atlas.agreement
    u = np.linspace(0, 6.2, 63)
    found = InducedMetric(atlas).dist(*(atlas.locate(circle(t)) for t in (u, u + 0.35)))
    np.testing.assert_allclose(found, 0.35, atol=0.06)


def test_a_chart_thinner_than_its_grid_is_fitted():
    # Points of a circle in a chart of the plane.
    t = np.random.default_rng(0).uniform(0, 2 * np.pi, 400)
    x = np.c_[np.cos(t), np.sin(t)]
    atlas = lm.KernelAtlas(dim=2, random_state=0).fit(x).atlas_
    assert float((atlas.project(x) - torch.from_numpy(x)).norm(dim=1).max()) < 0.01


@pytest.mark.parametrize("name", CLOSED)
def test_the_agreement_bounds_what_overlapping_charts_differ_by_and_is_less_than_noise(name):
    atlas = kernel_atlas(name)
    at = atlas.sample_coords(2000, seed=3)
    coords, error = atlas.claims(values(atlas, at).flatten(1))
    other = atlas.charts.domain.depth(coords) > 0.05
    other[at.chart, torch.arange(2000)] = False
    # All sheets that pass within the tolerance are the same one on these.
    apart = error[other & (error < atlas.tolerance)]
    assert len(apart) > 50
    assert float(apart.quantile(0.99)) < atlas.agreement / 4
    assert atlas.agreement < min(atlas.tolerance, 60 * float(apart.median()))
