"""Stopping criteria: each alone, their algebra, and in runs of every optimizer."""

import itertools
import math

import numpy as np
import pytest
import torch
from cases import CASES
from pymanopt.optimizers import ConjugateGradient

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import SphereCharts
from learnedmanifolds.inverse import (
    LBFGS,
    OPTIMIZERS,
    CostBelow,
    CostDecrease,
    Criterion,
    GradientNorm,
    InverseProblem,
    LevenbergMarquardt,
    MaxEvaluations,
    MaxIterations,
    MaxTime,
    State,
    Status,
    StepNorm,
    compare,
    operators,
    solve,
)

SPHERE = Atlas(SphereCharts(), tolerance=1e-6)
# An ellipsoid's axes: ill-conditioned, so that every optimizer takes several steps.
TILTED = InverseProblem(
    operators.linear(torch.tensor([[1.0, 0.3, 0.0], [0.0, 3.0, 0.5], [0.0, 0.0, 0.5]])),
    [0.3, -1.0, -0.2],
)
DERIVATIVES = tuple(name for name in OPTIMIZERS if name not in ("particle-swarm", "nelder-mead"))


def state(**changes):
    values = {
        "iterations": 5,
        "seconds": 2.0,
        "costs": [9.0, 5.0, 4.0, 3.9],
        "gradient_norm": 0.1,
        "initial_gradient_norm": 10.0,
        "n_cost": 12,
        "step_norm": 0.01,
    }
    return State(**values | changes)


@pytest.mark.parametrize(
    ("criterion", "holds", "fails", "status"),
    [
        (GradientNorm(0.2), {}, {"gradient_norm": 0.2}, Status.CONVERGED),
        (GradientNorm(0.2), {}, {"gradient_norm": math.nan}, Status.CONVERGED),
        (GradientNorm(0.0), {"gradient_norm": 0.0}, {}, Status.CONVERGED),
        (GradientNorm(0.02, relative=True), {}, {"initial_gradient_norm": 4.0}, Status.CONVERGED),
        (CostBelow(3.9), {}, {"costs": [3.0, 4.0]}, Status.COST_REACHED),
        (CostBelow(-1.0), {"costs": [-2.0]}, {}, Status.COST_REACHED),
        (CostDecrease(0.03, patience=1), {}, {"costs": [4.0, 3.8]}, Status.STALLED),
        (CostDecrease(0.2, patience=1), {}, {"costs": [3.9]}, Status.STALLED),
        (CostDecrease(0.6), {}, {"costs": [9.0, 4.0, 4.0]}, Status.STALLED),
        (CostDecrease(0.5), {"costs": [9.0, 0, 0, 0, 0]}, {}, Status.STALLED),
        (CostDecrease(0.0, 1), {"costs": [1.0, 2.0]}, {}, Status.STALLED),
        (StepNorm(0.02), {}, {"step_norm": math.inf}, Status.STEP_TOO_SMALL),
        (StepNorm(0.02), {}, {"step_norm": math.nan}, Status.STEP_TOO_SMALL),
        (MaxIterations(5), {}, {"iterations": 4}, Status.MAX_ITERATIONS),
        (MaxTime(2.0), {}, {"seconds": 1.9}, Status.MAX_TIME),
        (MaxEvaluations(12), {}, {"n_cost": 11}, Status.MAX_EVALUATIONS),
    ],
)
def test_each_criterion(criterion, holds, fails, status):
    assert criterion(state(**holds)) is status
    assert criterion(state(**fails)) is None
    assert criterion.converged == status.converged
    assert criterion.converged == (type(criterion) in (GradientNorm, CostBelow))


def random_states(count=200):
    random = np.random.default_rng(0)
    for _ in range(count):
        costs = list(np.sort(random.uniform(0, 2, random.integers(1, 8)))[::-1])
        yield state(
            iterations=int(random.integers(0, 8)),
            costs=costs,
            gradient_norm=random.uniform(0, 0.3),
            n_cost=int(random.integers(1, 20)),
            step_norm=random.uniform(0, 0.03),
        )


