"""Checks of measurement operators: adjointness and the order of Taylor's remainder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import numpy as np
import torch
from pymanopt.manifolds import Euclidean
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, generator, integer, positive
from learnedmanifolds._grad import differentiable
from learnedmanifolds.checks.properties import measured
from learnedmanifolds.checks.result import Check, Property
from learnedmanifolds.checks.slopes import SLOPE_TOLERANCE, Curve, slope_check
from learnedmanifolds.checks.space import Space, relative
from learnedmanifolds.operators.base import AffineOperator, Linearization
from learnedmanifolds.operators.deepinv import as_operator

# Directions of Taylor's remainder, each of which takes some twenty evaluations of the operator, which
# may factorize a large matrix. One alone sees any wrong derivative unless it is orthogonal to the
# error.
_N_CURVES = 3

# The share of the tiny steps that are taken along each of them.
_EVERY = 3

# Points of a batch that are compared to the same points alone.
_N_BATCH = 3

_ORDER = 2.0

_LONGEST_SHAPE = 5


@differentiable()
def check_adjoint(
    operator: Any,
    point: ArrayLike,
    *,
    n_draws: int = 10,
    seed: int | None = None,
    tolerance: float = 1e-8,
) -> Check:
    """Check that <F'(x) v, w> = <v, F'(x)^T w>, and that F' is the derivative of F.

    The remainder |F(x + t v) - F(x) - t F'(x) v| must be of order 2 in t, or nowhere above
    rounding. The properties beside it are:

    * ``adjoint``: the products of random v, w agree, in parts of |F'(x) v| |w|.
    * ``linear``: F'(x) (2 u - 3 v) = 2 F'(x) u - 3 F'(x) v.
    * ``value``: the linearization's value is F(x).
    * ``batch``: F of many points is that of each.
    * ``gradient``: torch differentiates <F(x), w> to F'(x)^T w.
    * ``affine``: F(x + v) = F(x) + F' v for v as long as x, of an `AffineOperator`.

    Parameters
    ----------
    operator : Operator, object of deepinv's protocol, or callable
        See `learnedmanifolds.operators.as_operator`.
    point : array, ambient shape
        x; taken in float64.
    n_draws : int
        Number of random v, w of normal entries; the remainder follows the first three v, in steps
        of 1e-5 to 1e-1 of the length of x, or of 1 where x is 0, up to the decade that shows its
        order; errors above that are NaN.
    seed : int, optional
        Of the draws; fresh entropy by default.
    tolerance : float
        Of the properties' errors, relative.

    Raises
    ------
    TypeError
        If the operator is none, or another argument has the wrong type.
    ValueError
        If an argument has the wrong value, F is not finite at the point, torch sees no derivative of
        a callable, or F'(x) v has another shape than F(x).
    """
    mapped = as_operator(operator)
    x = as_tensor(point, "point", dtype=torch.float64, allow_empty=False).detach()
    integer(n_draws, "n_draws", minimum=1)
    positive(tolerance, "tolerance")
    try:
        with torch.no_grad():
            value = mapped(x)
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        if _looks_like_a_shape(point):
            raise ValueError(
                f"point must be a point, such as torch.rand{tuple(point)}, not a shape, "
                f"got {point!r}; of it the operator says: {error}"
            ) from error
        raise
    if not isinstance(value, Tensor):
        raise TypeError(f"operator must return a torch tensor, got {type(value).__name__}.")
    if not bool(torch.isfinite(value).all()):
        raise ValueError(
            f"operator must be finite at the point, got "
            f"{int((~torch.isfinite(value)).sum())} NaN or infinite of {value.numel()} values."
        )
    source = generator(seed)
    v, w = (
        torch.randn(n_draws, *shape, generator=source, dtype=torch.float64)
        for shape in (x.shape, value.shape)
    )
    size = float(x.norm()) or 1.0
    v = v * (size / v.flatten(1).norm(dim=1)).view(-1, *[1] * x.ndim)
    statements = _Statements(mapped, x, value, mapped.linearize(x), v, w)
    return statements.check(size, tolerance)


def _looks_like_a_shape(point: object) -> TypeGuard[Sequence[int]]:
    return (
        isinstance(point, Sequence)
        and 0 < len(point) <= _LONGEST_SHAPE
        and all(isinstance(size, int) and size > 0 for size in point)
    )


class _Statements:
    """An operator at a point, and draws: vectors v, as long as the point, and covectors w."""

    def __init__(
        self,
        operator: Any,
        x: Tensor,
        value: Tensor,
        linearization: Linearization,
        v: Tensor,
        w: Tensor,
    ) -> None:
        self.operator, self.x, self.value, self.v, self.w = operator, x, value, v, w
        self.linearization = linearization
        self.jv = linearization.jvp(v)
        if self.jv.shape != (len(v), *value.shape):
            raise ValueError(
                f"jvp of {len(v)} vectors must have shape {(len(v), *value.shape)}, "
                f"got {tuple(self.jv.shape)}."
            )

    def check(self, size: float, tolerance: float) -> Check:
        """The order along the first v, and the properties."""
        space = Space(Euclidean(self.x.numel()))
        space.scale = size
        n = min(_N_CURVES, len(self.v))
        start = self.x.flatten().numpy()
        units = [vector.flatten().numpy() / size for vector in self.v[:n]]
        curves = [Curve.of(space, start, unit, lambda p, h: p + h) for unit in units]
        remainders = [self._remainder(i, size) for i in range(n)]
        # The operator's rounding is the same in all directions.
        magnitudes = [float(self.value.norm() + jv.norm()) for jv in self.jv[:n]]
        triples = zip(curves, remainders, magnitudes, strict=True)
        rounding = max(curve.rounding(r, magnitude, _EVERY) for curve, r, magnitude in triples)
        errors = [
            (curve.lowest_errors(r, rounding, _ORDER), rounding)
            for curve, r in zip(curves, remainders, strict=True)
        ]
        properties = self._properties(tolerance)
        return slope_check("operator", _ORDER, SLOPE_TOLERANCE, curves, errors, properties)

    def _remainder(self, i: int, size: float) -> Callable[[np.ndarray, float], np.ndarray]:
        rate = self.jv[i] / size

        def remainder(end: np.ndarray, t: float) -> np.ndarray:
            return (self._at(end) - self.value - t * rate).flatten().numpy()

        return remainder

    def _at(self, point: np.ndarray) -> Tensor:
        with torch.no_grad():
            return self.operator(torch.from_numpy(point).view(self.x.shape))

    def _properties(self, tolerance: float) -> tuple[Property, ...]:
        statements: list[tuple[str, Callable[[int], float]]] = [
            ("adjoint", self._not_adjoint),
            ("linear", self._not_linear),
            ("value", lambda _: _gap(self.linearization.value, self.value)),
            ("batch", lambda _: self._not_batched()),
            ("gradient", self._not_gradient),
        ]
        if isinstance(self.operator, AffineOperator):
            statements.append(("affine", self._not_affine))
        draws = list(self.v)
        once = {"value", "batch"}
        return tuple(
            measured(name, error, draws[:1] if name in once else draws, tolerance)
            for name, error in statements
        )

    def _not_adjoint(self, i: int) -> float:
        pulled = self.linearization.vjp(self.w[i : i + 1])[0]
        _same_shape(pulled, self.x)
        forth, back = (self.jv[i] * self.w[i]).sum(), (self.v[i] * pulled).sum()
        size = max(
            float(self.jv[i].norm() * self.w[i].norm()), float(self.v[i].norm() * pulled.norm())
        )
        return relative(float((forth - back).abs()), size)

    def _not_linear(self, i: int) -> float:
        u, v = self.v[i - 1], self.v[i]
        combined = self.linearization.jvp((2 * u - 3 * v).unsqueeze(0))[0]
        return _gap(combined, 2 * self.jv[i - 1] - 3 * self.jv[i], self.jv[i])

    def _not_batched(self) -> float:
        points = self.x + 0.1 * self.v[:_N_BATCH]
        with torch.no_grad():
            singles = torch.stack([self.operator(point) for point in points])
            return _gap(self.operator.batch(points), singles)

    def _not_gradient(self, i: int) -> float:
        x = self.x.clone().requires_grad_()
        with torch.enable_grad():
            product = (self.operator(x) * self.w[i]).sum()
        gradient = torch.zeros_like(x)
        if product.requires_grad:
            (found,) = torch.autograd.grad(product, x, allow_unused=True)
            gradient = gradient if found is None else found
        return _gap(gradient, self.linearization.vjp(self.w[i : i + 1])[0])

    def _not_affine(self, i: int) -> float:
        with torch.no_grad():
            moved = self.operator(self.x + self.v[i]) - self.value
        return _gap(moved, self.jv[i], self.value)


def _gap(found: Tensor, expected: Tensor, other: Tensor | None = None) -> float:
    """Length of the difference, relative to what is expected or to another size."""
    _same_shape(found, expected)
    size = float(expected.norm()) if other is None else float(expected.norm() + other.norm())
    return relative(float((found - expected).norm()), size)


def _same_shape(found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise ValueError(f"shape must be {tuple(expected.shape)}, got {tuple(found.shape)}")
