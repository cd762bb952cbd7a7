"""The intrinsic dimension of points against scale, from angles between neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = (4, 8, 16, 32)
"""Neighbours at the scales that all points give; coarser scales have the last in random parts."""
CENTRES = (500, 2500)
"""Bounds of the number of neighbourhoods: as many as distances at the cost below allow."""
_WORK, _COARSE_CENTRES = 1e9, 250
_BLOCK = 4_000_000
_PAIRINGS = 32
# Least mean squared cosine: those of grids may all be zero.
_LEAST = 1e-4


class Scale(NamedTuple):
    """Neighbourhoods of one size: k neighbours among the last `part` of the points.

    Their radii and mean squared cosines are arrays, one entry a centre; `variance` is that of the
    points about their mean, the median of the neighbourhoods.
    """

    k: int
    part: int
    radius: np.ndarray
    square: np.ndarray
    variance: float

    @property
    def dim(self) -> float:
        return float(1 / self.square.mean())

    @property
    def size(self) -> float:
        return float(np.median(self.radius))


def at_scales(
    x: np.ndarray, rng: np.random.Generator, n_features: int | None = None
) -> list[Scale]:
    """Scales of points in random order, increasing.

    Work is bounded as for so many features, by default those of x.
    """
    numbers = len(x) * (n_features or x.shape[1])
    count = min(len(x), int(np.clip(_WORK / numbers, *CENTRES)))
    sizes = [k for k in NEIGHBOURS if k < len(x)]
    scales = angles(x, neighbours(x, count, sizes[-1], len(x)), sizes, len(x), rng)
    part = len(x) // 2
    while part >= 2 * NEIGHBOURS[-1]:
        index = neighbours(x, min(len(x), _COARSE_CENTRES), NEIGHBOURS[-1], part)
        scales += angles(x, index, NEIGHBOURS[-1:], part, rng)
        part //= 2
    return scales


def neighbours(x: np.ndarray, count: int, k: int, part: int) -> np.ndarray:
    """Nearest k among the last `part` points of each of the first `count`, itself left out."""
    start = len(x) - part
    search = NearestNeighbors(n_neighbors=min(k + 1, part)).fit(x[start:])
    index = search.kneighbors(x[:count], return_distance=False) + start
    itself = index == np.arange(count)[:, None]
    itself[~itself.any(1), -1] = True
    return np.asarray(index[~itself].reshape(count, -1))


def angles(
    x: np.ndarray, index: np.ndarray, sizes: Sequence[int], part: int, rng: np.random.Generator
) -> list[Scale]:
    """Scales of the first so many neighbours, given by their indices."""
    count, most = index.shape
    pairings = [rng.permuted(np.tile(np.arange(k // 4 * 4), (_PAIRINGS, 1)), axis=1) for k in sizes]
    radius, square, variance = np.zeros((3, len(sizes), count))
    step = max(1, _BLOCK // (most * max(most, x.shape[1])))
    for start in range(0, count, step):
        here = slice(start, min(start + step, count))
        y = x[index[here]] - x[here, None]
        gram = y @ y.transpose(0, 2, 1)
        length = np.einsum("mkk->mk", gram)
        for j, k in enumerate(sizes):
            radius[j, here] = np.sqrt(length[:, k - 1])
            for pairing in pairings[j]:
                a, b, c, d = pairing.reshape(4, -1)
                first = length[:, a] + length[:, b] - 2 * gram[:, a, b]
                second = length[:, c] + length[:, d] - 2 * gram[:, c, d]
                product = gram[:, a, c] - gram[:, a, d] - gram[:, b, c] + gram[:, b, d]
                cosine = product**2 / np.maximum(first * second, 1e-300)
                square[j, here] += np.minimum(cosine, 1).mean(1) / _PAIRINGS
                variance[j, here] += first.mean(1) / (2 * _PAIRINGS)
    median, square = np.median(variance, 1), np.maximum(square, _LEAST)
    return [Scale(k, part, radius[j], square[j], float(median[j])) for j, k in enumerate(sizes)]
