"""Runs of optimizers on manifolds of images, as strips of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from learnedmanifolds._check import ArrayLike, integer
from learnedmanifolds._panels import (
    PAGE_WIDTH,
    SMALL,
    as_images,
    color_bar,
    grey_limits,
    new_figure,
    show,
)
from learnedmanifolds.plot._decibels import decibels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from learnedmanifolds.inverse import History, Run, Solution

    Trajectory: TypeAlias = "History | Run | Solution"

# Inches: the widest picture, a line of text, the colour bar with its numbers, the legend.
CELL, LINE_HEIGHT, BAR, LEGEND = 1.1, 0.125, 0.5, 0.22
# Points, of a frame in the colour of its chart.
FRAME = 2.0


def plot_image_path(
    run: Trajectory | Mapping[str, Trajectory],
    n_images: int = 8,
    truth: ArrayLike | None = None,
    *,
    peak: float = 1.0,
    limits: Sequence[float] | None = None,
) -> Figure:
    """Images along a run, from its start to its result, framed in the colour of their chart.

    Above each stands the number of the iterate, and the peak signal-to-noise ratio where the truth
    is given; below it the cost. Iterates are evenly spaced, the first and the last among them.

    Parameters
    ----------
    run : History, Run or Solution, or a mapping of names to these
        Of images (H, W) or (1, H, W). Of a solution the best run is drawn. Each entry of a mapping
        has a row, for instance `Comparison.solutions`.
    n_images : int
        At least 2; fewer are drawn of a run that has fewer iterates.
    truth : array, shape (H, W) or (1, H, W), optional
        Drawn at the end of the first row, in a black frame.
    peak : float
        Of the signal-to-noise ratio, see `learnedmanifolds.metrics.psnr`.
    limits : (float, float), optional
        Values drawn black and white; by default the lowest and highest of what is drawn.

    Returns
    -------
    matplotlib Figure
        At most 7 inches wide. Axes stand row by row, the colour bar comes last.

    Raises
    ------
    TypeError, ValueError
        If a run is none, its points are no images of one shape, or an argument has a wrong type or
        value.
    """
    named = run if isinstance(run, Mapping) else {"": run}
    histories = {str(name): _history(one) for name, one in named.items()}
    if not histories:
        raise ValueError("run must be a run or a mapping with at least one, got an empty mapping.")
    wanted = integer(n_images, "n_images", minimum=2)
    chosen = [_spread(len(history), wanted) for history in histories.values()]
    images = [
        as_images(history.points.reshape(len(history), *_shape(history)), "run")[index]
        for history, index in zip(histories.values(), chosen, strict=True)
    ]
    shape = images[0].shape[1:]
    for strip in images[1:]:
        if strip.shape[1:] != shape:
            raise ValueError(f"run must be of images of one shape, got {shape}, {strip.shape[1:]}.")
    exact = None if truth is None else as_images(truth, "truth", (1, *shape))
    scale = grey_limits(limits, images if exact is None else [*images, exact])

    n_columns = max(map(len, chosen)) + (exact is not None)
    figure, axes, bar = _grid(len(images), n_columns, shape[0] / shape[1], 2 + (exact is not None))
    drawn = []
    charts = set()
    for row, (name, history), index, strip in zip(
        axes, histories.items(), chosen, images, strict=True
    ):
        marks = (
            None if exact is None else decibels(strip, np.broadcast_to(exact, strip.shape), peak)
        )
        for j, (axis, iterate, image) in enumerate(zip(row, index, strip, strict=False)):
            drawn.append(show(axis, image, scale))
            _frame(axis, chart := int(history.chart[iterate]))
            charts.add(chart)
            title = f"iterate {iterate}" if j == 0 else str(iterate)
            axis.set_title(
                title if marks is None else f"{title}\n{marks[j]}", fontsize=SMALL, pad=3
            )
            cost = _short(history.cost[iterate])
            axis.set_xlabel(f"cost {cost}" if j == 0 else cost, fontsize=SMALL, labelpad=2)
        row[0].set_ylabel(name, fontsize=SMALL + 1)
        for axis in row[len(index) :]:
            axis.set_axis_off()
    if exact is not None:
        last = axes[0, -1]
        last.set_axis_on()
        drawn.append(show(last, exact[0], scale))
        last.set_title("truth\n ", fontsize=SMALL, pad=3)
    color_bar(drawn, bar, "image value", vertical=True)
    _legend(figure, sorted(charts))
    return figure


def _history(run: Any) -> History:
    from learnedmanifolds.inverse import History, Run, Solution

    if isinstance(run, (Run, Solution)):
        return run.history
    if not isinstance(run, History):
        raise TypeError(f"run must be a History, Run or Solution, got {type(run).__name__}.")
    return run


def _shape(history: History) -> tuple[int, ...]:
    shape = history.points.shape[1:]
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 1):
        raise ValueError(
            f"run must be of grey images (H, W) or (1, H, W), got points of shape {shape}."
        )
    return shape[-2:]


def _spread(length: int, count: int) -> np.ndarray:
    """Indices of a run, from the first to the last, evenly spaced."""
    return np.unique(np.linspace(0, length - 1, count).round().astype(int))


def _short(cost: float) -> str:
    return f"{cost:.4g}".replace("e+0", "e").replace("e-0", "e-")


def _grid(rows: int, columns: int, aspect: float, lines: int) -> tuple[Figure, Any, Any]:
    """Axes (rows, columns) for pictures with text above and below, and one for the colour bar."""
    cell = min(CELL, (PAGE_WIDTH - BAR) / columns)
    height = rows * (cell * aspect + lines * LINE_HEIGHT + 0.06) + LEGEND
    figure = new_figure(cell * columns + BAR, height)
    ratios = [cell] * columns + [0.06]
    grid = figure.add_gridspec(rows, columns + 1, width_ratios=ratios)
    axes = [
        [figure.add_subplot(grid[i, j], anchor="N", box_aspect=aspect) for j in range(columns)]
        for i in range(rows)
    ]
    return figure, np.array(axes), figure.add_subplot(grid[:, -1])


def _style(chart: int) -> dict[str, Any]:
    """Colour of a chart's frame; dashes once the colours are used up. Black is the truth's."""
    from learnedmanifolds.inverse.figures import COLORS

    colors = COLORS[:-1]
    turn, index = divmod(chart, len(colors))
    return {"color": colors[index], "linestyle": ("-", "--", ":")[turn % 3]}


def _frame(axis: Any, chart: int) -> None:
    axis.spines[:].set(linewidth=FRAME, **_style(chart))


def _legend(figure: Any, charts: Sequence[int]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], linewidth=FRAME, label=f"chart {k}", **_style(k)) for k in charts]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(charts),
        frameon=False,
        fontsize=SMALL,
        borderaxespad=0.1,
        handlelength=1.5,
    )
