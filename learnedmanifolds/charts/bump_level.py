"""How deep coordinates are among codes, in any dimension: the logarithm of a sum of bumps."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.domain import Chart


class BumpLevel:
    """f(t) = (log sum_b exp(-|t - c_b|^2 / 2 w^2) - l) / (h - l), at most 1.

    Parameters
    ----------
    centers : Tensor, shape (K, B, d)
    width : Tensor, shape (K,)
        w.
    levels : Tensor, shape (K, 2)
        l, where f is 0, and h > l, where it is 1.
    """

    def __init__(self, centers: Tensor, width: Tensor, levels: Tensor) -> None:
        self.centers, self.width, self.levels = centers, width, levels

    def __call__(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """Values (..., N) at coordinates (..., N, d)."""
        return self._of(coords, chart)[0].clamp(max=1)

    def slope(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor]:
        """Values (..., N) and gradients (..., N, d)."""
        value, share, centers, scale = self._of(coords, chart)
        middle = (share.unsqueeze(-2) @ centers).squeeze(-2)
        return value.clamp(max=1), (middle - coords.to(centers)) / scale.unsqueeze(-1)

    def height(self, coords: Tensor) -> Tensor:
        """The logarithm of the sum of bumps (N,) at coordinates (N, d) of the first chart."""
        value, *_ = self._of(coords, 0)
        return value * (self.levels[0, 1] - self.levels[0, 0]) + self.levels[0, 0]

    def _of(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Values, shares (..., N, B) of the bumps, their centres, and what gradients are divided by."""
        centers, width, levels = self.centers, self.width, self.levels
        if chart is None:
            centers, width, levels = centers.unsqueeze(1), width[:, None], levels[:, None]
        else:
            centers, width, levels = centers[chart], width[chart], levels[chart]
        coords = coords.to(centers)
        gaps = torch.cdist(coords.unsqueeze(-2), centers).squeeze(-2)
        power = -gaps.square() / (2 * width.square().unsqueeze(-1))
        height = levels[..., 1] - levels[..., 0]
        value = (power.logsumexp(-1) - levels[..., 0]) / height
        return value, power.softmax(-1), centers, width.square() * height
