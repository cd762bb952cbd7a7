"""Features of kernel charts: constant, slopes and Gaussian bumps, their derivatives in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.jet import Pairs

TREND = 30.0
"""Factor of the constant and linear features."""


class KernelFeatures:
    """phi(t) = (a, a t, exp(-|t - c_j|^2 / (2 w^2))), F = 1 + d + m features a chart.

    The factor a makes a ridge that bends little also shrink little. Features are in the dtype of the
    centres, whatever that of the coordinates.

    Parameters
    ----------
    centers : Tensor, shape (K, m, d)
    width : Tensor, shape (K,)
        w.
    """

    def __init__(self, centers: Tensor, width: Tensor) -> None:
        self.centers, self.width = centers, width

    def _of(self, chart: Chart) -> tuple[Tensor, Tensor]:
        """Centres (m, d), (K, m, d) or, of each point, (N, m, d), and squared widths."""
        if chart is None:
            return self.centers, self.width.square().view(-1, 1, 1)
        if isinstance(chart, int):
            return self.centers[chart], self.width[chart].square()
        return self.centers[chart], self.width[chart].square().unsqueeze(-1)

    def bumps(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor, Tensor]:
        """Bumps (..., N, m), and the centres and squared widths that they are of."""
        coords = coords.to(self.centers.dtype)
        centers, square = self._of(chart)
        length = centers.square().sum(-1)
        length = length if centers.dim() == coords.dim() + 1 else length.unsqueeze(-2)
        gap = coords.square().sum(-1, keepdim=True) - 2 * _products(coords, centers) + length
        return torch.exp(gap / (-2 * square)), centers, square

    def __call__(self, coords: Tensor, chart: Chart) -> Tensor:
        """Features (..., N, F) at coordinates (..., N, d)."""
        bump, _, _ = self.bumps(coords, chart)
        coords = coords.to(bump)
        return torch.cat([torch.full_like(coords[..., :1], TREND), TREND * coords, bump], -1)

    def jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs) -> Tensor:
        """Rows (..., 1 + T + P, N, F): features, first and second derivatives, in closed form."""
        bump, centers, square = self.bumps(coords, chart)
        coords, tangents = coords.to(bump), tangents.to(bump)
        none, flat = torch.zeros_like(coords[..., :1]), torch.zeros_like(coords)
        rows = [torch.cat([torch.full_like(none, TREND), TREND * coords, bump], -1)]
        slopes = []
        for tangent in tangents.unbind(-3):
            # How the squared distance from each centre grows along the tangent, halved.
            own = (coords * tangent).sum(-1, keepdim=True)
            slopes.append(own - _products(tangent, centers))
            rows.append(torch.cat([none, TREND * tangent, bump * slopes[-1] / -square], -1))
        for i, j in pairs:
            product = (tangents.select(-3, i) * tangents.select(-3, j)).sum(-1, keepdim=True)
            bend = (slopes[i] * slopes[j] / square - product) / square
            rows.append(torch.cat([none, flat, bump * bend], -1))
        return torch.stack(rows, -3)


def _products(vectors: Tensor, centers: Tensor) -> Tensor:
    """Products (..., N, m) of vectors (..., N, d) with the centres of their charts."""
    if centers.dim() == vectors.dim() + 1:
        return (centers @ vectors.unsqueeze(-1)).squeeze(-1)
    return vectors @ centers.mT


def apply(features: Tensor, matrix: Tensor, chart: Chart) -> Tensor:
    """Products (..., N, R) of features (..., N, F), or (K, ..., N, F), with matrices (K, F, R)."""
    if chart is None:
        extra = features.dim() - matrix.dim()
        return features @ matrix.view(len(matrix), *[1] * extra, *matrix.shape[1:])
    if isinstance(chart, int):
        return features @ matrix[chart]
    out = features.new_empty(*features.shape[:-1], matrix.shape[-1])
    for k in chart.unique().tolist():
        index = (chart == k).nonzero().squeeze(-1)
        out.index_copy_(-2, index, features.index_select(-2, index) @ matrix[k])
    return out
