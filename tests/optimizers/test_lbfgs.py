"""L-BFGS: its line search, its iterations beside SciPy's and steepest descent's, infinite costs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pymanopt
import pytest
import torch
from cases import CASES, Counted
from oracles import draw
from pymanopt.manifolds import Euclidean, PoincareBall, Sphere
from pymanopt.optimizers import SteepestDescent
from scipy.optimize import minimize, rosen, rosen_der

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import PlaneCharts
from learnedmanifolds.inverse import (
    LBFGS,
    InverseProblem,
    Status,
    StrongWolfe,
    operators,
    solve,
)
from learnedmanifolds.optimizers.iteration import Objective

C1, C2 = 1e-4, 0.9


@dataclass
class Point1d:
    """A point of a line, the slope counted."""

    line: object
    t: float
    cost: float

    @cached_property
    def slope(self):
        self.line.n_slopes += 1
        return self.line.derivative(self.t)


class Line1d:
    def __init__(self, function, derivative):
        self.function, self.derivative = function, derivative
        self.n_costs = self.n_slopes = 0

    def __call__(self, t):
        self.n_costs += 1
        with np.errstate(all="ignore"):
            value = self.function(t)
        return Point1d(self, t, np.inf if np.isnan(value) else float(value))


def random_line(seed):
    """Waves on a parabola, with a negative slope at 0."""
    random = np.random.default_rng(seed)
    scale = 10 ** random.uniform(-3, 3)
    size, phase = random.normal(0, 1, 4), random.uniform(0, 2 * np.pi, 4)
    pace = random.uniform(0.3, 3, 4) / scale

    def function(t):
        return size @ np.sin(pace * t + phase) + (t / scale) ** 2 / 10

    def derivative(t):
        return (size * pace) @ np.cos(pace * t + phase) + t / scale**2 / 5

    sign = -np.sign(derivative(0.0))
    flipped = (lambda t: function(-t)), (lambda t: -derivative(-t))
    return Line1d(*((function, derivative) if sign > 0 else flipped)), scale


@pytest.mark.parametrize(("c1", "c2"), [(1e-4, 0.1), (1e-4, 0.9), (0.3, 0.5)])
def test_both_wolfe_conditions_hold_on_random_functions(c1, c2):
    trials = []
    for seed in range(300):
        line, scale = random_line(seed)
        first = scale * 10 ** np.random.default_rng(seed).uniform(-3, 3)
        found = StrongWolfe(c1, c2).search(line, line(0.0), first)
        slope = line.derivative(0.0)
        assert found.t > 0
        assert line.function(found.t) <= line.function(0.0) + c1 * found.t * slope + 1e-13
        assert abs(line.derivative(found.t)) <= c2 * abs(slope)
        assert line.n_slopes <= line.n_costs
        trials.append(line.n_costs)
    assert np.mean(trials) < 9


def test_a_step_that_is_good_at_once_takes_one_trial():
    line = Line1d(lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1))
    found = StrongWolfe().search(line, line(0.0), 1.1)
    assert found.t == 1.1 and line.n_costs == 2


def test_a_parabola_takes_two_trials():
    line = Line1d(lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1))
    found = StrongWolfe(C1, 0.1).search(line, line(0.0), 3.0)
    assert found.t == pytest.approx(1.0) and line.n_costs == 3


@pytest.mark.parametrize("wall", [1e-6, 0.3, 1.0, 40.0])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinite_costs_are_stepped_back_from(wall, value):
    # Defined up to the wall, with the minimum at 0.8 of it.
    line = Line1d(
        lambda t: (t / wall - 0.8) ** 2 if t < wall else value,
        lambda t: 2 * (t / wall - 0.8) / wall,
    )
    found = StrongWolfe(C1, 0.5).search(line, line(0.0), 100.0)
    assert found.t < wall
    assert abs(line.derivative(found.t)) <= 0.5 * abs(line.derivative(0.0))
    assert line.n_costs < 25


def test_the_best_step_where_no_step_satisfies_both():
    # It falls for ever; or, with a kink, the slope jumps over what is asked.
    ever = Line1d(lambda t: -t, lambda t: -1.0)
    assert StrongWolfe().search(ever, ever(0.0), 1.0).t > 100
    kink = Line1d(lambda t: abs(t - 1), lambda t: np.sign(t - 1))
    found = StrongWolfe().search(kink, kink(0.0), 7.0)
    assert found.cost < 1e-3
    rising = Line1d(lambda t: t, lambda t: -1.0)
    assert StrongWolfe().search(rising, rising(0.0), 1.0) is None


def numpy_problem(manifold, function, derivative):
    decorate = pymanopt.function.numpy(manifold)
    return pymanopt.Problem(
        manifold,
        decorate(lambda x: function(x)),
        euclidean_gradient=decorate(lambda x: derivative(x)),
    )


SCALES = np.geomspace(1, 1e3, 30)
EUCLIDEAN = {
    "rosenbrock": (rosen, rosen_der, np.tile([-1.2, 1.0], 5)),
    "quadratic": (lambda x: 0.5 * SCALES @ x**2, lambda x: SCALES * x, np.ones(30)),
    "quartic": (
        lambda x: (x**4).sum() + SCALES[:10] @ x**2,
        lambda x: 4 * x**3 + 2 * SCALES[:10] * x,
        np.linspace(1, 2, 10),
    ),
    "logarithms": (
        lambda x: np.log(1 + SCALES[:8] * (x - 1) ** 2).sum(),
        lambda x: 2 * SCALES[:8] * (x - 1) / (1 + SCALES[:8] * (x - 1) ** 2),
        np.linspace(0.7, 1.4, 8),
    ),
}


@pytest.mark.parametrize("name", EUCLIDEAN)
def test_as_many_iterations_as_scipy(name):
    function, derivative, start = EUCLIDEAN[name]
    problem = numpy_problem(Euclidean(len(start)), function, derivative)
    ours = LBFGS(verbosity=0, min_gradient_norm=1e-5).run(problem, initial_point=start)
    options = {"gtol": 1e-6, "ftol": 0.0, "maxcor": 10, "maxiter": 1000}
    other = minimize(function, start, jac=derivative, method="L-BFGS-B", options=options)
    assert Status(ours.stopping_criterion) is Status.CONVERGED
    np.testing.assert_allclose(ours.point, other.x, atol=1e-4)
    assert 0.6 * other.nit < ours.iterations < 1.5 * other.nit
    assert ours.cost_evaluations < 1.6 * other.nfev


@pytest.mark.parametrize("name", EUCLIDEAN)
def test_both_wolfe_conditions_hold_at_the_iterates(name):
    function, derivative, start = EUCLIDEAN[name]
    problem = numpy_problem(Euclidean(len(start)), function, derivative)
    points = []
    LBFGS(verbosity=0, min_gradient_norm=1e-4).run(
        problem, initial_point=start, callback=lambda _, at: points.append(at.point)
    )
    for x, y in zip(points[:-1], points[1:], strict=True):
        slope = derivative(x) @ (y - x)
        assert slope < 0
        assert function(y) <= function(x) + C1 * slope + 1e-13 * abs(function(x))
        assert abs(derivative(y) @ (y - x)) <= C2 * abs(slope) * (1 + 1e-9)


@pytest.mark.parametrize("name", ["rayleigh", "brockett", "low_rank"])
def test_half_the_iterations_of_steepest_descent(name):
    case = CASES[name]
    for start in case.starts:
        ours = LBFGS(verbosity=0).run(case.problem, initial_point=start)
        other = SteepestDescent(verbosity=0).run(case.problem, initial_point=start)
        assert 2 * ours.iterations < other.iterations


def test_more_memory_takes_fewer_iterations():
    function, derivative, start = EUCLIDEAN["quadratic"]
    problem = numpy_problem(Euclidean(30), function, derivative)
    few, some, all_of_it = (
        LBFGS(memory=m, verbosity=0).run(problem, initial_point=start).iterations
        for m in (1, 10, 40)
    )
    assert few > some > all_of_it


@pytest.mark.parametrize("name", ["rayleigh", "brockett", "on_sphere"])
def test_pairs_are_tangent_where_the_iterate_is(name):
    case = CASES[name]
    optimizer, objective = LBFGS(memory=3), Objective(case.problem)
    start = case.starts[0]
    progress = optimizer._start(objective, objective.iterate(start, objective.cost(start)))
    for _ in range(5):
        progress = optimizer._step(objective, progress)
    assert len(progress.pairs) == 3
    for pair in progress.pairs:
        for vector in (pair.step, pair.change):
            projected = case.manifold.projection(progress.iterate.point, vector)
            np.testing.assert_allclose(projected, vector, atol=1e-13)
        assert pair.product > 0


def test_gradients_only_where_the_cost_is_low_enough():
    function, derivative, start = EUCLIDEAN["rosenbrock"]
    problem = numpy_problem(Euclidean(10), function, derivative)
    problem.linearize = None
    counted = Counted(problem)
    result = LBFGS(verbosity=0).run(problem, initial_point=start)
    assert result.iterations + 1 <= len(counted.gradients) < len(counted.costs)
    assert result.cost_evaluations == len(counted.costs)


def test_infinite_and_undefined_costs_on_a_manifold():
    # -log of a coordinate that must stay positive, and a pull towards its border.
    manifold = Sphere(4)
    pull = np.array([3.0, 1.0, -2.0, 0.5])

    def function(x):
        return pull @ x - 0.01 * np.log(x[0]) if x[0] > 0 else np.nan

    problem = numpy_problem(
        manifold, function, lambda x: pull - 0.01 * np.array([1 / x[0], 0, 0, 0])
    )
    start = np.array([0.5, 0.5, 0.5, 0.5])
    costs = []
    result = LBFGS(verbosity=0, min_gradient_norm=1e-6).run(
        problem, initial_point=start, callback=lambda _, at: costs.append(at.cost)
    )
    assert Status(result.stopping_criterion) is Status.CONVERGED
    assert np.isfinite(costs).all() and (np.diff(costs) <= 0).all()
    assert result.point[0] > 0


@pytest.mark.parametrize("part", ["cost", "gradient"])
def test_a_wall_of_nan_ends_a_run_at_a_finite_point(part):
    # The cost falls towards the wall at x = 1, where it or its gradient ends.
    def function(x):
        return np.nan if part == "cost" and x[0] > 1 else -x[0]

    def derivative(x):
        return np.array([np.nan if part == "gradient" and x[0] > 1 else -1.0])

    problem = numpy_problem(Euclidean(1), function, derivative)
    result = LBFGS(verbosity=0).run(problem, initial_point=np.zeros(1))
    assert Status(result.stopping_criterion) in (Status.FAILED, Status.STEP_TOO_SMALL)
    assert 0.99 < result.point[0] <= 1
    assert result.cost == -result.point[0]


def test_manifold_without_a_transport():
    with pytest.raises(NotImplementedError):
        PoincareBall(3).transport(*np.zeros((3, 3)))
    case = CASES["hyperbolic"]
    result = LBFGS(verbosity=0).run(case.problem, initial_point=case.starts[0])
    assert result.cost == pytest.approx(0, abs=1e-11)


def test_few_evaluations_along_a_boundary():
    atlas = Atlas(PlaneCharts(torch.eye(4, dtype=torch.float64)[:, :3]), tolerance=1e-6)
    for seed in range(6):
        matrix = torch.eye(4, dtype=torch.float64) + 0.4 * draw(4, 4, seed=seed)
        problem = InverseProblem(operators.linear(matrix), [3.0, 0.2, -0.3, 0.1])
        for run in solve(problem, atlas, "lbfgs", 6, seed=0, n_screen=0).runs:
            assert run.status is Status.AT_BOUNDARY
            assert run.gradient_norm < 1e-5
            assert run.history.n_cost[-1] < 25


@pytest.mark.parametrize("constants", [(0.5, 0.1), (0.0, 0.9), (0.1, 1.0)])
def test_bad_constants(constants):
    with pytest.raises(ValueError, match="c1, c2: expected 0 < c1 < c2 < 1"):
        StrongWolfe(*constants)
