"""A matrix as operator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds._grad import ordinary
from learnedmanifolds.operators.base import AffineOperator

__all__ = ["Linear", "linear"]


@dataclass(frozen=True, eq=False)
class Linear(AffineOperator):
    """F(x) = A x of the flattened point, (m,).

    Parameters
    ----------
    matrix : Tensor, shape (m, n)
    """

    matrix: Tensor

    def batch(self, points: Tensor) -> Tensor:
        """A x, (N, m).

        Raises
        ------
        ValueError
            If a point has not as many entries as the matrix has columns.
        """
        shape = tuple(points.shape[1:])
        if math.prod(shape) != self.matrix.shape[1]:
            raise ValueError(
                f"point must have {self.matrix.shape[1]} entries, the columns of the matrix; "
                f"got shape {shape}."
            )
        return self.derivative(points)

    def derivative(self, vectors: Tensor) -> Tensor:
        """A v."""
        return vectors.reshape(len(vectors), self.matrix.shape[1]) @ self._matrix(vectors).T

    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """A^T w."""
        return (covectors @ self._matrix(covectors)).reshape(len(covectors), *ambient_shape)

    def _matrix(self, like: Tensor) -> Tensor:
        return self.matrix.to(like.device, like.dtype)


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
    return Linear(ordinary(checked.detach().to(torch.float64)))
