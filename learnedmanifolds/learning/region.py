"""Regions: where codes are, as a smooth function that is positive there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from learnedmanifolds.charts.splines import CubicSplines

# Knots along each axis, by the dimension.
_KNOTS = {1: 256, 2: 192, 3: 24}
# Points of the grid along each axis.
_GRID = {1: 1024, 2: 64, 3: 20}
# The radius of closing, in units of the distance to the tenth neighbour that nearly all codes have, and
# that of balls which, empty inside of the closing, are no chance.
_RADIUS, _HOLE, _NEIGHBOR, _NEARLY_ALL = 2.6, 1.5, 10, 0.99
_LARGEST = 0.5
# The distance function is linear up to this and the radius, then even.
_RAMP = 0.02
# Codes of which the region must hold all but this share.
_LEFT_OUT, _ROUNDING = 2e-3, 1e-9


class Region(NamedTuple):
    """Where codes are.

    Attributes
    ----------
    low, step : Tensor, shape (d,)
    values : Tensor, shape (g^d,)
        Of `CubicSplines`.
    """

    low: Tensor
    step: Tensor
    values: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> Region:
        """The closing of codes (N, d) by a ball, smoothed.

        Balls outside that touch no code cut away everything but the region, and smaller ones holes in
        it; splines follow the signed distance from its border. Unlike the union of balls about the codes,
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
        usual = max(float(np.quantile(near, _NEARLY_ALL)), 1e-6)
        radius = min(_RADIUS * usual, _LARGEST)
        hole = min(_HOLE * usual, radius)
        ramp = radius + _RAMP
        low, high = t.min(0) - ramp, t.max(0) + ramp
        # Splines are even beyond the second knot from the border.
        step = (high - low) / (_KNOTS[d] - 3)
        axes = [a + s * np.arange(-1, _KNOTS[d] - 1) for a, s in zip(low, step, strict=True)]
        at = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, d)
        # Only knots within the ramp are told from others.
        gap, owner = tree.query(at, distance_upper_bound=ramp)
        distance = np.minimum(-gap, -radius)
        held = gap <= radius

        def carve(size: float, empty: np.ndarray) -> None:
            """Cut away balls that touch the code nearest to a knot each, and hold none."""
            own = t[owner[empty]]
            balls = own + size * (at[empty] - own) / gap[empty, None]
            beyond = cKDTree(balls).query(at[held], distance_upper_bound=size + ramp)[0] - size
            distance[held] = np.minimum(distance[held], beyond)

        distance[held] = ramp
        carve(radius, (gap > radius) & (gap < ramp))
        carve(hole, held & (gap > hole) & (distance > 0))
        values = torch.from_numpy(distance / ramp).to(codes).clamp(-1, 1)
        first, apart = (torch.from_numpy(part).to(codes) for part in (low - step, step))
        region = cls(first, apart, values)
        level = region.depth(codes)
        lowest = float(level.quantile(_LEFT_OUT, interpolation="lower")) - _ROUNDING
        return region._replace(values=(values - min(0.0, lowest)) / (1 - min(0.0, lowest)))

    def depth(self, codes: Tensor) -> Tensor:
        """About 1 inside, 0 at the border, -1 far outside, (N,)."""
        return CubicSplines(*(part.unsqueeze(0) for part in self))(codes, 0)

    def grid(self) -> Tensor:
        """Points (P, d) of the region all over it."""
        (d,) = self.low.shape
        side = torch.linspace(-1, 1, _GRID[d], dtype=self.low.dtype)
        box = torch.cartesian_prod(*[side] * d).view(-1, d)
        return box[self.depth(box) >= 0]
