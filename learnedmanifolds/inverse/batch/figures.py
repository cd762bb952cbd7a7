"""The figure of many solutions, for print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from learnedmanifolds.inverse.figures import COLORS
from learnedmanifolds.optimizers.status import Status

if TYPE_CHECKING:
    from learnedmanifolds.inverse.batch.solution import BatchSolution

_MAX_BARS = 40


def plot_batch(solution: BatchSolution) -> Figure:
    """Histogram of iterations, one colour a status, beside the gradient norms in order."""
    figure = Figure(figsize=(7.2, 3.0), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    status = np.array(solution.status, dtype=object)
    present = [kind for kind in Status if (status == kind).any()]
    left.hist(
        [solution.iterations[status == kind] for kind in present],
        bins=_edges(solution.iterations),
        stacked=True,
        color=[COLORS[list(Status).index(kind) % len(COLORS)] for kind in present],
        label=[kind.name.lower().replace("_", " ") for kind in present],
    )
    left.set(xlabel="iterations", ylabel="problems")
    # Above the bars, whatever their heights.
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9)
    norms = np.sort(solution.gradient_norm[solution.gradient_norm > 0])
    share = np.arange(1, len(norms) + 1) / max(1, len(norms))
    right.step(norms, share, where="post", color=COLORS[0])
    if len(norms):
        right.set_xscale("log")
    right.set(xlabel="Riemannian gradient norm", ylabel="share of the problems", ylim=(0, 1.02))
    for axis in (left, right):
        axis.grid(True, which="major", color="0.9", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{solution.optimizer}: {len(solution)} problems", fontsize=10)
    return figure


def _edges(iterations: np.ndarray) -> np.ndarray:
    """Edges of bars of equal whole width around the numbers of iterations."""
    first, last = int(iterations.min()), int(iterations.max())
    width = -(-(last - first + 1) // _MAX_BARS)
    return np.arange(first, last + width + 1, width) - 0.5
