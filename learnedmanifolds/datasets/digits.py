"""Handwritten digits of 8 x 8 pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from learnedmanifolds._check import floating_dtype, generator, integer

N_DIGITS = 1797
MAX_GREY = 16


@dataclass(frozen=True, eq=False)
class Digits:
    """Digits split into training and test images.

    Attributes
    ----------
    train, test : torch.Tensor, shapes (n, 64) and (n_test, 64)
        Grey values in [0, 1], pixels row by row.
    train_labels, test_labels : torch.Tensor, shapes (n,) and (n_test,), int64
        The digits 0 to 9.
    """

    train: torch.Tensor
    test: torch.Tensor
    train_labels: torch.Tensor
    test_labels: torch.Tensor


def digits(seed: int | None = 0, n_test: int = 100, dtype: torch.dtype = torch.float32) -> Digits:
    """Load the 1797 digits that come with scikit-learn, shuffled and split; nothing is downloaded.

    Parameters
    ----------
    seed : int, optional
        Seed of the shuffle; `None` takes fresh entropy.
    n_test : int
        Number of test images, 1 to 1796; the others are for training.
    dtype : torch.dtype
        Floating point dtype of the images.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range.

    References
    ----------
    Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """
    if integer(n_test, "n_test", minimum=1) >= N_DIGITS:
        raise ValueError(f"n_test must be less than the {N_DIGITS} digits that exist, got {n_test}")
    dtype = floating_dtype(dtype)
    order = torch.randperm(N_DIGITS, generator=generator(seed))

    # scikit-learn takes most of a second to import, which the rest of the package does not need.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (torch.from_numpy(pixels) / MAX_GREY).to(dtype)[order]
    digit = torch.from_numpy(labels).long()[order]
    return Digits(images[n_test:], images[:n_test], digit[n_test:], digit[:n_test])
