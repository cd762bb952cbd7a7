"""A history of any optimizer, from the functions that it calls."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pymanopt
import torch

from learnedmanifolds.geometry.local import SingularJacobianError
from learnedmanifolds.inverse.borders import next_chart
from learnedmanifolds.inverse.history import History
from learnedmanifolds.manifolds.point import AtlasPoint

# Enough for the trial and the accepted point of a line search; points keep their geometry alive.
_CACHE_SIZE = 4

# Rejected in a row, each a quarter of the radius of the one before, or half the step.
_MAX_REJECTED = 50


class StationaryPoint(Exception):  # noqa: N818 - not an error
    """The gradient is zero, by which pymanopt's optimizers would divide, or small enough."""


class Stalled(Exception):  # noqa: N818 - not an error
    """No trial point was accepted for long, or an iterate has come to the border of its chart.

    Trust regions reject steps that a boundary bends, and creep towards a border behind which the
    next chart costs more.
    """


class NotFiniteError(ValueError):
    """The cost or a derivative at an iterate is not finite."""


FAILURES: tuple[type[Exception], ...] = (
    NotFiniteError,
    SingularJacobianError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
)
"""Numerical failures, which end a run; every other exception is the caller's."""


class _Cache:
    """The last few values of a function, by identity of the point."""

    def __init__(self) -> None:
        self._entries: deque[tuple[AtlasPoint, Any]] = deque(maxlen=_CACHE_SIZE)

    def get(self, point: AtlasPoint, compute: Callable[[AtlasPoint], Any]) -> Any:
        for known, value in self._entries:
            if known is point:
                return value
        value = compute(point)
        self._entries.append((point, value))
        return value


class Recorder:
    """A pymanopt problem whose functions are counted, cached and recorded.

    Give `problem` to an optimizer in place of the original, then call `finish`.

    A cost of NaN counts as infinite, so that a line search or a trust region steps back from it.

    Parameters
    ----------
    problem : pymanopt.Problem
        On a `PymanoptManifold`; left as it is.
    min_gradient_norm : float
        `StationaryPoint` is raised at an iterate whose gradient norm is below, and where it is 0.
    """

    def __init__(self, problem: pymanopt.Problem, min_gradient_norm: float = 0.0) -> None:
        self._min_gradient_norm = min_gradient_norm
        self.problem = copy.copy(problem)
        self.n_cost = self.n_gradient = self.n_hessian = 0
        self.best: tuple[float, AtlasPoint] | None = None
        self._by_gradient: list[tuple[Any, ...]] = []
        self._by_cost: list[tuple[Any, ...]] = []
        self._costs, self._gradients, self._euclidean = _Cache(), _Cache(), _Cache()
        self._iterate: tuple[AtlasPoint, float, np.ndarray] | None = None
        self._last_n_cost = 0
        self._cost_of = problem.cost
        euclidean_gradient = problem.euclidean_gradient
        # The problem's Riemannian Hessian needs the Euclidean gradient of its point every time.
        self.problem._euclidean_gradient = lambda x: self._euclidean.get(x, euclidean_gradient)
        self._gradient_of = self.problem.riemannian_gradient
        self._hessian_of = self.problem.riemannian_hessian
        self.problem._cost = self._cost
        self.problem._riemannian_gradient = self._gradient
        self.problem._riemannian_hessian = self._hessian
        self._start = time.perf_counter()

    @property
    def n_iterates(self) -> int:
        """Number of iterates so far."""
        return len(self._by_gradient or self._by_cost)

    @property
    def gradient_norm(self) -> float:
        """That of the last iterate; NaN where an optimizer asked for no gradient."""
        return np.nan if self._iterate is None else float(np.linalg.norm(self._iterate[2]))

    def restart(self) -> int:
        """Make ready for one more run from another point; returns the number of iterates so far."""
        self._iterate, self._last_n_cost = None, self.n_cost
        return self.n_iterates

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.perf_counter() - self._start

    @property
    def last(self) -> AtlasPoint | None:
        """The last iterate; the best point of an optimizer without derivatives."""
        if self._iterate is not None:
            return self._iterate[0]
        return None if self.best is None else self.best[1]

    def finish(self, point: AtlasPoint) -> History:
        """The history that ends at the result of the run, its gradient norm included.

        The evaluations that this takes are not counted.
        """
        entries = self._by_gradient or self._by_cost
        counts = self.n_cost, self.n_gradient, self.n_hessian
        self._last_n_cost = self.n_cost
        cost, gradient_norm = np.nan, np.nan
        try:
            cost = float(self._cost(point))
            gradient_norm = float(np.linalg.norm(self._gradient_of(point)))
        except FAILURES:
            pass  # A failed run: its status says so.
        self.n_cost, self.n_gradient, self.n_hessian = counts
        if entries and np.array_equal(entries[-1][-1], np.asarray(point)):
            entries = entries[:-1]
        entries = [*entries, self._entry(point, cost, gradient_norm)]
        return History(*(np.array(column) for column in zip(*entries, strict=True)))

    def _cost(self, point: AtlasPoint) -> float:
        if self._iterate is not None and self._iterate[0] is point:
            return self._iterate[1]
        return float(self._costs.get(point, self._evaluate))

    def _evaluate(self, point: AtlasPoint) -> float:
        if self._iterate is not None and self.n_cost - self._last_n_cost >= _MAX_REJECTED:
            raise Stalled
        self.n_cost += 1
        value = float(self._cost_of(point))
        value = np.inf if np.isnan(value) else value
        if np.isfinite(value) and (self.best is None or value < self.best[0]):
            self.best = value, point
            if self._iterate is None:
                self._by_cost.append(self._entry(point, value, np.nan))
        return value

    def _gradient(self, point: AtlasPoint) -> np.ndarray:
        if self._iterate is not None and self._iterate[0] is point:
            return self._iterate[2]
        cost = self._cost(point)
        gradient = self._gradients.get(point, self._evaluate_gradient)
        norm = float(np.linalg.norm(gradient))
        if not (np.isfinite(cost) and np.isfinite(norm)):
            raise NotFiniteError(f"cost {cost}, gradient norm {norm}")
        self._iterate, self._last_n_cost = (point, cost, gradient), self.n_cost
        self._by_gradient.append(self._entry(point, cost, norm))
        if norm == 0 or norm < self._min_gradient_norm:
            raise StationaryPoint
        if next_chart(self.problem, point) is not None:
            raise Stalled
        return gradient

    def _evaluate_gradient(self, point: AtlasPoint) -> np.ndarray:
        self.n_gradient += 1
        return np.asarray(self._gradient_of(point))

    def _hessian(self, point: AtlasPoint, tangent_vector: np.ndarray) -> np.ndarray:
        self.n_hessian += 1
        product = np.asarray(self._hessian_of(point, tangent_vector))
        if not np.isfinite(product).all():
            raise NotFiniteError("Hessian product")
        return product

    def _entry(self, point: AtlasPoint, cost: float, gradient_norm: float) -> tuple[Any, ...]:
        counts = self.n_cost, self.n_gradient, self.n_hessian
        place = point.chart, point.coords.copy(), np.array(point)
        return cost, gradient_norm, self.seconds, *counts, *place
