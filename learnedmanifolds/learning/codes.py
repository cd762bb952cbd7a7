"""Codes of all points from those of nodes: the affine map of the nodes near the nearest one."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

_CHUNK = 4096
# Beyond this coordinate nothing is interpolated.
_FARTHEST = 1.15
# Nodes are near that are at most such a part of all, so that a bent sheet is straight there.
_PART = 8


def interpolate(x: Tensor, nodes: np.ndarray, coords: np.ndarray) -> Tensor:
    """Coordinates (N, d) of points (N, n) between nodes (M, n) with coordinates (M, d).

    Of those with coordinates near the nearest node's: others may be on another sheet.
    """
    d = coords.shape[1]
    if not len(x):
        return x.new_empty(0, d)
    k = min(len(nodes), max(2 * d + 2, min(4 * d + 6, len(nodes) // _PART)))
    owner = NearestNeighbors(n_neighbors=1).fit(nodes).kneighbors(x.numpy())[1][:, 0]
    pool = NearestNeighbors(n_neighbors=min(len(nodes), 2 * k)).fit(coords).kneighbors(coords)[1]
    places, marks = torch.from_numpy(nodes).to(x), torch.from_numpy(coords).to(x)
    parts = []
    for part, near in zip(
        x.split(_CHUNK), torch.from_numpy(pool[owner]).split(_CHUNK), strict=True
    ):
        gap = (places[near] - part.unsqueeze(1)).norm(dim=-1)
        near = near.gather(1, gap.topk(k, largest=False).indices)
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
    nearest = torch.from_numpy(owner)
    same = (places[nearest] == x).all(1)
    codes[same] = marks[nearest[same]]
    return codes.clamp(-_FARTHEST, _FARTHEST)
