"""What the optimizers of this package share: steps, counting, stopping, printing, results."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import pymanopt
from pymanopt.optimizers.optimizer import Optimizer, OptimizerResult
from pymanopt.tools import printer

from learnedmanifolds.optimizers.least_squares import Curvature, LeastSquaresProblem
from learnedmanifolds.optimizers.status import Status
from learnedmanifolds.optimizers.stopping import (
    Criterion,
    GradientNorm,
    MaxEvaluations,
    MaxIterations,
    MaxTime,
    State,
    StepNorm,
)

_EPS = float(np.finfo(float).eps)

# The default threshold, relative to the gradient norm at the start.
_MIN_GRADIENT_NORM = 1e-6

# A time that is over at once, for a limit of zero or below.
_NO_TIME = 1e-9


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where an optimizer is.

    Attributes
    ----------
    point : a point of the manifold
    cost : float
    gradient : tangent vector
        Riemannian.
    gradient_norm : float
    step_norm : float
        Length of the step that led here, infinite at the start.
    """

    point: Any
    cost: float
    gradient: Any
    gradient_norm: float
    step_norm: float = np.inf

    @property
    def finite(self) -> bool:
        """Whether cost and gradient are."""
        return bool(np.isfinite(self.cost) and np.isfinite(self.gradient_norm))


Callback: TypeAlias = Callable[[State, Iterate], None]
"""Called at every iterate, the start included; an exception ends the run."""


class Objective:
    """The functions of a problem, its cost evaluations counted; a cost of NaN is infinite."""

    def __init__(self, problem: pymanopt.Problem) -> None:
        self.problem = problem
        self.manifold = problem.manifold
        self.n_cost = 0

    def cost(self, point: Any) -> float:
        """The cost, counted."""
        self.n_cost += 1
        value = float(self.problem.cost(point))
        return np.inf if np.isnan(value) else value

    def iterate(self, point: Any, cost: float, step_norm: float = np.inf) -> Iterate:
        """The iterate at a point of known cost."""
        if not np.isfinite(cost):
            return Iterate(point, cost, self.manifold.zero_vector(point), np.nan, step_norm)
        gradient = self.problem.riemannian_gradient(point)
        # Far out, an iteration that diverges overflows: the norm is then not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            norm = float(np.real(self.manifold.norm(point, gradient)))
        return Iterate(point, cost, gradient, norm, step_norm)

    def require_curvature(self) -> None:
        """`TypeError` unless the problem is a `LeastSquaresProblem`."""
        if not isinstance(self.problem, LeastSquaresProblem):
            raise TypeError(
                "problem must be a LeastSquaresProblem, of whose residuals Levenberg-Marquardt "
                "takes the derivatives (LeastSquaresProblem.from_residual makes one); got "
                f"{type(self.problem).__name__}."
            )

    def curvature(self, point: Any) -> Curvature:
        """See `LeastSquaresProblem`."""
        return self.problem.linearize(point)

    def slope(self, iterate: Iterate, tangent_vector: Any) -> float:
        """Directional derivative of the cost."""
        inner = self.manifold.inner_product(iterate.point, iterate.gradient, tangent_vector)
        return float(np.real(inner))


def size(manifold: Any) -> float:
    """A manifold's size, in units of its points; where it tells none, that of a sphere's radius."""
    try:
        return float(manifold.typical_dist)
    except NotImplementedError:
        return float(np.sqrt(manifold.dim))


def rounding(manifold: Any) -> float:
    """Length that rounding of a manifold's points hides, in their units."""
    return _EPS * size(manifold)


class Progress(Protocol):
    """The state of an optimizer between two steps: where it is, and what else it remembers."""

    @property
    def iterate(self) -> Iterate:
        """Where it is."""
        ...


ProgressT = TypeVar("ProgressT", bound=Progress)


