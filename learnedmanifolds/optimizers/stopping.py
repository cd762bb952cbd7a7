"""When a run ends: criteria as objects, combined with ``|`` and ``&``."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from learnedmanifolds._check import integer, non_negative, positive
from learnedmanifolds.optimizers.status import Status


@dataclass(frozen=True)
class State:
    """What a criterion sees of a run, at an iterate.

    Attributes
    ----------
    iterations : int
        Steps taken so far, 0 at the start.
    seconds : float
        Since the start.
    costs : sequence of float
        At all iterates, the current one last.
    gradient_norm : float
        Riemannian; NaN for an optimizer without derivatives.
    initial_gradient_norm : float
        That of the start.
    n_cost : int
        Cost evaluations so far.
    step_norm : float
        Length of the last step; infinite before the first one, NaN where it is not known.
    """

    iterations: int
    seconds: float
    costs: Sequence[float]
    gradient_norm: float
    initial_gradient_norm: float
    n_cost: int
    step_norm: float

    @property
    def cost(self) -> float:
        """At the current iterate."""
        return self.costs[-1]

    @property
    def previous_cost(self) -> float:
        """At the iterate before, infinite at the start."""
        return self.costs[-2] if len(self.costs) > 1 else math.inf


class Criterion(abc.ABC):
    """A reason to stop: a function of the `State` alone, so that one object serves many runs.

    ``a | b`` stops when either does (with the status of the first that does), ``a & b`` when both
    do at the same iterate.
    """

    @abc.abstractmethod
    def __call__(self, state: State) -> Status | None:
        """Why to stop here, or None to go on."""

    @property
    @abc.abstractmethod
    def converged(self) -> bool:
        """Whether to stop by this criterion means to have reached what was to be reached."""

    def __or__(self, other: Criterion) -> Criterion:
        if not isinstance(other, Criterion):
            return NotImplemented
        return AnyOf((*_parts(self, AnyOf), *_parts(other, AnyOf)))

    def __and__(self, other: Criterion) -> Criterion:
        if not isinstance(other, Criterion):
            return NotImplemented
        return AllOf((*_parts(self, AllOf), *_parts(other, AllOf)))


@dataclass(frozen=True)
class AnyOf(Criterion):
    """Stops when one of several criteria does; made by ``|``.

    Parameters
    ----------
    criteria : tuple of Criterion
        Asked in this order.
    """

    criteria: tuple[Criterion, ...]

    def __call__(self, state: State) -> Status | None:
        """See `Criterion`."""
        for criterion in self.criteria:
            status = criterion(state)
            if status is not None:
                return status
        return None

    @property
    def converged(self) -> bool:
        """Whether every way to stop means to have converged."""
        return all(criterion.converged for criterion in self.criteria)


@dataclass(frozen=True)
class AllOf(Criterion):
    """Stops when several criteria hold at the same iterate; made by ``&``.

    The status is that of the first one that means convergence, if any does.

    Parameters
    ----------
    criteria : tuple of Criterion
    """

    criteria: tuple[Criterion, ...]

    def __call__(self, state: State) -> Status | None:
        """See `Criterion`."""
        statuses = [status for c in self.criteria if (status := c(state)) is not None]
        if len(statuses) < len(self.criteria):
            return None
        return next((status for status in statuses if status.converged), statuses[0])

    @property
    def converged(self) -> bool:
        """Whether one of the criteria, all of which hold, means to have converged."""
        return any(criterion.converged for criterion in self.criteria)


class _Condition(Criterion, abc.ABC):
    """A criterion of one condition with one status."""

    status: ClassVar[Status]

    def __call__(self, state: State) -> Status | None:
        """See `Criterion`."""
        return self.status if self._holds(state) else None

    @property
    def converged(self) -> bool:
        """See `Criterion`."""
        return self.status.converged

    @abc.abstractmethod
    def _holds(self, state: State) -> bool:
        """Whether to stop."""


@dataclass(frozen=True)
class GradientNorm(_Condition):
    """Stops where the gradient norm is below a tolerance.

    Parameters
    ----------
    tol : float
        In units of the cost per unit of the data.
    relative : bool
        In units of the gradient norm at the start instead.
    """

    status: ClassVar[Status] = Status.CONVERGED
    tol: float
    relative: bool = False

    def __post_init__(self) -> None:
        non_negative(self.tol, "tol")

    def _holds(self, state: State) -> bool:
        unit = state.initial_gradient_norm if self.relative else 1.0
        return state.gradient_norm == 0 or state.gradient_norm < self.tol * unit


@dataclass(frozen=True)
class CostBelow(_Condition):
    """Stops where the cost is at most a value.

    Parameters
    ----------
    value : float
    """

    status: ClassVar[Status] = Status.COST_REACHED
    value: float

    def __post_init__(self) -> None:
        if not isinstance(self.value, int | float) or math.isnan(self.value):
            raise ValueError(f"value must be a number, got {self.value!r}")

    def _holds(self, state: State) -> bool:
        return state.cost <= self.value


@dataclass(frozen=True)
class CostDecrease(_Condition):
    """Stops when several steps together lowered the cost by no more than a share of it.

    Parameters
    ----------
    relative : float
        The share.
    patience : int
        How many steps.
    """

    status: ClassVar[Status] = Status.STALLED
    relative: float
    patience: int = 3

    def __post_init__(self) -> None:
        non_negative(self.relative, "relative")
        integer(self.patience, "patience", minimum=1)

    def _holds(self, state: State) -> bool:
        if len(state.costs) <= self.patience:
            return False
        before = state.costs[-1 - self.patience]
        return before - state.cost <= self.relative * abs(before)


@dataclass(frozen=True)
class StepNorm(_Condition):
    """Stops after a step shorter than a tolerance.

    Parameters
    ----------
    tol : float
        In units of the data.
    """

    status: ClassVar[Status] = Status.STEP_TOO_SMALL
    tol: float

    def __post_init__(self) -> None:
        non_negative(self.tol, "tol")

    def _holds(self, state: State) -> bool:
        return state.step_norm < self.tol


@dataclass(frozen=True)
class MaxIterations(_Condition):
    """Stops after a number of steps.

    Parameters
    ----------
    n : int
    """

    status: ClassVar[Status] = Status.MAX_ITERATIONS
    n: int

    def __post_init__(self) -> None:
        integer(self.n, "n", minimum=1)

    def _holds(self, state: State) -> bool:
        return state.iterations >= self.n


@dataclass(frozen=True)
class MaxTime(_Condition):
    """Stops after a time.

    Parameters
    ----------
    seconds : float
    """

    status: ClassVar[Status] = Status.MAX_TIME
    seconds: float

    def __post_init__(self) -> None:
        positive(self.seconds, "seconds")

    def _holds(self, state: State) -> bool:
        return state.seconds >= self.seconds


@dataclass(frozen=True)
class MaxEvaluations(_Condition):
    """Stops after a number of cost evaluations.

    Parameters
    ----------
    n : int
    """

    status: ClassVar[Status] = Status.MAX_EVALUATIONS
    n: int

    def __post_init__(self) -> None:
        integer(self.n, "n", minimum=1)

    def _holds(self, state: State) -> bool:
        return state.n_cost >= self.n


def _parts(criterion: Criterion, kind: type[AnyOf] | type[AllOf]) -> tuple[Criterion, ...]:
    return criterion.criteria if isinstance(criterion, kind) else (criterion,)
