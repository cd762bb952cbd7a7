"""Functions of the concentration of a von Mises-Fisher law, from Bessel functions of any order.

With the mean over the sphere S^(m-1), F(kappa) = log E exp(kappa u_1) is all there is: F' = A is the
mean resultant, kappa A - F the divergence from the uniform law, and A solves the Riccati equation
A' = 1 - A^2 - (m - 1) A / kappa, from which its Taylor series at zero and its expansion at infinity
follow. Between the two, F and A of a high order come from Debye's expansion, and those of a low
order from there by the recurrence of Bessel functions, downwards, where it is stable.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import torch
from numpy.polynomial import Polynomial
from torch import Tensor

# Taylor's series converges for kappa below the first zero of the Bessel function J_(m/2-1), which is
# above m / 2; at a quarter of that its terms fall by 1/16.
_SMALL = 1 / 8
_LARGE, _LARGE_LOW = 8, 40
_TERMS = 16

# Debye's expansion has this many corrections, and is used from this order on.
_DEBYE_TERMS = 12
_DEBYE_ORDER = 16


def log_area(m: int) -> float:
    """Logarithm of the area of the unit sphere in R^m."""
    return math.log(2) + m / 2 * math.log(math.pi) - math.lgamma(m / 2)


def mean_resultant(concentration: Tensor, m: int) -> Tensor:
    """Length A of the mean, I_(m/2)(kappa) / I_(m/2-1)(kappa).

    Parameters
    ----------
    concentration : Tensor
        kappa > 0, of any shape; the result has its shape and dtype.
    m : int
        Dimension of the space around the sphere, at least 2.
    """
    return _Derivative.apply(concentration.double(), m, 1).to(concentration.dtype)


def mean_resultant_slope(concentration: Tensor, m: int) -> Tensor:
    """A' = dA / dkappa, the variance of the cosine to the mean direction."""
    return _Derivative.apply(concentration.double(), m, 2).to(concentration.dtype)


def log_mean(concentration: Tensor, m: int) -> Tensor:
    """Logarithm of the mean of exp(kappa (u_1 - 1)) over the sphere, F - kappa, which stays small."""
    return _Derivative.apply(concentration.double(), m, 0).to(concentration.dtype)


def divergence_from_uniform(concentration: Tensor, m: int) -> Tensor:
    """Kullback-Leibler divergence kappa A - F of the law from the uniform one, in nats."""
    return _Divergence.apply(concentration.double(), m).to(concentration.dtype)


def entropy(concentration: Tensor, m: int) -> Tensor:
    """Differential entropy in nats."""
    return (log_area(m) - _Divergence.apply(concentration.double(), m)).to(concentration.dtype)


class _Derivative(torch.autograd.Function):
    """F - kappa, A, A' and A'': derivatives of F of the orders 0 to 3."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kappa: Tensor, m: int, order: int) -> Tensor:
        return _evaluate(kappa, m)[order]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        kappa, ctx.m, ctx.order = inputs
        ctx.save_for_backward(kappa)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.order == 3:
            raise NotImplementedError("the mean resultant is differentiable twice, not three times")
        slope = _Derivative.apply(ctx.saved_tensors[0], ctx.m, ctx.order + 1)
        return gradients[0] * (slope - 1 if ctx.order == 0 else slope), None, None


class _Divergence(torch.autograd.Function):
    """kappa A - F, of which the derivative is kappa A'."""

    generate_vmap_rule = True

    @staticmethod
    def forward(kappa: Tensor, m: int) -> Tensor:
        return _evaluate(kappa, m).divergence

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        kappa, ctx.m = inputs
        ctx.save_for_backward(kappa)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (kappa,) = ctx.saved_tensors
        return gradients[0] * kappa * _Derivative.apply(kappa, ctx.m, 2), None


class _Values(NamedTuple):
    """F - kappa, its first three derivatives plus (1, 0, 0), and the divergence."""

    log_mean: Tensor
    resultant: Tensor
    slope: Tensor
    curvature: Tensor
    divergence: Tensor


def _evaluate(kappa: Tensor, m: int) -> _Values:
    low, high = _SMALL * m, max(_LARGE * m, _LARGE_LOW)
    small = _taylor(kappa.clamp(max=low), m)
    large = _asymptotic(kappa.clamp(min=high), m)
    middle = _middle(kappa.clamp(low, high), m)
    return _Values(
        *(
            torch.where(kappa < low, s, torch.where(kappa > high, b, c))
            for s, b, c in zip(small, large, middle, strict=True)
        )
    )


def _taylor(kappa: Tensor, m: int) -> _Values:
    # A = kappa sum_j c_j kappa^(2j).
    log_mean, resultant, slope, curvature, divergence = _polynomials(kappa**2, _taylor_table(m))
    return _Values(
        kappa**2 * log_mean - kappa,
        kappa * resultant,
        slope,
        curvature / kappa,
        kappa**2 * divergence,
    )


