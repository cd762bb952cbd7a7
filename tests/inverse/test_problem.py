"""The cost, its derivatives, the operators, and every bad input."""

import numpy as np
import pytest
import torch

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import SphereCharts
from learnedmanifolds.inverse import InverseProblem, operators
from learnedmanifolds.manifolds import PymanoptManifold


@pytest.fixture(scope="module")
def manifold() -> PymanoptManifold:
    return PymanoptManifold(Atlas(SphereCharts(), noise_std=0.1, tolerance=1e-6), seed=0)


POINT = torch.tensor([0.3, -0.5, 0.7], dtype=torch.float64)


def slopes(function, x, step=1e-6):
    eye = torch.eye(x.numel(), dtype=x.dtype)
    differences = [(function(x + step * e) - function(x - step * e)) / (2 * step) for e in eye]
    return torch.stack(differences)


def test_cost_is_half_the_squared_misfit():
    matrix = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    problem = InverseProblem(operators.linear(matrix), [1.0, 2.0])
    expected = 0.5 * ((matrix @ POINT - torch.tensor([1.0, 2.0])) ** 2).sum()
    torch.testing.assert_close(problem.cost(POINT), expected)
    scaled = InverseProblem(operators.linear(matrix), [1.0, 2.0], noise_std=0.1)
    torch.testing.assert_close(scaled.cost(POINT), expected * 100)


def test_prior_adds_the_negative_log_density(manifold):
    plain = InverseProblem(operators.identity, [0.0, 0.0, 1.0])
    weighted = InverseProblem(operators.identity, [0.0, 0.0, 1.0], prior_weight=2.0)
    expected = plain.cost(POINT) - 2 * manifold.atlas.log_density(POINT[None])[0]
    torch.testing.assert_close(weighted.cost(POINT, manifold.atlas), expected)
    torch.testing.assert_close(weighted.cost(POINT), plain.cost(POINT))


@pytest.mark.parametrize("prior_weight", [0.0, 1.5])
def test_gradient_agrees_with_differences(manifold, prior_weight):
    problem = InverseProblem(torch.sin, [0.0, 0.4, 1.0], 0.5, prior_weight)
    gradient = problem.gradient(POINT, manifold.atlas)
    assert not gradient.requires_grad
    expected = slopes(lambda x: problem.cost(x, manifold.atlas), POINT)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("coords", "prior_weight"),
    [
        ([0.2, -0.1], 0.0),
        ([0.9, 0.3], 0.0),
        ([0.9, 0.3], 1.0),
        ([0.2, -0.1], 1.0),
    ],
)
def test_riemannian_derivatives_have_the_right_order(manifold, prior_weight, coords):
    # Slopes 2 and 3 of the error of the Taylor polynomials along a second-order retraction;
    # 0.9 is on the ramp of the latent density.
    problem = InverseProblem(torch.sin, [0.0, 0.4, 1.0], 0.5, prior_weight).to_pymanopt(manifold)
    point = manifold.point(np.array(coords), 0)
    vector = manifold.random_tangent_vector(point)
    slope = manifold.inner_product(point, problem.riemannian_gradient(point), vector)
    curvature = manifold.inner_product(point, problem.riemannian_hessian(point, vector), vector)
    steps = np.array([4e-3, 2e-3, 1e-3])
    values = np.array([problem.cost(manifold.retraction(point, t * vector)) for t in steps])
    first = np.abs(values - problem.cost(point) - steps * slope)
    second = np.abs(values - problem.cost(point) - steps * slope - steps**2 * curvature / 2)
    assert np.all(np.log2(first[:-1] / first[1:]) > 1.8)
    assert np.all(np.log2(second[:-1] / second[1:]) > 2.7)


def test_operator_with_parameters_is_left_alone(manifold):
    module = torch.nn.Linear(3, 2, dtype=torch.float64)
    problem = InverseProblem(module, [0.0, 1.0]).to_pymanopt(manifold)
    point = manifold.random_point()
    problem.riemannian_hessian(point, problem.riemannian_gradient(point))
    assert np.isfinite(problem.cost(point))
    assert module.weight.grad is None


def test_cost_linear_in_the_point_has_a_zero_hessian(manifold):
    # |F|^2 is constant on a constant operator.
    problem = InverseProblem(lambda x: torch.ones(2, dtype=x.dtype), [0.0, 1.0])
    hosted = problem.to_pymanopt(manifold)
    point = manifold.random_point()
    vector = manifold.random_tangent_vector(point)
    assert not hosted.euclidean_gradient(point).any()
    assert not hosted.euclidean_hessian(point, vector).any()


def test_masks_select_entries():
    x = torch.arange(6.0).view(2, 3)
    where = torch.tensor([[True, False, True], [False, False, True]])
    assert operators.mask(where)(x).tolist() == [0, 2, 5]
    assert operators.mask([5, 0])(x).tolist() == [5, 0]
    assert operators.identity(x) is x


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, [1.0]), TypeError, "operator must be a callable"),
        ((abs, [float("nan")]), ValueError, "observation must be finite"),
        ((abs, []), ValueError, "observation must not be empty"),
        ((abs, "text"), TypeError, "observation"),
        ((abs, [1.0], 0.0), ValueError, "noise_std must be a positive"),
        ((abs, [1.0], "a"), TypeError, "noise_std"),
        ((abs, [1.0], 1.0, -1.0), ValueError, "prior_weight must be a non-negative"),
    ],
)
def test_bad_problem(arguments, error, message):
    with pytest.raises(error, match=message):
        InverseProblem(*arguments)


@pytest.mark.parametrize(
    ("operator", "error", "message"),
    [
        (lambda x: x[:2], ValueError, r"shape \(4,\), got \(2,\)"),
        (lambda x: 3.0, TypeError, "operator must return a torch tensor, got float"),
        (torch.nn.Linear(3, 4), ValueError, "float64 point of shape"),
        (operators.linear(torch.ones(4, 5)), ValueError, "5 entries"),
        (operators.mask([0, 1, 2, 9]), ValueError, "more than 9 entries"),
        (operators.mask(torch.ones(2, 2, dtype=torch.bool)), ValueError, r"mask's shape \(2, 2\)"),
    ],
)
def test_operator_that_does_not_fit(manifold, operator, error, message):
    with pytest.raises(error, match=message):
        InverseProblem(operator, torch.zeros(4)).to_pymanopt(manifold)


def test_to_pymanopt_wants_a_manifold():
    with pytest.raises(TypeError, match="manifold must be a PymanoptManifold, got str"):
        InverseProblem(abs, [1.0]).to_pymanopt("sphere")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: operators.mask([0.5]), TypeError, "where must be an array of bool or integers"),
        (lambda: operators.mask([False, False]), ValueError, "at least one entry"),
        (lambda: operators.mask([-1]), ValueError, "at least 0, got -1"),
        (lambda: operators.linear([1.0, 2.0]), ValueError, "matrix must have shape"),
        (lambda: operators.linear([[float("inf")]]), ValueError, "matrix must be finite"),
    ],
)
def test_bad_operator(call, error, message):
    with pytest.raises(error, match=message):
        call()
