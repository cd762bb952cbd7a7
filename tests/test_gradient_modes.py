"""What the library differentiates itself is right in every gradient mode of its caller."""

import numpy as np
import pymanopt
import pytest
import torch
from oracles import draw, random_flow

import learnedmanifolds as lm
from learnedmanifolds.charts import SphereCharts
from learnedmanifolds.inverse import BATCH_OPTIMIZERS
from learnedmanifolds.operators import FunctionOperator, Identity, Radon, linear
from learnedmanifolds.optimizers import LeastSquaresProblem, LevenbergMarquardt

MODES = (torch.no_grad, torch.inference_mode)
SOUTH = [0.0, 0.0, -1.0]


@pytest.fixture(params=MODES, ids=lambda mode: mode.__name__)
def mode(request):
    return request.param


def problem(operator=None):
    return lm.InverseProblem(operator or Identity(), [0.0, 0.0, -2.0])


def cubic(x):
    return x.square().sum() * x


def test_gradient(mode):
    with mode():
        gradient = problem().gradient([1.0, 2.0, 3.0])
    assert gradient.tolist() == [1, 2, 5]


def test_gradient_of_a_tensor_made_in_that_mode(mode):
    with mode():
        x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        assert problem().gradient(x).tolist() == [1, 2, 5]
    assert problem().gradient(x).tolist() == [1, 2, 5]


def test_prior_gradient(mode):
    atlas = lm.Atlas(SphereCharts())
    mapped = lm.InverseProblem(Identity(), SOUTH, prior_weight=1.0)
    x, step = draw(3), 1e-6
    slopes = [
        (mapped.cost(x + step * e, atlas) - mapped.cost(x - step * e, atlas)) / (2 * step)
        for e in torch.eye(3, dtype=torch.float64)
    ]
    with mode():
        gradient = mapped.gradient(x, atlas)
    assert torch.allclose(gradient, torch.stack(slopes), rtol=1e-5, atol=1e-3)


def test_jvp_and_vjp(mode):
    x, v = draw(3), draw(3, seed=1)
    expected = 2 * (x @ v) * x + x.square().sum() * v
    with mode():
        operator = FunctionOperator(cubic)
        along, back = operator.jvp(x, v), operator.vjp(x, v)
        rows = problem(operator).linearize(x)(torch.stack([v, 2 * v]))
    for found in (along, back, rows[0], rows[1] / 2):
        assert torch.allclose(found, expected)


@pytest.mark.parametrize(
    "optimizer",
    [
        "steepest-descent",
        "conjugate-gradient",
        "trust-regions",
        "levenberg-marquardt",
        "lbfgs",
        "fixed-step",
    ],
)
def test_solve(mode, optimizer):
    with mode():
        solution = lm.solve(problem(), SphereCharts(), optimizer, seed=0)
    assert solution.converged
    assert np.allclose(solution.point, SOUTH, atol=1e-6)
    assert solution.cost == pytest.approx(0.5)


@pytest.mark.parametrize("optimizer", BATCH_OPTIMIZERS)
@pytest.mark.parametrize(
    "operator", [Identity(), FunctionOperator(lambda x: 1.0 * x)], ids=["identity", "function"]
)
def test_solve_batch(mode, optimizer, operator):
    with mode():
        solution = lm.solve_batch(problem(operator), SphereCharts(), optimizer, seed=0)
    assert solution.converged.all()
    assert np.allclose(solution.points, SOUTH, atol=1e-6)


def test_compare(mode):
    with mode():
        found = lm.compare(problem(), SphereCharts(), ["trust-regions"], n_starts=2, seed=0)
    assert found.best_cost == pytest.approx(0.5)


def test_what_was_made_in_inference_mode_is_solved_outside():
    with torch.inference_mode():
        made = lm.InverseProblem(linear(torch.eye(3, dtype=torch.float64)), [0.0, 0.0, -2.0])
        manifold = lm.PymanoptManifold(SphereCharts(), seed=0)
        atlas = lm.Atlas(random_flow(2, 3))
        start = manifold.random_point()
    for optimizer in ("trust-regions", "levenberg-marquardt"):
        solution = lm.solve(made, manifold, optimizer, initial_points=start[None])
        assert np.allclose(solution.point, SOUTH, atol=1e-6)
    assert np.isfinite(lm.solve(made, atlas, seed=0, n_screen=0).gradient_norm)


def test_a_decoder_that_needs_a_graph_of_inference_weights_is_refused_by_torch():
    with torch.inference_mode():
        module = torch.nn.Linear(3, 3).double()
        operator = torch.nn.Sequential(module, torch.nn.Tanh(), module)
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        problem(operator).gradient(draw(3))


def test_least_squares_from_a_residual(mode):
    sphere = pymanopt.manifolds.Sphere(3)
    target = torch.tensor([0.0, 0.0, -2.0], dtype=torch.float64)
    x, v = np.array([0.6, 0.0, 0.8]), np.array([0.0, 1.0, 0.0])
    with mode():
        hosted = LeastSquaresProblem.from_residual(sphere, lambda point: point - target)
        gradient, rows = hosted.euclidean_gradient(x), hosted.linearize(x)([v])
        hessian = hosted.euclidean_hessian(x, v)
        end = LevenbergMarquardt(verbosity=0).run(hosted, initial_point=x).point
    assert np.allclose(gradient, [0.6, 0, 2.8])
    assert np.allclose([rows[0], hessian], [v, v])
    assert np.allclose(end, SOUTH, atol=1e-6)


def test_hosted_derivatives(mode):
    with mode():
        manifold = lm.PymanoptManifold(SphereCharts(), seed=0)
        hosted = problem().to_pymanopt(manifold)
        x = manifold.locate(np.array([0.6, 0.0, 0.8]))
        v = np.array([0.0, 1.0, 0.0])
        gradient, hessian = hosted.riemannian_gradient(x), hosted.riemannian_hessian(x, v)
    # f = |x - y|^2 / 2 on the unit sphere: grad = -P y, Hess v = <x, y> v.
    y = np.array([0.0, 0.0, -2.0])
    assert np.allclose(gradient, -(y - (x @ y) * np.asarray(x)))
    assert np.allclose(hessian, (x @ y) * v)


@pytest.mark.parametrize("retraction", ["second-order", "chart", "projection"])
def test_differentiated_transport(mode, retraction):
    def carried():
        manifold = lm.PymanoptManifold(
            SphereCharts(), retraction, seed=0, transport="differentiated"
        )
        x = manifold.random_point()
        u, v = manifold.random_tangent_vector(x), manifold.random_tangent_vector(x)
        return manifold.transport(x, manifold.retraction(x, 0.3 * u), v)

    expected = carried()
    with mode():
        found = carried()
    assert np.linalg.norm(expected) > 0.5
    assert np.allclose(found, expected)


def test_checks(mode):
    with mode():
        manifold = lm.PymanoptManifold(SphereCharts(), seed=0)
        assert lm.check_adjoint(Radon([0.0, 0.5]), torch.ones(4, 4), n_draws=3, seed=0)
        assert lm.check_adjoint(cubic, [1.0, 2.0, 3.0], n_draws=3, seed=0)
        assert lm.check_gradient(problem(cubic).to_pymanopt(manifold), seed=0)
        assert lm.check_hessian(problem(cubic).to_pymanopt(manifold), seed=0)
