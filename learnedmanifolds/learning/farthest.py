"""Farthest points: few of many that leave none far away."""

from __future__ import annotations

import torch
from torch import Tensor


def farthest(points: Tensor, count: int) -> Tensor:
    """Indices of at most so many of points (N, d), each the farthest from those before it.

    References
    ----------
    Gonzalez, Theoretical Computer Science 38, 1985.
    """
    columns = points.mT.contiguous()
    pick, gap = [0], (columns - columns[:, :1]).square().sum(0)
    while len(pick) < count:
        far = int(gap.argmax())
        if float(gap[far]) <= 0:
            break
        pick.append(far)
        gap = torch.minimum(gap, (columns - columns[:, far : far + 1]).square().sum(0))
    return torch.tensor(pick)