PARTS = (GradientNorm(0.1), CostBelow(0.5), MaxIterations(4), MaxEvaluations(9), StepNorm(0.01))


def test_algebra_on_random_states():
    fired = 0
    for at in random_states():
        for a, b, c in itertools.permutations(PARTS, 3):
            either, both = (a | b)(at), (a & b)(at)
            assert either is (a(at) or b(at))
            assert (both is not None) == (a(at) is not None and b(at) is not None)
            assert both in (None, a(at), b(at))
            assert ((a | b) | c)(at) is (a | (b | c))(at)
            assert ((a & b) & c)(at) is (a & (b & c))(at)
            mixed = (a & b) | c
            assert mixed(at) is (both or c(at))
            # Distributive in whether to stop.
            assert ((a | b) & c)(at) is None or ((a & c) | (b & c))(at) is not None
            fired += both is not None
    assert fired > 1000


def test_what_combinations_mean():
    small, late = GradientNorm(0.2), MaxIterations(3)
    assert (small | late).converged is False and (small & late).converged is True
    assert (small | CostBelow(1.0)).converged is True
    assert (late & MaxTime(1.0)).converged is False
    assert (late & small)(state()) is Status.CONVERGED
    assert (late & MaxTime(1.0))(state()) is Status.MAX_ITERATIONS
    assert (late | small)(state()) is Status.MAX_ITERATIONS
    # Values: equal criteria are equal, flat and printable.
    assert small | late == GradientNorm(0.2) | MaxIterations(3)
    assert len((small | late | MaxTime(1.0)).criteria) == 3
    assert "MaxIterations(n=3)" in repr(small | late)
    assert isinstance(small & late, Criterion)


