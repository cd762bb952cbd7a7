"""Restored images beside what they should be, what was seen and where the search began."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds._convert import to_tensor
from learnedmanifolds._panels import (
    LINE,
    PAGE_WIDTH,
    SMALL,
    TITLE,
    as_images,
    color_bar,
    grey_limits,
    new_figure,
    show,
)
from learnedmanifolds.plot._decibels import decibels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches: width of a picture, gap between rows, a line of a title, a colour bar, all below pictures.
CELL, GAP, LINE_HEIGHT, BAR, BELOW = 1.25, 0.06, 0.135, 0.07, 0.4


def plot_reconstruction(
    truth: ArrayLike | None,
    observation: ArrayLike | None = None,
    start: ArrayLike | None = None,
    reconstruction: ArrayLike | None = None,
    *,
    boundary_parameter: ArrayLike | None = None,
    peak: float = 1.0,
    limits: Sequence[float] | None = None,
) -> Figure:
    """Ground truth, observation, start, reconstruction and error, a row for each problem.

    Images share one grey scale; the error, reconstruction minus truth, has its own, centred at 0.
    Above them stands the peak signal-to-noise ratio.

    Parameters
    ----------
    truth, start, reconstruction : array, shape (H, W), (N, H, W) or (N, 1, H, W)
        Grey images; a column that is None is left out, and without the truth also the error. The
        reconstruction must be given.
    observation : array, optional
        Of one problem, or (N, ...) of N. An image of the shape of the others is drawn on their
        grey scale, one of another shape on its own; NaN is drawn as hidden. A vector is drawn as a
        curve.
    boundary_parameter : array, shape (M,), optional
        Says that an observation is (currents, M), to be drawn as curves against these numbers, for
        instance `ImpedanceMesh.boundary_parameter`. A few currents are easier to read than all.
    peak : float
        Of the signal-to-noise ratio, see `learnedmanifolds.metrics.psnr`.
    limits : (float, float), optional
        Values drawn black and white; by default the lowest and highest of truth, start and
        reconstruction.

    Returns
    -------
    matplotlib Figure
        At most 7 inches wide. Axes stand row by row, colour bars come after them.

    Raises
    ------
    TypeError, ValueError
        If an array is no grey image, is not finite, or does not fit the reconstruction.
    """
    if reconstruction is None:
        raise TypeError("reconstruction must be an array, got None.")
    restored = as_images(reconstruction, "reconstruction")
    columns = {
        "ground truth": _optional(truth, "truth", restored.shape),
        "start": _optional(start, "start", restored.shape),
        "reconstruction": restored,
    }
    exact = columns["ground truth"]
    scale = grey_limits(limits, [c for c in columns.values() if c is not None])
    columns["observation"] = _observation(observation, len(restored), boundary_parameter)
    order = ("ground truth", "observation", "start", "reconstruction")
    names = [name for name in order if columns[name] is not None]
    n_columns = len(names) + (exact is not None)

    aspect = restored.shape[1] / restored.shape[2]
    figure, axes, grid = _grid(len(restored), n_columns, aspect, 1 + (exact is not None))
    first_grey, drawn = 0, []
    for j, name in enumerate(names):
        values: Any = columns[name]
        curves = name == "observation" and (boundary_parameter is not None or values.ndim == 2)
        alike = not curves and values.shape == restored.shape
        marks = [""] * len(values)
        if exact is not None and name != "ground truth" and alike and np.isfinite(values).all():
            marks = decibels(values, exact, peak)
        _titles(axes[:, j], name, marks, exact is not None)
        if alike:
            drawn += _draw(axes[:, j], values, scale)
            continue
        first_grey = j + 1
        if curves:
            _curves(axes[:, j], values, boundary_parameter)
        else:
            others = _draw(axes[:, j], values, grey_limits(None, [values]), aspect="auto")
            color_bar(others, figure.add_subplot(grid[-1, j]), "observation")
    color_bar(drawn, figure.add_subplot(grid[-1, first_grey : len(names)]), "image value")
    if exact is not None:
        _titles(axes[:, -1], "error", [""] * len(exact), two_lines=True)
        largest = float(np.abs(restored - exact).max()) or 1.0
        errors = _draw(axes[:, -1], restored - exact, (-largest, largest), cmap="RdBu_r")
        color_bar(errors, figure.add_subplot(grid[-1, -1]), "reconstruction \N{MINUS SIGN} truth")
    return figure


def _draw(axes: Any, values: np.ndarray, limits: tuple[float, float], **settings: Any) -> list[Any]:
    return [show(axis, v, limits, **settings) for axis, v in zip(axes, values, strict=True)]


def _grid(rows: int, columns: int, aspect: float, lines: int) -> tuple[Figure, Any, Any]:
    """Axes (rows, columns) for pictures with titles, and places for colour bars below them."""
    cell = min(CELL, PAGE_WIDTH / columns)
    text = LINE_HEIGHT * (lines + (rows - 1) * (lines - 1))
    figure = new_figure(cell * columns + 0.1, rows * (cell * aspect + GAP) + text + BELOW)
    ratios = [cell * aspect] * rows + [BAR]
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=ratios)
    # The layout makes room for titles of axes that stand at the top of their cell.
    axes = [
        [figure.add_subplot(grid[i, j], anchor="N", box_aspect=aspect) for j in range(columns)]
        for i in range(rows)
    ]
    return figure, np.array(axes), grid


def _optional(value: ArrayLike | None, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if value is None else as_images(value, name, shape)


def _observation(value: ArrayLike | None, count: int, abscissa: Any) -> np.ndarray | None:
    """(N, h, w), (N, M), or (N, currents, M) where abscissae are given."""
    if value is None:
        return None
    given = to_tensor(value, "observation").detach().to("cpu")
    filled = given.nan_to_num(0.0, posinf=math.inf, neginf=-math.inf)
    as_tensor(filled, "observation", allow_empty=False)
    if bool(given.isnan().all()):
        raise ValueError("observation must have a value that is not NaN, got none.")
    seen = given.to(torch.float64)
    while count == 1 and seen.ndim > 1 and len(seen) == 1:
        seen = seen[0]
    seen = seen.unsqueeze(0) if count == 1 else seen
    if seen.ndim == 0 or len(seen) != count:
        raise ValueError(
            f"observation must be one for each of the {count} images, of shape ({count}, ...), got "
            f"{tuple(given.shape)}."
        )
    seen = seen.squeeze(1) if seen.ndim == 4 else seen
    if abscissa is not None:
        seen = seen.unsqueeze(1) if seen.ndim == 2 else seen
        size = as_tensor(abscissa, "boundary_parameter", shape=(None,)).numel()
        if seen.ndim != 3 or seen.shape[2] != size:
            raise ValueError(
                f"observation must be (currents, {size}) with that boundary_parameter, got shape "
                f"{tuple(given.shape)}."
            )
    elif seen.ndim not in (2, 3):
        raise ValueError(
            f"observation must be an image or a vector for each problem, got shape "
            f"{tuple(given.shape)}."
        )
    return seen.numpy()


def _titles(axes: Any, name: str, marks: Sequence[str], two_lines: bool) -> None:
    for i, (axis, mark) in enumerate(zip(axes, marks, strict=True)):
        heading = [name] if i == 0 else []
        # An empty second line keeps the names of all columns at one height.
        heading += [mark or " "] if two_lines else []
        axis.set_title("\n".join(heading), fontsize=TITLE, pad=3)


def _curves(axes: Any, values: np.ndarray, abscissa: ArrayLike | None) -> None:
    """Observations (N, M) or (N, currents, M), on one scale."""
    import matplotlib

    curves = values if values.ndim == 3 else values[:, None]
    x = np.arange(curves.shape[2]) if abscissa is None else to_tensor(abscissa, "").cpu().numpy()
    colors = matplotlib.colormaps["cividis"](np.linspace(0, 0.9, curves.shape[1]))
    low, high = grey_limits(None, [curves])
    margin = 0.05 * (high - low)
    for axis, rows in zip(axes, curves, strict=True):
        for row, color in zip(rows, colors, strict=True):
            axis.plot(x, row, color=color, linewidth=LINE)
        axis.set(ylim=(low - margin, high + margin))
        axis.margins(x=0)
        axis.locator_params(nbins=4)
        axis.tick_params(labelsize=SMALL, width=LINE, length=2, pad=1)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[:].set_linewidth(LINE)
    label = "entry" if abscissa is None else "boundary parameter"
    axes[-1].set_xlabel(label, fontsize=SMALL, labelpad=1)
