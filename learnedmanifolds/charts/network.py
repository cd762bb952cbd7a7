"""Network charts: decoders linear in what a network learns, in any dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.featured import FeatureCharts, require_fitting
from learnedmanifolds.charts.level_domain import LevelDomain
from learnedmanifolds.charts.leverage_level import LeverageLevel
from learnedmanifolds.charts.network_features import NetworkFeatures

# Of the tensors that charts are made of, one letter an axis; F = 1 + d + H, T = 2.
_SHAPES = {
    "center": "n",
    "weights": "KFn",
    "frequencies": "KdH",
    "phases": "KH",
    "layers": "KLHH",
    "biases": "KLH",
    "root": "KFF",
    "levels": "KT",
    "codes": "KAd",
    "mass": "KA",
}


class NetworkCharts(FeatureCharts):
    """Charts x = c + W' phi(t), with phi the coordinates and what a network makes of them.

    Derivatives of every order are exact; the left inverse is the nearest point. The domain is where the
    leverage of the features is that of data. Tensors are as in `FeatureCharts`.

    Parameters
    ----------
    center : Tensor, shape (n,)
        c.
    weights : Tensor, shape (K, F, n)
        W, F = 1 + d + H.
    frequencies : Tensor, shape (K, d, H)
    phases : Tensor, shape (K, H)
    layers : Tensor, shape (K, L, H, H)
    biases : Tensor, shape (K, L, H)
        Of `NetworkFeatures`.
    root : Tensor, shape (K, F, F)
    levels : Tensor, shape (K, 2)
        Of `LeverageLevel`, the depth in the domain.
    codes : Tensor, shape (K, A, d)
        Coordinates of data all over the domain: where nearest points are looked for.
    mass : Tensor, shape (K, A)
        How often samples are drawn about each code, up to a factor a chart.
    ambient_shape : tuple of int

    Raises
    ------
    ValueError
        If shapes do not fit together, or numbers are out of range.
    """

    frequencies: Tensor
    phases: Tensor
    layers: Tensor
    biases: Tensor
    root: Tensor
    levels: Tensor

    def __init__(
        self,
        center: Tensor,
        weights: Tensor,
        frequencies: Tensor,
        phases: Tensor,
        layers: Tensor,
        biases: Tensor,
        root: Tensor,
        levels: Tensor,
        codes: Tensor,
        mass: Tensor,
        ambient_shape: tuple[int, ...],
    ) -> None:
        given = {
            "center": center,
            "weights": weights,
            "frequencies": frequencies,
            "phases": phases,
            "layers": layers,
            "biases": biases,
            "root": root,
            "levels": levels,
            "codes": codes,
            "mass": mass,
        }
        sizes = require_fitting(given, _SHAPES, (), ambient_shape)
        if sizes["F"] != 1 + sizes["d"] + sizes["H"] or sizes["T"] != 2:
            raise ValueError(f"weights must have F = 1 + d + H features, levels two, got {sizes}.")
        if not bool((levels[:, 0] < levels[:, 1]).all()):
            raise ValueError(f"levels must rise, got {levels.tolist()[:10]}.")
        super().__init__(given, ambient_shape)

    @property
    def domain(self) -> LevelDomain:
        """See `Charts.domain`."""
        return LevelDomain(LeverageLevel(self.features, self.root, self.levels), self.anchors)

    @torch.no_grad()
    def widen(self, depth: Tensor) -> None:
        """See `FeatureCharts.widen`."""
        low, high = self.levels.unbind(1)
        self.levels = torch.stack([low + depth.to(low) * (high - low), high], 1)

    @property
    def features(self) -> NetworkFeatures:
        """Phi."""
        return NetworkFeatures(self.frequencies, self.phases, self.layers, self.biases)
