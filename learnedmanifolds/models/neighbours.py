"""Nearest neighbours in data, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

# A chunk of the distance matrix, in entries; keeps neighbour searches within tens of megabytes.
_CHUNK = 4_000_000


def neighbours(x: Tensor, centers: Tensor, count: int) -> Tensor:
    """Indices (M, count) of the points of x nearest to each centre."""
    step = max(1, _CHUNK // len(x))
    return torch.cat(
        [torch.cdist(part, x).topk(count, largest=False).indices for part in centers.split(step)]
    )
