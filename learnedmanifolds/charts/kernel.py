"""Kernel charts: decoders linear in their weights, trusted where there are data."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.featured import FeatureCharts, require_fitting
from learnedmanifolds.charts.kernel_features import KernelFeatures
from learnedmanifolds.charts.level_domain import LevelDomain
from learnedmanifolds.charts.splines import CubicSplines, knots

# Of the tensors that charts are made of, one letter an axis; F = 1 + d + m, G a power of d.
_SHAPES = {
    "center": "n",
    "weights": "KFn",
    "centers": "Kmd",
    "width": "K",
    "border_low": "Kd",
    "border_step": "Kd",
    "border": "KG",
    "codes": "KAd",
    "mass": "KA",
}


class KernelCharts(FeatureCharts):
    """Charts x = c + W' phi(t): constant, linear terms and Gaussian bumps, with weights W.

    The mean of a Gaussian process. Derivatives of every order are closed. The left inverse is the
    nearest point, looked for in the at most F dimensions that a chart spans. The domain is a
    `LevelDomain`.

    Bumps nearly cancel, so tensors are kept and sums are taken in float64, whatever the dtype of points:
    that of the weights given, changed by ``to``. Devices without float64 (mps) take single precision,
    which loses up to 1e-7 times the largest weight.

    Parameters
    ----------
    center : Tensor, shape (n,)
        c.
    weights : Tensor, shape (K, F, n)
        Of 1, the coordinates, and the bumps.
    centers : Tensor, shape (K, m, d)
        Of the bumps; F = 1 + d + m.
    width : Tensor, shape (K,)
        Of the bumps.
    border_low, border_step : Tensor, shape (K, d)
    border : Tensor, shape (K, G)
        Of `CubicSplines`, the depth in the domain.
    codes : Tensor, shape (K, A, d)
        Coordinates of data all over the domain: where nearest points are looked for.
    ambient_shape : tuple of int
    mass : Tensor, shape (K, A), optional
        How often samples are drawn about each code, up to a factor a chart; by default equally often.
        Zero where codes are another chart's to draw about.

    Raises
    ------
    ValueError
        If shapes do not fit together, or numbers are out of range.

    References
    ----------
    Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2 and 2.7.
    """

    centers: Tensor
    width: Tensor
    border_low: Tensor
    border_step: Tensor
    border: Tensor

    def __init__(
        self,
        center: Tensor,
        weights: Tensor,
        centers: Tensor,
        width: Tensor,
        border_low: Tensor,
        border_step: Tensor,
        border: Tensor,
        codes: Tensor,
        ambient_shape: tuple[int, ...],
        mass: Tensor | None = None,
    ) -> None:
        given = {
            "center": center,
            "weights": weights,
            "centers": centers,
            "width": width,
            "border_low": border_low,
            "border_step": border_step,
            "border": border,
            "codes": codes,
            "mass": torch.ones_like(codes[..., 0]) if mass is None else mass,
        }
        sizes = require_fitting(given, _SHAPES, ("width", "border_step"), ambient_shape)
        if sizes["F"] != 1 + sizes["d"] + sizes["m"]:
            raise ValueError(f"weights must have F = 1 + d + m features, got {sizes}.")
        knots(sizes["G"], sizes["d"])
        super().__init__(given, ambient_shape)

    @property
    def domain(self) -> LevelDomain:
        """See `Charts.domain`."""
        level = CubicSplines(self.border_low, self.border_step, self.border)
        return LevelDomain(level, self.anchors)

    @torch.no_grad()
    def widen(self, depth: Tensor) -> None:
        """See `FeatureCharts.widen`."""
        low = depth.to(self.border).unsqueeze(1)
        self.border = (self.border - low) / (1 - low)

    @property
    def features(self) -> KernelFeatures:
        """Phi."""
        return KernelFeatures(self.centers, self.width)
