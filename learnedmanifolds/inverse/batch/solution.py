"""Results of many problems: one row a problem, and all runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from learnedmanifolds.optimizers.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class BatchRuns:
    """Ends of all runs, S starts for each of N problems.

    Attributes
    ----------
    points : ndarray, shape (N, S, *ambient_shape)
    chart : ndarray of int, shape (N, S)
    coordinates : ndarray, shape (N, S, d)
    cost, gradient_norm : ndarray, shape (N, S)
        At the points. Infinite and NaN where a run failed at its start.
    status : ndarray of Status, shape (N, S)
    iterations : ndarray of int, shape (N, S)
        As `solve` counts them: trust regions with the steps that they reject, the others without.
    """

    points: np.ndarray
    chart: np.ndarray
    coordinates: np.ndarray
    cost: np.ndarray
    gradient_norm: np.ndarray
    status: np.ndarray
    iterations: np.ndarray

    def __repr__(self) -> str:
        problems, starts = self.cost.shape
        return f"BatchRuns({problems} problems, {starts} starts each; {counts(self.status)})"

    @property
    def converged(self) -> np.ndarray:
        """Which runs have converged, (N, S)."""
        return np.vectorize(lambda status: status.converged, otypes=[bool])(self.status)


@dataclass(frozen=True, eq=False, repr=False)
class BatchSolution:
    """The best run by cost of each of N problems, and all runs.

    Attributes
    ----------
    points : ndarray, shape (N, *ambient_shape)
    chart : ndarray of int, shape (N,)
    coordinates : ndarray, shape (N, d)
    cost, gradient_norm : ndarray, shape (N,)
        At the points.
    status : tuple of Status, length N
    iterations : ndarray of int, shape (N,)
    start : ndarray of int, shape (N,)
        Index of each problem's best run.
    runs : BatchRuns
        All of them.
    optimizer : str
    time : float
        Seconds for all together.
    """

    points: np.ndarray
    chart: np.ndarray
    coordinates: np.ndarray
    cost: np.ndarray
    gradient_norm: np.ndarray
    status: tuple[Status, ...]
    iterations: np.ndarray
    start: np.ndarray
    runs: BatchRuns
    optimizer: str
    time: float

    @classmethod
    def best_of(cls, runs: BatchRuns, optimizer: str, time: float) -> BatchSolution:
        """The solution of runs; of equal costs the first."""
        start = np.where(np.isnan(runs.cost), np.inf, runs.cost).argmin(1)
        rows = np.arange(len(start))
        return cls(
            runs.points[rows, start],
            runs.chart[rows, start],
            runs.coordinates[rows, start],
            runs.cost[rows, start],
            runs.gradient_norm[rows, start],
            tuple(runs.status[rows, start]),
            runs.iterations[rows, start],
            start,
            runs,
            optimizer,
            time,
        )

    def __len__(self) -> int:
        """Number N of problems."""
        return len(self.cost)

    @property
    def converged(self) -> np.ndarray:
        """Whose best run has converged, (N,)."""
        return np.array([status.converged for status in self.status])

    def __repr__(self) -> str:
        starts = self.runs.cost.shape[1]
        return (
            f"BatchSolution({len(self)} problems, {starts} start{'s' * (starts > 1)} each, "
            f"{self.optimizer}: {counts(self.status)}; median of {np.median(self.iterations):g} "
            f"iterations, {self.time:.2g} s)"
        )

    def plot(self) -> Figure:
        """Iterations by status, and the distribution of the gradient norms, of the best runs."""
        from learnedmanifolds.inverse.batch.figures import plot_batch

        return plot_batch(self)


def counts(status: np.ndarray | tuple[Status, ...]) -> str:
    """How often there is each status, the most frequent one first."""
    frequent = Counter(np.asarray(status, dtype=object).ravel().tolist()).most_common()
    return ", ".join(f"{count} {status.name}" for status, count in frequent)
