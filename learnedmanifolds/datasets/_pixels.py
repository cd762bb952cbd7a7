"""Pixel values of files as grey values."""

from __future__ import annotations

import numpy as np
import torch

MAX_BYTE = 255


def unit_values(values: np.ndarray, name: str) -> torch.Tensor:
    """Return grey values in [0, 1], float32: integers 0 to 255 are divided by 255.

    Raises
    ------
    ValueError
        If integers are not in 0 to 255, or others not in [0, 1].
    """
    largest = MAX_BYTE if values.dtype.kind in "iu" else 1
    low, high = values.min(), values.max()
    if low < 0 or high > largest:
        kind = "integers 0 to 255" if largest == MAX_BYTE else "numbers in [0, 1]"
        raise ValueError(f"{name} must hold {kind}, got values from {low} to {high}")
    return torch.from_numpy(values.astype(np.float32)) / largest


def symmetric_values(images: torch.Tensor, scaled: bool) -> torch.Tensor:
    """Return values of [0, 1] in [-1, 1], if they are to be scaled."""
    return 2 * images - 1 if scaled else images
