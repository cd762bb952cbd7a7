"""Entries of a point that are observed: inpainting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds._grad import ordinary
from learnedmanifolds.operators.base import AffineOperator

__all__ = ["Mask", "mask"]


@dataclass(frozen=True, eq=False)
class Mask(AffineOperator):
    """The entries of a point that are observed, as a vector (m,): inpainting.

    Parameters
    ----------
    index : Tensor, shape (m,), int64
        Indices of the flattened point.
    shape : tuple of int, optional
        Shape of a point, checked at every call where it is given.

    Raises
    ------
    TypeError
        If the index is not a tensor of int64.
    """

    index: Tensor
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse anything but indices; `mask` takes booleans too."""
        if not isinstance(self.index, Tensor) or self.index.dtype != torch.int64:
            got = getattr(self.index, "dtype", self.index)
            raise TypeError(
                f"index must be a tensor of int64 indices, got {got}; "
                f"operators.mask makes a Mask of booleans."
            )

    def batch(self, points: Tensor) -> Tensor:
        """The observed entries, (N, m).

        Raises
        ------
        ValueError
            If a point has another shape, or fewer entries than the largest index asks for.
        """
        shape = tuple(points.shape[1:])
        if self.shape is not None and shape != self.shape:
            raise ValueError(f"point must have the mask's shape {self.shape}, got {shape}.")
        if self._largest >= math.prod(shape):
            raise ValueError(
                f"point must have more than {self._largest} entries, the largest index of the "
                f"mask; got shape {shape}."
            )
        return self.derivative(points)

    def derivative(self, vectors: Tensor) -> Tensor:
        """The observed entries."""
        rows = vectors.reshape(len(vectors), math.prod(vectors.shape[1:]))
        return rows.index_select(1, self.index.to(vectors.device))

    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """The observed entries in their places, among zeros."""
        rows = covectors.new_zeros(len(covectors), math.prod(ambient_shape))
        rows = rows.index_add(1, self.index.to(covectors.device), covectors)
        return rows.view(len(rows), *ambient_shape)

    @cached_property
    def _largest(self) -> int:
        return int(self.index.max())


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
    return Mask(ordinary(index), shape)
