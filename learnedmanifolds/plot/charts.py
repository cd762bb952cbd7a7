"""The charts of an atlas in colour, over the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from learnedmanifolds._check import ArrayLike
from learnedmanifolds.atlas.atlas import Atlas


def colors(count: int) -> list[Any]:
    """Distinct colours, one a chart."""
    import matplotlib

    table = matplotlib.colormaps["tab10" if count <= 10 else "tab20"]
    return [table(i % table.N) for i in range(count)]


def new_axes(ambient: int, ax: Any = None, size: float = 4.5) -> Any:
    """The given axes, or new ones: in the plane, or in space for three and more dimensions."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size, size), layout="constrained")
    return figure.add_subplot() if ambient == 2 else figure.add_subplot(projection="3d")


def charts(atlas: Atlas, x: ArrayLike | None = None, ax: Any = None) -> Any:
    """Draw the image of every chart's domain in a colour of its own, over the data.

    Parameters
    ----------
    atlas : Atlas
        Of vectors of length 2 or 3; of longer ones the first three entries are drawn.
    x : array, shape (N, n), optional
        Data, drawn as grey dots.
    ax : matplotlib Axes, optional
        New ones by default.

    Returns
    -------
    matplotlib Axes
        Its figure is ``ax.figure``.
    """
    shown = min(3, atlas.charts.n_ambient)
    ax = new_axes(shown, ax)
    if x is not None:
        data = atlas.flat(x)[:4000, :shown].cpu().numpy()
        ax.scatter(*data.T, s=1.5, color="0.75", label="data", rasterized=True)
    shades = colors(atlas.n_charts)
    for k in range(atlas.n_charts):
        label: str | None = f"chart {k}"
        if atlas.dim == 1:
            t = torch.linspace(-1, 1, 200).unsqueeze(1)
            line = _inside(atlas, t, k)[:, :shown]
            ax.plot(*line.T, color=shades[k], lw=2, label=label)
            held = line[np.isfinite(line[:, 0])]
            ax.plot(*np.concatenate([held[:1], held[-1:]]).T, "o", ms=4, color=shades[k])
        elif atlas.dim == 2:
            side = torch.linspace(-1, 1, 25)
            grid = torch.cartesian_prod(side, side)
            sheet = _inside(atlas, grid, k)[:, :shown].reshape(25, 25, shown)
            for lines in (sheet, sheet.swapaxes(0, 1)):
                for i, line in enumerate(lines[::3]):
                    ax.plot(*line.T, color=shades[k], lw=0.8, label=label if i == 0 else None)
                label = None
        else:
            points = atlas.decode(atlas.sample_coords(500, seed=0).coords, k).flatten(1)
            ax.scatter(*points[:, :shown].cpu().numpy().T, s=3, color=shades[k], label=label)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    ax.set_aspect("equal")
    return ax


def _inside(atlas: Atlas, coords: torch.Tensor, chart: int) -> np.ndarray:
    """Points (N, n) of coordinates in the box, NaN where they are not in the chart's domain."""
    points = atlas.decode(coords, chart).flatten(1)
    own = torch.full((len(coords),), chart)
    outside = atlas.charts.domain.depth(coords.to(points), own) < 0
    return points.masked_fill(outside.unsqueeze(1), torch.nan).cpu().numpy()
