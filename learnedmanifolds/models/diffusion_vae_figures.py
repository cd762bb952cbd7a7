"""The picture of a variational diffusion autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Points, of labels and of ticks; inches, of a page with one column of text.
_LABEL, _SMALL, _WIDTH, _HEIGHT = 8.0, 7.0, 7.0, 2.4
_SHOWN = 4000


def draw(
    x: np.ndarray,
    walks: np.ndarray,
    psi: np.ndarray,
    psi_walks: np.ndarray,
    history: dict[str, Any],
) -> Figure:
    """Walks over the data, walks in diffusion space, and the training, side by side.

    Parameters
    ----------
    x : ndarray, shape (N, n)
        Drawn only for n of 2 or 3.
    walks : ndarray, shape (steps + 1, M, n)
    psi : ndarray, shape (N, D)
    psi_walks : ndarray, shape (steps + 1, M, D)
    history : dict
    """
    from matplotlib.figure import Figure

    n = x.shape[1]
    spatial = n in (2, 3)
    columns = 3 if spatial else 2
    figure = Figure(figsize=(_WIDTH * columns / 3, _HEIGHT), dpi=200, layout="constrained")
    place = 1
    if spatial:
        axes = figure.add_subplot(1, columns, place, projection="3d" if n == 3 else None)
        _trace(axes, x, walks)
        if n == 2:
            axes.set_xlabel("$x_1$", fontsize=_LABEL)
            axes.set_ylabel("$x_2$", fontsize=_LABEL)
        place += 1
    axes = figure.add_subplot(1, columns, place)
    if psi.shape[1] > 1:
        _trace(axes, psi[:, :2], psi_walks[..., :2])
        axes.set_ylabel(r"$\psi_2$", fontsize=_LABEL)
        axes.set_xlabel(r"$\psi_1$", fontsize=_LABEL)
    else:
        for k in range(psi_walks.shape[1]):
            axes.plot(psi_walks[:, k, 0], color=f"C{k}", linewidth=0.8, marker=".", markersize=3)
        axes.set_xlabel("step of the walk", fontsize=_LABEL)
        axes.set_ylabel(r"$\psi_1$", fontsize=_LABEL)
    _style(axes)
    axes = figure.add_subplot(1, columns, place + 1)
    axes.plot(history["step"], history["loss"], color="C0", linewidth=1)
    axes.set_xlabel("step of the training", fontsize=_LABEL)
    axes.set_ylabel("minus the bound [nats]", fontsize=_LABEL, color="C0")
    other = axes.twinx()
    other.plot(history["step"], history["divergence"], color="C1", linewidth=1)
    other.set_ylabel("divergence [nats]", fontsize=_LABEL, color="C1")
    other.set_yscale("log")
    other.tick_params(labelsize=_SMALL, which="both")
    other.spines["top"].set_visible(False)
    _style(axes)
    axes.spines["right"].set_visible(True)
    return figure


def _trace(axes: Any, points: np.ndarray, walks: np.ndarray) -> None:
    """Points in grey; every walk in a colour, a ring at its start and a star at its end."""
    few = points[:: max(1, len(points) // _SHOWN)]
    size = float(np.clip(2000 / len(few), 0.3, 4))
    axes.scatter(*few.T, s=size, color="0.75", linewidths=0, rasterized=True)
    for k in range(walks.shape[1]):
        path, color = walks[:, k], f"C{k % 10}"
        axes.plot(*path.T, color=color, linewidth=0.8, marker=".", markersize=2.5)
        axes.plot(*path[:1].T, "o", markersize=4, markerfacecolor="white", color=color)
        axes.plot(*path[-1:].T, "*", markersize=6, color=color)
    if points.shape[1] == 2:
        axes.set_aspect("equal", adjustable="datalim")
        _style(axes)
    else:
        axes.set_aspect("equal")
        axes.tick_params(labelsize=5, pad=-2)


def _style(axes: Any) -> None:
    axes.tick_params(labelsize=_SMALL)
    axes.spines[["top", "right"]].set_visible(False)
