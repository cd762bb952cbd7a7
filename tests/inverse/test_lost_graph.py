"""Operators that torch cannot differentiate are refused; half lost graphs are warned of."""

import warnings

import numpy as np
import pytest
import torch
from oracles import draw
from pymanopt.manifolds import Product, Sphere

import learnedmanifolds as lm
from learnedmanifolds.inverse import LeastSquaresProblem, operators
from learnedmanifolds.inverse.noise import PoissonNoise
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.operators.domain import OutsideDomainError

B = draw(3, 3, seed=4)
ATLAS = lm.Atlas(lm.charts.SphereCharts())
POINT = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
Y = [0.0, 0.0, 3.0]
DIFFERENTIABLE = "must be differentiable by torch"


class Bias(torch.nn.Module):
    """Parameters that require gradients, behind which the point is lost."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return B @ x.detach() + self.bias


class Detached(operators.Operator):
    def batch(self, points):
        return points.detach() @ B.T


class Shifted(operators.AffineOperator):
    """The given derivative is not that by which costs are differentiated."""

    def derivative(self, vectors):
        return vectors @ B.T

    def adjoint(self, covectors, ambient_shape):
        return covectors @ B

    def batch(self, points):
        return torch.from_numpy(points.detach().numpy() @ B.numpy().T) + 1


LOST = {
    "numpy of a detached point": lambda x: torch.from_numpy(B.numpy() @ x.detach().numpy()),
    "numpy": lambda x: torch.from_numpy(B.numpy() @ x.numpy()),
    "detached": lambda x: (B @ x).detach(),
    "data": lambda x: B @ x.data,
    "integers": lambda x: (100 * B @ x).long(),
    "rebuilt": lambda x: torch.tensor((B @ x).tolist(), dtype=torch.float64),
    "no_grad": torch.no_grad()(lambda x: B @ x),
    "constant": lambda x: torch.zeros(3, dtype=torch.float64),
    "module": Bias(),
    "operator": Detached(),
}

CALLS = {
    "solve": lambda p: lm.solve(p, ATLAS, seed=0),
    "solve, without derivatives": lambda p: lm.solve(p, ATLAS, "nelder-mead", seed=0),
    "solve_batch": lambda p: lm.solve_batch(p, ATLAS, seed=0),
    "compare": lambda p: lm.compare(p, ATLAS, n_starts=1, seed=0),
    "gradient": lambda p: p.gradient(POINT),
    "gradient with a prior": lambda p: lm.InverseProblem(p.operator, Y, prior_weight=1.0).gradient(
        POINT, ATLAS
    ),
    "linearize": lambda p: p.linearize(POINT),
    "to_pymanopt": lambda p: p.to_pymanopt(PymanoptManifold(ATLAS)),
    "jvp": lambda p: p.operator.jvp(POINT, POINT),
    "vjp": lambda p: p.operator.vjp(POINT, POINT),
    "check_adjoint": lambda p: lm.check_adjoint(p.operator, POINT),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", LOST)
def test_operators_without_a_graph_are_refused(name, call):
    with pytest.raises(ValueError, match=f"operator {DIFFERENTIABLE}"):
        CALLS[call](lm.InverseProblem(LOST[name], Y))


def test_affine_operators_whose_batch_loses_the_graph_are_refused():
    problem = lm.InverseProblem(Shifted(), Y)
    for name in ("solve", "solve_batch", "gradient"):
        with pytest.raises(ValueError, match=f"operator {DIFFERENTIABLE}"):
            CALLS[name](problem)


def test_a_graph_that_is_lost_on_the_way_is_told():
    def operator(x):
        return B @ (x if float(x.detach()[2]) > 0.9 else x.detach())

    hosted = PymanoptManifold(ATLAS)
    problem = lm.InverseProblem(operator, Y)
    objective = lm.inverse.batch.objective.BatchObjective(
        problem.operator, problem.noise, 0.0, torch.tensor([Y]).double(), hosted.atlas
    )
    with pytest.raises(ValueError, match=DIFFERENTIABLE):
        objective.evaluate(POINT[None], torch.tensor([0]))


class Physics:
    def A(self, x):
        return torch.from_numpy(x.detach().numpy() @ B.numpy().T)

    def A_vjp(self, x, v):
        return v @ B


class Linear(Physics):
    A_vjp = None

    def A_adjoint(self, y):
        return torch.from_numpy(y.detach().numpy() @ B.numpy())


class Own(Shifted):
    batch = operators.AffineOperator.batch


@pytest.mark.parametrize("operator", [Physics(), Linear(), Own(), operators.linear(B)])
def test_derivatives_of_their_own_need_no_graph(operator):
    problem = lm.InverseProblem(operator, Y)
    expected = lm.solve(lm.InverseProblem(lambda x: B @ x, Y), ATLAS, seed=0)
    assert lm.solve(problem, ATLAS, "lbfgs", seed=0).cost == pytest.approx(expected.cost)
    assert lm.solve_batch(problem, ATLAS, "steepest-descent", seed=0).cost[0] == pytest.approx(
        expected.cost
    )


@pytest.mark.parametrize(
    "residual",
    [
        lambda x: x.detach() - 1,
        lambda x: torch.from_numpy(x.detach().numpy() - 1),
        lambda x: (10 * x).long().double(),
        lambda x: torch.ones(2).double(),
    ],
)
@pytest.mark.parametrize("ask", ["riemannian_gradient", "linearize"])
def test_residuals_without_a_graph_are_refused(residual, ask):
    problem = LeastSquaresProblem.from_residual(Sphere(3), residual)
    with pytest.raises(ValueError, match=f"residual {DIFFERENTIABLE}"):
        getattr(problem, ask)(POINT.numpy())


def test_a_residual_of_one_of_two_arrays():
    problem = LeastSquaresProblem.from_residual(
        Product([Sphere(3), Sphere(3)]), lambda x, y: y - 0.5
    )
    first, second = problem.euclidean_gradient([POINT.numpy(), POINT.numpy()])
    assert not first.any()
    np.testing.assert_allclose(second, POINT.numpy() - 0.5)


HALF = {
    "half": lambda x: B @ x + (B.T @ x).detach(),
    "entries": lambda x: torch.cat([(B @ x)[:1], (B @ x)[1:].detach()]),
    "nonlinear": lambda x: x.sin() * x.detach().exp(),
    "numpy": lambda x: x + torch.from_numpy(np.sin(3 * x.detach().numpy())),
    "float32": lambda x: (x.float().square() + 2 * x.detach().float()).double(),
    "straight through": lambda x: x + (x.square() - x).detach(),
}


@pytest.mark.parametrize("name", HALF)
def test_a_half_lost_graph_is_warned_of(name):
    problem = lm.InverseProblem(HALF[name], Y)
    for run in (lm.solve, lm.solve_batch):
        with pytest.warns(UserWarning, match="torch's derivative differs"):
            run(problem, ATLAS, seed=0, max_iterations=2)


NET = torch.nn.Sequential(torch.nn.Linear(3, 40), torch.nn.ReLU(), torch.nn.Linear(40, 3))

RIGHT = {
    "linear": lambda x: B @ x,
    "relu": lambda x: torch.relu(B @ x),
    "clamp at the flat entries": lambda x: x.clamp(min=0),
    "abs": lambda x: (B @ x).abs(),
    "max": lambda x: torch.stack([x.max(), x.min(), x.median()]),
    "median, sorted": lambda x: x.sort().values,
    "norm": lambda x: x.norm().expand(3),
    "rounded": lambda x: (10 * x).round(),
    "sign": torch.sign,
    "floor plus": lambda x: x + (10 * x).floor(),
    "float32": lambda x: (B.float() @ x.float()).double(),
    "float32, far": lambda x: (1e4 + x.float()).double(),
    "float32, nearly constant": lambda x: (1 + 1e-6 * x.float()).double(),
    "float16": lambda x: (B.half() @ x.half()).double(),
    "bfloat16": lambda x: x.bfloat16().double(),
    "network": lambda x: NET(x.float()).double(),
    "network of float64": lambda x: torch.tanh(20 * B @ x),
    "fast waves": lambda x: (300 * x).sin(),
    "very fast waves": lambda x: (1e5 * x).sin(),
    "steps": lambda x: torch.sigmoid(1e4 * x),
    "exp": lambda x: (20 * x).exp(),
    "root": lambda x: (x + 1).clamp(min=0).sqrt(),
    "logarithm": lambda x: (x + 1 + 1e-9).log(),
    "noise": lambda x: x + 0.01 * torch.randn(3, dtype=torch.float64),
    "dropout": lambda x: torch.nn.functional.dropout(B @ x),
    "zero": lambda x: 0 * x,
    "tiny": lambda x: 1e-30 * x,
    "huge": lambda x: 1e30 * x,
}


@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("name", RIGHT)
def test_right_operators_are_not_warned_of(name, size):
    generator = torch.Generator().manual_seed(0)
    problem = lm.InverseProblem(lambda x: RIGHT[name](x / size), Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(30):
            x, y = torch.randn(2, 3, dtype=torch.float64, generator=generator)
            x, y = (size * p / p.norm() for p in (x, y))
            lm.inverse.derivative.warn_of_wrong_derivative(problem.operator, x, y - x)


def test_kinks_off_the_manifold_are_not_warned_of():
    flat = lm.charts.PlaneCharts(torch.eye(4, dtype=torch.float64)[:, :2])
    problem = lm.InverseProblem(torch.relu, torch.zeros(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lm.solve(problem, lm.Atlas(flat), seed=0)


def test_a_point_outside_the_domain_says_nothing():
    def operator(x):
        raise OutsideDomainError("never")

    problem = lm.InverseProblem(operator, Y, noise=PoissonNoise(1.0))
    problem.check_on(ATLAS)
