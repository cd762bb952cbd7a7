"""The linear answer to an inverse problem with a mask: least squares in a principal subspace."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer


class PrincipalSubspace:
    """The affine subspace of the leading principal components of data, to compare an atlas with.

    Parameters
    ----------
    x : array, shape (N, n)
    dim : int
        Dimension d of the subspace, at most n.
    """

    def __init__(self, x: ArrayLike, dim: int) -> None:
        data = as_tensor(x, "x", shape=(None, None), allow_empty=False).double()
        size = integer(dim, "dim", minimum=1)
        if size > min(data.shape):
            raise ValueError(f"dim must be at most {min(data.shape)}, got {dim}.")
        self.mean = data.mean(0)
        self.basis = torch.linalg.svd(data - self.mean, full_matrices=False).Vh[:size].T

    def restore(self, observed: ArrayLike, visible: ArrayLike) -> Tensor:
        """The point (n,) of the subspace that fits the visible entries best.

        Parameters
        ----------
        observed : array, shape (n,)
            Only its visible entries are read.
        visible : array of bool, shape (n,)
        """
        shape = self.mean.shape
        values = as_tensor(observed, "observed", shape=shape).double()
        mask = as_tensor(visible, "visible", dtype=torch.bool, shape=shape)
        residual = (values - self.mean)[mask]
        coefficients = torch.linalg.lstsq(self.basis[mask], residual.unsqueeze(1)).solution
        return self.mean + (self.basis @ coefficients).squeeze(1)
