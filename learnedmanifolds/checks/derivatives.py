"""Checks of gradients and Hessians by the order of Taylor's remainder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymanopt
from pymanopt.manifolds.manifold import Manifold

from learnedmanifolds._check import positive
from learnedmanifolds._grad import differentiable
from learnedmanifolds.checks.properties import measured
from learnedmanifolds.checks.result import Check, Property
from learnedmanifolds.checks.slopes import (
    SLOPE_TOLERANCE,
    Curve,
    acceleration,
    curves_of,
    slope_check,
)
from learnedmanifolds.checks.space import (
    ROUNDING,
    SHORT_STEP,
    Sample,
    Space,
    dot,
    draw,
    flat,
    length,
    relative,
)


@differentiable()
def check_gradient(
    problem: pymanopt.Problem,
    point: Any = None,
    tangent_vector: Any = None,
    *,
    n_points: int = 10,
    seed: int | None = None,
    tolerance: float = SLOPE_TOLERANCE,
) -> Check:
    """Check the Riemannian gradient of a cost: abs(f(R(t v)) - f(x) - t <grad f, v>) = O(t^2).

    The fitted slope of the error must be at least 2 - tolerance at every point, and the gradient
    tangent. A gradient that is wrong by less than about 1e-5 of its size may not be told.

    Parameters
    ----------
    problem : pymanopt.Problem
        On any pymanopt manifold with a retraction, or else an exponential map.
    point : optional
        Where; by default random points.
    tangent_vector : optional
        In which direction, of any length, at ``point``; by default random directions.
    n_points : int
        Number of random points, or of directions at ``point``; 1 if both are given.
    seed : int, optional
        Of the random points and directions; fresh entropy by default.
    tolerance : float
        What the fitted slope may be below 2.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, as a ``tangent_vector`` that is not tangent.

    References
    ----------
    Boumal, An Introduction to Optimization on Smooth Manifolds, 2023, section 4.8.
    """
    space, sample = draw(_manifold(problem), n_points, seed, point, tangent_vector)
    return Taylor(problem, space, sample).gradient(positive(tolerance, "tolerance"))


@differentiable()
def check_hessian(
    problem: pymanopt.Problem,
    point: Any = None,
    tangent_vector: Any = None,
    *,
    n_points: int = 10,
    seed: int | None = None,
    tolerance: float = SLOPE_TOLERANCE,
) -> Check:
    """Check the Riemannian Hessian: abs(f(c(t)) - f - t <grad f, v> - t^2/2 <Hess f[v], v>) = O(t^3).

    The fitted slope must be at least 3 - tolerance at every point, and the Hessian a linear,
    symmetric map to the tangent space. The order needs a curve c(t) without acceleration, as
    geodesics and retractions of second order are:

    * On a Riemannian submanifold c is the retraction, whatever its order: its own acceleration
      a, by finite differences in the ambient space, enters as t^2/2 <grad f, a>.
    * On other manifolds c is the exponential map where there is one.
    * Else c is the retraction, which then must be of second order, or the point critical.

    Parameters
    ----------
    problem, point, tangent_vector, n_points, seed
        See `check_gradient`.
    tolerance : float
        What the fitted slope may be below 3.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    References
    ----------
    Boumal, An Introduction to Optimization on Smooth Manifolds, 2023, section 6.8.
    """
    space, sample = draw(_manifold(problem), n_points, seed, point, tangent_vector)
    return Taylor(problem, space, sample).hessian(positive(tolerance, "tolerance"))


class Taylor:
    """Values and derivatives of a cost at a sample."""

    def __init__(self, problem: pymanopt.Problem, space: Space, sample: Sample) -> None:
        self.problem, self.space, self.sample = problem, space, sample
        self.costs = [self._cost(x) for x in sample.points]
        self.gradients = [problem.riemannian_gradient(x) for x in sample.points]
        self.rates = [
            space.inner(x, g, u)
            for x, g, u in zip(sample.points, self.gradients, sample.u, strict=True)
        ]

    def gradient(self, tolerance: float = SLOPE_TOLERANCE) -> Check:
        """Order 2."""
        curves = curves_of(self.space, self.sample, self.space.curve)
        errors = [self._remainder(i, curve, 0.0) for i, curve in enumerate(curves)]

        def not_tangent(i: int) -> float:
            # Of a gradient that vanishes nothing is left but rounding: a secant gives the size.
            size = self._change(i, curves[i]) / curves[i].steps[-1]
            return self.space.not_tangent(self.sample.points[i], self.gradients[i], size)

        tangent = measured("tangent", not_tangent, self.sample.points, ROUNDING)
        return slope_check("gradient", 2.0, tolerance, curves, errors, (tangent,))

    def hessian(self, tolerance: float = SLOPE_TOLERANCE) -> Check:
        """Order 3."""
        space, hessian = self.space, self.problem.riemannian_hessian
        rows = list(zip(self.sample.points, self.sample.u, self.sample.v, strict=True))
        embedded = all(space.has_ambient_metric(*row) for row in rows)
        x, u, _ = rows[0]
        short = SHORT_STEP * space.scale * u
        geodesic = not embedded and space.implements("exp", x, short)
        curves = curves_of(space, self.sample, space.exp if geodesic else space.curve)
        images = [(hessian(x, u), hessian(x, v)) for x, u, v in rows]
        errors = []
        for i, (curve, (x, u, _), (image, _)) in enumerate(zip(curves, rows, images, strict=True)):
            curvature = space.inner(x, image, u)
            if embedded:
                curvature += dot(space.vector(x, self.gradients[i]), acceleration(curve))
            errors.append(self._remainder(i, curve, curvature))
        properties = self._of_hessian(rows, images)
        return slope_check("Hessian", 3.0, tolerance, curves, errors, properties)

    def _of_hessian(
        self, rows: list[tuple[Any, Any, Any]], images: list[tuple[Any, Any]]
    ) -> tuple[Property, ...]:
        space, hessian = self.space, self.problem.riemannian_hessian
        # Of a Hessian that vanishes nothing is left but rounding: the gradient gives a size.
        sizes = [
            max(length(flat(hu)), length(flat(hv)), length(flat(g)) / space.scale)
            for (hu, hv), g in zip(images, self.gradients, strict=True)
        ]

        def not_tangent(i: int) -> float:
            return space.not_tangent(rows[i][0], images[i][0], sizes[i])

        def not_linear(i: int) -> float:
            (x, u, v), (hu, hv) = rows[i], images[i]
            gap = flat(hessian(x, 2.0 * u + -3.0 * v)) - 2 * flat(hu) + 3 * flat(hv)
            return relative(length(gap), sizes[i])

        def not_symmetric(i: int) -> float:
            (x, u, v), (hu, hv) = rows[i], images[i]
            size = max(space.norm(x, hu), space.norm(x, hv), sizes[i])
            return relative(abs(space.inner(x, hu, v) - space.inner(x, u, hv)), size)

        return tuple(
            measured(name, error, self.sample.points, ROUNDING)
            for name, error in (
                ("tangent", not_tangent),
                ("linear", not_linear),
                ("symmetric", not_symmetric),
            )
        )

    def _remainder(self, i: int, curve: Curve, curvature: float) -> tuple[np.ndarray, float]:
        cost, rate = self.costs[i], self.rates[i]

        def remainder(end: Any, t: float) -> float:
            return self._cost(end) - cost - t * rate - 0.5 * t * t * curvature

        return curve.errors(remainder, abs(cost) + self._change(i, curve))

    def _change(self, i: int, curve: Curve) -> float:
        """By how much the cost changes over the longest steps."""
        ends = (curve.ahead[-1], curve.back[-1])
        changes = [abs(self._cost(end) - self.costs[i]) for end in ends if end is not None]
        return float(np.nan_to_num(max([0.0, *changes])))

    def _cost(self, point: Any) -> float:
        return float(np.real(self.problem.cost(point)))


def _manifold(problem: pymanopt.Problem) -> Manifold:
    if not isinstance(problem, pymanopt.Problem):
        raise TypeError(f"problem must be a pymanopt.Problem, got {type(problem).__name__}")
    return problem.manifold
