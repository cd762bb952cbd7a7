"""Principal coordinates, in which charts are looked for where there are many features."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

# Features, or components of more of them, and power iterations.
_MOST, _ITERATIONS = 64, 2
# Rows that tell these: so many, or numbers in them.
_ROWS, _LEAST_ROWS, _NUMBERS = 4096, 1024, 2**24


class Principal(NamedTuple):
    """The leading principal components of points of mean 0, or all features where these are few.

    Attributes
    ----------
    basis : Tensor, shape (n, q), or None
        Orthonormal columns; None stands for all features.
    """

    basis: Tensor | None

    @classmethod
    def of(cls, x: Tensor, seed: int, most: int = _MOST) -> Self:
        """Of points (N, n): so many components of more features, by a random part of many points."""
        if x.shape[1] <= most:
            return cls(None)
        rows, count = x, min(_ROWS, max(_LEAST_ROWS, _NUMBERS // x.shape[1]))
        if len(x) > count:
            source = torch.Generator().manual_seed(seed)
            rows = x[torch.randperm(len(x), generator=source)[:count]]
        # What they leave is another part of the charts, so single precision will do for the basis.
        _, _, axes = randomized_svd(
            rows.float().numpy(),
            min(most, *rows.shape),
            n_iter=_ITERATIONS,
            # Single precision would lose the lesser ones.
            power_iteration_normalizer="QR",
            random_state=np.random.RandomState(seed),
        )
        return cls(torch.from_numpy(axes).to(x.device, torch.float64).mT.contiguous())

    def coordinates(self, x: Tensor) -> Tensor:
        """Coordinates (N, q) of points (N, n), float64 where they are not the points themselves."""
        if self.basis is None:
            return x
        parts = x.split(max(_LEAST_ROWS, _NUMBERS // x.shape[1]))
        # The products of so few columns are twice as fast with these as rows.
        return torch.cat([(self.basis.mT @ part.to(self.basis).mT).mT for part in parts])

    def rest(self, x: Tensor, coordinates: Tensor) -> float:
        """Mean squared distance of points (N, n) from what has their coordinates (N, q)."""
        if self.basis is None:
            return 0.0
        size = torch.linalg.vector_norm(x, dtype=torch.float64)
        return max(0.0, float(size.square() - coordinates.norm().square()) / len(x))

    def restore(self, y: Tensor) -> Tensor:
        """Points (N, n) of coordinates (N, q)."""
        return y if self.basis is None else y @ self.basis.mT
