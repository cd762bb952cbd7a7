"""Figures of convergence, for print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from learnedmanifolds.inverse.compare import Comparison
    from learnedmanifolds.inverse.solution import Solution

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# Names side by side in a legend, and the height of a line of them, inches.
_LEGEND_COLUMNS, _LEGEND_ROW = 3, 0.22

# Differences of costs below this share of the cost are rounding.
_RELATIVE_FLOOR = 1e-16


def plot_solution(solution: Solution) -> Figure:
    """Cost above the lowest, and gradient norm, of every run against the iterate."""
    figure, (left, right) = _pair()
    best = solution.runs[solution.start]
    lowest = _lowest([solution])
    for run in [*solution.runs, best]:
        thick = run is best
        style = {"color": COLORS[0], "linewidth": 2.0 if thick else 0.8}
        style |= {"alpha": 1.0 if thick else 0.35, "zorder": 3 if thick else 2}
        iterate = np.arange(len(run.history))
        left.semilogy(iterate, _gap(run.history.cost, lowest), **style)
        right.semilogy(iterate, run.history.gradient_norm, **style)
    left.set(xlabel="iterate", ylabel="cost above the lowest found")
    right.set(xlabel="iterate", ylabel="Riemannian gradient norm")
    figure.suptitle(f"{best.optimizer}: {solution.status.value}", fontsize=10)
    return figure


def plot_comparison(comparison: Comparison) -> Figure:
    """Cost above the lowest of all runs against iterates and seconds, one colour an optimizer."""
    figure, (left, right) = _pair(share=True)
    lowest = _lowest(comparison.solutions.values())
    for i, (name, solution) in enumerate(comparison.solutions.items()):
        color = COLORS[i % len(COLORS)]
        curves = [_gap(run.history.cost, lowest) for run in solution.runs]
        seconds = [run.history.time for run in solution.runs]
        steps = [np.arange(len(curve), dtype=float) for curve in curves]
        for axis, abscissae in ((left, steps), (right, seconds)):
            for x, y in zip(abscissae, curves, strict=True):
                axis.semilogy(x, y, color=color, linewidth=0.7, alpha=0.3)
            grid, median = _median(abscissae, curves)
            axis.semilogy(grid, median, color=color, linewidth=2.2, label=name, zorder=3)
    left.set(xlabel="iterate", ylabel="cost above the lowest found")
    right.set(xlabel="seconds")
    # Below both axes, where it covers no curve however many there are.
    handles, names = left.get_legend_handles_labels()
    rows = -(-len(names) // _LEGEND_COLUMNS)
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * rows)
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=min(len(names), _LEGEND_COLUMNS),
        frameon=False,
        fontsize=9,
    )
    return figure


def _pair(share: bool = False) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.2, 3.0), dpi=150, layout="constrained")
    axes = figure.subplots(1, 2, sharey=share)
    for axis in axes:
        axis.grid(True, which="major", color="0.9", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _lowest(solutions: Any) -> float:
    costs = np.concatenate([run.history.cost for s in solutions for run in s.runs])
    finite = costs[np.isfinite(costs)]
    return float(finite.min()) if len(finite) else 0.0


def _gap(cost: np.ndarray, lowest: float) -> np.ndarray:
    """Cost above the lowest one; at rounding level, that level, so that a logarithm exists."""
    floor = _RELATIVE_FLOOR * max(1.0, abs(lowest))
    return np.maximum(cost - lowest, floor)


def _median(abscissae: list[np.ndarray], curves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Median of step curves that stay at their last value, on the union of their abscissae."""
    grid = np.unique(np.concatenate(abscissae))
    values = [
        y[np.maximum(np.searchsorted(x, grid, side="right") - 1, 0)]
        for x, y in zip(abscissae, curves, strict=True)
    ]
    return grid, np.median(values, axis=0)
