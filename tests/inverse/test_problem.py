"""The cost, its derivatives, the operators, and every bad input."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from oracles import draw

from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.analytic import SphereCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.inverse import InverseProblem, operators
from learnedmanifolds.inverse.noise import GaussianNoise, PoissonNoise
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.optimizers.least_squares import LeastSquaresProblem


@pytest.fixture(scope="module")
def manifold() -> PymanoptManifold:
    return PymanoptManifold(Atlas(SphereCharts(), noise_std=0.1, tolerance=1e-6), seed=0)


POINT = torch.tensor([0.3, -0.5, 0.7], dtype=torch.float64)


class Images(Charts):
    """A paraboloid of positive images: grey, plus three patterns, the third one bent."""

    def __init__(self, ambient_shape):
        super().__init__(1, 2, ambient_shape)
        self.patterns = torch.linalg.qr(draw(self.n_ambient, 3, seed=5))[0].T

    def decode(self, coords, chart=None):
        heights = torch.cat([coords, coords.square().sum(-1, keepdim=True)], -1)
        return 1 + 0.5 * heights @ self.patterns

    def encode(self, x, chart=None):
        coords = 2 * (x - 1) @ self.patterns[:2].T
        return coords if chart is not None or x.ndim == 3 else coords.unsqueeze(0)


def images(shape):
    return PymanoptManifold(Atlas(Images(shape), noise_std=0.1, tolerance=1e-6), seed=0)


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
    first, second = taylor_orders(problem, manifold, manifold.point(np.array(coords), 0))
    assert first > 1.8 and second > 2.7


def taylor_orders(problem, manifold, point):
    """Whether the errors of both Taylor polynomials vanish fast enough at a point."""
    vector = manifold.random_tangent_vector(point)
    slope = manifold.inner_product(point, problem.riemannian_gradient(point), vector)
    curvature = manifold.inner_product(point, problem.riemannian_hessian(point, vector), vector)
    steps = np.array([4e-3, 2e-3, 1e-3])
    values = np.array([problem.cost(manifold.retraction(point, t * vector)) for t in steps])
    first = np.abs(values - problem.cost(point) - steps * slope)
    second = np.abs(values - problem.cost(point) - steps * slope - steps**2 * curvature / 2)
    return np.log2(first[:-1] / first[1:]).min(), np.log2(second[:-1] / second[1:]).min()


IMAGE_OPERATORS = {
    "blur": operators.GaussianBlur(1.0, 4, padding_value=0.5),
    "Radon": operators.Radon([0.2, 1.0], 0.1),
    "means": operators.Downsample(2),
    "callable": lambda x: x.square().sum(-1),
}


@pytest.mark.parametrize("noise", [GaussianNoise(0.2), PoissonNoise(4.0)])
@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (2, 4, 6)])
@pytest.mark.parametrize("name", IMAGE_OPERATORS)
def test_images_with_and_without_channels(name, shape, noise):
    operator, manifold = IMAGE_OPERATORS[name], images(shape)
    truth = manifold.atlas.sample(1, seed=3)[0]
    assert truth.shape == shape
    problem = InverseProblem(operator, noise.sample(operator(truth), seed=4), noise=noise)
    assert problem.observation.shape[:-1] == operator(truth).shape[:-1]
    first, second = taylor_orders(
        problem.to_pymanopt(manifold), manifold, manifold.point(np.array([0.3, -0.2]), 0)
    )
    assert first > 1.8 and second > 2.7


@pytest.mark.parametrize("prior_weight", [0.0, 0.7])
@pytest.mark.parametrize("noise", [None, GaussianNoise(0.3), PoissonNoise(2.0)])
def test_costs_of_a_batch(noise, prior_weight):
    atlas = images((4, 6)).atlas
    points = atlas.sample(5, seed=1)
    problem = InverseProblem(
        IMAGE_OPERATORS["blur"], points[0], prior_weight=prior_weight, noise=noise
    )
    costs = problem.cost_batch(points.numpy(), atlas)
    assert costs.shape == (5,)
    torch.testing.assert_close(costs, torch.stack([problem.cost(x, atlas) for x in points]))
    without = problem.cost_batch(points)
    assert torch.equal(without, costs) == (prior_weight == 0)


def test_poisson_cost_differs_from_the_likelihood_by_a_constant():
    observed = torch.tensor([0.0, 0.5, 2.5], dtype=torch.float64)
    problem = InverseProblem(operators.identity, observed, noise=PoissonNoise(2.0))
    points = draw(6, 3, low=0.1, high=4)
    exact = -scipy.stats.poisson(2 * points).logpmf(2 * observed).sum(1)
    differences = problem.cost_batch(points) - torch.from_numpy(exact)
    assert differences.std() < 1e-12


def test_noise_std_is_gaussian_noise():
    by_std = InverseProblem(torch.sin, [0.0, 0.4, 1.0], 0.5)
    by_model = InverseProblem(torch.sin, [0.0, 0.4, 1.0], noise=GaussianNoise(0.5))
    assert by_std.noise == by_model.noise and by_std.noise_std == 0.5
    torch.testing.assert_close(by_std.cost(POINT), by_model.cost(POINT))


def test_rows_give_the_hessian_of_a_linear_problem():
    matrix = draw(5, 3, seed=1)
    problem = InverseProblem(operators.linear(matrix), draw(5), noise_std=0.1)
    rows = problem.linearize(POINT)(torch.eye(3, dtype=torch.float64))
    assert rows.shape == (3, 5)
    hessian = torch.autograd.functional.hessian(problem.cost, POINT)
    torch.testing.assert_close(rows @ rows.T, hessian)


@pytest.mark.parametrize("noise", [GaussianNoise(0.2), PoissonNoise(3.0)])
def test_rows_give_the_hessian_where_the_observation_is_met(noise):
    # There the part of the Hessian that Gauss and Newton leave out is zero.
    operator = operators.FunctionOperator(lambda x: (x[:, None] * x).exp() + 0.1)
    problem = InverseProblem(operator, operator(POINT), noise=noise)
    vectors = draw(4, 3, seed=2)
    rows = problem.linearize(POINT.numpy())(vectors)
    assert rows.shape == (4, 9)
    hessian = torch.autograd.functional.hessian(problem.cost, POINT)
    torch.testing.assert_close(rows @ rows.T, vectors @ hessian @ vectors.T)


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6)])
@pytest.mark.parametrize("name", IMAGE_OPERATORS)
def test_rows_for_pymanopt(name, shape):
    operator, manifold = IMAGE_OPERATORS[name], images(shape)
    observed = operator(manifold.atlas.sample(1, seed=3)[0])
    hosted = InverseProblem(operator, observed, 0.5, prior_weight=1.0).to_pymanopt(manifold)
    assert isinstance(hosted, LeastSquaresProblem)
    point = manifold.random_point()
    vectors = [manifold.random_tangent_vector(point) for _ in range(3)]
    rows = hosted.linearize(point)(vectors)
    assert type(rows) is np.ndarray and rows.shape == (3, observed.numel())
    # Differences of the whitened residual (F(x) - y) / 0.5.
    for row, vector in zip(rows, vectors, strict=True):
        ahead, back = (
            operator(torch.from_numpy(np.asarray(point) + sign * 1e-6 * vector)).flatten() / 0.5
            for sign in (1, -1)
        )
        np.testing.assert_allclose(row, (ahead - back) / 2e-6, rtol=1e-6, atol=1e-6)
    assert hosted.linearize(point)([]).shape == (0, observed.numel())


@pytest.mark.parametrize(
    "operator",
    [
        torch.nn.Linear(3, 2, dtype=torch.float64),
        operators.Linear(draw(2, 3).requires_grad_()),
    ],
)
def test_rows_of_operators_with_parameters_are_arrays(manifold, operator):
    hosted = InverseProblem(operator, [0.0, 1.0]).to_pymanopt(manifold)
    point = manifold.random_point()
    rows = hosted.linearize(point)([manifold.random_tangent_vector(point)])
    assert rows.shape == (1, 2)


def test_deepinv_physics_are_operators(manifold):
    class Physics:
        A = staticmethod(lambda x: x**2)
        A_vjp = staticmethod(lambda x, v: 2 * x * v)

    problem = InverseProblem(Physics(), [0.1, 0.2, 0.3])
    torch.testing.assert_close(
        problem.gradient(POINT),
        2 * POINT * problem.operator(POINT) - (2 * POINT * torch.tensor([0.1, 0.2, 0.3])),
    )
    first, second = taylor_orders(
        problem.to_pymanopt(manifold), manifold, manifold.point(np.array([0.2, -0.1]), 0)
    )
    assert first > 1.8 and second > 2.7


def test_a_cost_of_another_shape_is_not_broadcast():
    problem = InverseProblem(operators.identity, [1.0])
    for call in (problem.cost, problem.gradient, lambda x: problem.cost_batch(x[None])):
        with pytest.raises(ValueError, match=r"observation's shape \(1,\), got \(3,\)"):
            call(POINT)


def test_operator_with_parameters_is_left_alone(manifold):
    module = torch.nn.Linear(3, 2, dtype=torch.float64)
    problem = InverseProblem(module, [0.0, 1.0]).to_pymanopt(manifold)
    point = manifold.random_point()
    problem.riemannian_hessian(point, problem.riemannian_gradient(point))
    assert np.isfinite(problem.cost(point))
    assert module.weight.grad is None


def test_cost_linear_in_the_point_has_a_zero_hessian(manifold):
    # |F|^2 is constant on a constant operator.
    problem = InverseProblem(lambda x: 1 + 0 * x[:2], [0.0, 1.0])
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
    ("observation", "options", "error", "message"),
    [
        ([1.0], {"noise": 0.1}, TypeError, "noise must be a NoiseModel, got float"),
        (
            [1.0],
            {"noise": GaussianNoise(0.1), "noise_std": 0.1},
            ValueError,
            "noise_std must be None beside noise=GaussianNoise",
        ),
        ([1.0, -0.5], {"noise": PoissonNoise(1.0)}, ValueError, "observation must be non-neg"),
        ([1.0, math.nan], {"noise": PoissonNoise(1.0)}, ValueError, "observation must be finite"),
    ],
)
def test_bad_noise(observation, options, error, message):
    with pytest.raises(error, match=message):
        InverseProblem(abs, observation, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.cost([math.nan, 0, 0]), ValueError, "x must be finite"),
        (lambda p: p.cost_batch("points"), TypeError, "points"),
        (lambda p: p.linearize([math.inf, 0, 0]), ValueError, "point must be finite"),
    ],
)
def test_bad_points(call, error, message):
    with pytest.raises(error, match=message):
        call(InverseProblem(operators.identity, [0.0, 0.0, 1.0]))


@pytest.mark.parametrize(
    ("operator", "error", "message"),
    [
        (lambda x: x[:2], ValueError, r"shape \(4,\), got \(2,\)"),
        (lambda x: 3.0, TypeError, "operator must return a torch tensor, got float"),
        (torch.nn.Linear(3, 4), ValueError, "float64 point of shape"),
        (operators.linear(torch.ones(4, 5)), ValueError, "5 entries"),
        (operators.mask([0, 1, 2, 9]), ValueError, "more than 9 entries"),
        (operators.mask(torch.ones(2, 2, dtype=torch.bool)), ValueError, r"mask's shape \(2, 2\)"),
        (operators.GaussianBlur(1.0), ValueError, "point must be an image"),
        (operators.FunctionOperator(lambda x: x[9]), ValueError, "it raised: index 9"),
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
