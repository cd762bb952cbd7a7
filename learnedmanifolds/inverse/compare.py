"""Compare optimizers on one inverse problem, from the same starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pymanopt.optimizers.optimizer import Optimizer

from learnedmanifolds._check import ArrayLike, non_negative
from learnedmanifolds._grad import differentiable
from learnedmanifolds.inverse.optimizers import optimizer_name
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.inverse.solution import Solution
from learnedmanifolds.inverse.solve import (
    RunOptions,
    Source,
    as_manifold,
    check_problem,
    draw_starts,
    run_all,
)
from learnedmanifolds.optimizers.stopping import Criterion

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

_HEADINGS = {
    "converged": "converged",
    "reached_best": "at best",
    "best_cost": "best cost",
    "median_iterations": "steps",
    "median_seconds": "seconds",
    "evaluations": "f/g/H",
}

_TOLERANCE = 1e-6

# Costs that differ by less, relative to the cost, are equal up to rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Solutions of one problem by several optimizers from the same starts.

    Attributes
    ----------
    solutions : dict of str to Solution
        By the optimizer's name, in the order of the call.
    """

    solutions: dict[str, Solution]

    @property
    def best_cost(self) -> float:
        """Smallest cost of all runs."""
        # One that is not a number only if all are.
        return float(np.fmin.reduce([solution.cost for solution in self.solutions.values()]))

    def to_frame(self, tolerance: float = _TOLERANCE) -> Any:
        """A pandas DataFrame, one row an optimizer; medians are over the starts.

        With f_i the cost of start i and f* the best cost of all optimizers' runs, a run has reached
        the best cost if its own is at most f* + tolerance * (max f_i - f*). ``starts`` is the number
        of starts, ``reached_best`` that of the starts from which the optimizer did.

        Parameters
        ----------
        tolerance : float
            Share of the possible decrease. Charts that disagree have slightly different costs at
            the same minimum: to count it as one, a larger tolerance is needed.

        Raises
        ------
        TypeError, ValueError
            If the tolerance is not a number of at least 0.

        References
        ----------
        Moré, Wild, Benchmarking derivative-free optimization algorithms, SIAM J. Optim. 20, 2009,
        section 2, which has one start.
        """
        import pandas

        bound = self._bound(tolerance)
        rows = [_summary(solution, bound) for solution in self.solutions.values()]
        index = pandas.Index(list(self.solutions), name="optimizer")
        return pandas.DataFrame(rows, index=index)

    def __repr__(self) -> str:
        parts = []
        for name, solution in self.solutions.items():
            count = sum(run.converged for run in solution.runs)
            parts.append(f"{name}: {count} of {len(solution.runs)}")
        return f"Comparison(converged {', '.join(parts)}; best cost {self.best_cost:.6g})"

    def __rich__(self) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column("optimizer", no_wrap=True)
        for heading in _HEADINGS.values():
            table.add_column(heading, justify="right", no_wrap=True)
        caption = [
            f"At best: starts that reached the best cost up to {_TOLERANCE:g} of the decrease.",
            "Steps, seconds, evaluations of cost, gradient and Hessian: median a start.",
        ]
        bound = self._bound(_TOLERANCE)
        for name, solution in self.solutions.items():
            row = _summary(solution, bound)
            counts = (row[f"median_n_{kind}"] for kind in ("cost", "gradient", "hessian"))
            row["evaluations"] = "/".join(f"{count:.0f}" for count in counts)
            if row["converged"] < row["starts"]:
                caption.append(f"{name}: {row['statuses']}.")
            row["converged"] = f"{row['converged']} of {row['starts']}"
            table.add_row(name, *(_cell(row[key]) for key in _HEADINGS))
        table.caption = "\n".join(caption)
        return table

    def print(self) -> None:
        """Print the table to the terminal."""
        from rich.console import Console

        Console().print(self)

    def plot(self) -> Figure:
        """Gap of the cost to the best of all runs, against iterations and seconds.

        One colour an optimizer; a thin line a start, the median of the starts thick.
        """
        from learnedmanifolds.inverse.figures import plot_comparison

        return plot_comparison(self)

    def _bound(self, tolerance: float) -> float:
        """The largest cost that counts as the best one."""
        share, best = non_negative(tolerance, "tolerance"), self.best_cost
        starts = [run.history.cost[0] for s in self.solutions.values() for run in s.runs]
        highest = max((cost for cost in starts if np.isfinite(cost)), default=best)
        return best + share * max(0.0, highest - best) + _ROUNDING * abs(best)


@differentiable()
def compare(
    problem: InverseProblem,
    source: Source,
    optimizers: Sequence[str | Optimizer] = (
        "steepest-descent",
        "conjugate-gradient",
        "trust-regions",
    ),
    n_starts: int = 10,
    seed: int | None = None,
    *,
    initial_points: ArrayLike | None = None,
    n_screen: int = 0,
    retraction: str = "second-order",
    stopping: Criterion | None = None,
    max_iterations: int | None = None,
    min_gradient_norm: float | None = None,
    max_time: float | None = None,
) -> Comparison:
    """Run several optimizers from the same starts.

    Parameters
    ----------
    problem : InverseProblem
    source : Atlas, Charts or PymanoptManifold
    optimizers : sequence of str or pymanopt Optimizer
        No two of the same name.
    n_screen : int
        See `solve`. Optimizers are compared from random starts by default, good and bad ones.
    n_starts, seed, initial_points, retraction
        See `solve`.
    stopping, max_iterations, min_gradient_norm, max_time
        See `solve`.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or value, two optimizers have one name, or no
        start is in the operator's domain.
    """
    if isinstance(optimizers, str) or not isinstance(optimizers, Sequence):
        raise TypeError(
            f"optimizers must be a sequence of optimizers, got {type(optimizers).__name__}."
        )
    options = RunOptions(stopping, max_iterations, min_gradient_norm, max_time)
    for optimizer in optimizers:
        options.make(optimizer)
    check_problem(problem)
    names = [optimizer_name(optimizer) for optimizer in optimizers]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"optimizers must be at least one, each of its own name, got {names}.")
    manifold = as_manifold(source, retraction)
    starts, seeds = draw_starts(problem, manifold, n_starts, seed, initial_points, n_screen)
    return Comparison(
        {
            name: Solution.best_of(run_all(problem, manifold, optimizer, starts, seeds, options))
            for name, optimizer in zip(names, optimizers, strict=True)
        }
    )


def _summary(solution: Solution, bound: float) -> dict[str, Any]:
    runs = solution.runs
    counts = Counter(run.status.name for run in runs)
    medians: dict[str, list[Any]] = {
        "cost": [run.cost for run in runs],
        "iterations": [run.iterations for run in runs],
        "seconds": [run.time for run in runs],
        "n_cost": [run.history.n_cost[-1] for run in runs],
        "n_gradient": [run.history.n_gradient[-1] for run in runs],
        "n_hessian": [run.history.n_hessian[-1] for run in runs],
    }
    return {
        "converged": sum(run.converged for run in runs),
        "starts": len(runs),
        "reached_best": sum(bool(run.cost <= bound) for run in runs),
        "best_cost": solution.cost,
        **{f"median_{name}": float(np.median(values)) for name, values in medians.items()},
        "statuses": ", ".join(f"{name} {count}" for name, count in counts.most_common()),
    }


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
