"""Peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor

from learnedmanifolds._check import ArrayLike, positive
from learnedmanifolds.metrics._images import image_pair


def psnr(x: ArrayLike, reference: ArrayLike, peak: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of images in decibels.

    10 log10(peak^2 / MSE), where MSE is the mean of (x - reference)^2 over the channels and pixels
    of an image: over the last three axes, or over both axes of an array of two. A stack of grey
    images therefore needs its axis of one channel: (N, 1, H, W), not (N, H, W).

    Parameters
    ----------
    x : array, shape (..., C, H, W) or (H, W)
    reference : array
        Of the shape of x, or one image (C, H, W) for all of x.
    peak : float
        The largest value that a pixel can have, 255 for images in bytes.

    Returns
    -------
    Tensor, float64, shape of x without the axes of the mean
        Infinite where the images are equal.

    Raises
    ------
    TypeError, ValueError
        If an array is no image, is empty, holds NaN or infinite values, the shapes do not fit, or
        the peak is not positive.
    """
    images, other, axes = image_pair(x, reference)
    error = (images - other).square().flatten(-axes).mean(-1)
    return 10 * (positive(peak, "peak") ** 2 / error).log10()
