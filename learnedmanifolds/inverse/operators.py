"""Measurement operators: torch callables from one point to an observation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor

__all__ = ["Identity", "Linear", "Mask", "identity", "linear", "mask"]


@dataclass(frozen=True)
class Identity:
    """F(x) = x: denoising."""

    def __call__(self, point: Tensor) -> Tensor:
        """The point itself."""
        return point


@dataclass(frozen=True, eq=False)
class Mask:
    """The entries of a point that are observed, as a vector (m,): inpainting.

    Parameters
    ----------
    index : Tensor, shape (m,), int64
        Indices of the flattened point.
    shape : tuple of int, optional
        Shape of a point, checked at every call where it is given.
    """

    index: Tensor
    shape: tuple[int, ...] | None = None

    def __call__(self, point: Tensor) -> Tensor:
        """The observed entries, (m,).

        Raises
        ------
        ValueError
            If the point has another shape, or fewer entries than the largest index asks for.
        """
        if self.shape is not None and tuple(point.shape) != self.shape:
            raise ValueError(
                f"point must have the mask's shape {self.shape}, got {tuple(point.shape)}."
            )
        largest = int(self.index.max())
        if largest >= point.numel():
            raise ValueError(
                f"point must have more than {largest} entries, the largest index of the mask; "
                f"got shape {tuple(point.shape)}."
            )
        return point.flatten()[self.index]


@dataclass(frozen=True, eq=False)
class Linear:
    """F(x) = A x of the flattened point, (m,).

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
    """

    matrix: Tensor

    def __call__(self, point: Tensor) -> Tensor:
        """A x, (m,).

        Raises
        ------
        ValueError
            If the point has not as many entries as the matrix has columns.
        """
        if point.numel() != self.matrix.shape[1]:
            raise ValueError(
                f"point must have {self.matrix.shape[1]} entries, the columns of the matrix; "
                f"got shape {tuple(point.shape)}."
            )
        return self.matrix.to(point) @ point.flatten()


identity = Identity()
"""F(x) = x."""


def mask(where: ArrayLike) -> Mask:
    """Observe some entries of a point.

    Parameters
    ----------
    where : array of bool, ambient shape, or array of int, shape (m,)
        True where a point is observed, or the indices of the observed entries of the flattened
        point.

    Raises
    ------
    TypeError
        If the array is neither boolean nor integer.
    ValueError
        If nothing is observed, or an index is negative.
    """
    flags = where if isinstance(where, Tensor) else np.asarray(where)
    shape = None
    if flags.dtype in (torch.bool, np.bool_):
        index = torch.as_tensor(flags).flatten().nonzero().squeeze(-1)
        shape = tuple(flags.shape)
    else:
        index = as_tensor(where, "where", shape=(None,))
        if index.is_floating_point():
            raise TypeError(f"where must be an array of bool or integers, got {index.dtype}.")
        index = index.to(torch.int64)
    if index.numel() == 0:
        raise ValueError("where must select at least one entry, got none.")
    if int(index.min()) < 0:
        raise ValueError(f"where must hold indices of at least 0, got {int(index.min())}.")
    return Mask(index, shape)


def linear(matrix: ArrayLike) -> Linear:
    """Multiply the flattened point by a matrix.

    Parameters
    ----------
    matrix : array, shape (m, n)

    Raises
    ------
    TypeError, ValueError
        If the matrix is not a finite, non-empty array of two dimensions.
    """
    checked = as_tensor(matrix, "matrix", shape=(None, None), allow_empty=False)
    return Linear(checked.detach().to(torch.float64))
