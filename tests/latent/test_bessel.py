"""Against mpmath with 60 digits, and closed forms."""

import math

import mpmath
import pytest
import torch
from mpmath import mpf

from learnedmanifolds.latent import bessel

# m, kappa, A, divergence from the uniform law, its derivative: mpmath with 60 digits.
ANCHORS = [
    (2, 1, 0.446389965897, 0.210475607389, 0.35434603),
    (2, 10, 0.948599825955, 1.54302617643, 0.052983876),
    (3, 10, 0.900000004122, 1.99573231684, 0.099999918),
    (3, 1000, 0.999, 6.60090245954, 0.001),
    (10, 100, 0.955795172881, 11.3502162037, 0.043402194),
    (64, 100, 0.732380194097, 24.4295339449, 0.2219729),
    (128, 10, 0.0776609763821, 0.387149354523, 0.076743727),
    (256, 1, 0.00390619085918, 0.00195308064454, 0.0039060726),
    (256, 100, 0.344539325158, 16.1677290517, 0.27173743),
    (256, 1e5, 0.998725806445, 761.895083829, 0.0012733871),
]
DIMENSIONS = [2, 3, 4, 5, 11, 33, 34, 35, 36, 64, 256, 1025]
GRID = [10 ** (k / 2) for k in range(-6, 13)]
FUNCTIONS = [
    bessel.mean_resultant,
    bessel.mean_resultant_slope,
    bessel.divergence_from_uniform,
    bessel.entropy,
    bessel.log_mean,
]
TWICE = [bessel.mean_resultant, bessel.divergence_from_uniform, bessel.log_mean]


def tensor(values, **kwargs):
    return torch.tensor(values, dtype=torch.float64, **kwargs)


def exact(m, kappa):
    """F - kappa, A, A', A'' and the divergence, F = log E exp(kappa u_1)."""
    with mpmath.workdps(60):
        order, kappa = mpf(m) / 2 - 1, mpf(kappa)
        value = mpmath.besseli(order, kappa)
        a = mpmath.besseli(order + 1, kappa) / value
        # From I' = I_(order+1) + (order / kappa) I, used once more for A'.
        slope = 1 - a**2 - (m - 1) * a / kappa
        curvature = -2 * a * slope - (m - 1) * (slope * kappa - a) / kappa**2
        log = mpmath.log(value * mpmath.gamma(order + 1) * (2 / kappa) ** order)
        return [float(x) for x in (log - kappa, a, slope, curvature, kappa * a - log)]


def concentrations(m):
    """The grid, and numbers close to where one method might hand over to another."""
    return sorted({*GRID, *(m * c * (1 + e) for c in (0.125, 1, 8, 20) for e in (-1e-6, 1e-6))})


@pytest.mark.parametrize("m", DIMENSIONS)
def test_values_and_derivatives_agree_with_60_digits(m):
    values = [k for k in concentrations(m) if 1e-3 <= k <= 1e6]
    kappa = tensor(values, requires_grad=True)
    log_mean, a = bessel.log_mean(kappa, m), bessel.mean_resultant(kappa, m)
    divergence = bessel.divergence_from_uniform(kappa, m)
    (slope,) = torch.autograd.grad(a.sum(), kappa, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), kappa)
    (moment,) = torch.autograd.grad(divergence.sum(), kappa, create_graph=True)
    (second,) = torch.autograd.grad(moment.sum(), kappa)
    truth = tensor([exact(m, k) for k in values]).unbind(1)
    for got, expected, tolerance in zip(
        (log_mean, a, slope, curvature, divergence),
        truth,
        (1e-13, 1e-13, 1e-10, 1e-6, 1e-12),
        strict=True,
    ):
        assert torch.allclose(got, expected, rtol=tolerance, atol=0)
    k = kappa.detach()
    assert torch.allclose(moment, k * truth[2], rtol=1e-10, atol=0)
    # kappa A'' + A' nearly vanishes where the derivative of the divergence is largest.
    scale = truth[2] + (k * truth[3]).abs()
    assert ((second - truth[2] - k * truth[3]).abs() <= 1e-6 * scale).all()


@pytest.mark.parametrize("m, kappa, a, divergence, moment", ANCHORS)
def test_anchors(m, kappa, a, divergence, moment):
    kappa = tensor(kappa, requires_grad=True)
    value = bessel.divergence_from_uniform(kappa, m)
    value.backward()
    assert float(bessel.mean_resultant(kappa.detach(), m)) == pytest.approx(a, rel=1e-11)
    assert value.item() == pytest.approx(divergence, rel=1e-11)
    assert float(kappa.grad) == pytest.approx(moment, rel=2e-8)


def test_closed_forms_on_the_sphere_in_space():
    kappa = torch.logspace(-1, 2.5, 40, dtype=torch.float64)
    log_sinh = (torch.sinh(kappa) / kappa).log()
    coth = 1 / kappa.tanh()
    assert torch.allclose(bessel.mean_resultant(kappa, 3), coth - 1 / kappa, rtol=1e-12)
    divergence = kappa * coth - 1 - log_sinh
    assert torch.allclose(bessel.divergence_from_uniform(kappa, 3), divergence, rtol=1e-11)
    assert torch.allclose(bessel.log_mean(kappa, 3), log_sinh - kappa, rtol=1e-12)
    assert torch.allclose(bessel.entropy(kappa, 3), math.log(4 * math.pi) - divergence, rtol=1e-9)


@pytest.mark.parametrize("m, area", [(2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2)])
def test_areas_of_spheres(m, area):
    assert bessel.log_area(m) == pytest.approx(math.log(area), rel=1e-14)


@pytest.mark.parametrize("m", [2, 5, 34, 128])
@pytest.mark.parametrize("function", TWICE)
def test_derivatives_agree_with_differences(function, m):
    kappa = tensor([0.01, 0.7, 3.0, 30.0, 500.0], requires_grad=True)
    assert torch.autograd.gradcheck(lambda k: function(k, m), kappa)
    assert torch.autograd.gradgradcheck(lambda k: function(k, m), kappa)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_shape_and_precision_are_those_of_the_concentration(function):
    for shape in [(), (3,), (2, 0), (2, 3)]:
        kappa = torch.logspace(-3, 6, math.prod(shape)).reshape(shape).requires_grad_()
        value = function(kappa, 7)
        assert value.shape == shape and value.dtype == torch.float32
        double = kappa.detach().double().requires_grad_()
        truth = function(double, 7)
        assert torch.equal(value, truth.float())
        value.sum().backward()
        truth.sum().backward()
        # The relative error is that of single precision even where A is nearly 1 or nearly 0.
        assert torch.allclose(kappa.grad.double(), double.grad, rtol=3e-7, atol=0)


def test_works_under_torch_func():
    kappa = tensor([0.01, 3.0, 500.0])
    slope = torch.func.vmap(torch.func.grad(lambda k: bessel.mean_resultant(k, 6)))(kappa)
    assert torch.allclose(slope, bessel.mean_resultant_slope(kappa, 6), rtol=1e-12)


def test_a_derivative_that_is_not_there_is_refused():
    kappa = tensor(2.0, requires_grad=True)
    (slope,) = torch.autograd.grad(bessel.mean_resultant(kappa, 4), kappa, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, kappa, create_graph=True)
    with pytest.raises(NotImplementedError, match="twice"):
        curvature.backward()
