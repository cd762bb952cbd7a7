"""Operators that are not defined everywhere: trial points outside cost infinitely much."""

import numpy as np
import pytest
import torch
from oracles import draw
from pymanopt.manifolds import Euclidean

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import PlaneCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.inverse import (
    BATCH_OPTIMIZERS,
    LBFGS,
    OPTIMIZERS,
    FixedStep,
    InverseProblem,
    LeastSquaresProblem,
    LevenbergMarquardt,
    Status,
    compare,
    operators,
    solve,
    solve_batch,
)
from learnedmanifolds.operators.domain import where_defined
from learnedmanifolds.operators.impedance import ElectricalImpedance, ImpedanceMesh

F64 = torch.float64
GRADIENT = (
    "steepest-descent",
    "conjugate-gradient",
    "trust-regions",
    "levenberg-marquardt",
    "lbfgs",
)
# x from -0.1 to 1.9 along each axis.
SQUARE = Atlas(PlaneCharts(torch.eye(2, dtype=F64), torch.full((2,), 0.9, dtype=F64)), None, 0.1)
OUTSIDE = "x must be positive"


class Logarithm(operators.Operator):
    """log x; refuses all points for one outside, and counts."""

    def __init__(self):
        self.refused, self.calls, self.rows = 0, 0, 0

    def batch(self, points):
        self.calls += 1
        if bool((points <= 0).any()):
            self.refused += 1
            raise operators.OutsideDomainError(OUTSIDE)
        self.rows += len(points)
        return points.log()


def logarithm(x):
    if bool((x <= 0).any()):
        raise operators.OutsideDomainError(OUTSIDE)
    return x.log()


def right_half(x):
    if float(x.detach()[0]) <= 0:
        raise operators.OutsideDomainError(OUTSIDE)
    return x


class Grey(Charts):
    """Homogeneous images of 2 x 2 pixels, grey from -0.1 to 1.9."""

    def __init__(self):
        super().__init__(1, 1, (2, 2))

    def decode(self, coords, chart=None):
        return (0.9 + coords).expand(*coords.shape[:-1], 4)

    def encode(self, x, chart=None):
        coords = x.mean(-1, keepdim=True) - 0.9
        return coords.unsqueeze(0) if chart is None and x.ndim == 2 else coords


def impedance():
    return ElectricalImpedance(ImpedanceMesh.rectangle(3), (2, 2))


