"""How far data are from the manifold, before it is learned."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Points that are asked, points that neighbours are looked for among, and so many of these for a plane.
_PROBED, _AMONG, _FOR_ONE = 100, 50_000, 256
_WIDER = 1.5
_ITERATIONS = 6
UNTOLD = 0.02
"""Part of the squared distance to the nearest other point that is too small to tell."""


def noise_level(x: Tensor, dim: int) -> float:
    """About the mean squared distance of points (N, q) from the manifold of dimension d they are near.

    What the k points nearest to one are off a plane through them, at the scale k where planes are
    longest in comparison: at smaller ones noise is taken for the manifold, at larger ones the manifold
    bends. There, at least half of it is noise; without noise it falls with the fourth power of the
    distance of the points, but not below a fiftieth of its square.

    References
    ----------
    Little, Maggioni, Rosasco, Applied and Computational Harmonic Analysis 43, 2017.
    """
    among = x[:: -(-len(x) // _AMONG)]
    least = 2 * dim + 4
    most = min(max(least, len(among) // 4), len(among) - 1)
    gap, near = _neighbors(among, most)
    best, found, count = 0.0, 0.0, min(least, most)
    while count <= most:
        long, square = _planes(among[near[:, : count : -(-count // _FOR_ONE)]], dim)
        level = float(square.median())
        ratio = float(long.mean()) / max(level, 1e-300)
        if ratio > best:
            best, found = ratio, level
        count = math.ceil(_WIDER * count)
    return max(found, UNTOLD * float(gap[:, 0].square().median()))


def spacing(x: Tensor) -> float:
    """The median distance of points (N, q) from the nearest other one."""
    return float(_neighbors(x[:: -(-len(x) // _AMONG)], 1)[0].median())


def _neighbors(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances (P, k) of some of points (N, q) from the k nearest others, and which these are."""
    found = torch.cdist(x[:: -(-len(x) // _PROBED)], x).topk(count + 1, largest=False)
    return found.values[:, 1:], found.indices[:, 1:]


def _planes(around: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Of planes through points (P, k, q) the least variance in them and the mean square off them."""
    around = around - around.mean(1, keepdim=True)
    count = around.shape[1]
    # Leading principal components by subspace iteration, from differences that spread.
    some = torch.linspace(0, count - 1, min(dim + 2, *around.shape[1:])).long()
    axes = around[:, some].mT
    for _ in range(_ITERATIONS):
        axes = torch.linalg.qr(around.mT @ (around @ axes)).Q
    along = around @ axes
    size = torch.linalg.eigvalsh(along.mT @ along)[:, -dim:]
    off = (around.square().sum((1, 2)) - size.sum(1)).clamp(min=0)
    return size[:, 0] / count, off / max(1, count - dim - 1)
