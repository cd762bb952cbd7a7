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

from learnedmanifolds.geometry.local import LocalGeometry, SingularJacobianError
from learnedmanifolds.inverse.history import History
from learnedmanifolds.manifolds.point import AtlasPoint
from learnedmanifolds.operators.domain import OutsideDomainError
from learnedmanifolds.optimizers.borders import next_chart
from learnedmanifolds.optimizers.iteration import Iterate
from learnedmanifolds.optimizers.least_squares import Curvature, LeastSquaresProblem
from learnedmanifolds.optimizers.status import Status
from learnedmanifolds.optimizers.stopping import Criterion, State

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


class Stopped(Exception):  # noqa: N818 - not an error
    """The stopping criterion holds."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.value)
        self.status = status


class NotFiniteError(ValueError):
    """The cost or a derivative at an iterate is not finite."""


FAILURES: tuple[type[Exception], ...] = (
    NotFiniteError,
    OutsideDomainError,
    SingularJacobianError,
    np.linalg.LinAlgError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]
)
"""Numerical failures, which end a run; every other exception is the caller's."""


class _Cache:
    """The last few values of a function, by the place of the point, whose entries may change."""

    def __init__(self) -> None:
        self._entries: deque[tuple[LocalGeometry, Any]] = deque(maxlen=_CACHE_SIZE)

    def get(self, point: AtlasPoint, compute: Callable[[AtlasPoint], Any]) -> Any:
        place = point.local
        assert place is not None
        for known, value in self._entries:
            if known is place:
                return value
        value = compute(point)
        self._entries.append((place, value))
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
    stopping : Criterion, optional
        `Stopped` is raised where it holds: at an iterate, or before a cost is evaluated.
    announced : bool
        Whether the optimizer calls `observe` at every iterate; otherwise an iterate is a point at
        which it asks for the gradient.
    """

    def __init__(
        self,
        problem: pymanopt.Problem,
        min_gradient_norm: float = 0.0,
        stopping: Criterion | None = None,
        announced: bool = False,
    ) -> None:
        self._min_gradient_norm = min_gradient_norm
        self._stopping, self._announced, self._watching = stopping, announced, False
        self.problem = copy.copy(problem)
        self.n_cost = self.n_gradient = self.n_hessian = self.n_steps = 0
        self.best: tuple[float, AtlasPoint] | None = None
        self.last_good: AtlasPoint | None = None
        self._by_gradient: list[tuple[Any, ...]] = []
        self._by_cost: list[tuple[Any, ...]] = []
        self._costs, self._gradients, self._euclidean = _Cache(), _Cache(), _Cache()
        self._iterate: tuple[AtlasPoint, float, np.ndarray] | None = None
        self._last_n_cost = 0
        self._trace: list[float] = []
        self._norms = np.nan, np.nan, np.inf
        self._cost_of = problem.cost
        euclidean_gradient = problem.euclidean_gradient
        # The problem's Riemannian Hessian needs the Euclidean gradient of its point every time.
        self.problem._euclidean_gradient = lambda x: self._euclidean.get(
            self.placed(x), euclidean_gradient
        )
        self._gradient_of = self.problem.riemannian_gradient
        self._hessian_of = self.problem.riemannian_hessian
        self.problem._cost = self._cost
        self.problem._riemannian_gradient = self._gradient
        self.problem._riemannian_hessian = self._hessian
        if isinstance(problem, LeastSquaresProblem):
            self._linearize_at = problem.linearize
            self.problem.linearize = self._linearize
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

    def placed(self, point: np.ndarray) -> AtlasPoint:
        """The point, located anew where its entries were changed in place."""
        if isinstance(point, AtlasPoint) and point.local is not None:
            return point
        return self.problem.manifold.locate(point)

    def finish(self, point: AtlasPoint) -> History:
        """The history that ends at the result of the run, its gradient norm included.

        Where cost or gradient are not finite there, it ends at the last iterate instead, if there
        is one. The evaluations that this takes are not counted.
        """
        point = self.placed(point)
        entries = self._by_gradient or self._by_cost
        counts = self.n_cost, self.n_gradient, self.n_hessian
        self._stopping, self._last_n_cost = None, self.n_cost
        cost, gradient_norm = self._final(point)
        if not (np.isfinite(cost) and np.isfinite(gradient_norm)) and self.last_good is not None:
            point = self.last_good
            cost, gradient_norm = self._final(point)
        self.n_cost, self.n_gradient, self.n_hessian = counts
        if entries and np.array_equal(entries[-1][-1], np.asarray(point)):
            entries = entries[:-1]
        entries = [*entries, self._entry(point, cost, gradient_norm)]
        return History(*(np.array(column) for column in zip(*entries, strict=True)))

    def observe(self, state: State, iterate: Iterate) -> None:
        """Record an iterate; the callback of the optimizers that announce theirs."""
        if not iterate.finite:
            raise NotFiniteError(f"cost {iterate.cost}, gradient norm {iterate.gradient_norm}")
        self._record(iterate.point, iterate.cost, iterate.gradient)
        self._stop_at_border(iterate.point)

    def watch(self, check: Callable[..., Any]) -> Callable[..., Any]:
        """The stopping check of a pymanopt optimizer without derivatives, with the criterion."""
        self._watching = True

        def watched(*, iteration: int, **details: Any) -> Any:
            # pymanopt counts from 1; a particle swarm asks once a particle.
            if self.best is not None and (iteration - 1 > self.n_steps or not self._trace):
                self.n_steps = iteration - 1
                self._trace.append(self.best[0])
                self._norms = np.nan, np.nan, np.nan
                self._judge()
            return check(iteration=iteration, **details)

        return watched

    def _final(self, point: AtlasPoint) -> tuple[float, float]:
        cost = self._cost(point)
        if not np.isfinite(cost):
            return cost, np.nan
        try:
            return cost, float(np.linalg.norm(self._gradient_of(point)))
        except FAILURES:
            return np.nan, np.nan  # A failed run: its status says so.

    def _cost(self, point: AtlasPoint) -> float:
        point = self.placed(point)
        if self._iterate is not None and self._iterate[0].local is point.local:
            return self._iterate[1]
        return float(self._costs.get(point, self._evaluate))

    def _evaluate(self, point: AtlasPoint) -> float:
        if self._iterate is not None and self.n_cost - self._last_n_cost >= _MAX_REJECTED:
            raise Stalled
        if self._trace or (self._watching and self.best is not None):
            self._judge()
        self.n_cost += 1
        value = float(self._cost_of(point))
        value = np.inf if np.isnan(value) else value
        if np.isfinite(value) and (self.best is None or value < self.best[0]):
            self.best = value, point.copy_with_place()
            if self._iterate is None:
                self._by_cost.append(self._entry(point, value, np.nan))
        return value

    def _gradient(self, point: AtlasPoint) -> np.ndarray:
        point = self.placed(point)
        if self._iterate is not None and self._iterate[0].local is point.local:
            return self._iterate[2]
        cost = self._cost(point)
        if not (self._announced or np.isfinite(cost)):
            raise NotFiniteError(f"cost {cost}")
        gradient = self._gradients.get(point, self._evaluate_gradient)
        if self._announced:
            return gradient
        norm = float(np.linalg.norm(gradient))
        if not np.isfinite(norm):
            raise NotFiniteError(f"gradient norm {norm}")
        self._record(point, cost, gradient)
        if norm == 0 or norm < self._min_gradient_norm:
            raise StationaryPoint
        self._stop_at_border(point)
        return gradient

    def _record(self, point: AtlasPoint, cost: float, gradient: np.ndarray) -> None:
        norm, step = float(np.linalg.norm(gradient)), np.inf
        if self._iterate is not None:
            self.n_steps += 1
            step = float(np.linalg.norm(point - self._iterate[0]))
        first = self._norms[1] if self._trace else norm
        self._norms = norm, first, step
        self._trace.append(cost)
        point = self.placed(point).copy_with_place()
        self._iterate, self._last_n_cost = (point, cost, gradient), self.n_cost
        self.last_good = point
        self._by_gradient.append(self._entry(point, cost, norm))
        self._judge()

    def _stop_at_border(self, point: AtlasPoint) -> None:
        if next_chart(self.problem, point) is not None:
            raise Stalled

    def _judge(self) -> None:
        if self._stopping is None:
            return
        norm, first, step = self._norms
        costs = self._trace
        if not costs and self.best is not None:
            costs = [self.best[0]]
        state = State(self.n_steps, self.seconds, costs, norm, first, self.n_cost, step)
        status = self._stopping(state)
        if status is not None:
            raise Stopped(status)

    def _evaluate_gradient(self, point: AtlasPoint) -> np.ndarray:
        self.n_gradient += 1
        return np.asarray(self._gradient_of(point))

    def _hessian(self, point: AtlasPoint, tangent_vector: np.ndarray) -> np.ndarray:
        self.n_hessian += 1
        product = np.asarray(self._hessian_of(point, tangent_vector))
        if not np.isfinite(product).all():
            raise NotFiniteError("Hessian product")
        return product

    def _linearize(self, point: AtlasPoint) -> Curvature:
        self.n_hessian += 1
        return self._linearize_at(point)

    def _entry(self, point: AtlasPoint, cost: float, gradient_norm: float) -> tuple[Any, ...]:
        counts = self.n_cost, self.n_gradient, self.n_hessian
        place = point.chart, point.coords.copy(), np.array(point)
        return cost, gradient_norm, self.seconds, *counts, *place