def valid(run, problem):
    """Whether a run ended at an iterate with a cost, no higher than the start."""
    assert np.isfinite(run.history.cost).all()
    assert run.cost == pytest.approx(float(problem.cost(run.point)), rel=1e-12)
    np.testing.assert_array_equal(run.point, run.history.points[-1])
    return run.cost <= run.history.cost[0]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_minimum_near_the_wall(optimizer):
    # Newton's step for the logarithm goes from x to x (1 - log(x / target)), far outside.
    operator = Logarithm()
    target = torch.tensor([0.03, 0.02], dtype=F64)
    problem = InverseProblem(operator, target.log())
    starts = np.array([[1.8, 1.7], [0.5, 1.0]])
    limit = 200 if optimizer in GRADIENT else 12
    solution = solve(
        problem, SQUARE, optimizer, seed=1, initial_points=starts, max_iterations=limit
    )
    assert operator.refused > 0
    for run in solution.runs:
        assert valid(run, problem) and (run.point > 0).all()
        if optimizer in GRADIENT:
            assert run.converged
            np.testing.assert_allclose(run.point, target, rtol=1e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_cost_that_falls_towards_the_wall(optimizer):
    problem = InverseProblem(right_half, [-0.5, 0.4])
    start = np.array([[1.5, 1.0]])
    limit = 60 if optimizer in GRADIENT else 20
    solution = solve(problem, SQUARE, optimizer, seed=1, initial_points=start, max_iterations=limit)
    (run,) = solution.runs
    assert valid(run, problem) and run.point[0] > 0
    assert not solution.converged
    if optimizer in GRADIENT:
        # The least cost on the wall, and that where the straight way to the minimum meets it.
        assert 0.5 * 0.5**2 <= run.cost <= 0.5 * (0.5**2 + 0.15**2) + 1e-6


@pytest.mark.parametrize("optimizer", [*GRADIENT, "fixed-step"])
def test_conductivities_that_would_not_be_positive(optimizer):
    # Potentials are inversely proportional to the conductivity.
    operator = impedance()
    problem = InverseProblem(operator, operator(torch.full((2, 2), 0.3, dtype=F64)), 0.01)
    starts = np.array([np.full((2, 2), 1.8), np.full((2, 2), 0.1)])
    limit = 20 if optimizer == "fixed-step" else 200
    solution = solve(
        problem,
        Atlas(Grey()),
        optimizer,
        initial_points=starts,
        max_iterations=limit,
        min_gradient_norm=1e-6,
    )
    for run in solution.runs:
        assert valid(run, problem) and (run.point > 0).all()
        if optimizer != "fixed-step":
            np.testing.assert_allclose(run.point, 0.3, rtol=1e-6)
    assert solution.cost < 1e-9 or optimizer == "fixed-step"
    for call in (operator, operator.linearize, problem.gradient):
        with pytest.raises(ValueError, match="positive, finite conductivity .* got -0.1 S/m"):
            call(torch.full((2, 2), -0.1, dtype=F64))


@pytest.mark.parametrize("optimizer", BATCH_OPTIMIZERS)
def test_a_batch_of_conductivities(optimizer):
    operator = impedance()
    values = torch.linspace(0.2, 1.6, 6, dtype=F64)
    grey = values.view(-1, 1, 1).expand(-1, 2, 2)
    start = torch.full((6, 1, 2, 2), 1.8, dtype=F64)
    # One start that is outside leaves the others as they are.
    start[3] = -0.05
    batch = solve_batch(
        InverseProblem(operator, operator(grey[0]), 0.01),
        Atlas(Grey()),
        optimizer,
        observations=operator.batch(grey),
        initial_points=start,
    )
    kept = np.arange(6) != 3
    # Steepest descent's steps end at the rounding of the cost.
    assert batch.converged[kept].all() or optimizer == "steepest-descent"
    assert batch.status[3] is Status.FAILED
    assert np.isinf(batch.cost[3]) and batch.iterations[3] == 0
    np.testing.assert_allclose(batch.points[kept], grey[kept], rtol=1e-6)


@pytest.mark.parametrize("optimizer", BATCH_OPTIMIZERS)
def test_every_run_of_a_batch_is_that_of_a_single_solve(optimizer):
    targets = draw(5, 2, low=0.01, high=1.5)
    starts = draw(5, 1, 2, seed=1, low=0.3, high=1.8)
    walls = torch.tensor([[-0.5, 0.4], [0.3, -0.2]], dtype=F64)
    for function, y in ((Logarithm(), targets.log()), (right_half, walls)):
        problems = [InverseProblem(function, one) for one in y]
        some = starts[: len(y)]
        batch = solve_batch(problems, SQUARE, optimizer, initial_points=some)
        for i, (problem, start) in enumerate(zip(problems, some, strict=True)):
            single = solve(problem, SQUARE, optimizer, initial_points=start)
            np.testing.assert_allclose(batch.points[i], single.point, atol=1e-5)
            assert batch.status[i].converged == single.status.converged
    assert (batch.points[:, 0] > 0).all()


@pytest.mark.parametrize("optimizer", [LevenbergMarquardt, LBFGS, FixedStep])
def test_residuals_on_pymanopts_manifolds(optimizer):
    problem = LeastSquaresProblem.from_residual(Euclidean(2), lambda x: logarithm(x) + 3)
    start = np.array([1.8, 1.5])
    result = optimizer(verbosity=0, max_iterations=50).run(problem, initial_point=start)
    assert result.cost < problem.cost(start) and (result.point > 0).all()
    if optimizer is not FixedStep:
        np.testing.assert_allclose(result.point, np.exp(-3), rtol=1e-5)
    assert problem.cost(-start) == np.inf
    result = optimizer(verbosity=0).run(problem, initial_point=-start)
    assert Status(result.stopping_criterion) is Status.FAILED


def test_costs_outside_are_infinite():
    operator, points = Logarithm(), draw(64, 2, low=-0.05, high=1.9)
    inside = (points > 0).all(1)
    assert 0 < int(inside.sum()) < 64
    problem = InverseProblem(operator, [0.1, -0.2])
    costs = problem.cost_batch(points.requires_grad_())
    assert torch.equal(costs.isfinite(), inside)
    for x, cost in zip(points, costs, strict=True):
        assert problem.cost(x).detach() == cost.detach()
    (slope,) = torch.autograd.grad(costs[inside].sum(), points)
    assert not slope[~inside].any()
    for x, row in zip(points[inside], slope[inside], strict=True):
        torch.testing.assert_close(problem.gradient(x), row)
    assert problem.cost_batch(-points[inside]).isinf().all()
    with pytest.raises(operators.OutsideDomainError, match=OUTSIDE):
        problem.gradient(-points[0])


def test_a_point_outside_is_found_by_halving():
    operator, points = Logarithm(), draw(64, 2, low=0.1, high=1.0)
    points[17] = -1
    values, inside = where_defined(operator.batch, points, (2,))
    assert inside.nonzero().squeeze(-1).tolist() == [i for i in range(64) if i != 17]
    assert torch.equal(values[inside], points[inside].log()) and values[17].isnan().all()
    assert operator.refused == 7 and operator.calls == 13
    values, inside = where_defined(operator.batch, -points[:3], (2,))
    assert values.shape == (3, 2) and not inside.any()
    values, inside = where_defined(operator.batch, points[:0], (2,))
    assert values.shape == (0, 2) and inside.shape == (0,)


def test_nothing_is_factorized_twice_for_an_image_outside():
    operator, images = impedance(), draw(16, 2, 2, low=0.2, high=1.0)
    images[5, 0, 1] = images[11] = -0.1
    values, inside = where_defined(operator.batch, images, operator.observation_shape)
    assert int(inside.sum()) == operator.n_factorizations == 14
    np.testing.assert_allclose(values[0], operator(images[0]), rtol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_start_outside_fails_alone(optimizer):
    problem = InverseProblem(logarithm, [-1.0, -0.5])
    inside, outside = [1.0, 1.5], [-0.05, 1.0]
    options = {"seed": 2, "max_iterations": 15}
    both = solve(problem, SQUARE, optimizer, initial_points=[inside, outside], **options)
    alone = solve(problem, SQUARE, optimizer, initial_points=[inside], **options)
    np.testing.assert_array_equal(both.runs[0].point, alone.point)
    if optimizer in ("particle-swarm", "nelder-mead"):
        # Other points that they start from are inside.
        assert (both.runs[1].point > 0).all() and both.runs[1].cost < 0.1
        return
    assert both.start == 0 and both.runs[1].status is Status.FAILED and both.runs[1].cost == np.inf
    np.testing.assert_allclose(both.runs[1].point, outside)
    with pytest.raises(ValueError, match=f"starts: .* got 2 outside; .*: {OUTSIDE}"):
        solve(problem, SQUARE, optimizer, initial_points=[outside, [0.3, -0.02]], **options)


def test_no_start_inside():
    problem = InverseProblem(logarithm, [-1.0, -0.5])
    outside = np.array([[-0.05, 1.0]])
    with pytest.raises(ValueError, match=f"starts: .* got 1 outside; .*: {OUTSIDE}"):
        compare(problem, SQUARE, initial_points=outside)
    y = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=f"starts: .* got 3 outside; .*: {OUTSIDE}"):
        solve_batch(problem, SQUARE, observations=y, initial_points=outside)


@pytest.mark.parametrize("retraction", ["second-order", "chart"])
def test_screened_starts_are_inside_a_small_domain(retraction):
    # Most of the square, and the point with which the operator is checked, are outside.
    corner = Atlas(
        PlaneCharts(torch.eye(2, dtype=F64), torch.full((2,), -0.5, dtype=F64)), None, 0.1
    )
    with pytest.raises(operators.OutsideDomainError):
        logarithm(corner.sample(1, seed=0)[0])
    problem = InverseProblem(logarithm, [-1.0, -1.2])
    options = {"n_starts": 3, "seed": 0, "n_screen": 100, "retraction": retraction}
    solution = solve(problem, corner, "lbfgs", **options)
    assert all(run.converged for run in solution.runs)
    np.testing.assert_allclose(solution.point, np.exp([-1.0, -1.2]), atol=1e-5)
    batch = solve_batch(problem, corner, **options)
    assert batch.runs.converged.all()
    np.testing.assert_allclose(batch.points[0], solution.point, atol=1e-5)
