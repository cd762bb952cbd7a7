"""Every optimizer of the package on a table of problems with exact minima; what they share."""

import numpy as np
import pymanopt
import pytest
import torch
from cases import CASES, Counted, start_points
from oracles import slope
from pymanopt.manifolds import Euclidean, Product, Sphere

from learnedmanifolds.inverse import (
    LBFGS,
    FixedStep,
    LeastSquaresProblem,
    LevenbergMarquardt,
    MaxEvaluations,
    MaxIterations,
    Status,
)
from learnedmanifolds.optimizers.tangent import embed, tangent_basis

OPTIMIZERS = (LevenbergMarquardt, LBFGS, FixedStep)
QUADRATIC = LeastSquaresProblem.from_residual(Euclidean(2), lambda x: x * torch.tensor([1.0, 3.0]))


@pytest.mark.parametrize("optimizer", [LevenbergMarquardt, LBFGS])
@pytest.mark.parametrize("name", CASES)
def test_exact_minimum_is_reached(name, optimizer):
    case = CASES[name]
    for start in case.starts:
        result = optimizer(verbosity=0, max_iterations=150, min_gradient_norm=1e-6).run(
            case.problem, initial_point=start
        )
        assert Status(result.stopping_criterion) is Status.CONVERGED
        assert result.cost == pytest.approx(case.minimum, abs=1e-9)
        gradient = case.problem.riemannian_gradient(result.point)
        norm = np.real(case.manifold.norm(result.point, gradient))
        assert norm == pytest.approx(result.gradient_norm, rel=1e-6, abs=1e-12)
        assert norm < 1e-6


@pytest.mark.parametrize("name", ["rayleigh", "brockett", "karcher", "phases", "on_torus"])
def test_fixed_steps_reach_it_too(name):
    case = CASES[name]
    optimizer = FixedStep(verbosity=0, max_iterations=1000)
    for start in case.starts:
        result = optimizer.run(case.problem, initial_point=start)
        assert result.cost == pytest.approx(case.minimum, abs=1e-5)


def test_a_fixed_step_is_fixed():
    # x_k = (1 - 9 tau)^k along the steep axis, (1 - tau)^k along the other.
    seen = []
    FixedStep(0.05, verbosity=0, max_iterations=4).run(
        QUADRATIC, initial_point=np.ones(2), callback=lambda _, at: seen.append(at.point)
    )
    powers = np.arange(5)
    expected = np.column_stack([0.95**powers, 0.55**powers])
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_a_fixed_step_too_long_fails_at_a_finite_point():
    optimizer = FixedStep(100.0, verbosity=0)
    result = optimizer.run(QUADRATIC, initial_point=np.ones(2))
    assert Status(result.stopping_criterion) is Status.FAILED
    assert np.isfinite(result.cost) and np.isfinite(result.gradient_norm)


@pytest.mark.parametrize("name", CASES)
def test_derivatives_of_a_residual_have_the_right_order(name):
    # Rows of the linearisation against the residuals along the retraction, the gradient against
    # the cost: errors of order 2.
    case = CASES[name]
    manifold, problem, point = case.manifold, case.problem, case.starts[1]
    gradient = problem.riemannian_gradient(point)
    basis = tangent_basis(manifold, point, gradient)
    vector = basis.combine(np.linspace(0.5, 1.0, len(basis)))
    row = problem.linearize(point)([vector])[0]
    derivative = float(np.real(manifold.inner_product(point, gradient, vector)))

    def residual(at):
        parts = at if isinstance(at, list | tuple) else [at]
        value = case.residual(*(torch.tensor(np.array(part)) for part in parts))
        return (torch.view_as_real(value) if value.is_complex() else value).flatten().numpy()

    steps = [4e-3, 2e-3, 1e-3]
    moved = [manifold.retraction(point, t * vector) for t in steps]
    rows = [residual(x) - residual(point) - t * row for t, x in zip(steps, moved, strict=True)]
    costs = [
        abs(problem.cost(x) - problem.cost(point) - t * derivative)
        for t, x in zip(steps, moved, strict=True)
    ]
    assert float(slope(steps, [np.linalg.norm(r) for r in rows])) > 1.8
    assert float(slope(steps, costs)) > 1.8


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("fixed_rank", "registration")])
def test_euclidean_hessian_of_a_residual(name):
    # Of the two left out pymanopt's Hessians are wrong: it has none of the first, and its product
    # does not ask the rotation group what its tangent vectors are in the ambient space.
    case = CASES[name]
    manifold, problem, point = case.manifold, case.problem, case.starts[2]
    basis = tangent_basis(manifold, point, problem.riemannian_gradient(point))
    vector = basis.combine(np.linspace(0.5, 1.0, len(basis)))
    embedded = embed(manifold, point, vector)
    product = problem.euclidean_hessian(point, vector)
    if not isinstance(manifold, Product):
        point, embedded, product = [point], [embedded], [product]

    def gradient(t):
        moved = [np.asarray(x) + t * v for x, v in zip(point, embedded, strict=True)]
        value = problem.euclidean_gradient(moved if isinstance(manifold, Product) else moved[0])
        return value if isinstance(manifold, Product) else [value]

    t = 1e-5
    for part, ahead, behind in zip(product, gradient(t), gradient(-t), strict=True):
        difference = (ahead - behind) / (2 * t)
        np.testing.assert_allclose(part, difference, atol=1e-7 * (1 + np.abs(part).max()))


