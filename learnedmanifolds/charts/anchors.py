"""Points all over charts, from which local minima of the distance to other points are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# By how many times the decrease below an anchor may exceed that of a parabola.
_SAFETY = 4

# Distances from N points to M anchors that are held at a time.
_AT_ONCE = 2**23


@dataclass(frozen=True)
class Anchors:
    """Points of a manifold with their neighbours in the parameters.

    Attributes
    ----------
    points : Tensor, shape (M, n)
    around : Tensor of int64, shape (M, k)
        Indices of the neighbours.
    dim : int
        Dimension of the manifold.
    """

    points: Tensor
    around: Tensor
    dim: int

    @classmethod
    def of(cls, parameters: Tensor, points: Tensor, n_neighbors: int, dim: int) -> Anchors:
        """Anchors with the k nearest others in the parameters, (M, p) or sets of them (K, M, p)."""
        count = min(parameters.shape[-2], 1 + n_neighbors)
        sets = parameters if parameters.dim() == 3 else parameters.unsqueeze(0)
        around = torch.cat(
            [
                torch.cdist(part, part).topk(count, largest=False).indices[:, 1:] + k * len(part)
                for k, part in enumerate(sets)
            ]
        )
        return cls(points, around, dim)

    def basins(self, x: Tensor, error: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Anchors from which a point nearer than the one known may be reached.

        Those that are no farther than all their neighbours, and from which the squared distance, were
        it a parabola with the values of anchor and neighbours, could fall below the given one: by at
        most d / 4 times their mean difference, taken four times.

        Parameters
        ----------
        x : Tensor, shape (N, n)
        error : Tensor, shape (N,)
            Distances to the points known.
        count : int
            Largest number for one point; the nearest ones.

        Returns
        -------
        row, anchor : Tensor of int64, shape (B,)
        """
        size = max(1, _AT_ONCE // len(self.points))
        found = [
            self._basins(part, known, count)
            for part, known in zip(x.split(size), error.split(size), strict=True)
        ]
        rows = torch.cat([row + k * size for k, (row, _) in enumerate(found)])
        return rows, torch.cat([anchor for _, anchor in found])

    def _basins(self, x: Tensor, error: Tensor, count: int) -> tuple[Tensor, Tensor]:
        # Distances are made of products, which cancel far from the origin.
        middle = self.points.mean(0)
        square = torch.cdist(x - middle, self.points - middle).square()
        mean, lowest = torch.zeros_like(square), torch.ones_like(square, dtype=torch.bool)
        for near in self.around.T:
            other = square[:, near]
            lowest &= square <= other
            mean += other / self.around.shape[1]
        fall = _SAFETY * self.dim / 4 * (mean - square)
        hope = lowest & (square - fall < error.square().unsqueeze(-1))
        score = torch.where(hope, square, torch.inf)
        least, anchor = score.topk(min(count, square.shape[1]), largest=False)
        row, place = least.isfinite().nonzero(as_tuple=True)
        return row, anchor[row, place]
