"""Titles of pictures that say how far they are from the truth."""

from __future__ import annotations

import math

import numpy as np

from learnedmanifolds.metrics import psnr


def decibels(images: np.ndarray, truth: np.ndarray, peak: float) -> list[str]:
    """The peak signal-to-noise ratio of each of (N, H, W), as a title."""
    values = psnr(images[:, None], truth[:, None], peak).tolist()
    return ["\N{INFINITY} dB" if math.isinf(value) else f"{value:.1f} dB" for value in values]
