"""What a check returns: slopes, properties, a verdict, a message and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Property:
    """One statement about a manifold or a function, and whether it holds.

    Attributes
    ----------
    name : str
    passed : bool or None
        None where it could not be checked, as where the manifold does not implement a method;
        neither success nor failure.
    detail : str
        What was found, and where.
    error, tolerance : float
        The largest error and what is allowed; NaN where there is no number.
    required : bool
        Whether a failure counts; a retraction need not be of second order.
    point : optional
        Where the error is largest.
    """

    name: str
    passed: bool | None
    detail: str = ""
    error: float = np.nan
    tolerance: float = np.nan
    required: bool = True
    point: Any = None

    @property
    def failed(self) -> bool:
        """Whether it is required and does not hold."""
        return self.required and self.passed is False

    def __bool__(self) -> bool:
        return self.passed is True

    def __str__(self) -> str:
        if self.passed is None:
            verdict = "not checked"
        elif self.required:
            verdict = "passed" if self.passed else "FAILED"
        else:
            verdict = "yes" if self.passed else "no"
        return f"{self.name}: {verdict}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, eq=False, repr=False)
class Check:
    """Slopes of an error against the step, in double logarithms, and properties beside them.

    It passes if the slope is at least ``expected - tolerance`` at every point and no required
    property fails. A greater slope is no failure: it is found where a coefficient vanishes.
    A slope of infinity means that the error is nowhere above rounding, as that of a linear cost
    on a Euclidean space; NaN, that it is not finite. Nothing below rounding can be seen.

    Attributes
    ----------
    name : str
        What was checked.
    expected, tolerance : float
        The least slope that theory gives, and what a fitted one may lack.
    steps : ndarray, shape (m,)
        Lengths of the steps.
    errors : ndarray, shape (n_points, m)
        Root mean squares of the errors of a step and of its opposite.
    slopes : ndarray, shape (n_points,)
        Fitted in a window of nearly a decade; see `learnedmanifolds.checks.slopes.fit`.
    windows : ndarray of int, shape (n_points, 2)
        First step of each window, and the step after its last; equal where there is none.
    points, tangent_vectors : tuple
        Where, and in which directions of norm 1.
    properties : tuple of Property
    """

    name: str
    expected: float
    tolerance: float
    steps: np.ndarray
    errors: np.ndarray
    slopes: np.ndarray
    windows: np.ndarray
    points: tuple[Any, ...]
    tangent_vectors: tuple[Any, ...]
    properties: tuple[Property, ...] = ()

    @property
    def worst(self) -> int:
        """Index of the point of the least slope, or of one without."""
        return int(np.argmin(np.where(np.isnan(self.slopes), -np.inf, self.slopes)))

    @property
    def slope(self) -> float:
        """Slope at the worst point."""
        return float(self.slopes[self.worst])

    @property
    def point(self) -> Any:
        """The worst point."""
        return self.points[self.worst]

    @property
    def tangent_vector(self) -> Any:
        """Direction at the worst point."""
        return self.tangent_vectors[self.worst]

    @property
    def slope_passed(self) -> bool:
        """Whether every slope is large enough, whatever the properties are."""
        return bool(self.slope >= self.expected - self.tolerance)

    @property
    def passed(self) -> bool:
        """The verdict."""
        return self.slope_passed and not _failures(self.properties)

    @property
    def message(self) -> str:
        """What holds, what does not, and where."""
        slope = f"slope {self.slope:.3g}, expected {self.expected:g} - {self.tolerance:g} or more"
        if not self.slope_passed:
            slope += f": FAILED at point {self.worst + 1} of {len(self.slopes)}"
            slope += (
                f", {int((self.slopes < self.expected - self.tolerance).sum())} of them too low"
            )
        return "\n".join([_head(self.name, self.passed), *_lines([slope, *self.properties])])

    def __getitem__(self, name: str) -> Property:
        """The property of a name."""
        return _named(self.properties, name)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.message

    def plot(self) -> Figure:
        """Errors against steps, the worst point thick, beside a line of the expected slope."""
        from learnedmanifolds.checks.figures import plot_checks

        return plot_checks([self])


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """Many properties of one manifold.

    Attributes
    ----------
    name : str
        The manifold.
    properties : tuple of Property
    checks : tuple of Check
        Those with slopes; each is among the properties as well.
    """

    name: str
    properties: tuple[Property, ...]
    checks: tuple[Check, ...] = ()

    @property
    def failures(self) -> tuple[Property, ...]:
        """The required properties that do not hold."""
        return _failures(self.properties)

    @property
    def passed(self) -> bool:
        """Whether none fails."""
        return not self.failures

    @property
    def message(self) -> str:
        """A line for every property."""
        return "\n".join([_head(self.name, self.passed), *_lines(self.properties)])

    def __getitem__(self, name: str) -> Property:
        """The property of a name."""
        return _named(self.properties, name)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return self.message

    def plot(self) -> Figure:
        """Errors against steps of every check with a slope, one panel each."""
        from learnedmanifolds.checks.figures import plot_checks

        return plot_checks(self.checks)


def _failures(properties: Sequence[Property]) -> tuple[Property, ...]:
    return tuple(item for item in properties if item.failed)


def _named(properties: Sequence[Property], name: str) -> Property:
    for item in properties:
        if item.name == name:
            return item
    known = ", ".join(repr(item.name) for item in properties)
    raise KeyError(f"name must be one of {known}, got {name!r}")


def _head(name: str, passed: bool) -> str:
    return f"{name}: {'passed' if passed else 'FAILED'}"


def _lines(items: Sequence[object]) -> list[str]:
    return [f"  {item}" for item in items]
