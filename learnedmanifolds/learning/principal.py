"""Principal coordinates, in which charts are looked for where there are many features."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

# Features, or components of more of them; rows that tell these, and power iterations.
_MOST, _ROWS, _ITERATIONS = 64, 4096, 2


class Principal(NamedTuple):
    """The leading principal components of points, or all features where these are few.

    Attributes
    ----------
    mean : Tensor, shape (n,)
    basis : Tensor, shape (n, q), or None
        Orthonormal columns; None stands for all features.
    """

    mean: Tensor
    basis: Tensor | None

    @classmethod
    def of(cls, x: Tensor, seed: int) -> Self:
        """Of points (N, n): 64 components of more features, by a random part of many points."""
        if x.shape[1] <= _MOST:
            return cls(torch.zeros_like(x[0]), None)
        rows = x
        if len(x) > _ROWS:
            source = torch.Generator().manual_seed(seed)
            rows = x[torch.randperm(len(x), generator=source)[:_ROWS]]
        count = min(_MOST, *rows.shape)
        mean = rows.mean(0)
        # What they leave is another part of the charts, so single precision will do for the basis.
        model = PCA(
            count,
            svd_solver="randomized",
            iterated_power=_ITERATIONS,
            random_state=np.random.RandomState(seed),
        ).fit((rows - mean).float().numpy())
        return cls(mean, torch.from_numpy(model.components_).to(x).mT.contiguous())

    def coordinates(self, x: Tensor) -> Tensor:
        """Coordinates (N, q) of points (N, n)."""
        return x if self.basis is None else (x - self.mean) @ self.basis

    def restore(self, y: Tensor) -> Tensor:
        """Differences (N, n) from the mean of coordinates (N, q)."""
        return y if self.basis is None else y @ self.basis.mT
