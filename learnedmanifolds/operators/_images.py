"""What operators on images share: the shapes that they accept."""

from __future__ import annotations

from torch import Tensor


def image_shape(points: Tensor) -> tuple[int, int]:
    """Height and width of many images (N, H, W) or (N, C, H, W).

    Raises
    ------
    ValueError
        If a point is no image.
    """
    if points.ndim not in (3, 4) or not points.is_floating_point():
        raise ValueError(
            f"point must be an image of shape (H, W) or (C, H, W) of floats, got shape "
            f"{tuple(points.shape[1:])} of {points.dtype}."
        )
    if not all(points.shape[1:]):
        raise ValueError(
            f"point must be an image of at least one pixel, got shape {tuple(points.shape[1:])}."
        )
    return int(points.shape[-2]), int(points.shape[-1])
