"""How deep coordinates are among data: by the leverage of their features, in any dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.kernel_features import apply
from learnedmanifolds.charts.network_features import NetworkFeatures


class LeverageLevel:
    """f(t) = (-log |R' phi(t)|^2 - l) / (h - l), at most 1.

    With R R' the inverse of the mean products of the data's features, |R' phi|^2 is the leverage: large
    where a regression on the data knows little.

    Parameters
    ----------
    features : NetworkFeatures
        Phi, F a chart.
    root : Tensor, shape (K, F, F)
        R.
    levels : Tensor, shape (K, 2)
        l, where f is 0, and h > l, where it is 1.

    References
    ----------
    Hoaglin, Welsch, American Statistician 32, 1978 (leverage); Rasmussen, Williams, Gaussian Processes
    for Machine Learning, 2006, section 2.1 (it is the variance of what is predicted there).
    """

    def __init__(self, features: NetworkFeatures, root: Tensor, levels: Tensor) -> None:
        self.features, self.root, self.levels = features, root, levels

    def __call__(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """Values (..., N) at coordinates (..., N, d)."""
        white = apply(self.features(coords, chart), self.root, chart)
        return self._value(white.square().sum(-1), chart)

    def slope(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor]:
        """Values (..., N) and gradients (..., N, d)."""
        d = coords.shape[-1]
        along = torch.eye(d, dtype=coords.dtype, device=coords.device).unsqueeze(-2)
        along = along.expand(*coords.shape[:-2], d, *coords.shape[-2:])
        rows = self.features.jet(coords, chart, along, ())
        white = apply(rows, self.root, chart)
        value, slope = white.split_with_sizes((1, d), -3)
        leverage = value.square().sum(-1).squeeze(-2)
        rise = -2 * (value * slope).sum(-1).movedim(-2, -1) / leverage.unsqueeze(-1)
        low, high = self._levels(chart)
        return self._value(leverage, chart), rise / (high - low).unsqueeze(-1)

    def _value(self, leverage: Tensor, chart: Chart) -> Tensor:
        low, high = self._levels(chart)
        return ((-leverage.log() - low) / (high - low)).clamp(max=1)

    def _levels(self, chart: Chart) -> tuple[Tensor, Tensor]:
        """Levels that go with values (..., N)."""
        low, high = (self.levels.unsqueeze(1) if chart is None else self.levels[chart]).unbind(-1)
        return low, high
