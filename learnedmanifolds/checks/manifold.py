"""Checks of everything that a manifold implements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pymanopt
from pymanopt.manifolds.manifold import Manifold

from learnedmanifolds._check import integer
from learnedmanifolds._grad import differentiable
from learnedmanifolds.checks.algebra import (
    inner_product_properties,
    point_properties,
    projection_properties,
)
from learnedmanifolds.checks.derivatives import Taylor
from learnedmanifolds.checks.maps import move_check, retraction_check, transport_check
from learnedmanifolds.checks.metric import metric_properties
from learnedmanifolds.checks.result import Check, Property, Report
from learnedmanifolds.checks.space import SHORT_STEP, Sample, Space, normal_like, seeded


@differentiable()
def check_manifold(manifold: Manifold, *, n_points: int = 10, seed: int | None = None) -> Report:
    """Check every method of a pymanopt manifold against its definition, at random points.

    Random points and tangent vectors, projection, metric, retraction, exponential map, logarithm,
    distance, mean of two points, vector transport; on Riemannian submanifolds also the gradient
    and Hessian of a quadratic cost. What the manifold does not implement is reported as such and
    is no failure; nor is what a manifold may have or not, such as a retraction of second order.
    Geodesics that leave a manifold through its boundary are left out.

    Parameters
    ----------
    manifold : pymanopt Manifold
    n_points : int
        Number of random points.
    seed : int, optional
        Of the random points and vectors; fresh entropy by default.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.
    """
    space = Space(manifold)
    integer(n_points, "n_points", minimum=1)
    with seeded(manifold, seed):
        try:
            sample = Sample(space, n_points)
            drawn = [manifold.random_tangent_vector(x) for x in sample.points]
        # A broken draw is a finding, not an error of the check.
        except Exception as problem:
            found = Property("random points", False, f"{type(problem).__name__}: {problem}")
            return Report(str(manifold), (found,))
    rng = np.random.default_rng(seed)
    attempts = [_attempt(name, make) for name, make in _checks(space, sample, rng).items()]
    properties = [
        *point_properties(space, sample, drawn),
        *projection_properties(space, sample, rng),
        *inner_product_properties(space, sample),
        *(item for found, _ in attempts for item in found),
        *metric_properties(space, sample),
    ]
    checks = tuple(check for _, check in attempts if check is not None)
    return Report(str(manifold), tuple(properties), checks)


def _checks(
    space: Space, sample: Sample, rng: np.random.Generator
) -> dict[str, Callable[[], Check]]:
    def exponential() -> Check:
        if not space.implements("exp", sample.points[0], SHORT_STEP * space.scale * sample.u[0]):
            raise NotImplementedError("not implemented")
        if not space.has_ambient_metric(sample.points[0], sample.u[0], sample.v[0]):
            raise NotImplementedError("its speed is checked by dist")
        check = move_check(space, sample, space.exp, "exp")
        # A retraction may have a tangential acceleration, a geodesic may not.
        return replace(check, properties=tuple(replace(p, required=True) for p in check.properties))

    def taylor() -> Taylor:
        if not space.is_submanifold:
            raise NotImplementedError("not a Riemannian submanifold; see check_gradient")
        return Taylor(_quadratic(space, sample.points[0], rng), space, sample)

    return {
        "retraction": lambda: retraction_check(space, sample),
        "exp": exponential,
        "transport": lambda: transport_check(space, sample),
        "gradient": lambda: taylor().gradient(),
        "Hessian": lambda: taylor().hessian(),
    }


def _attempt(name: str, make: Callable[[], Check]) -> tuple[list[Property], Check | None]:
    try:
        check = make()
    except NotImplementedError as problem:
        return [Property(name, None, str(problem))], None
    # The report names a broken method and goes on to the next.
    except Exception as problem:
        return [Property(name, False, f"{type(problem).__name__}: {problem}")], None
    slope = Property(
        name,
        check.slope_passed,
        f"slope {check.slope:.3g}, expected {check.expected:g}",
        check.expected - check.slope,
        check.tolerance,
        point=check.point,
    )
    return [slope, *(replace(p, name=f"{name}: {p.name}") for p in check.properties)], check


def _quadratic(space: Space, example: Any, rng: np.random.Generator) -> pymanopt.Problem:
    """A cost on a submanifold, with its Euclidean derivatives."""
    single = not isinstance(example, (list, tuple))
    arrays = [example] if single else example
    slopes = [normal_like(x, rng) for x in arrays]
    weights = [rng.uniform(0.5, 2.0, np.shape(x)) for x in arrays]
    on = pymanopt.function.numpy(space.manifold)

    def pack(values: list[np.ndarray]) -> Any:
        return values[0] if single else values

    @on
    def cost(*x: np.ndarray) -> float:
        rows = zip(slopes, weights, x, strict=True)
        return sum(float((np.vdot(a, y) + 0.5 * np.vdot(y, w * y)).real) for a, w, y in rows)

    @on
    def gradient(*x: np.ndarray) -> Any:
        return pack([a + w * y for a, w, y in zip(slopes, weights, x, strict=True)])

    @on
    def hessian(*x: np.ndarray) -> Any:
        return pack([w * h for w, h in zip(weights, x[len(weights) :], strict=True)])

    return pymanopt.Problem(
        space.manifold, cost, euclidean_gradient=gradient, euclidean_hessian=hessian
    )
