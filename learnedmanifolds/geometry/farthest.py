"""Farthest points: few of many that leave none far away."""

from __future__ import annotations

import torch
from torch import Tensor

# In more dimensions squared distances are taken from products, to rounding of the largest one's square.
_FEW, _ROUNDING = 8, 1e-14


def farthest(points: Tensor, count: int, apart: float = 0.0) -> Tensor:
    """Indices of at most so many of points (N, d), each the farthest from those before, and so far apart.

    References
    ----------
    Gonzalez, Theoretical Computer Science 38, 1985.
    """
    points = points - points[:1]
    few, columns = points.shape[1] <= _FEW, points.mT.contiguous()
    size = columns.square().sum(0)
    least = apart**2 if few else max(apart**2, _ROUNDING * float(size.max()))
    pick, gap = [0], size
    while len(pick) < count:
        far = int(gap.argmax())
        if float(gap[far]) <= least:
            break
        pick.append(far)
        if few:
            new = (columns - columns[:, far : far + 1]).square().sum(0)
        else:
            new = size + size[far] - 2 * (points[far] @ columns)
        gap = torch.minimum(gap, new)
    return torch.tensor(pick)
