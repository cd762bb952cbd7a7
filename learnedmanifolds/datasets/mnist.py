"""Handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

from pathlib import Path

import torch

from learnedmanifolds._check import one_of
from learnedmanifolds.datasets._pixels import symmetric_values, unit_values
from learnedmanifolds.datasets._sources import Source, read_numpy
from learnedmanifolds.datasets.image_set import ImageSet

SIZE = 28
N_CLASSES = 10

_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"

SOURCES = {
    split: Source(
        "MNIST (mnist.npz)", _URL, {f"x_{split}": (None, SIZE, SIZE), f"y_{split}": (None,)}
    )
    for split in ("train", "test")
}


def mnist(path: str | Path, split: str = "train", *, scaled: bool = False) -> ImageSet:
    """Read the 60,000 training or the 10,000 test digits of MNIST.

    Parameters
    ----------
    path : str or Path
        The NumPy file ``mnist.npz``, with the arrays ``x_train`` (60000, 28, 28), ``y_train``
        (60000,), ``x_test`` and ``y_test``. It can be had at
        https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz.
    split : {"train", "test"}
        Which of the two sets.
    scaled : bool
        Whether grey values are in [-1, 1] rather than in [0, 1].

    Returns
    -------
    ImageSet
        Images (N, 1, 28, 28) and labels, the digits.

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        If an argument is wrong, there is no such file, or it holds something else.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, Proceedings of the IEEE 86(11), 1998.
    """
    arrays = read_numpy(path, SOURCES[one_of(split, "split", SOURCES)])
    digits, pixels = arrays[f"y_{split}"], arrays[f"x_{split}"]
    if (
        len(digits) != len(pixels)
        or digits.dtype.kind == "f"
        or not 0 <= digits.min() <= digits.max() < N_CLASSES
    ):
        raise ValueError(
            f"y_{split} must be a digit 0 to 9 for each of the {len(pixels)} rows of x_{split}, got "
            f"{len(digits)} {digits.dtype} numbers from {digits.min()} to {digits.max()}"
        )
    images = unit_values(pixels, f"x_{split}").unsqueeze(1)
    return ImageSet(symmetric_values(images, scaled), torch.from_numpy(digits.astype("int64")))
