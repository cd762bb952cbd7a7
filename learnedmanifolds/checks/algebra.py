"""Properties of points, tangent vectors, projections and inner products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from learnedmanifolds.checks.membership import point_error
from learnedmanifolds.checks.properties import measured
from learnedmanifolds.checks.result import Property
from learnedmanifolds.checks.space import (
    ROUNDING,
    Sample,
    Space,
    dot,
    flat,
    length,
    normal_like,
    relative,
    shapes,
    unflat,
)


def point_properties(space: Space, sample: Sample, drawn: Sequence[Any]) -> list[Property]:
    """Random points, the tangent vectors drawn at them, and zero vectors."""
    manifold, points = space.manifold, sample.points
    off = point_error(manifold)

    def not_zero(i: int) -> float:
        x, u = points[i], sample.u[i]
        zero = manifold.zero_vector(x)
        if shapes(zero) != shapes(u):
            raise ValueError(f"shape {shapes(zero)} where a tangent vector has {shapes(u)}")
        return max(space.norm(x, zero), length(flat(zero + u) - flat(u)))

    if off is None:
        belongs = Property("random_point", None, "no rule for this manifold")
    else:
        belongs = measured(
            "random_point", lambda i: off(points[i]) / space.size(points[i]), points, ROUNDING
        )
    return [
        belongs,
        measured(
            "random_tangent_vector tangent",
            lambda i: space.not_tangent(points[i], drawn[i]),
            points,
            ROUNDING,
        ),
        measured(
            "random_tangent_vector of norm 1",
            lambda i: abs(space.norm(points[i], drawn[i]) - 1),
            points,
            ROUNDING,
        ),
        measured("zero_vector", not_zero, points, ROUNDING),
    ]


def projection_properties(space: Space, sample: Sample, rng: np.random.Generator) -> list[Property]:
    """Projections of random vectors of the ambient space.

    Symmetry is in its Euclidean inner product or in the metric: where the two differ, pymanopt's
    projections are orthogonal in one or the other.
    """
    manifold, points = space.manifold, sample.points
    names = ("projection idempotent", "projection symmetric", "to_tangent_space")
    if not space.has_ambient:
        return [Property(name, None, "points are not arrays") for name in names]
    a, b = ([normal_like(flat(x), rng) for x in points] for _ in range(2))

    def not_idempotent(i: int) -> float:
        x = points[i]
        return space.not_tangent(x, manifold.projection(x, unflat(a[i], x)), length(a[i]))

    def not_symmetric(i: int) -> float:
        x = points[i]
        projected = [space.project(x, w) for w in (a[i], b[i])]
        gap = abs(dot(projected[0], b[i]) - dot(a[i], projected[1]))
        if not space.has_ambient_metric(x, sample.u[i], sample.v[i]):
            pa, pb, wa, wb = (unflat(w, x) for w in (*projected, a[i], b[i]))
            gap = min(gap, abs(space.inner(x, pa, wb) - space.inner(x, wa, pb)))
        return relative(gap, length(a[i]) * length(b[i]))

    def not_to_tangent(i: int) -> float:
        x, u = points[i], sample.u[i]
        changed = length(flat(manifold.to_tangent_space(x, u)) - flat(u))
        moved = manifold.to_tangent_space(x, unflat(a[i], u))
        return max(relative(changed, length(flat(u))), space.not_tangent(x, moved, length(a[i])))

    errors = (not_idempotent, not_symmetric, not_to_tangent)
    return [
        measured(name, error, points, ROUNDING) for name, error in zip(names, errors, strict=True)
    ]


def inner_product_properties(space: Space, sample: Sample) -> list[Property]:
    """The metric on tangent vectors u, v of norm 1."""
    points, u, v = sample.points, sample.u, sample.v

    def not_symmetric(i: int) -> float:
        return abs(space.inner(points[i], u[i], v[i]) - space.inner(points[i], v[i], u[i]))

    def not_linear(i: int) -> float:
        x, a, b = points[i], u[i], v[i]
        both = space.inner(x, 2.0 * a + -3.0 * b, b)
        return abs(both - 2 * space.inner(x, a, b) + 3 * space.inner(x, b, b))

    def not_positive(i: int) -> float:
        x = points[i]
        return np.inf if min(space.inner(x, w, w) for w in (u[i], v[i])) <= 0 else 0.0

    def not_norm(i: int) -> float:
        x, w = points[i], u[i] + 0.5 * v[i]
        return abs(space.norm(x, w) ** 2 - space.inner(x, w, w))

    return [
        measured("inner_product symmetric", not_symmetric, points, ROUNDING),
        measured("inner_product linear", not_linear, points, ROUNDING),
        measured("inner_product positive", not_positive, points, ROUNDING),
        measured("norm", not_norm, points, ROUNDING),
    ]
