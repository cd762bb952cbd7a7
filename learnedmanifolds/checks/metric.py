"""Properties of exponential maps, logarithms, distances and means of two points."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnedmanifolds.checks.properties import measured
from learnedmanifolds.checks.result import Property
from learnedmanifolds.checks.space import FINITE_STEP, INEXACT, Sample, Space, flat, length


def metric_properties(space: Space, sample: Sample) -> list[Property]:
    """What holds between `exp`, `log`, `dist` and `pair_mean`.

    Between each random point, the next one of the sample, and the end of a short geodesic.
    """
    manifold, points = space.manifold, sample.points
    far = FINITE_STEP * space.scale

    def end(i: int) -> Any:
        return space.exp(points[i], far * sample.u[i])

    def near(i: int) -> Any:
        return space.curve(points[i], far * sample.u[i])

    def dist(a: Any, b: Any) -> float:
        return float(manifold.dist(a, b))

    def asymmetry(i: int) -> float:
        a, b = points[i], points[i - 1]
        return max(_gap(dist(a, c), dist(c, a)) for c in (b, near(i))) / space.scale

    def not_definite(i: int) -> float:
        x = points[i]
        if not dist(x, near(i)) > 0:
            return np.inf
        return abs(dist(x, x)) / space.scale

    def excess(i: int) -> float:
        a, b, c = points[i], points[i - 1], near(i)
        ab, bc, ac = dist(a, b), dist(b, c), dist(a, c)
        sides = ((ab, bc + ac), (bc, ab + ac), (ac, ab + bc))
        return max(0.0 if side <= others else side - others for side, others in sides) / space.scale

    def not_speed(i: int) -> float:
        return abs(dist(points[i], end(i)) - far) / far

    def not_inverse(i: int) -> float:
        gap = flat(manifold.log(points[i], end(i))) - far * flat(sample.u[i])
        return length(gap) / length(far * flat(sample.u[i]))

    def not_reached(i: int) -> float:
        x, y = points[i], near(i)
        reached = space.exp(x, manifold.log(x, y))
        gap = length(flat(reached) - flat(y)) if space.is_submanifold else dist(reached, y)
        return gap / space.scale

    def not_length(i: int) -> float:
        x, y = points[i], near(i)
        return abs(space.norm(x, manifold.log(x, y)) - dist(x, y)) / far

    def not_middle(i: int) -> float:
        x, y = points[i], near(i)
        middle = manifold.pair_mean(x, y)
        to, rest, whole = dist(x, middle), dist(middle, y), dist(x, y)
        return max(abs(to - rest), abs(to + rest - whole)) / far

    errors = {
        "dist symmetric": asymmetry,
        "dist definite": not_definite,
        "triangle inequality": excess,
        "dist to exp": not_speed,
        "log of exp": not_inverse,
        "exp of log": not_reached,
        "norm of log": not_length,
        "pair_mean": not_middle,
    }
    return [measured(name, error, points, INEXACT) for name, error in errors.items()]


def _gap(a: float, b: float) -> float:
    # Points in two components are infinitely far apart, both ways.
    return 0.0 if a == b else abs(a - b)