@functools.cache
def _taylor_table(m: int) -> tuple[tuple[float, ...], ...]:
    c = [1 / m]
    for j in range(1, _TERMS):
        c.append(-sum(c[i] * c[j - 1 - i] for i in range(j)) / (2 * j + m))
    odd = [2 * j + 1 for j in range(_TERMS)]
    return tuple(
        (a / (n + 1), a, n * a, n * (n - 1) * a, n / (n + 1) * a)
        for n, a in zip(odd, c, strict=True)
    )


def _asymptotic(kappa: Tensor, m: int) -> _Values:
    # A = sum_j a_j kappa^(-j), from which F is known up to a constant, that of I_nu at infinity.
    one_over = 1 / kappa
    log_mean, resultant, slope, curvature, divergence = _polynomials(one_over, _asymptotic_table(m))
    half = (m - 1) / 2
    constant = (m / 2 - 1) * math.log(2) + math.lgamma(m / 2) - math.log(2 * math.pi) / 2
    leading = constant - half * kappa.log()
    return _Values(
        leading + one_over * log_mean,
        1 + one_over * resultant,
        one_over**2 * slope,
        one_over**3 * curvature,
        one_over * divergence - half - leading,
    )


@functools.cache
def _asymptotic_table(m: int) -> tuple[tuple[float, ...], ...]:
    a = [1.0, -(m - 1) / 2]
    for j in range(2, _TERMS + 2):
        a.append(-(sum(a[i] * a[j - i] for i in range(1, j)) + (m - j) * a[j - 1]) / 2)
    rows = []
    for j in range(1, _TERMS + 1):
        rows.append((-a[j + 1] / j, a[j], -j * a[j], j * (j + 1) * a[j], a[j + 1] * (1 + 1 / j)))
    return tuple(rows)


def _middle(kappa: Tensor, m: int) -> _Values:
    order = m / 2 - 1
    steps = max(0, math.ceil(_DEBYE_ORDER - order))
    log_value, ratio = _debye(kappa, order + steps)
    # 0F1(; n; x) / 0F1(; n + 1; x) = 1 + kappa r_n / (2 n), with r_n = I_(n+1) / I_n, and
    # kappa r_(n-1) = kappa^2 / (2 n + kappa r_n).
    product, square, scaled = torch.ones_like(kappa), kappa**2, kappa * ratio
    for step in reversed(range(steps)):
        twice = 2 * (order + step + 1)
        total = scaled + twice
        product = product * (total / twice)
        scaled = square / total
    ratio = scaled / kappa
    log_value = log_value + product.log()
    slope = 1 - ratio**2 - (m - 1) * ratio / kappa
    curvature = -2 * ratio * slope - (m - 1) * (slope - ratio / kappa) / kappa
    return _Values(log_value - kappa, ratio, slope, curvature, kappa * ratio - log_value)


def _debye(kappa: Tensor, order: float) -> tuple[Tensor, Tensor]:
    """Log of 0F1(; order + 1; kappa^2 / 4), and I_(order+1)(kappa) / I_order(kappa)."""
    root = torch.hypot(kappa, torch.full_like(kappa, order))
    excess = kappa**2 / (root + order)
    correction, slope = _polynomials(order / root, _debye_table(order))
    log_value = (
        excess
        - order * torch.log1p(excess / (2 * order))
        - torch.log1p((kappa / order) ** 2) / 4
        + correction
    )
    ratio = kappa * (1 / (root + order) - 0.5 / root**2 - order / root**3 * slope)
    return log_value, ratio


@functools.cache
def _debye_table(order: float) -> tuple[tuple[float, ...], ...]:
    """Coefficients in p = order / root of the correction, which vanishes at p = 1, and its slope.

    The exponential of the correction is the sum of U_k(p) / order^k over the value at p = 1, which
    is Stirling's correction (DLMF 10.41.10); the recurrence of its logarithm follows.
    """
    q = Polynomial([0, 0, 1, 0, -1])
    slopes = [Polynomial([1 / 8, 0, -5 / 8])]
    for k in range(1, _DEBYE_TERMS):
        products = sum((slopes[i] * slopes[k - 2 - i] for i in range(k - 1)), Polynomial([0]))
        slopes.append((q * slopes[-1]).deriv() / 2 + q * products / 2)
    slope = sum((s / order ** (k + 1) for k, s in enumerate(slopes)), Polynomial([0]))
    value = slope.integ(lbnd=1)
    padded = [*slope.coef.tolist(), 0.0]
    return tuple(zip(value.coef.tolist(), padded, strict=True))


def _polynomials(x: Tensor, table: tuple[tuple[float, ...], ...]) -> tuple[Tensor, ...]:
    """Values of several polynomials, of which the table holds the coefficients by ascending power."""
    rows = torch.tensor(table, dtype=x.dtype, device=x.device)
    powers = torch.linalg.vander(x.unsqueeze(-1), N=len(rows)).squeeze(-2)
    return (powers @ rows).unbind(-1)
