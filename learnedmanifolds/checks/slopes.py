"""Orders of vanishing: slopes of errors against steps in double logarithms."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnedmanifolds.checks.result import Check, Property
from learnedmanifolds.checks.space import Sample, Space, flat
from learnedmanifolds.geometry import BoundaryError

SLOPE_TOLERANCE = 0.1
"""What a fitted slope may lack; ManifoldsBase.jl's checks accept the same."""

# Steps in sizes of the manifold, six a decade, and windows of a decade in which a line is fitted.
_STEPS = np.geomspace(1e-5, 1e-1, 25)
_WINDOW = 7

# Slopes of 3 are sought from this part of the largest step on as well: below it an error of 1e-8 in
# the terms before, as of a gradient by finite differences, would be seen instead of the order.
_CUBIC = 1e-3

# Steps at which every smooth error is below rounding, so that what is left is rounding.
_TINY = np.geomspace(1e-15, 1e-13, 8)

# The greatest rounding in parts of what is rounded, as of costs that are solved for.
_NOISIEST = 1e-6

# An error counts where it is so many times its rounding.
_ABOVE_ROUNDING = 10.0

# Root mean square of the decadic logarithms' residuals in a window that counts as straight. That
# of c t + t^2, a small error in the first order, is at most 0.022; that of rounding is greater.
_STRAIGHT = 0.03

# The fewest steps in a row above rounding that have a slope.
_FEWEST = 4


@dataclass(frozen=True)
class Curve:
    """Points at steps t, -t, and tiny ones along one direction; None where it leaves the manifold.

    Attributes
    ----------
    point, tangent_vector
        Start and unit direction.
    steps, tiny : ndarray
        Lengths.
    ahead, back, near : list
        The points at ``steps``, ``-steps`` and ``tiny``.
    """

    point: Any
    tangent_vector: Any
    steps: np.ndarray
    tiny: np.ndarray
    ahead: list[Any]
    back: list[Any]
    near: list[Any]

    @classmethod
    def of(
        cls, space: Space, point: Any, tangent_vector: Any, move: Callable[[Any, Any], Any]
    ) -> Curve:
        """The curve of a retraction or an exponential map."""

        def follow(lengths: np.ndarray) -> list[Any]:
            return [_end(move, point, float(t) * tangent_vector) for t in lengths]

        steps, tiny = space.scale * _STEPS, space.scale * _TINY
        return cls(point, tangent_vector, steps, tiny, follow(steps), follow(-steps), follow(tiny))

    def errors(
        self, residual: Callable[[Any, float], Any], magnitude: float
    ) -> tuple[np.ndarray, float]:
        """Errors at the steps, and their rounding.

        Parameters
        ----------
        residual : callable
            Of a point and its signed step: a number, or a flat array.
        magnitude : float
            Of the numbers whose difference the residual is, and of what changes along the curve.

        Returns
        -------
        errors : ndarray, shape (m,)
            Root mean squares of both directions. One alone has dips where two coefficients of
            the error cancel, which bend its slope.
        rounding : float
        """
        errors = [self._error(residual, k) for k in range(len(self.steps))]
        return np.array(errors), self.rounding(residual, magnitude)

    def rounding(
        self, residual: Callable[[Any, float], Any], magnitude: float, every: int = 1
    ) -> float:
        """Rounding of the errors, from the tiny steps or every second, third, ... of them."""
        pairs = zip(self.near[::every], self.tiny[::every], strict=True)
        return _rounding([_residual(residual, p, t) for p, t in pairs], magnitude)

    def lowest_errors(
        self, residual: Callable[[Any, float], Any], rounding: float, expected: float
    ) -> np.ndarray:
        """Errors up to the decade that `fit` finds, NaN above: for residuals that take long."""
        errors = np.full(len(self.steps), np.nan)
        for k in range(len(self.steps)):
            errors[k] = self._error(residual, k)
            first, stop = fit(self.steps, errors, rounding, expected)[1]
            if stop - first == _WINDOW and _is_straight(self.steps, errors, first, stop):
                break
        return errors

    def _error(self, residual: Callable[[Any, float], Any], k: int) -> float:
        step = self.steps[k]
        both = _residual(residual, self.ahead[k], step), _residual(residual, self.back[k], -step)
        return float(np.sqrt(np.mean([float(np.linalg.norm(r)) ** 2 for r in both])))


def curves_of(space: Space, sample: Sample, move: Callable[[Any, Any], Any]) -> list[Curve]:
    """The curves of a map at a sample; computed once, since several checks follow the same."""
    if move not in sample.curves:
        pairs = zip(sample.points, sample.u, strict=True)
        sample.curves[move] = [Curve.of(space, x, u, move) for x, u in pairs]
    return sample.curves[move]


