"""Structural similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from learnedmanifolds._check import ArrayLike, integer, positive
from learnedmanifolds.metrics._images import image_pair

# Wang et al. 2004, section III.C: they keep the quotients finite where an image is flat or black.
_K1, _K2 = 0.01, 0.03


def ssim(
    x: ArrayLike,
    reference: ArrayLike,
    peak: float = 1.0,
    *,
    window: int = 11,
    sigma: float = 1.5,
) -> Tensor:
    """Structural similarity of images, without unit, in [-1, 1]; 1 only for equal images.

    The mean over channels and over all places of the window inside the image of

    (2 m_x m_y + c_1) (2 s_xy + c_2) / ((m_x^2 + m_y^2 + c_1) (s_x^2 + s_y^2 + c_2)),

    with means m, variances s^2 and covariance s_xy under a Gaussian window that sums to 1,
    c_1 = (0.01 peak)^2, c_2 = (0.03 peak)^2. Axes are those of `psnr`.

    Parameters
    ----------
    x : array, shape (..., C, H, W) or (H, W)
    reference : array
        Of the shape of x, or one image (C, H, W) for all of x.
    peak : float
        The largest value that a pixel can have, 255 for images in bytes.
    window : int
        Odd side of the window in pixels, at most the sides of the images.
    sigma : float
        Standard deviation of the window in pixels.

    Returns
    -------
    Tensor, float64, shape of x without the axes of the mean

    Raises
    ------
    TypeError, ValueError
        If an array is no image, is smaller than the window, holds NaN or infinite values, the shapes
        do not fit, or a setting is out of range.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, Image quality assessment: from error visibility to structural
    similarity, IEEE Transactions on Image Processing 13(4), 2004, eq. 13.
    """
    first, other, axes = image_pair(x, reference)
    side = integer(window, "window", minimum=3)
    if side % 2 == 0 or side > min(first.shape[-2:]):
        raise ValueError(
            f"window must be odd and at most the sides of the images, {tuple(first.shape[-2:])}; "
            f"got {side}"
        )
    offset = torch.arange(side, dtype=torch.float64, device=first.device) - side // 2
    weights = (-0.5 * (offset / positive(sigma, "sigma")).square()).exp()
    weights = weights / weights.sum()
    top = positive(peak, "peak")

    second = other.expand_as(first)
    stacked = torch.stack([first, second, first * first, second * second, first * second])
    mean_x, mean_y, *raw = _smooth(stacked, weights)
    variance_x, variance_y, covariance = (
        raw[0] - mean_x * mean_x,
        raw[1] - mean_y * mean_y,
        raw[2] - mean_x * mean_y,
    )
    c1, c2 = (_K1 * top) ** 2, (_K2 * top) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    likeness = likeness / (
        (mean_x * mean_x + mean_y * mean_y + c1) * (variance_x + variance_y + c2)
    )
    return likeness.flatten(-axes).mean(-1)


def _smooth(images: Tensor, weights: Tensor) -> Tensor:
    """Weighted means of images (..., H, W) at every place of the square window inside."""
    flat = images.reshape(-1, 1, *images.shape[-2:])
    flat = conv2d(flat, weights.view(1, 1, -1, 1))
    flat = conv2d(flat, weights.view(1, 1, 1, -1))
    return flat.view(*images.shape[:-2], *flat.shape[-2:])