@pytest.mark.parametrize("name", CASES)
def test_tangent_bases_are_orthonormal_and_complete(name):
    case = CASES[name]
    manifold, point = case.manifold, case.starts[0]
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    gradient = case.problem.riemannian_gradient(point)
    basis = tangent_basis(manifold, point, gradient)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert len(basis) == manifold.dim
    gram = [[manifold.inner_product(point, a, b) for a in basis.vectors] for b in basis.vectors]
    np.testing.assert_allclose(np.real(gram), np.eye(manifold.dim), atol=1e-9)
    coords = basis.coordinates([gradient])[0]
    rest = gradient - basis.combine(coords)
    assert np.real(manifold.norm(point, rest)) < 1e-9 * (1 + np.linalg.norm(coords))
    again = tangent_basis(manifold, point, gradient)
    assert np.array_equal(basis.coordinates(again.vectors), again.coordinates(again.vectors))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_callback_sees_every_iterate(optimizer):
    case = CASES["rayleigh"]
    problem, seen = Counted(case.problem), []
    result = optimizer(verbosity=0).run(
        problem.problem,
        initial_point=case.starts[0],
        callback=lambda state, iterate: seen.append((state, iterate)),
    )
    assert [state.iterations for state, _ in seen] == list(range(result.iterations + 1))
    assert seen[0][1].point is case.starts[0]
    assert seen[-1][1].point is result.point
    assert seen[0][0].step_norm == np.inf
    assert all(b.step_norm > 0 for _, b in seen[1:])
    costs = [iterate.cost for _, iterate in seen]
    assert list(seen[-1][0].costs) == costs
    assert (np.diff(costs) <= 1e-14).all()
    assert result.cost_evaluations == len(problem.costs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_limits_of_pymanopts_interface(optimizer):
    def ends_with(**options):
        result = optimizer(verbosity=0, **options).run(
            QUADRATIC, initial_point=np.array([5.0, 1.0])
        )
        return Status(result.stopping_criterion), result

    assert ends_with(max_iterations=1)[0] is Status.MAX_ITERATIONS
    assert ends_with(max_iterations=1)[1].iterations == 1
    assert ends_with(max_time=0)[0] is Status.MAX_TIME
    assert ends_with(max_cost_evaluations=1)[0] is Status.MAX_EVALUATIONS
    assert ends_with(min_gradient_norm=100.0)[1].iterations == 0
    assert ends_with(min_gradient_norm=0.0, min_step_size=1e3)[0] is Status.STEP_TOO_SMALL
    status, result = ends_with(stopping=MaxIterations(2) | MaxEvaluations(1))
    assert status is Status.MAX_EVALUATIONS and result.iterations == 0
    assert ends_with()[0] is Status.CONVERGED


def test_log_and_printed_table(capsys):
    optimizer = LBFGS(log_verbosity=1)
    result = optimizer.run(QUADRATIC, initial_point=np.ones(2))
    printed = capsys.readouterr().out
    assert "Gradient norm" in printed and Status.CONVERGED.value in printed
    log = result.log["iterations"]
    assert log["iteration"] == list(range(result.iterations + 1))
    assert log["cost"][0] == 5.0 and log["cost"][-1] == result.cost
    LBFGS(verbosity=0).run(QUADRATIC, initial_point=np.ones(2))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_start_that_is_drawn_and_start_that_is_not_finite(optimizer):
    manifold = Sphere(3)
    problem = LeastSquaresProblem.from_residual(manifold, lambda x: x[:1])
    result = optimizer(verbosity=0).run(problem)
    assert np.linalg.norm(result.point) == pytest.approx(1)
    undefined = LeastSquaresProblem.from_residual(manifold, lambda x: x.log())
    start = start_points(manifold)[0]
    result = optimizer(verbosity=0).run(undefined, initial_point=-np.abs(start))
    assert Status(result.stopping_criterion) is Status.FAILED
    assert result.iterations == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("what", ["cost", "gradient", "linearize"])
def test_an_exception_of_the_caller_is_not_caught(optimizer, what):
    def fails(*arguments):
        raise ZeroDivisionError("mine")

    problem = LeastSquaresProblem.from_residual(Euclidean(2), lambda x: x)
    target = {"cost": "_cost", "gradient": "_riemannian_gradient", "linearize": "linearize"}[what]
    setattr(problem, target, fails)
    if what == "linearize" and optimizer is not LevenbergMarquardt:
        optimizer(verbosity=0).run(problem, initial_point=np.ones(2))
        return
    with pytest.raises(ZeroDivisionError, match="mine"):
        optimizer(verbosity=0).run(problem, initial_point=np.ones(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LBFGS().run(None), TypeError, "problem must be a pymanopt Problem, got NoneType"),
        (lambda: FixedStep().run(3), TypeError, "problem must be a pymanopt Problem, got int"),
        (
            lambda: LevenbergMarquardt().run(None),
            TypeError,
            "problem must be a pymanopt Problem, got NoneType",
        ),
        (
            lambda: LBFGS().run(QUADRATIC, callback=3),
            TypeError,
            "callback must be a callable or None, got int",
        ),
        (lambda: LBFGS(stopping=3), TypeError, "stopping must be a Criterion, got int"),
        (lambda: LBFGS(max_iterations=0), ValueError, "n must be an integer of at least 1"),
        (lambda: LBFGS(min_gradient_norm=-1.0), ValueError, "tol must be a non-negative"),
        (lambda: LBFGS(min_step_size=-1.0), ValueError, "tol must be a non-negative"),
        (lambda: LBFGS(memory=0), ValueError, "memory must be"),
        (lambda: LBFGS(line_search="wolfe"), TypeError, "line_search must be a StrongWolfe"),
        (lambda: LevenbergMarquardt(initial_radius=0.0), ValueError, "initial_radius must be"),
        (lambda: FixedStep(-1.0), ValueError, "step_size must be a positive"),
        (
            lambda: LeastSquaresProblem.from_residual("sphere", torch.sin),
            TypeError,
            "manifold must be a pymanopt Manifold, got str",
        ),
        (
            lambda: LeastSquaresProblem.from_residual(Sphere(3), 1.0),
            TypeError,
            "residual must be a callable, got float",
        ),
        (
            lambda: LeastSquaresProblem.from_residual(Sphere(3), lambda x: 1.0).cost(np.ones(3)),
            TypeError,
            "residual must return a torch tensor, got float",
        ),
        (
            lambda: LeastSquaresProblem(
                Sphere(3), pymanopt.function.numpy(Sphere(3))(lambda x: x[0]), linearize=None
            ),
            TypeError,
            "linearize must be a callable",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_numpy_problems_give_cost_gradient_and_linearisation():
    # The two-dimensional torus of angles as a product, everything by hand.
    manifold = Product([Sphere(2), Sphere(2)])
    matrix = np.arange(8.0).reshape(4, 2) - 3

    @pymanopt.function.numpy(manifold)
    def cost(a, b):
        return 0.5 * np.sum((matrix @ (a + 2 * b)) ** 2)

    @pymanopt.function.numpy(manifold)
    def gradient(a, b):
        pulled = matrix.T @ matrix @ (a + 2 * b)
        return [pulled, 2 * pulled]

    def linearize(point):
        return lambda vectors: np.array([matrix @ (v[0] + 2 * v[1]) for v in vectors])

    problem = LeastSquaresProblem(manifold, cost, linearize=linearize, euclidean_gradient=gradient)
    by_torch = LeastSquaresProblem.from_residual(
        manifold, lambda a, b: torch.from_numpy(matrix) @ (a + 2 * b)
    )
    start = start_points(manifold)[0]
    results = [
        LevenbergMarquardt(verbosity=0, min_gradient_norm=1e-6).run(p, initial_point=start)
        for p in (problem, by_torch)
    ]
    np.testing.assert_allclose(results[0].point, results[1].point, atol=1e-7)
    assert results[0].iterations == results[1].iterations
    assert results[0].gradient_norm < 1e-6
