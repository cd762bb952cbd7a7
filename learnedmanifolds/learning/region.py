"""Regions: where codes are, as a smooth function that is positive there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.stats import qmc
from torch import Tensor

from learnedmanifolds.charts.kernel_features import TREND, KernelFeatures
from learnedmanifolds.learning.farthest import farthest

# Bumps by the dimension, their width in units of their distance, and the ridge of their fit.
_BUMPS = {1: 40, 2: 200, 3: 300}
_WIDTH, _RIDGE = 1.6, 1e-8
# The radius of closing, in units of the distance to the tenth neighbour that nearly all codes have.
_RADIUS, _NEIGHBOR, _NEARLY_ALL = 3.0, 10, 0.99
_LARGEST = 0.5
# The distance function is linear up to this and the radius, then even.
_RAMP, _BAND = 0.05, 0.6
_SAMPLES = {1: 512, 2: 1024, 3: 2048}
# Codes of which the region must hold all but this share.
_LEFT_OUT, _ROUNDING = 1e-3, 1e-9


class Region(NamedTuple):
    """Where codes are.

    Attributes
    ----------
    centers : Tensor, shape (M, d)
    width : float
    weights : Tensor, shape (1 + d + M,)
        Of `KernelFeatures`.
    """

    centers: Tensor
    width: float
    weights: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> Region:
        """The closing of codes (N, d) by a ball, smoothed.

        Balls outside that touch no code cut away everything but the region; a fit of bumps to the
        signed distance from its border gives the function. Unlike the union of balls about the codes,
        or a level of their density, it ends where the codes do.

        References
        ----------
        Serra, Image Analysis and Mathematical Morphology, 1982 (closing); Edelsbrunner, Kirkpatrick,
        Seidel, IEEE Transactions on Information Theory 29, 1983 (alpha hulls).
        """
        t = codes.numpy()
        count, d = t.shape
        tree = cKDTree(t)
        near = tree.query(t, min(_NEIGHBOR + 1, count))[0][:, -1]
        radius = min(max(_RADIUS * float(np.quantile(near, _NEARLY_ALL)), 1e-6), _LARGEST)
        samples = _SAMPLES[d]
        unit = qmc.Sobol(d, rng=np.random.default_rng(0)).random(4 * samples)
        low, high = t.min(0) - 2 * radius, t.max(0) + 2 * radius
        around = low + (high - low) * unit
        gap, owner = tree.query(around)
        # Centres of balls that touch one code each and hold none.
        out, own = around[gap > radius], t[owner[gap > radius]]
        balls = own + radius * (out - own) / gap[gap > radius, None]
        everywhere = np.minimum(low, -1) + (np.maximum(high, 1) - np.minimum(low, -1)) * unit
        few = t[np.random.default_rng(0).permutation(count)[: 2 * samples]]
        at = np.concatenate([everywhere[:samples], around[: 2 * samples], few, balls[:samples]])
        gap = tree.query(at)[0]
        distance = np.where(gap > (1 + 1e-6) * radius, -gap, cKDTree(balls).query(at)[0] - radius)
        ramp = radius + _RAMP
        places = torch.from_numpy(at[distance > -_BAND * ramp]).to(codes)
        centers = places[farthest(places, _BUMPS[d])]
        reach = float(torch.cdist(places, centers).amin(1).max())
        region = cls(centers, _WIDTH * max(reach, 1e-3), codes[:0])
        features = region._features(torch.from_numpy(at).to(codes))
        # A slope would go on beyond the data.
        features[:, 1 : 1 + d] = 0
        target = torch.from_numpy(distance / ramp).to(codes).clamp(-1, 1)
        products = features.mT @ features / len(at)
        products.diagonal().add_(_RIDGE)
        weights = torch.linalg.solve(products, features.mT @ target / len(at))
        weights[1 : 1 + d] = 0
        level = region._replace(weights=weights).depth(codes)
        lowest = float(level.quantile(_LEFT_OUT, interpolation="lower")) - _ROUNDING
        weights[0] -= min(0.0, lowest) / TREND
        return region._replace(weights=weights / (1 - min(0.0, lowest)))

    def depth(self, codes: Tensor) -> Tensor:
        """About 1 inside, 0 at the border, -1 far outside, (N,)."""
        return self._features(codes) @ self.weights

    def _features(self, codes: Tensor) -> Tensor:
        width = torch.tensor([self.width], dtype=codes.dtype)
        return KernelFeatures(self.centers.unsqueeze(0), width)(codes, 0)
