"""Farthest points: few of many that leave none far away."""

from __future__ import annotations

import torch
from torch import Tensor


def farthest(points: Tensor, count: int) -> tuple[Tensor, float]:
    """At most so many of points (N, d), and the largest distance of a point from them.

    References
    ----------
    Gonzalez, Theoretical Computer Science 38, 1985.
    """
    pick, gap = [0], torch.cdist(points, points[:1]).squeeze(1)
    while len(pick) < count and float(gap.max()) > 0:
        pick.append(int(gap.argmax()))
        gap = torch.minimum(gap, torch.cdist(points, points[pick[-1:]]).squeeze(1))
    return points[pick], float(gap.max())
