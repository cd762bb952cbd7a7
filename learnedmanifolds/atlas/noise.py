"""Noise around a manifold: Gaussian in the normal spaces, as much in each direction as data show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

# Numbers of directions that have variances of their own; each takes so many points.
_COUNTS, _POINTS_EACH = (1, 2, 4, 8, 16, 32), 10
# One of so many points is left out, and what they must gain, in nats a point.
_LEFT_OUT, _GAIN = 4, 0.02


@dataclass(frozen=True, eq=False)
class NormalNoise:
    """For every chart a covariance s^2 I + U U' of the space, restricted to the normal spaces.

    Attributes
    ----------
    std : Tensor, shape (K,)
        s, in the units of the data.
    directions : Tensor, shape (K, n, r)
        U; columns of zeros where a chart has fewer, with too few points or noise that is the same all
        around.

    References
    ----------
    Tipping, Bishop, Journal of the Royal Statistical Society B 61, 1999 (probabilistic principal
    components; here in normal spaces).
    """

    std: Tensor
    directions: Tensor

    @classmethod
    def of(
        cls, residuals: Tensor, basis: Tensor, chart: Tensor, n_charts: int, floor: float
    ) -> Self:
        """Of points' residuals (N, n), with bases (N, n, d) of the tangent spaces, in charts (N,).

        With as many directions as raise the likelihood of points left out, and no s below the floor.
        """
        n, d = basis.shape[1:]
        every = _Covariance.of(residuals, 0, n - d, floor)
        made = []
        for k in range(n_charts):
            rows = (chart == k).nonzero()[:, 0]
            most = min(len(rows) // _POINTS_EACH, n - d - 1)
            found = every if most < 1 else _best(residuals[rows], basis[rows], most, floor)
            made.append(found)
        r = max(one.directions.shape[1] for one in made)
        padded = [
            torch.nn.functional.pad(m.directions, (0, r - m.directions.shape[1])) for m in made
        ]
        return cls(residuals.new_tensor([one.std for one in made]), torch.stack(padded))

    def log_prob(self, normal: Tensor, basis: Tensor, chart: Tensor) -> Tensor:
        """Log density (N,) in nats of normal vectors (N, n) of charts (N,).

        In the spaces normal to orthonormal bases (N, n, d).
        """
        return _log_prob(normal, basis, self.std[chart], self.directions[chart])

    def to(self, target: torch.dtype | torch.device) -> NormalNoise:
        """A copy in another dtype or on another device."""
        return NormalNoise(self.std.to(target), self.directions.to(target))


@dataclass(frozen=True, eq=False)
class _Covariance:
    std: float
    directions: Tensor

    @classmethod
    def of(cls, residuals: Tensor, count: int, freedom: int, floor: float) -> Self:
        """The principal directions of residuals (N, n) with so much freedom, and what they leave."""
        total = float(residuals.square().sum()) / max(1, len(residuals))
        if not count:
            std = max(floor, math.sqrt(total / max(1, freedom)))
            return cls(std, residuals.new_zeros(residuals.shape[1], 0))
        _, size, axes = torch.linalg.svd(residuals, full_matrices=False)
        variance = size[:count].square() / len(residuals)
        rest = max(0.0, total - float(variance.sum())) / (freedom - count)
        std = max(floor, math.sqrt(rest))
        return cls(std, (variance - std**2).clamp(min=0).sqrt() * axes[:count].mT)

    def mean_log_prob(self, normal: Tensor, basis: Tensor) -> float:
        std = normal.new_full((len(normal),), self.std)
        return float(_log_prob(normal, basis, std, self.directions).mean())


def _best(residuals: Tensor, basis: Tensor, most: int, floor: float) -> _Covariance:
    """The covariance of as many directions, at most so many, as points left out ask for."""
    freedom = basis.shape[1] - basis.shape[2]
    left = torch.arange(len(residuals), device=residuals.device) % _LEFT_OUT == 0
    counts = [0, *(count for count in _COUNTS if count <= most)]
    chosen, highest = 0, -math.inf
    for count in counts:
        tried = _Covariance.of(residuals[~left], count, freedom, floor)
        told = tried.mean_log_prob(residuals[left], basis[left])
        if told > highest + _GAIN:
            chosen, highest = count, told
    return _Covariance.of(residuals, chosen, freedom, floor)


def _log_prob(normal: Tensor, basis: Tensor, std: Tensor, directions: Tensor) -> Tensor:
    """Log density (N,) of vectors (N, n) with the noise of s (N,) and U (N, n, r) or (n, r)."""
    n, d = basis.shape[1:]
    # Beyond a boundary vectors have tangential parts, which count as noise: no density is lower there.
    square = normal.square().sum(1) / std.square()
    normal = normal - (basis @ (basis.mT @ normal.unsqueeze(-1))).squeeze(-1)
    log_det = 2 * (n - d) * std.log()
    if directions.shape[-1]:
        # Woodbury's identity, in the directions without their tangential parts.
        inside = (directions - basis @ (basis.mT @ directions)) / std.view(-1, 1, 1)
        matrix = inside.mT @ inside
        matrix = matrix + torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        load = (inside.mT @ normal.unsqueeze(-1)) / std.view(-1, 1, 1)
        square = square - (load * torch.linalg.solve(matrix, load)).sum((1, 2))
        log_det = log_det + torch.linalg.slogdet(matrix).logabsdet
    return -0.5 * (square + log_det + (n - d) * math.log(2 * math.pi))
