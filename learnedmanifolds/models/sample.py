"""Data as atlases are fitted to them: different points, in their units, connected, without outliers."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds.geometry.principal import Principal
from learnedmanifolds.learning.nodes import Nodes, make_nodes
from learnedmanifolds.learning.outliers import groups_apart
from learnedmanifolds.training.units import Units

# Neighbours of a node, by the dimension.
_NEIGHBORS, _NEIGHBORS_BEYOND = {1: 10, 2: 12, 3: 16}, 20
# Components of fewer nodes than this times (d + 2) are left out.
FEWEST = 2
# Part of the variance that coordinates have which stand out from noise, or there is more than noise.
_CLEAR = 0.9
# Points that are looked at: more make charts hardly better.
_FITTED = 50_000
# Numbers of data that are float64; those of more have the precision of their units.
_DOUBLE = 2**27
# Bytes that name a point: no two of so many are ever the same by chance.
_NAME = 32


class Sample(NamedTuple):
    """Units of data, the data (N, n) in them, and their principal coordinates (N, q), float64.

    Very many data are float32.

    References
    ----------
    Gavish, Donoho, IEEE Transactions on Information Theory 60(8), 2014 (which of them are noise).
    """

    units: Units
    flat: Tensor
    principal: Principal
    coordinates: Tensor

    @classmethod
    def of(cls, data: Tensor, seed: int) -> Self:
        """Of data (N, ...)."""
        units = Units.of(data)
        dtype = torch.float64 if data.numel() <= _DOUBLE else units.dtype
        flat = units.remove(data, dtype).flatten(1)
        principal = Principal.of(flat, seed)
        return cls(units, flat, principal, principal.coordinates(flat))

    @property
    def clear(self) -> Tensor:
        """Principal coordinates (N, r) that stand out from noise as large as what all of them leave.

        All of them where these are not nearly all of the data: the rest is more than noise.
        """
        count, n = self.flat.shape
        left = min(count, n) - self.coordinates.shape[1]
        if left <= 0:
            return self.coordinates
        rest = self.principal.rest(self.flat, self.coordinates)
        noise = rest / left * min(count, n) / n
        beta = min(count, n) / max(count, n)
        factor = 2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1))
        sizes = self.coordinates.square().mean(0)
        kept = sizes > factor * noise * max(count, n) / count
        if float(sizes[kept].sum()) < _CLEAR * (float(sizes.sum()) + rest):
            return self.coordinates
        return self.coordinates[:, kept]


def chosen(count: int, seed: int) -> Tensor:
    """Indices of so many points, or of enough of them drawn at random."""
    if count <= _FITTED:
        return torch.arange(count)
    draw = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return draw[:_FITTED].sort().values


def different(data: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the different ones of points (N, ...), and which of these each one is, (N,)."""
    found: dict[bytes, int] = {}
    rows = data.flatten(1).contiguous().view(torch.uint8).cpu().numpy()
    # Of rows themselves as many numbers as data would be kept.
    names = (
        row.tobytes() if len(row) <= _NAME else blake2b(row, digest_size=_NAME).digest()
        for row in rows
    )
    place = [found.setdefault(name, len(found)) for name in names]
    return np.unique(place, return_index=True)[1], np.array(place)


def connected(
    data: Tensor, sample: Sample, left_out: np.ndarray, dim: int, count: int, seed: int
) -> tuple[Sample, Nodes, np.ndarray, bool]:
    """A sample of what of the data (N, ...) is not left out, at most so many nodes of it, and what is.

    Points in components too small for a chart, and in small ones of another dimension, are left out
    too; units and nodes are those of what is learned, not of outliers. Last, whether the latter are.
    """
    left_out, groups = left_out.copy(), False
    while True:
        x = sample.coordinates.numpy()
        nodes = make_nodes(x, count, _NEIGHBORS.get(dim, _NEIGHBORS_BEYOND), seed, dim == 1)
        component = nodes.component[nodes.owners(x)]
        large = np.bincount(nodes.component) >= FEWEST * (dim + 2)
        if not large.any():
            raise too_few(dim, len(np.unique(x, axis=0)), len(x))
        apart = groups_apart(x, component, dim)
        held = large[component] & ~apart
        if held.all():
            return sample, nodes, left_out, groups
        groups |= bool(apart.any())
        left_out[~left_out] = ~held
        sample = Sample.of(data[torch.from_numpy(~left_out)], seed)


def too_few(dim: int, different: int, count: int) -> ValueError:
    """The error of so many different points of all."""
    return ValueError(
        f"x must have a part of at least {FEWEST * (dim + 2)} different points that lie together, "
        f"got {different} different ones of {count}."
    )
