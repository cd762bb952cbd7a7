"""Screened starts: low, apart, the same for every optimizer, and better than random ones."""

import numpy as np
import pytest
import torch
from oracles import TwoSquares, draw

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import CircleCharts, SphereCharts, TorusCharts
from learnedmanifolds.inverse import InverseProblem, operators, solve, starts
from learnedmanifolds.inverse.starts import choose_starts
from learnedmanifolds.manifolds import PymanoptManifold

CIRCLE = Atlas(CircleCharts(), tolerance=1e-6)
TORUS = Atlas(TorusCharts(), tolerance=1e-6)
S6 = Atlas(SphereCharts(dim=6), tolerance=1e-6)


def waves(atlas, pace, count, seed):
    """Misfit to a point of the manifold seen through random waves: several minima, one is 0."""
    matrix = pace * draw(count, atlas.ambient_shape[0], seed=seed)
    phase = draw(count, seed=seed + 1000, low=0, high=6.28)
    truth = atlas.sample(1, seed=seed)[0]
    problem = InverseProblem(
        lambda x: torch.cos(matrix @ x + phase), torch.cos(matrix @ truth + phase)
    )
    return problem, truth


@pytest.mark.parametrize(
    ("atlas", "pace", "count"), [(CIRCLE, 6.0, 4), (TORUS, 1.0, 8), (S6, 1.6, 14)]
)
def test_screened_starts_find_the_global_minimum(atlas, pace, count):
    found = {0: 0, None: 0}
    for seed in range(10):
        problem, truth = waves(atlas, pace, count, seed)
        for n_screen in found:
            solution = solve(problem, atlas, "levenberg-marquardt", 3, seed, n_screen=n_screen)
            found[n_screen] += solution.cost < 1e-8
    assert found[None] >= 8
    assert found[None] >= found[0] + 3


def test_all_minima_of_a_simple_cost_are_started_from():
    # cos(3 angle) on the circle, with a slight slope: three minima of different depth.
    def triple(x):
        angle = torch.atan2(x[1], x[0])
        return torch.stack([torch.cos(3 * angle) + 1, 0.1 * (x[0] + 2)])

    problem = InverseProblem(triple, [0.0, 0.0])
    for seed in range(5):
        solution = solve(problem, CIRCLE, "lbfgs", 3, seed)
        angles = [np.arctan2(*run.point[::-1]) for run in solution.runs]
        np.testing.assert_allclose(sorted(np.abs(angles)), [np.pi / 3, np.pi / 3, np.pi], atol=0.1)
        assert solution.point[0] == pytest.approx(-1)
        assert len(solution.runs) == 3


@pytest.mark.parametrize("atlas", [CIRCLE, TORUS, S6])
@pytest.mark.parametrize("n_starts", [1, 4])
def test_starts_are_low_and_apart(atlas, n_starts):
    problem, _ = waves(atlas, 1.5, 8, seed=3)
    manifold = PymanoptManifold(atlas, seed=1)
    chosen = choose_starts(problem, manifold, n_starts, 200)
    drawn = atlas.sample(200, int(np.random.default_rng(1).integers(2**62)))
    costs = torch.stack([problem.cost(x) for x in drawn])
    mine = [float(problem.cost(np.array(point))) for point in chosen]
    assert mine[0] == pytest.approx(float(costs.min()), abs=1e-12)
    assert mine == sorted(mine)
    points = torch.tensor(np.array(chosen))
    reach = (drawn - drawn.mean(0)).square().sum(1).mean().sqrt()
    gaps = torch.cdist(points, points) + 10 * torch.eye(n_starts)
    assert gaps.min() >= 0.3 * reach
    # Whatever is lower than the last start is near a start.
    lower = drawn[costs < mine[-1]]
    assert not len(lower) or torch.cdist(lower, points).amin(1).max() < 0.3 * reach
    for point in chosen:
        assert torch.cdist(torch.tensor(np.array(point))[None], drawn).min() < 1e-6


def test_every_component_is_screened():
    # The minimum is on the second square, in a corner of it.
    atlas = Atlas(TwoSquares(), tolerance=0.1)
    problem = InverseProblem(operators.identity, [0.9, 0.9, 5.0])
    for seed in range(5):
        assert solve(problem, atlas, seed=seed).cost < 1e-9


def test_without_screening_the_starts_are_random():
    problem, _ = waves(TORUS, 1.0, 8, seed=1)
    plain = solve(problem, TORUS, "lbfgs", 4, 3, n_screen=0)
    manifold = PymanoptManifold(TORUS)
    manifold._random = np.random.default_rng(np.random.SeedSequence(3))
    for run in plain.runs:
        np.testing.assert_array_equal(run.history.points[0], manifold.random_point())


@pytest.mark.parametrize("n_screen", [0, 50, None])
def test_starts_are_the_same_for_every_optimizer_and_seed(n_screen):
    problem, _ = waves(TORUS, 1.0, 8, seed=2)
    first, second, other = (
        solve(problem, TORUS, name, 3, seed, n_screen=n_screen, max_iterations=1)
        for name, seed in [("lbfgs", 7), ("trust-regions", 7), ("lbfgs", 8)]
    )
    for a, b, c in zip(first.runs, second.runs, other.runs, strict=True):
        np.testing.assert_array_equal(a.history.points[0], b.history.points[0])
        assert not np.array_equal(a.history.points[0], c.history.points[0])


def test_pieces_give_the_same_starts(monkeypatch):
    problem, _ = waves(S6, 1.0, 8, seed=4)
    sizes = []
    batch = InverseProblem.cost_batch

    def recorded(self, points, atlas=None):
        sizes.append(len(points))
        return batch(self, points, atlas)

    monkeypatch.setattr(InverseProblem, "cost_batch", recorded)
    whole = choose_starts(problem, PymanoptManifold(S6, seed=0), 5, 100)
    assert sizes == [100]
    monkeypatch.setattr(starts, "_BATCH", 7 * 30)
    pieces = choose_starts(problem, PymanoptManifold(S6, seed=0), 5, 100)
    assert max(sizes[1:]) == 30 and sum(sizes[1:]) == 100
    np.testing.assert_array_equal(whole, pieces)


def test_undefined_costs_are_no_starts():
    problem = InverseProblem(lambda x: torch.where(x[:1] < 0.6, torch.nan, x[1:]), [0.0])
    chosen = choose_starts(problem, PymanoptManifold(CIRCLE, seed=0), 4, 100)
    assert all(point[0] >= 0.6 for point in chosen)
    nowhere = InverseProblem(lambda x: x[:1] * torch.nan, [0.0])
    assert len(choose_starts(nowhere, PymanoptManifold(CIRCLE, seed=0), 4, 100)) == 4


def test_more_starts_than_places():
    # As many as asked for, all different, even where they are closer than they should be.
    problem, _ = waves(CIRCLE, 2.0, 4, seed=5)
    chosen = choose_starts(problem, PymanoptManifold(CIRCLE, seed=0), 40, 40)
    assert len(np.unique(np.array(chosen), axis=0)) == 40
    few = choose_starts(problem, PymanoptManifold(CIRCLE, seed=0), 6, 2)
    assert len(few) == 6


def test_given_points_are_not_screened():
    problem, _ = waves(TORUS, 1.0, 8, seed=6)
    given = TORUS.sample(2, seed=0).numpy()
    solution = solve(problem, TORUS, "lbfgs", 9, initial_points=given, n_screen=500)
    assert len(solution.runs) == 2
    np.testing.assert_allclose(solution.runs[1].history.points[0], given[1], atol=1e-9)
