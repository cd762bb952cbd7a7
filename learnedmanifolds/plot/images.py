"""Rows of small images side by side: truth, observation, restorations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from learnedmanifolds._panels import grey


def images(rows: Mapping[str, Any], shape: tuple[int, int]) -> Any:
    """A figure with a labelled row of images for each entry; NaN pixels are drawn as hidden.

    Parameters
    ----------
    rows : mapping of str to array, each (N, height * width)
    shape : (height, width)

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    arrays = {name: np.asarray(values, dtype=float) for name, values in rows.items()}
    counts = {len(a) for a in arrays.values()}
    if len(counts) != 1 or any(
        a.ndim != 2 or a.shape[1] != shape[0] * shape[1] for a in arrays.values()
    ):
        raise ValueError(
            f"rows must be arrays of one shape (N, {shape[0] * shape[1]}), got "
            f"{ {name: a.shape for name, a in arrays.items()} }."
        )
    count = counts.pop()
    figure = Figure(figsize=(0.7 * count + 1.3, 0.75 * len(arrays)), layout="constrained")
    axes = figure.subplots(len(arrays), count, squeeze=False)
    for line, (name, values) in zip(axes, arrays.items(), strict=True):
        for ax, image in zip(line, values, strict=True):
            ax.imshow(image.reshape(shape), cmap=grey(), vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    return figure
