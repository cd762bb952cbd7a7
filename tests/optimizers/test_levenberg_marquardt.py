"""Levenberg-Marquardt: its rates, what it evaluates, its steps, borders of charts."""

import numpy as np
import pymanopt
import pytest
import torch
from cases import CASES, ZERO_RESIDUAL, Counted
from oracles import draw, unit
from pymanopt.manifolds import Euclidean, Sphere
from scipy.optimize import least_squares

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import GraphCharts, PlaneCharts, SphereCharts
from learnedmanifolds.inverse import (
    InverseProblem,
    LeastSquaresProblem,
    LevenbergMarquardt,
    Status,
    operators,
    solve,
    solve_batch,
)
from learnedmanifolds.optimizers.levenberg_marquardt import damped_step

GRID = torch.arange(1, 9, dtype=torch.float64)
CLASSICS = {
    "brown-dennis": (
        lambda x: torch.stack(
            [
                (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2
                for t in np.arange(1, 21) / 5
            ]
        ),
        [25.0, 5.0, -5.0, -1.0],
    ),
    "freudenstein-roth": (
        lambda x: torch.stack(
            [
                x[0] - x[1] * (2 - x[1] * (5 - x[1])) - 13,
                x[0] - x[1] * (14 - x[1] * (1 + x[1])) - 29,
            ]
        ),
        [0.5, -2.0],
    ),
    "exponentials": (
        lambda x: torch.exp(-x[0] * GRID / 4) + x[1] * torch.cos(GRID) - 1 / GRID,
        [3.0, 4.0],
    ),
}


def gradient_norms(problem, start, **options):
    norms = []
    LevenbergMarquardt(verbosity=0, **options).run(
        problem, initial_point=start, callback=lambda _, at: norms.append(at.gradient_norm)
    )
    return np.array(norms)


@pytest.mark.parametrize("name", ZERO_RESIDUAL)
def test_convergence_is_quadratic_where_the_residuals_vanish(name):
    # The last gradient norms g above rounding: log(g_k+1 / g_k) doubles from step to step.
    case = CASES[name]
    orders = []
    for start in case.starts:
        norms = gradient_norms(case.problem, start, min_gradient_norm=1e-13)
        clean = norms[(norms > 1e-12) & (norms < 0.3)]
        if len(clean) >= 3:
            orders.append(np.log(clean[-1] / clean[-2]) / np.log(clean[-2] / clean[-3]))
    if name == "rosenbrock":
        # Exact after a few steps: the second residual is linear, and then the first one is.
        assert not orders or max(orders) > 1.7
    else:
        assert max(orders) > 1.7


@pytest.mark.parametrize("name", ["procrustes", "rayleigh", "low_rank", "on_torus"])
def test_convergence_is_superlinear_where_they_do_not(name):
    # Gauss-Newton's rate there is a constant; the secant correction lets it fall.
    case = CASES[name]
    for start in case.starts:
        norms = gradient_norms(case.problem, start, min_gradient_norm=1e-6)
        assert len(norms) < 40
        assert norms[-1] < 1e-6
        assert (norms[-1] / norms[-5]) ** 0.25 < 0.3


@pytest.mark.parametrize("name", CLASSICS)
def test_same_minimum_as_scipy_on_large_residuals(name):
    residual, start = CLASSICS[name]
    problem = LeastSquaresProblem.from_residual(Euclidean(len(start)), residual)
    start = np.array(start)
    result = LevenbergMarquardt(verbosity=0, min_gradient_norm=1e-5, initial_radius=30.0).run(
        problem, initial_point=start
    )
    other = least_squares(
        lambda x: residual(torch.tensor(x)).numpy(), start, method="lm", xtol=1e-15, ftol=1e-15
    )
    assert Status(result.stopping_criterion) is Status.CONVERGED
    assert result.cost == pytest.approx(other.cost, rel=1e-7)
    # Moré, Garbow, Hillstrom 1981 give |r|^2 = 85822.2 and 48.9842.
    known = {"brown-dennis": 85822.2, "freudenstein-roth": 48.9842}
    if name in known:
        assert 2 * result.cost == pytest.approx(known[name], rel=1e-5)
    assert result.cost_evaluations < 35


def test_a_rejected_step_takes_one_cost_and_nothing_else():
    residual, start = CLASSICS["freudenstein-roth"]
    counted = Counted(LeastSquaresProblem.from_residual(Euclidean(2), residual))
    result = LevenbergMarquardt(verbosity=0, initial_radius=100.0).run(
        counted.problem, initial_point=np.array(start)
    )
    assert len(counted.costs) > result.iterations + 1  # Some steps were rejected.
    assert len(counted.linearized) == result.iterations
    assert len(counted.gradients) == result.iterations + 1
    points = {tuple(point) for point in counted.costs}
    assert len(points) == len(counted.costs)


@pytest.mark.parametrize("noise_std", [1e-2, 1e-3, 1e-4, 1e-6])
def test_small_noise_does_not_stop_it_early(noise_std):
    # The point of a sphere nearest to y is y / |y|; the Hessian there is |y| / std^2.
    atlas = Atlas(SphereCharts(), tolerance=1e-6)
    y = unit(draw(8, 3, seed=1)) + noise_std * draw(8, 3, seed=2)
    problem = InverseProblem(operators.identity, y[0], noise_std)
    batch = solve_batch(problem, atlas, observations=y, n_screen=0, seed=3, min_gradient_norm=1e-6)
    # What rounding of the points leaves of the gradient.
    reachable = 1e-15 / noise_std**2 < 1e-6
    for i, one in enumerate(y):
        problem = InverseProblem(operators.identity, one, noise_std)
        single = solve(
            problem, atlas, "levenberg-marquardt", n_screen=0, seed=3, min_gradient_norm=1e-6
        )
        assert single.history.n_cost[-1] <= 12 and batch.iterations[i] <= 12
        for status, point in ((single.status, single.point), (batch.status[i], batch.points[i])):
            assert status in (Status.CONVERGED, Status.STEP_TOO_SMALL)
            assert status.converged or not reachable
            error = np.linalg.norm(point - unit(one).numpy())
            assert error < 1.1e-6 * noise_std**2 + 2e-15


def test_linear_residuals_take_one_step():
    matrix, target = draw(9, 4, seed=1), draw(9, seed=2)
    problem = LeastSquaresProblem.from_residual(Euclidean(4), lambda x: matrix @ x - target)
    result = LevenbergMarquardt(verbosity=0, initial_radius=1e3).run(
        problem, initial_point=np.zeros(4)
    )
    expected = np.linalg.lstsq(matrix.numpy(), target.numpy(), rcond=None)[0]
    np.testing.assert_allclose(result.point, expected, rtol=1e-9)
    assert result.iterations == 1


def test_fewer_residuals_than_dimensions():
    # A line of minima: the Gauss-Newton matrix is singular, and the nearest minimum is found.
    problem = LeastSquaresProblem.from_residual(Euclidean(3), lambda x: (x[:1] + x[1:2]) ** 2 - 1)
    result = LevenbergMarquardt(verbosity=0).run(problem, initial_point=np.array([0.6, 0.8, 0.3]))
    np.testing.assert_allclose(result.point, [0.4, 0.6, 0.3], atol=1e-6)


def test_scales_of_cost_and_space_do_not_matter():
    residual, start = CLASSICS["exponentials"]
    counts = []
    for cost, space in [(1.0, 1.0), (1e6, 1.0), (1e-6, 1.0), (1.0, 1e4), (1.0, 1e-4)]:
        problem = LeastSquaresProblem.from_residual(
            Euclidean(2),
            lambda x, c=cost, s=space: c * residual(x / s),
        )
        optimizer = LevenbergMarquardt(
            verbosity=0, initial_radius=space, min_gradient_norm=1e-8 * cost**2 / space
        )
        result = optimizer.run(problem, initial_point=space * np.array(start))
        counts.append(result.cost_evaluations)
    assert max(counts) <= min(counts) + 2


@pytest.mark.parametrize("seed", range(5))
def test_damped_steps_solve_their_equation(seed):
    random = np.random.default_rng(seed)
    values = np.sort(random.normal(1.0, 1.0, 6))
    gradient = random.standard_normal(6)
    for radius in (1e-3, 0.1, 1.0, 1e3):
        step = damped_step(values, gradient, radius)
        assert np.linalg.norm(step) <= 1.01 * radius
        damping = -gradient / step - values
        np.testing.assert_allclose(damping, damping[0], rtol=1e-6, atol=1e-9)
        assert damping[0] >= max(0, -values[0])
        if values[0] > 0 and np.linalg.norm(step) < 0.99 * radius:
            assert damping[0] < 1e-12
        # No step of the radius is better in the model.
        model = gradient @ step + 0.5 * values @ step**2
        others = random.standard_normal((200, 6))
        others *= 0.98 * np.linalg.norm(step) / np.linalg.norm(others, axis=1, keepdims=True)
        assert (others @ gradient + 0.5 * others**2 @ values >= model - 1e-12).all()


def test_damped_step_of_a_flat_model():
    step = damped_step(np.zeros(3), np.array([3.0, 0.0, 4.0]), 0.5)
    np.testing.assert_allclose(step, [-0.3, 0.0, -0.4], rtol=1e-2)
    assert not damped_step(np.ones(2), np.zeros(2), 1.0).any()


@pytest.mark.parametrize("curved", [False, True])
def test_few_steps_along_a_boundary(curved):
    # The minimiser is outside; on the face of the box it is found as fast as inside.
    plane = PlaneCharts(torch.eye(4, dtype=torch.float64)[:, :3])
    graph = GraphCharts(lambda t: 0.3 * t.square().sum(-1, keepdim=True), 3, 4)
    matrix = torch.eye(4, dtype=torch.float64) + 0.2 * draw(4, 4, seed=3)
    problem = InverseProblem(operators.linear(matrix), [3.0, 0.2, -0.3, 0.1])
    atlas = Atlas(graph if curved else plane, tolerance=1e-6)
    solution = solve(problem, atlas, "levenberg-marquardt", 4, seed=0, n_screen=0)
    for run in solution.runs:
        assert run.status is Status.AT_BOUNDARY
        assert run.gradient_norm < 1e-6
        assert run.history.n_cost[-1] < 25
        assert run.cost == pytest.approx(solution.cost, rel=1e-9)


def test_the_prior_counts():
    # Its curvature is in no linearisation; trust regions have the whole Hessian.
    graph = GraphCharts(lambda t: torch.sin(2 * t).sum(-1, keepdim=True))
    atlas = Atlas(graph, tolerance=1e-6, noise_std=0.1)
    problem = InverseProblem(operators.identity, [0.95, 0.3, 1.5], 0.1, prior_weight=1.0)
    ours = solve(problem, atlas, "levenberg-marquardt", seed=1)
    other = solve(problem, atlas, "trust-regions", seed=1)
    plain = solve(InverseProblem(operators.identity, [0.95, 0.3, 1.5], 0.1), atlas, seed=1)
    assert ours.converged and ours.history.n_cost[-1] < 25
    np.testing.assert_allclose(ours.point, other.point, atol=1e-6)
    assert np.abs(ours.point - plain.point).max() > 0.01


def test_history_counts_linearisations():
    problem = InverseProblem(operators.identity, [0.0, 5.0, 0.0])
    solution = solve(problem, CASES["on_torus"].manifold, "levenberg-marquardt", seed=4)
    history, run = solution.history, solution.runs[0]
    assert history.n_hessian[-1] == run.iterations == len(history) - 1
    assert history.n_gradient[-1] == len(history)
    assert (np.diff(history.cost) < 0).all()


def test_nan_in_the_linearisation_ends_the_run_at_the_iterate():
    case = CASES["rayleigh"]
    problem = case.problem
    linearize = problem.linearize
    problem.linearize = lambda x: (
        lambda v: (np.nan if calls.append(1) or len(calls) > 3 else 1) * (linearize(x)(v))
    )
    calls = []
    result = LevenbergMarquardt(verbosity=0).run(problem, initial_point=case.starts[0])
    assert Status(result.stopping_criterion) is Status.FAILED
    assert result.iterations == 3
    assert result.cost == problem.cost(result.point) < problem.cost(case.starts[0])


def test_a_problem_without_residuals_is_refused():
    manifold = Sphere(3)
    cost = pymanopt.function.numpy(manifold)(lambda x: x[0])
    gradient = pymanopt.function.numpy(manifold)(lambda x: np.eye(3)[0])
    problem = pymanopt.Problem(manifold, cost, euclidean_gradient=gradient)
    with pytest.raises(TypeError, match="problem must be a LeastSquaresProblem.*got Problem"):
        LevenbergMarquardt(verbosity=0).run(problem)
