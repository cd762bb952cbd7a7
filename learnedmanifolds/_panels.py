"""What pictures of images share: their size in print, the grey scale, colour bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from learnedmanifolds._check import ArrayLike, as_tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches, of a page with one column of text.
PAGE_WIDTH = 7.0
# Points, of titles and of tick labels.
TITLE, SMALL = 8.0, 6.5
# Points, of frames and axes.
LINE = 0.5
# Of pixels without a value; no grey looks like it.
HIDDEN = "#3b6ea5"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches, that places its parts by itself."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.025, h_pad=0.02, wspace=0, hspace=0)
    return Figure(figsize=(min(width, PAGE_WIDTH), height), dpi=200, layout=layout)


def grey() -> Any:
    """The grey scale, with a colour for pixels without a value."""
    import matplotlib

    return matplotlib.colormaps["gray"].with_extremes(bad=HIDDEN)


def as_images(value: ArrayLike, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Check grey images (H, W), (N, H, W) or (N, 1, H, W), and return them as (N, H, W).

    Raises
    ------
    TypeError, ValueError
        If they are no grey images, or not those N of H x W pixels that a shape asks for.
    """
    given = as_tensor(value, name, allow_empty=False).detach()
    images = given.unsqueeze(0) if given.ndim == 2 else given
    images = images.squeeze(1) if images.ndim == 4 and images.shape[1] == 1 else images
    if images.ndim != 3:
        raise ValueError(
            f"{name} must be grey images of shape (H, W), (N, H, W) or (N, 1, H, W), got "
            f"{tuple(given.shape)}."
        )
    if shape is not None and tuple(images.shape) != shape:
        raise ValueError(
            f"{name} must be {shape[0]} image(s) of {shape[1]} x {shape[2]} pixels, got shape "
            f"{tuple(given.shape)}."
        )
    return images.to("cpu", torch.float64).numpy()


def grey_limits(limits: Sequence[float] | None, shown: Iterable[np.ndarray]) -> tuple[float, float]:
    """The values of black and white: those given, or the lowest and highest shown.

    Raises
    ------
    TypeError, ValueError
        If given limits are not two finite numbers, the lower one first.
    """
    if limits is not None:
        low, high = as_tensor(limits, "limits", dtype=torch.float64, shape=(2,)).tolist()
        if low >= high:
            raise ValueError(f"limits must be a lower and a higher value, got {low}, {high}.")
        return low, high
    arrays = list(shown)
    low = min(float(np.nanmin(a)) for a in arrays)
    high = max(float(np.nanmax(a)) for a in arrays)
    # A single value is drawn in the middle of the scale.
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def show(axis: Any, image: np.ndarray, limits: tuple[float, float], **settings: Any) -> Any:
    """Draw an image without ticks; returns what a colour bar needs."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_linewidth(LINE)
    return axis.imshow(image, **({"cmap": grey(), "vmin": limits[0], "vmax": limits[1]} | settings))


def color_bar(drawn: Sequence[Any], axis: Any, label: str, *, vertical: bool = False) -> None:
    """Fill an axis with the colour bar of images of one scale, with arrows if values leave it."""
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([np.ma.compressed(image.get_array()) for image in drawn])
    low, high = drawn[0].get_clim()
    below, above = bool((values < low).any()), bool((values > high).any())
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    bar = axis.figure.colorbar(
        drawn[0],
        cax=axis,
        extend=extend,
        extendfrac=0.03,
        orientation="vertical" if vertical else "horizontal",
    )
    bar.outline.set_linewidth(LINE)
    bar.locator = MaxNLocator(nbins=4, min_n_ticks=2)
    axis.tick_params(labelsize=SMALL, width=LINE, length=2, pad=2)
    bar.set_label(label, fontsize=SMALL, labelpad=2)
