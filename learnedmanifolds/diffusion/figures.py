"""The picture of a diffusion map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from learnedmanifolds.diffusion.bandwidth import Bandwidth

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Points, of labels and of ticks; inches, of a page with one column of text.
_LABEL, _SMALL, _WIDTH, _HEIGHT = 8.0, 7.0, 7.0, 2.3


def draw(
    embedding: np.ndarray,
    values: np.ndarray,
    gaps: np.ndarray,
    bandwidth: Bandwidth,
    color: np.ndarray | None,
) -> Figure:
    """Coordinates, spectrum, and slope of the kernel's sum, side by side.

    Parameters
    ----------
    embedding : ndarray, shape (N, m)
    values : ndarray, shape (m + 2,)
        Eigenvalues, the constant's first and the one after the last component's last.
    gaps : ndarray, shape (m + 1,)
        Their differences.
    bandwidth : Bandwidth
    color : ndarray, shape (N,), optional
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=200, layout="constrained")
    plane, spectrum, slope = figure.subplots(1, 3)
    size = float(np.clip(6000 / len(embedding), 0.5, 6))
    tint = {"color": "C0"} if color is None else {"c": color, "cmap": "viridis"}
    style = {"s": size, "linewidths": 0, "rasterized": True}
    if embedding.shape[1] > 1:
        plane.scatter(embedding[:, 0], embedding[:, 1], **style, **tint)
        plane.set_xlabel(r"$\psi_1$", fontsize=_LABEL)
        plane.set_ylabel(r"$\psi_2$", fontsize=_LABEL)
        plane.set_aspect("equal", adjustable="datalim")
    else:
        order = np.argsort(embedding[:, 0])
        shade = tint if color is None else tint | {"c": color[order]}
        plane.scatter(np.arange(len(order)), embedding[order, 0], **style, **shade)
        plane.set_xlabel("rank of the point", fontsize=_LABEL)
        plane.set_ylabel(r"$\psi_1$", fontsize=_LABEL)

    index = np.arange(len(values))
    widest = int(gaps.argmax())
    spectrum.axvspan(widest, widest + 1, color="0.9", linewidth=0)
    spectrum.plot(index, values, color="0.7", linewidth=0.8, zorder=1)
    spectrum.scatter(index[:-1], values[:-1], s=12, color="C0", zorder=2)
    spectrum.scatter(index[-1:], values[-1:], s=12, color="white", edgecolor="C0", zorder=2)
    spectrum.set_xlabel("index", fontsize=_LABEL)
    spectrum.set_ylabel(r"eigenvalue $\lambda$", fontsize=_LABEL)
    spectrum.xaxis.get_major_locator().set_params(integer=True)

    slope.axvspan(*bandwidth.linear, color="0.9", linewidth=0)
    slope.semilogx(bandwidth.grid, 2 * bandwidth.slope, color="C0", linewidth=1)
    slope.axvline(bandwidth.epsilon, color="C1", linewidth=1)
    slope.set_ylim(0, None)
    slope.set_xlabel(r"$\varepsilon$", fontsize=_LABEL)
    slope.set_ylabel(r"$2\,d\log S\,/\,d\log\varepsilon$", fontsize=_LABEL)
    for axes in (plane, spectrum, slope):
        axes.tick_params(labelsize=_SMALL)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
