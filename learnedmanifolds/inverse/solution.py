"""Results: one run a start, the best of them the solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learnedmanifolds.inverse.history import History
from learnedmanifolds.optimizers.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Run:
    """One optimizer from one start.

    Attributes
    ----------
    point : ndarray, ambient shape
    chart : int
    coordinates : ndarray, shape (d,)
    cost, gradient_norm : float
        At the point.
    history : History
    status : Status
    optimizer : str
    time : float
        Seconds.
    iterations : int
        As the optimizer counts them: trust regions with the steps that they reject,
        Levenberg-Marquardt without.
    """

    point: np.ndarray
    chart: int
    coordinates: np.ndarray
    cost: float
    gradient_norm: float
    history: History
    status: Status
    optimizer: str
    time: float
    iterations: int

    @property
    def converged(self) -> bool:
        """Whether the gradient norm is below the threshold, or the cost as low as asked for."""
        return self.status.converged


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """The best of several runs by cost, and all of them.

    Attributes
    ----------
    point : ndarray, ambient shape
    chart : int
    coordinates : ndarray, shape (d,)
    cost, gradient_norm : float
        At the point.
    history : History
        Of the best run.
    status : Status
    start : int
        Index of the best run.
    runs : tuple of Run
        One a start.
    """

    point: np.ndarray
    chart: int
    coordinates: np.ndarray
    cost: float
    gradient_norm: float
    history: History
    status: Status
    start: int
    runs: tuple[Run, ...]

    @classmethod
    def best_of(cls, runs: tuple[Run, ...]) -> Solution:
        """The solution of runs; of equal costs the first, one whose cost is NaN only if all are."""
        if not runs:
            raise ValueError("runs must hold at least one run, got none.")
        order = [(np.inf if np.isnan(run.cost) else run.cost) for run in runs]
        start = int(np.argmin(order))
        best = runs[start]
        return cls(
            best.point,
            best.chart,
            best.coordinates,
            best.cost,
            best.gradient_norm,
            best.history,
            best.status,
            start,
            runs,
        )

    @property
    def converged(self) -> bool:
        """Whether the best run has converged."""
        return self.status.converged

    def __repr__(self) -> str:
        count = sum(run.converged for run in self.runs)
        return (
            f"Solution({self.status.name}, cost={self.cost:.6g}, "
            f"gradient_norm={self.gradient_norm:.2g}, chart={self.chart}, "
            f"{count} of {len(self.runs)} starts converged)"
        )

    def plot(self) -> Figure:
        """Cost and gradient norm of every run against the iteration, the best run thick."""
        from learnedmanifolds.inverse.figures import plot_solution

        return plot_solution(self)
