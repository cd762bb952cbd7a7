"""Figures of checks, for print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from learnedmanifolds.inverse.figures import COLORS

if TYPE_CHECKING:
    from learnedmanifolds.checks.result import Check


def plot_checks(checks: Sequence[Check]) -> Figure:
    """Errors against steps, one panel a check; dashed, a line of the expected slope."""
    figure = Figure(figsize=(3.6 * max(len(checks), 1), 3.0), dpi=150, layout="constrained")
    for i, check in enumerate(checks):
        _panel(figure.add_subplot(1, len(checks), i + 1), check)
    return figure


def _panel(axis: Any, check: Check) -> None:
    axis.grid(True, which="major", color="0.9", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set(xlabel="step", title=f"{check.name}: slope {check.slope:.3g}")
    axis.title.set_fontsize(10)
    for errors in check.errors:
        _curve(axis, check.steps, errors, linewidth=0.7, alpha=0.3)
    errors = check.errors[check.worst]
    _curve(axis, check.steps, errors, linewidth=1.2, label="worst point")
    first, stop = check.windows[check.worst]
    if stop > first:
        window = slice(int(first), int(stop))
        _curve(axis, check.steps[window], errors[window], linewidth=3.0)
        _reference(axis, check, float(np.sqrt(errors[first] * errors[stop - 1])), window)
    axis.set(xscale="log", yscale="log", ylabel="error")
    axis.legend(frameon=False, fontsize=9)


def _curve(axis: Any, steps: np.ndarray, errors: np.ndarray, **style: Any) -> None:
    # A logarithm has no place for an error of exactly 0.
    axis.plot(steps, np.where(errors > 0, errors, np.nan), color=COLORS[0], **style)


def _reference(axis: Any, check: Check, height: float, window: slice) -> None:
    """A line of the expected slope below the middle of the window."""
    steps = check.steps
    middle = np.sqrt(steps[window][0] * steps[window][-1])
    line = 0.2 * height * (steps / middle) ** check.expected
    near = (steps >= middle / 30) & (steps <= middle * 30)
    label = f"slope {check.expected:g}"
    axis.plot(steps[near], line[near], color="black", linewidth=1.0, linestyle="--", label=label)
