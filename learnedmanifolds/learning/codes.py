"""Codes of all points from those of nodes: the affine map of the nearest nodes."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

_CHUNK = 4096
# Beyond this coordinate nothing is interpolated.
_FARTHEST = 1.15


def interpolate(x: Tensor, nodes: np.ndarray, coords: np.ndarray) -> Tensor:
    """Coordinates (N, d) of points (N, n) between nodes (M, n) with coordinates (M, d)."""
    d = coords.shape[1]
    if not len(x):
        return x.new_empty(0, d)
    k = min(len(nodes), 4 * d + 6)
    index = NearestNeighbors(n_neighbors=k).fit(nodes).kneighbors(x.numpy())[1]
    places, marks = torch.from_numpy(nodes).to(x), torch.from_numpy(coords).to(x)
    parts = []
    for part, near in zip(x.split(_CHUNK), torch.from_numpy(index).split(_CHUNK), strict=True):
        around, known = places[near], marks[near]
        middle, mean = around.mean(1, keepdim=True), known.mean(1, keepdim=True)
        around = around - middle
        # In the d leading principal components of the nodes nearby.
        size, axes = torch.linalg.eigh(around @ around.mT)
        size, axes = size[:, -d:].clamp(min=1e-12 * float(size.max())), axes[:, :, -d:]
        own = axes * size.sqrt().unsqueeze(1)
        along = (part.unsqueeze(1) - middle) @ around.mT @ axes / size.sqrt().unsqueeze(1)
        slope = torch.linalg.lstsq(own, known - mean).solution
        parts.append((mean + along @ slope).squeeze(1))
    codes = torch.cat(parts)
    # Points that are nodes have their coordinates.
    nearest = torch.from_numpy(index[:, 0])
    same = (places[nearest] == x).all(1)
    codes[same] = marks[nearest[same]]
    return codes.clamp(-_FARTHEST, _FARTHEST)
