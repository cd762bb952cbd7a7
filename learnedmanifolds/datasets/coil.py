"""COIL-20: twenty objects on a turntable."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from learnedmanifolds.datasets._pixels import symmetric_values, unit_values
from learnedmanifolds.datasets._sources import Source, read_mat
from learnedmanifolds.datasets.image_set import ImageSet

SIZE = 32
VIEWS = 72

SOURCE = Source(
    "COIL-20 in 32 x 32 pixels (COIL20.mat)",
    "https://jundongl.github.io/scikit-feature/datasets.html",
    {"X": (None, SIZE * SIZE), "Y": (None, 1)},
)


def coil20(path: str | Path, *, scaled: bool = False) -> ImageSet:
    """Read the 1440 pictures, 32 x 32, of 20 objects, each turned by 72 steps of 5 degrees.

    The pictures of an object come one after another in the order of their angles, and close up: the
    manifold is twenty circles.

    Parameters
    ----------
    path : str or Path
        The MATLAB file ``COIL20.mat``, with the arrays ``X`` (1440, 1024), a picture a row, column by
        column, and ``Y`` (1440, 1), the number of the object. It can be had at
        https://jundongl.github.io/scikit-feature/datasets.html.
    scaled : bool
        Whether grey values are in [-1, 1] rather than in [0, 1].

    Returns
    -------
    ImageSet
        Images (1440, 1, 32, 32), labels 0 to 19, and angles in radians.

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        If there is no such file, or it holds something else.

    References
    ----------
    Nene, Nayar, Murase, Columbia Object Image Library (COIL-20), CUCS-005-96, 1996.
    """
    arrays = read_mat(path, SOURCE)
    images = unit_values(arrays["X"], "X").reshape(-1, 1, SIZE, SIZE).mT.contiguous()
    labels = _objects(arrays["Y"][:, 0], len(images))
    step = 2 * math.pi / VIEWS
    angles = step * torch.arange(VIEWS, dtype=torch.float32).repeat(len(images) // VIEWS)
    return ImageSet(symmetric_values(images, scaled), labels, angles)


def _objects(numbers: np.ndarray, n_images: int) -> torch.Tensor:
    """Check that the objects 1, 2, ... come one after another with all their views; count from 0."""
    expected = np.repeat(np.arange(1, n_images // VIEWS + 1), VIEWS)
    if not np.array_equal(numbers, expected):
        raise ValueError(
            f"Y must be the object of each row of X, 1 to 20, with {VIEWS} rows each, in order; got "
            f"{len(numbers)} numbers from {numbers.min()} to {numbers.max()} for {n_images} rows"
        )
    return torch.from_numpy(expected - 1)