def acceleration(curve: Curve) -> np.ndarray:
    """Second derivative of a curve at its start in the ambient space, flat.

    Central differences, extrapolated from every two steps in a row, at the steps where the result
    changes least: longer ones are cut off, shorter ones rounded.
    """
    start = flat(curve.point)
    rows = [
        (t * t, (flat(a) - 2 * start + flat(b)) / (t * t))
        for t, a, b in zip(curve.steps, curve.ahead, curve.back, strict=True)
        if a is not None and b is not None
    ]
    found = [(q * d - p * e) / (q - p) for (p, d), (q, e) in itertools.pairwise(rows)]
    changes = [float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(found)]
    return found[int(np.argmin(changes))] if changes else np.full_like(start, np.nan)


def fit(
    steps: np.ndarray, errors: np.ndarray, rounding: float, expected: float
) -> tuple[float, tuple[int, int]]:
    """Slope of log error against log step, least squares in one window of steps.

    Of the windows of a decade in which all errors are away from rounding, the one of the smallest
    steps in which the logarithms are straight, since an order is a limit at 0; if none is, the
    straightest one.

    Parameters
    ----------
    steps, errors : ndarray, shape (m,)
    rounding : float
        Of the errors.
    expected : float
        The slope looked for.

    Returns
    -------
    slope : float
        Infinity if the errors are at rounding level, NaN if they are not finite.
    window : tuple of int
        First step, and the step after the last; equal where there is none.
    """
    finite = np.isfinite(errors)
    usable = finite & (errors > _ABOVE_ROUNDING * rounding)
    ranges = [usable]
    if expected >= 3:
        ranges.append(usable & (steps > 0.999 * _CUBIC * steps[-1]))
    found = [pair for pair in (_lowest_straight(steps, errors, r) for r in ranges) if pair]
    if found:
        return max(found)
    exact = np.isfinite(rounding) and bool(finite[: len(finite) // 2].all())
    return (np.inf if exact else np.nan), (0, 0)


def _lowest_straight(
    steps: np.ndarray, errors: np.ndarray, usable: np.ndarray
) -> tuple[float, tuple[int, int]] | None:
    first, stop = _longest(usable)
    if stop - first < _FEWEST:
        return None
    width = min(_WINDOW, stop - first)
    x, y = np.log10(steps), np.log10(np.where(usable, errors, 1.0))
    found = []
    for k in range(len(steps) - width + 1):
        if usable[k : k + width].all():
            slope, residual = _line(x[k : k + width], y[k : k + width])
            # Straight ones by their steps, before bent ones by how bent they are.
            found.append((max(residual, _STRAIGHT), k, slope))
    _, k, slope = min(found)
    return slope, (k, k + width)


def _is_straight(steps: np.ndarray, errors: np.ndarray, first: int, stop: int) -> bool:
    x, y = np.log10(steps[first:stop]), np.log10(errors[first:stop])
    return _line(x, y)[1] <= _STRAIGHT


def slope_check(
    name: str,
    expected: float,
    tolerance: float,
    curves: list[Curve],
    errors: list[tuple[np.ndarray, float]],
    properties: tuple[Property, ...] = (),
) -> Check:
    """A check of the errors and roundings along curves."""
    steps = curves[0].steps
    fits = [fit(steps, *pair, expected) for pair in errors]
    return Check(
        name,
        expected,
        tolerance,
        steps,
        np.array([pair[0] for pair in errors]),
        np.array([slope for slope, _ in fits]),
        np.array([window for _, window in fits]),
        tuple(curve.point for curve in curves),
        tuple(curve.tangent_vector for curve in curves),
        properties,
    )


def _rounding(near: list[np.ndarray], magnitude: float) -> float:
    # Differences, so that an error that does not vanish at 0 is not taken for rounding.
    spread = np.max([np.linalg.norm(r - near[0]) for r in near[1:]])
    # Nor is a map that jumps about: what is left of it then has no slope.
    spread = np.minimum(spread, _NOISIEST * magnitude)
    return float(np.maximum(spread, np.finfo(np.float64).eps * magnitude))


def _end(move: Callable[[Any, Any], Any], point: Any, vector: Any) -> Any:
    try:
        return move(point, vector)
    except BoundaryError:
        return None


def _residual(residual: Callable[[Any, float], Any], point: Any, step: float) -> np.ndarray:
    return np.atleast_1d(np.nan if point is None else residual(point, float(step)))


def _line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    return slope, float(np.sqrt(np.mean((y - slope * x) ** 2)))


def _longest(usable: np.ndarray) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(int)))
    pairs = edges.reshape(-1, 2)
    if not len(pairs):
        return 0, 0
    first, stop = pairs[np.argmax(pairs[:, 1] - pairs[:, 0])]
    return int(first), int(stop)
