"""The input of measures that compare images with a reference."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor


def image_pair(x: ArrayLike, reference: ArrayLike) -> tuple[Tensor, Tensor, int]:
    """Images (..., C, H, W) or (H, W) and their references, float64, and the number of axes of one.

    Raises
    ------
    TypeError, ValueError
        If an array is no image, is empty, holds NaN or infinite values, or the reference has neither the
        shape of x nor that of one image of it.
    """
    images = as_tensor(x, "x", shape=(..., None, None), allow_empty=False)
    other = as_tensor(reference, "reference", allow_empty=False)
    axes = 2 if images.ndim == 2 else 3
    if other.shape not in (images.shape, images.shape[-axes:]):
        raise ValueError(
            f"reference must have the shape of x, {tuple(images.shape)}, or of one image, "
            f"{tuple(images.shape[-axes:])}; got {tuple(other.shape)}"
        )
    # Bytes would wrap around below zero, and half floats lose what is left of a good restoration.
    return images.to(torch.float64), other.to(images.device, torch.float64), axes
