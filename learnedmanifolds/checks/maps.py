"""Checks of retractions and vector transports by their orders at 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from pymanopt.manifolds.manifold import Manifold

from learnedmanifolds._check import positive
from learnedmanifolds.checks.membership import point_error
from learnedmanifolds.checks.properties import measured
from learnedmanifolds.checks.result import Check, Property
from learnedmanifolds.checks.slopes import SLOPE_TOLERANCE, Curve, curves_of, slope_check
from learnedmanifolds.checks.space import (
    FINITE_STEP,
    INEXACT,
    ROUNDING,
    SHORT_STEP,
    Sample,
    Space,
    draw,
    flat,
    length,
    relative,
)

_Residual = Callable[[Curve], Callable[[Any, float], Any]]


def check_retraction(
    manifold: Manifold,
    point: Any = None,
    tangent_vector: Any = None,
    *,
    n_points: int = 10,
    seed: int | None = None,
    tolerance: float = SLOPE_TOLERANCE,
) -> Check:
    """Check that R(0) = x, and that R(t v) leaves x along v: abs(R(t v) - x - t v) = O(t^2).

    In the ambient space for Riemannian submanifolds; else the distance of R(t v) to the
    exponential map where the manifold has both; else in the arrays that represent the points,
    where a tangent vector is the velocity of a curve of arrays. The ends must be on the manifold,
    where `learnedmanifolds.checks.validated.Validated` can tell.

    The property "second order" says whether the retraction is of second order, and need not hold:
    the tangential part of R(t v) - x - t v, or the distance to the exponential map, has slope 3.

    Parameters
    ----------
    manifold : pymanopt Manifold
    point, tangent_vector, n_points, seed
        See `check_gradient`.
    tolerance : float
        What the fitted slopes may be below 2 and 3.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.
    NotImplementedError
        If the manifold has no retraction, or nothing that it could be compared with.

    References
    ----------
    Absil, Malick, Projection-like retractions on matrix manifolds, SIAM J. Optim. 22, 2012.
    """
    space, sample = draw(manifold, n_points, seed, point, tangent_vector)
    return retraction_check(space, sample, positive(tolerance, "tolerance"))


def retraction_check(space: Space, sample: Sample, tolerance: float = SLOPE_TOLERANCE) -> Check:
    """See `check_retraction`."""
    x, u = sample.points[0], sample.u[0]
    # Where there is none, NotImplementedError at once.
    space.manifold.retraction(x, SHORT_STEP * space.scale * u)
    return move_check(space, sample, space.curve, "retraction", tolerance)


def move_check(
    space: Space,
    sample: Sample,
    move: Callable[[Any, Any], Any],
    name: str,
    tolerance: float = SLOPE_TOLERANCE,
) -> Check:
    """See `check_retraction`; of any map from tangent vectors to points."""
    pairs = list(zip(sample.points, sample.u, strict=True))
    rows = zip(sample.points, sample.u, sample.v, strict=True)
    flat_metric = all(space.has_ambient_metric(*row) for row in rows)
    measurable = not flat_metric and _measurable(space, *pairs[0])
    in_arrays = space.is_submanifold or (space.has_ambient and not measurable)
    if not (in_arrays or measurable):
        raise NotImplementedError(
            f"{space.manifold} has neither points that are arrays nor exp and dist, "
            f"with which its {name} could be compared"
        )
    curves = curves_of(space, sample, move)

    def displacement(curve: Curve) -> Callable[[Any, float], Any]:
        start, velocity = flat(curve.point), space.vector(curve.point, curve.tangent_vector)
        return lambda end, t: flat(end) - start - t * velocity

    def tangential(curve: Curve) -> Callable[[Any, float], Any]:
        residual = displacement(curve)
        return lambda end, t: space.project(curve.point, residual(end, t))

    def from_geodesic(curve: Curve) -> Callable[[Any, float], Any]:
        x, u = curve.point, curve.tangent_vector
        return lambda end, t: space.manifold.dist(space.exp(x, t * u), end)

    def slopes(residual: _Residual, order: float) -> Check:
        errors = [c.errors(residual(c), length(flat(c.point)) + c.steps[-1]) for c in curves]
        return slope_check(name, order, tolerance, curves, errors)

    def at_zero(i: int) -> float:
        x, u = pairs[i]
        end = move(x, 0.0 * u)
        if not in_arrays:
            return float(space.manifold.dist(end, x)) / space.scale
        return length(flat(end) - flat(x)) / max(length(flat(x)), space.scale)

    first = slopes(displacement if in_arrays else from_geodesic, 2.0)
    if flat_metric:
        second = _second_order(slopes(tangential, 3.0))
    elif measurable:
        second = _second_order(slopes(from_geodesic, 3.0))
    else:
        second = Property("second order", None, "nothing to compare with", required=False)
    properties = (
        measured("zero stays", at_zero, sample.points, ROUNDING if in_arrays else INEXACT),
        on_manifold(space, sample, move),
        second,
    )
    return replace(first, properties=properties)


def on_manifold(space: Space, sample: Sample, move: Callable[[Any, Any], Any]) -> Property:
    """Whether the ends of finite steps are points of the manifold."""
    off = point_error(space.manifold)
    name = "ends on the manifold"
    if off is None:
        return Property(name, None, "no rule for this manifold")

    def distance(i: int) -> float:
        end = move(sample.points[i], FINITE_STEP * space.scale * sample.u[i])
        return off(end) / space.size(end)

    return measured(name, distance, sample.points, ROUNDING)


def check_transport(
    manifold: Manifold,
    point: Any = None,
    tangent_vector: Any = None,
    *,
    n_points: int = 10,
    seed: int | None = None,
    tolerance: float = SLOPE_TOLERANCE,
) -> Check:
    """Check a vector transport T from x to y = R(t u): tangent, linear, T = 1 at t = 0, continuous.

    Continuity is the slope, at least 1 - tolerance, of abs(T v - v) in the ambient space; of
    abs(<T v, T v> - <v, v>) where points are not arrays. The property "isometric" says whether T
    keeps inner products at a finite step, and need not hold.

    Parameters
    ----------
    manifold : pymanopt Manifold
    point : optional
        x; by default random points.
    tangent_vector : optional
        The direction u at ``point``; the transported v are random.
    n_points, seed
        See `check_gradient`.
    tolerance : float
        What the fitted slope may be below 1.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.
    NotImplementedError
        If the manifold has no transport, or neither a retraction nor an exponential map.

    References
    ----------
    Absil, Mahony, Sepulchre, Optimization Algorithms on Matrix Manifolds, 2008, section 8.1.
    """
    space, sample = draw(manifold, n_points, seed, point, tangent_vector)
    return transport_check(space, sample, positive(tolerance, "tolerance"))


def transport_check(space: Space, sample: Sample, tolerance: float = SLOPE_TOLERANCE) -> Check:
    """See `check_transport`."""
    transport = space.manifold.transport
    rows = list(zip(sample.points, sample.u, sample.v, strict=True))
    x, _, v = rows[0]
    # Where there is none, NotImplementedError at once.
    transport(x, x, v)
    curves = curves_of(space, sample, space.curve)
    far = FINITE_STEP * space.scale

    def change(i: int) -> Callable[[Any, float], Any]:
        x, _, v = rows[i]
        if not space.has_ambient:
            return lambda y, t: np.square(space.norm(y, transport(x, y, v))) - 1
        start = space.vector(x, v)
        return lambda y, t: space.vector(y, transport(x, y, v)) - start

    def not_identity(i: int) -> float:
        x, _, v = rows[i]
        return relative(length(flat(transport(x, x, v)) - flat(v)), length(flat(v)))

    def moved(i: int, *vectors: Any) -> tuple[Any, list[Any]]:
        x, u, _ = rows[i]
        y = space.curve(x, far * u)
        return y, [transport(x, y, w) for w in vectors]

    def not_tangent(i: int) -> float:
        v = rows[i][2]
        y, (tv,) = moved(i, v)
        return space.not_tangent(y, tv, length(flat(v)))

    def not_linear(i: int) -> float:
        _, u, v = rows[i]
        tu, tv, both = map(flat, moved(i, u, v, 2.0 * u + -3.0 * v)[1])
        return relative(length(both - 2 * tu + 3 * tv), length(both))

    def not_isometric(i: int) -> float:
        x, u, v = rows[i]
        y, (tu, tv) = moved(i, u, v)
        pairs = ((tu, tu, u, u), (tu, tv, u, v), (tv, tv, v, v))
        return max(abs(space.inner(y, a, b) - space.inner(x, c, d)) for a, b, c, d in pairs)

    errors = [curve.errors(change(i), length(flat(rows[i][2]))) for i, curve in enumerate(curves)]
    properties = (
        measured("identity at zero", not_identity, sample.points, INEXACT),
        measured("tangent", not_tangent, sample.points, ROUNDING),
        measured("linear", not_linear, sample.points, INEXACT),
        measured("isometric", not_isometric, sample.points, INEXACT, required=False),
    )
    return slope_check("transport", 1.0, tolerance, curves, errors, properties)


def _measurable(space: Space, point: Any, vector: Any) -> bool:
    short = SHORT_STEP * space.scale * vector
    return space.implements("exp", point, short) and space.implements("dist", point, point)


def _second_order(check: Check) -> Property:
    detail = f"slope {check.slope:.3g}, of second order from {check.expected - check.tolerance:g}"
    return Property("second order", check.slope_passed, detail, required=False, point=check.point)
