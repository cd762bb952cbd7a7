"""Data in the box [-1, 1]^n."""

from __future__ import annotations

import torch

from learnedmanifolds._check import ArrayLike, as_tensor


def scale_to_box(x: ArrayLike) -> torch.Tensor:
    """Shift and scale points so that they just fit into the box [-1, 1]^n, without distortion.

    The middle of the range of every coordinate goes to 0, and one factor scales all coordinates, so
    that distances keep their ratios; the widest coordinate fills [-1, 1].

    Parameters
    ----------
    x : array, shape (N, *ambient_shape)
        At least two different points.

    Returns
    -------
    torch.Tensor, shape (N, *ambient_shape)
        In the dtype of `x`, float64 for integers.

    Raises
    ------
    TypeError, ValueError
        If `x` is not such an array, or all its points are one.
    """
    points = as_tensor(x, "x", allow_empty=False)
    if points.ndim < 2:
        raise ValueError(f"x must have shape (N, *ambient_shape), got {tuple(points.shape)}")
    points = points if points.is_floating_point() else points.double()
    low, high = points.amin(0), points.amax(0)
    half = float((high - low).max()) / 2
    if half == 0:
        raise ValueError(f"x must hold different points, got {len(points)} times the same one")
    return (points - (low + high) / 2) / half
