"""Units of data and cost decide nothing: the same runs end converged, at the same point."""

import math

import numpy as np
import pymanopt
import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds.charts import CircleCharts
from learnedmanifolds.inverse import BATCH_OPTIMIZERS, OPTIMIZERS
from learnedmanifolds.operators import Identity
from learnedmanifolds.optimizers import (
    LBFGS,
    FixedStep,
    GradientNorm,
    LeastSquaresProblem,
    LevenbergMarquardt,
)

# Without fixed steps, which from some starts are slow in any units.
DERIVATIVES = OPTIMIZERS[:5]
# (radius of the circle, factor of the cost)
UNITS = [(1, 1), (1e-6, 1), (1e-9, 1), (1e6, 1), (1e9, 1), (1, 1e-9), (1, 1e9)]
N = 5


def observations(radius):
    """Noisy points outside a circle of radius 1 about 0, times the radius."""
    angle = draw(N, low=0, high=2 * math.pi)
    length = draw(N, 1, seed=1, low=1, high=1.3)
    return radius * length * torch.stack([angle.cos(), angle.sin()], 1)


def problem(y, factor):
    return lm.InverseProblem(Identity(), y, noise_std=factor**-0.5)


def error(points, y, radius):
    nearest = (y / y.norm(dim=-1, keepdim=True)).numpy()
    return np.abs(points / radius - nearest).max()


@pytest.mark.parametrize("radius, factor", UNITS)
@pytest.mark.parametrize("optimizer", DERIVATIVES)
def test_solve(optimizer, radius, factor):
    atlas = lm.Atlas(CircleCharts(radius), noise_std=0.01 * radius)
    y = observations(radius)
    for seed, one in enumerate(y):
        solution = lm.solve(
            problem(one, factor), atlas, optimizer, seed=seed, n_screen=0, max_iterations=2000
        )
        assert solution.status.name == "CONVERGED"
        assert error(solution.point, one, radius) < 2e-5


@pytest.mark.parametrize("radius, factor", UNITS)
@pytest.mark.parametrize("optimizer", BATCH_OPTIMIZERS)
def test_solve_batch(optimizer, radius, factor):
    atlas = lm.Atlas(CircleCharts(radius), noise_std=0.01 * radius)
    y = observations(radius)
    solution = lm.solve_batch(
        problem(y[0], factor), atlas, optimizer, seed=0, observations=y, n_screen=0
    )
    assert solution.converged.all()
    assert error(solution.points, y, radius) < 2e-5


@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("optimizer", [LevenbergMarquardt, LBFGS, FixedStep])
def test_optimizers_by_themselves(optimizer, factor):
    sphere, root = pymanopt.manifolds.Sphere(3), math.sqrt(factor)
    target = torch.tensor([0.0, 0.0, -2.0], dtype=torch.float64)
    hosted = LeastSquaresProblem.from_residual(sphere, lambda x: root * (x - target))
    start = np.array([0.6, 0.0, -0.8])
    result = optimizer(verbosity=0).run(hosted, initial_point=start)
    assert "below the threshold" in result.stopping_criterion
    assert np.allclose(result.point, [0, 0, -1], atol=1e-5)
    again = optimizer(verbosity=0).run(hosted, initial_point=result.point)
    assert "below the threshold" in again.stopping_criterion


def test_a_threshold_that_is_given_is_absolute():
    atlas = lm.Atlas(CircleCharts(1e-6), noise_std=1e-8)
    y = observations(1e-6)[0]
    options = {"seed": 0, "n_screen": 0}
    loose = lm.solve(problem(y, 1.0), atlas, min_gradient_norm=1e-3, **options)
    assert loose.converged and loose.runs[0].iterations <= 1
    loose = lm.solve(problem(y, 1.0), atlas, stopping=GradientNorm(1e-3), **options)
    assert loose.converged and loose.runs[0].iterations <= 1


def test_a_constant_cost_converges_at_once():
    atlas = lm.Atlas(CircleCharts(1.0))
    constant = lm.InverseProblem(lambda x: 0 * x, [3.0, 4.0])
    solution = lm.solve(constant, atlas, seed=0)
    assert solution.converged and solution.runs[0].iterations == 0
