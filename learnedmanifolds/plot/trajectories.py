"""Iterates of optimizers on the manifold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from learnedmanifolds.plot.charts import new_axes


def trajectories(
    paths: Sequence[Any], ax: Any = None, target: Any = None, labels: Sequence[str] | None = None
) -> Any:
    """Draw sequences of iterates: start as a ring, end as a star.

    Parameters
    ----------
    paths : sequence of arrays, each (M, n) with n of 2 or 3
        The points of each run.
    ax : matplotlib Axes, optional
        For instance those that `learnedmanifolds.plot.charts` returned.
    target : array, shape (n,), optional
        Drawn as a cross.
    labels : sequence of str, optional
        One a path.

    Returns
    -------
    matplotlib Axes
    """
    arrays = [np.asarray(path, dtype=float) for path in paths]
    if not arrays or any(a.ndim != 2 or a.shape[1] not in (2, 3) for a in arrays):
        shapes = [a.shape for a in arrays]
        raise ValueError(f"paths must be arrays of shape (M, 2) or (M, 3), got shapes {shapes}.")
    ax = new_axes(arrays[0].shape[1], ax)
    for i, path in enumerate(arrays):
        label = None if labels is None else labels[i]
        (line,) = ax.plot(*path.T, "-", lw=1.2, color="black", alpha=0.7, label=label)
        ax.plot(*path.T, ".", ms=4, color=line.get_color())
        ax.plot(*path[:1].T, "o", ms=6, mfc="white", mec="black")
        ax.plot(*path[-1:].T, "*", ms=12, color="black")
    if target is not None:
        ax.plot(*np.asarray(target, dtype=float)[:, None], "x", ms=8, color="red", label="target")
    ax.set_aspect("equal")
    return ax
