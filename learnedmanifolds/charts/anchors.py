"""Points all over charts, from which local minima of the distance to other points are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# By how many times the decrease below an anchor may exceed that of a parabola.
_SAFETY = 4

# Distances from N points to M anchors that are held at a time.
_AT_ONCE = 2**23


def nearer(p: Tensor, q: Tensor, x: Tensor) -> Tensor:
    """|p - x|^2 - |q - x|^2, (...,), without cancelling where x is far away."""
    return ((p - q) * (p + q - 2 * x)).sum(-1)


def is_huge(x: Tensor) -> Tensor:
    """Whether squares of squares of points (..., n) might overflow, (...,)."""
    return x.abs().amax(-1) > torch.finfo(x.dtype).max ** 0.25


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

    def drawn_in(self, x: Tensor) -> Tensor:
        """Points (N, n); those of huge entries nearer on a ray from the middle, to the same effect.

        At a distance r the nearest point maximises <u, p> - |p|^2 / (2 r) in the direction u: from
        size / eps on it is the same up to rounding.
        """
        if not bool(is_huge(x).any()):
            return x
        middle = self.points.mean(0)
        away = x - middle
        far = (self.points - middle).norm(dim=-1).amax() / torch.finfo(x.dtype).eps
        largest = away.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        ray = away / largest
        closer = middle + ray * torch.minimum(largest, far / ray.norm(dim=-1, keepdim=True))
        return torch.where(is_huge(x).unsqueeze(-1), closer, x)

    def squares(self, x: Tensor, points: Tensor | None = None) -> Tensor:
        """Squared distances of x (N, n) from all anchors (N, M), or one point each (N,).

        Less that from the anchors' middle, which drowns the rest where x is far away.
        """
        middle = self.points.mean(0)
        x = x - middle
        if points is not None:
            points = points - middle
            return (points * (points - 2 * x)).sum(-1)
        points = self.points - middle
        return torch.addmm(points.square().sum(-1), x, points.T, alpha=-2)

    def basins(self, x: Tensor, known: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Anchors from which a point nearer than the one known may be reached.

        Those that are no farther than all their neighbours, and from which the squared distance, were
        it a parabola with the values of anchor and neighbours, could fall below that known: by at
        most d / 4 times their mean difference, taken four times.

        Parameters
        ----------
        x : Tensor, shape (N, n)
        known : Tensor, shape (N, n)
            The points known.
        count : int
            Largest number for one point; the nearest ones.

        Returns
        -------
        row, anchor : Tensor of int64, shape (B,)
        """
        size = max(1, _AT_ONCE // len(self.points))
        found = [
            self._basins(part, at, count)
            for part, at in zip(x.split(size), known.split(size), strict=True)
        ]
        rows = torch.cat([row + k * size for k, (row, _) in enumerate(found)])
        return rows, torch.cat([anchor for _, anchor in found])

    def _basins(self, x: Tensor, known: Tensor, count: int) -> tuple[Tensor, Tensor]:
        square = self.squares(x)
        mean, lowest = torch.zeros_like(square), torch.ones_like(square, dtype=torch.bool)
        for near in self.around.T:
            other = square[:, near]
            lowest &= square <= other
            mean += other / self.around.shape[1]
        fall = _SAFETY * self.dim / 4 * (mean - square)
        hope = lowest & (square - fall < self.squares(x, known).unsqueeze(-1))
        score = torch.where(hope, square, torch.inf)
        least, anchor = score.topk(min(count, square.shape[1]), largest=False)
        row, place = least.isfinite().nonzero(as_tuple=True)
        return row, anchor[row, place]