def test_state_of_the_start():
    start = state(iterations=0, costs=[7.0])
    assert start.cost == 7.0 and start.previous_cost == math.inf
    assert state().previous_cost == 4.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: GradientNorm(-1.0), ValueError, "tol must be a non-negative"),
        (lambda: GradientNorm("a"), TypeError, "tol must be"),
        (lambda: CostBelow(math.nan), ValueError, "value must be a number"),
        (lambda: CostBelow("low"), ValueError, "value must be a number"),
        (lambda: CostDecrease(-0.1), ValueError, "relative must be"),
        (lambda: CostDecrease(0.1, 0), ValueError, "patience must be"),
        (lambda: StepNorm(math.inf), ValueError, "tol must be"),
        (lambda: MaxIterations(0), ValueError, "n must be"),
        (lambda: MaxIterations(2.0), TypeError, "n must be an integer"),
        (lambda: MaxTime(0.0), ValueError, "seconds must be a positive"),
        (lambda: MaxEvaluations(-3), ValueError, "n must be"),
        (lambda: GradientNorm(1.0) | 3, TypeError, "unsupported operand"),
        (lambda: 3 & GradientNorm(1.0), TypeError, "unsupported operand"),
        (lambda: solve(TILTED, SPHERE, stopping=1e-3), TypeError, "stopping must be a Criterion"),
        (
            lambda: compare(TILTED, SPHERE, stopping="early"),
            TypeError,
            "stopping must be a Criterion, got str",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def run_with(optimizer, stopping, **options):
    solution = solve(TILTED, SPHERE, optimizer, seed=3, n_screen=0, stopping=stopping, **options)
    return solution.runs[0]


@pytest.mark.parametrize("optimizer", DERIVATIVES)
def test_every_optimizer_stops_by_its_iterates(optimizer):
    full = run_with(optimizer, GradientNorm(1e-7) | MaxIterations(400))
    assert full.status is Status.CONVERGED and full.gradient_norm < 1e-7
    assert full.history.gradient_norm[:-1].min() >= 1e-7
    assert len(full.history) > 4

    reached = run_with(optimizer, CostBelow(full.history.cost[2]))
    assert reached.status is Status.COST_REACHED and reached.converged
    np.testing.assert_array_equal(reached.history.cost, full.history.cost[: len(reached.history)])
    assert reached.cost <= full.history.cost[2] < reached.history.cost[-2]

    few = run_with(optimizer, MaxIterations(2))
    assert few.status is Status.MAX_ITERATIONS
    assert len(few.history) == 3
    np.testing.assert_array_equal(few.history.points, full.history.points[:3])

    relative = run_with(optimizer, GradientNorm(1e-3, relative=True) | MaxIterations(400))
    assert relative.status is Status.CONVERGED
    norms = relative.history.gradient_norm
    assert norms[-1] < 1e-3 * norms[0] <= norms[:-1].min()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_stops_by_its_budget(optimizer):
    budget = run_with(optimizer, MaxEvaluations(5))
    assert budget.status is Status.MAX_EVALUATIONS
    assert budget.history.n_cost[-1] == 5
    assert np.isfinite(budget.cost)
    assert run_with(optimizer, MaxTime(1e-9)).status is Status.MAX_TIME
    # What holds at the start ends the run there, with derivatives; without, at the first look.
    once = run_with(optimizer, CostBelow(1e9))
    assert once.status is Status.COST_REACHED
    if optimizer in DERIVATIVES:
        assert len(once.history) == 1


@pytest.mark.parametrize("optimizer", ["particle-swarm", "nelder-mead"])
def test_iterations_without_derivatives(optimizer):
    run = run_with(optimizer, MaxIterations(4))
    assert run.status is Status.MAX_ITERATIONS
    longer = run_with(optimizer, CostDecrease(1e-3, patience=5) | MaxIterations(300))
    assert longer.status is Status.STALLED
    assert longer.history.n_cost[-1] > run.history.n_cost[-1]
    assert longer.cost < run.cost


@pytest.mark.parametrize("optimizer", ["steepest-descent", "lbfgs"])
def test_steps_and_stalls(optimizer):
    short = run_with(optimizer, StepNorm(1e-3))
    assert short.status is Status.STEP_TOO_SMALL
    steps = np.linalg.norm(np.diff(short.history.points, axis=0), axis=1)
    assert steps[-1] < 1e-3 <= steps[:-1].min()
    stalled = run_with(optimizer, CostDecrease(0.01, patience=2))
    costs = stalled.history.cost
    assert stalled.status is Status.STALLED and not stalled.converged
    assert costs[-3] - costs[-1] <= 0.01 * costs[-3]


def test_limits_given_beside_a_criterion_hold_and_others_do_not():
    assert run_with("lbfgs", GradientNorm(1e-11), min_gradient_norm=1e-2).gradient_norm > 1e-11
    assert run_with("lbfgs", GradientNorm(1e-11)).gradient_norm < 1e-11
    limited = run_with("steepest-descent", GradientNorm(1e-9), max_iterations=3)
    assert limited.status is Status.MAX_ITERATIONS
    ready = run_with(ConjugateGradient(max_iterations=2), GradientNorm(1e-9))
    assert ready.status is Status.MAX_ITERATIONS


def test_both_at_once_in_a_run():
    run = run_with("lbfgs", GradientNorm(1.0) & MaxIterations(6))
    assert run.status is Status.CONVERGED
    assert len(run.history) == 7


def test_comparison_with_a_criterion():
    comparison = compare(TILTED, SPHERE, ["trust-regions", "lbfgs"], 3, 1, stopping=CostBelow(0.5))
    for solution in comparison.solutions.values():
        for run in solution.runs:
            assert run.cost <= 0.5
            assert run.status is Status.COST_REACHED


@pytest.mark.parametrize("optimizer", [LBFGS, LevenbergMarquardt])
def test_own_optimizers_take_criteria_without_solve(optimizer):
    case = CASES["brockett"]
    stopping = CostBelow(case.minimum + 0.1) | MaxEvaluations(60)
    result = optimizer(stopping=stopping, verbosity=0).run(
        case.problem, initial_point=case.starts[0]
    )
    assert Status(result.stopping_criterion) is Status.COST_REACHED
    assert result.cost <= case.minimum + 0.1
    # One object serves many runs.
    again = optimizer(stopping=stopping, verbosity=0).run(
        case.problem, initial_point=case.starts[0]
    )
    assert again.iterations == result.iterations