class IterativeOptimizer(Optimizer, abc.ABC, Generic[ProgressT]):
    """A pymanopt optimizer made of pure steps over an explicit state.

    Parameters
    ----------
    stopping : Criterion, optional
        Ends a run, as do the limits below.
    max_time : float
        Seconds.
    max_iterations : int
    min_gradient_norm : float, optional
        In units of the cost per unit of the data; by default 1e-6 times the norm at the start, or what
        rounding of the start's cost hides, if that is more.
    min_step_size : float, optional
        In units of the data; by default a step that rounding of the points hides, machine epsilon
        times the manifold's size, so that the gradient decides.
    max_cost_evaluations : int
    verbosity, log_verbosity : int
        See `pymanopt.optimizers.optimizer.Optimizer`.
    """

    def __init__(
        self,
        *,
        stopping: Criterion | None = None,
        max_time: float = 1000.0,
        max_iterations: int = 1000,
        min_gradient_norm: float | None = None,
        min_step_size: float | None = None,
        max_cost_evaluations: int = 5000,
        verbosity: int = 2,
        log_verbosity: int = 0,
    ) -> None:
        super().__init__(
            max_time,
            max_iterations,
            min_gradient_norm,
            min_step_size,
            max_cost_evaluations,
            verbosity,
            log_verbosity,
        )
        if stopping is not None and not isinstance(stopping, Criterion):
            raise TypeError(f"stopping must be a Criterion, got {type(stopping).__name__}.")
        self._stopping = stopping
        self._criterion(0.0 if min_step_size is None else min_step_size, min_gradient_norm or 0.0)

    @abc.abstractmethod
    def _start(self, objective: Objective, iterate: Iterate) -> ProgressT:
        """The state at the start."""

    @abc.abstractmethod
    def _step(self, objective: Objective, progress: ProgressT) -> ProgressT | Status:
        """The state after one step; a status where no step is possible."""

    def run(
        self,
        problem: pymanopt.Problem,
        *,
        initial_point: Any = None,
        callback: Callback | None = None,
    ) -> OptimizerResult:
        """Run the optimizer.

        Parameters
        ----------
        problem : pymanopt.Problem
        initial_point : a point of the manifold, optional
            A random one by default.
        callback : callable, optional
            Called with a `State` and an `Iterate` at every iterate.

        Returns
        -------
        pymanopt OptimizerResult
            ``stopping_criterion`` is the value of a `Status`. The point is the last iterate; cost
            and gradient are finite there if they are at the start.

        Raises
        ------
        TypeError
            If the problem is no pymanopt problem, not one that the optimizer takes, or the callback
            cannot be called.
        """
        if not isinstance(problem, pymanopt.Problem):
            raise TypeError(f"problem must be a pymanopt Problem, got {type(problem).__name__}.")
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a callable or None, got {type(callback).__name__}.")
        objective, begin = Objective(problem), time.time()
        point = problem.manifold.random_point() if initial_point is None else initial_point
        self._initialize_log()
        table = self._table()
        table.print_header()
        iterate = objective.iterate(point, objective.cost(point))
        first, costs, status = iterate, [iterate.cost], None
        shortest = self._shortest_step(problem.manifold)
        criterion = self._criterion(shortest, self._least_gradient(problem.manifold, first))
        progress = self._start(objective, iterate) if iterate.finite else None
        while True:
            seen = State(
                len(costs) - 1,
                time.time() - begin,
                costs,
                iterate.gradient_norm,
                first.gradient_norm,
                objective.n_cost,
                iterate.step_norm,
            )
            table.print_row([seen.iterations, iterate.cost, iterate.gradient_norm])
            self._add_log_entry(
                iteration=seen.iterations,
                point=iterate.point,
                cost=iterate.cost,
                gradient_norm=iterate.gradient_norm,
            )
            if callback is not None:
                callback(seen, iterate)
            if progress is None:
                status = Status.FAILED
                break
            status = criterion(seen)
            if status is not None:
                break
            following = self._step(objective, progress)
            if isinstance(following, Status):
                status = following
                break
            progress, iterate = following, following.iterate
            costs.append(iterate.cost)
        if self._verbosity >= 1:
            printer.print_list([status.value])
        return self._return_result(
            start_time=begin,
            point=iterate.point,
            cost=iterate.cost,
            iterations=len(costs) - 1,
            stopping_criterion=status.value,
            cost_evaluations=objective.n_cost,
            step_size=iterate.step_norm,
            gradient_norm=iterate.gradient_norm,
        )

    def _shortest_step(self, manifold: Any) -> float:
        return rounding(manifold) if self._min_step_size is None else self._min_step_size

    def _least_gradient(self, manifold: Any, start: Iterate) -> float:
        if self._min_gradient_norm is not None:
            return float(self._min_gradient_norm)
        if not start.finite:
            return 0.0
        # A step along a smaller gradient lowers the cost by less than its rounding.
        hidden = np.sqrt(_EPS) * abs(start.cost) / size(manifold)
        return max(_MIN_GRADIENT_NORM * start.gradient_norm, hidden)

    def _criterion(self, shortest_step: float, least_gradient: float) -> Criterion:
        limits: Criterion = (
            GradientNorm(least_gradient)
            | MaxIterations(self._max_iterations)
            | MaxTime(max(self._max_time, _NO_TIME))
            | MaxEvaluations(self._max_cost_evaluations)
            | StepNorm(shortest_step)
        )
        return limits if self._stopping is None else limits | self._stopping

    def _table(self) -> printer.VoidPrinter:
        if self._verbosity < 2:
            return printer.VoidPrinter()
        columns = [("Iteration", "6d"), ("Cost", "+.16e"), ("Gradient norm", ".8e")]
        return printer.ColumnPrinter(columns=columns)
