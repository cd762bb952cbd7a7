"""Splines on grids against what splines are: smooth, between their coefficients, exact on slopes."""

import math

import pytest
import torch
from oracles import draw

from learnedmanifolds.charts.splines import CubicSplines, knots


def grid(low, step, count):
    """The knots (g^d, d) of a grid."""
    axes = [
        a + s * torch.arange(count, dtype=torch.float64) for a, s in zip(low, step, strict=True)
    ]
    return torch.cartesian_prod(*axes).reshape(count ** len(axes), len(axes))


def splines(function, dim, count=9, seed=0):
    """Two charts' splines whose coefficients are a function's values at the knots of two grids."""
    low, step = (
        draw(2, dim, seed=seed, low=-1.2, high=-0.8),
        draw(2, dim, seed=seed + 1, low=0.2, high=0.3),
    )
    values = [function(grid(a, s, count)) for a, s in zip(low, step, strict=True)]
    return CubicSplines(low, step, torch.stack(values))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_linear_functions_are_exact_with_their_slopes(dim):
    slope = draw(dim, seed=5)
    spline = splines(lambda t: t @ slope + 0.3, dim)
    at = draw(200, dim, seed=6, low=-0.4, high=0.3)
    chart = torch.arange(200) % 2
    value, found = spline.slope(at, chart)
    assert torch.allclose(value, at @ slope + 0.3, rtol=0, atol=1e-13)
    assert torch.allclose(found, slope.expand(200, dim), rtol=0, atol=1e-12)
    # All charts, one, and one a point say the same.
    every = spline(at.expand(2, 200, dim))
    assert torch.equal(every[chart, torch.arange(200)], spline(at, chart))
    assert torch.equal(every[1], spline(at, 1))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_slopes_are_those_of_the_values(dim):
    source = torch.Generator().manual_seed(dim)
    spline = splines(lambda t: torch.randn(len(t), generator=source, dtype=torch.float64), dim)
    at = draw(50, dim, seed=7, low=-1.5, high=1.5).requires_grad_()
    value, slope = spline.slope(at, 0)
    (expected,) = torch.autograd.grad(value.sum(), at)
    assert torch.allclose(slope[spline_inside(spline, at)], expected[spline_inside(spline, at)])


def spline_inside(spline, at):
    """Which points are where the splines go on smoothly, in chart 0."""
    place = (at.detach() - spline.low[0]) / spline.step[0]
    return ((place > 1) & (place < spline.count - 2)).all(-1)


def test_second_derivatives_have_no_jump_at_knots():
    source = torch.Generator().manual_seed(3)
    spline = splines(lambda t: torch.randn(len(t), generator=source, dtype=torch.float64), 1)
    knot = spline.low[0] + 4 * spline.step[0]
    h = 1e-4
    near = torch.stack([knot + i * h for i in range(-3, 4)])
    second = spline(near, 0).diff().diff() / h**2
    # Third derivatives are of the size of the coefficients over the step's cube.
    assert float(second.diff().abs().max()) < 10 * 4 / float(spline.step[0]) ** 3 * h


def test_smooth_functions_are_followed_with_the_square_of_the_step():
    errors = []
    for count in (17, 33, 65):
        step = torch.full((1, 1), 2.4 / (count - 1), dtype=torch.float64)
        low = torch.full((1, 1), -1.2, dtype=torch.float64)
        spline = CubicSplines(low, step, torch.sin(3 * grid(low[0], step[0], count)).mT)
        at = draw(300, 1, seed=9, low=-0.9, high=0.9)
        errors.append(float((spline(at, 0) - torch.sin(3 * at[:, 0])).abs().max()))
    rates = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert min(rates) > 1.9


@pytest.mark.parametrize("dim", [1, 2])
def test_values_stay_between_the_coefficients_and_go_on_evenly(dim):
    source = torch.Generator().manual_seed(4)
    spline = splines(lambda t: torch.rand(len(t), generator=source, dtype=torch.float64), dim)
    at = draw(500, dim, seed=8, low=-5, high=5)
    value = spline(at, 1)
    assert float(value.min()) >= 0
    assert float(value.max()) <= 1
    low, step = spline.low[1], spline.step[1]
    held = torch.maximum(torch.minimum(at, low + (spline.count - 2) * step), low + step)
    assert torch.allclose(value, spline(held, 1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("dim", [1, 2])
def test_nan_is_nan_and_nothing_else_is(dim):
    spline = splines(lambda t: t.square().sum(1), dim)
    at = draw(6, dim, seed=1, low=-1, high=1)
    at[2, -1] = torch.nan
    assert spline(at, 1).isnan().tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize(("size", "dim"), [(10, 2), (9, 2), (3, 1), (65, 3)])
def test_sizes_that_no_grid_has(size, dim):
    with pytest.raises(ValueError, match=f"at least 4 knots along each of {dim} axes, got {size}"):
        knots(size, dim)
