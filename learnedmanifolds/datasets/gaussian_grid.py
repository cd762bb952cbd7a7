"""Gaussian clusters on a square grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from learnedmanifolds._check import (
    as_tensor,
    floating_dtype,
    generator,
    integer,
    non_negative,
    positive,
)

NINE_CELLS = tuple((row, column) for row in (0, 2, 4) for column in (0, 2, 4))
"""Every other cell of a 5 x 5 grid: nine clusters with empty cells between them."""


@dataclass(frozen=True, eq=False, repr=False)
class Clusters:
    """Points of separate clusters.

    Attributes
    ----------
    points : torch.Tensor, shape (N, 2)
        One cluster after another.
    labels : torch.Tensor, shape (N,), int64
        The cluster of each point, an index into `centres`.
    centres : torch.Tensor, shape (K, 2)
        Means of the clusters.
    std : float
        Standard deviation of every cluster in every direction, in the units of the points.
    """

    points: torch.Tensor
    labels: torch.Tensor
    centres: torch.Tensor
    std: float

    def __repr__(self) -> str:
        return f"Clusters({len(self.points)} points, {len(self.centres)} clusters, std={self.std})"


def gaussian_grid(
    n: int = 300,
    cells: Sequence[Sequence[int]] | None = None,
    *,
    side: int = 5,
    spacing: float = 1.0,
    std: float = 0.1,
    seed: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Clusters:
    """Draw Gaussian clusters with their centres on a square grid around the origin.

    Parameters
    ----------
    n : int
        Number of points of each cluster.
    cells : sequence of (row, column), optional
        The cells that hold a cluster, counted from 0, row 0 at the bottom; all of them by default.
        `NINE_CELLS` are every other one of 5 x 5, and ``side=3`` gives nine neighbouring clusters.
    side : int
        Number of cells along a side.
    spacing : float
        Distance between the centres of neighbouring cells.
    std : float
        Standard deviation of a cluster in every direction.
    seed : int, optional
        Seed of the draw; fresh entropy by default.
    dtype : torch.dtype
        Floating point dtype of the points.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or a cell is not on the grid or twice
        in the list.

    References
    ----------
    Li, Lindenbaum, Cheng, Cloninger, Variational Diffusion Autoencoders with Random Walk Sampling,
    ECCV 2020, arXiv 1905.12724.
    """
    n, side = integer(n, "n", minimum=1), integer(side, "side", minimum=1)
    spacing, std = positive(spacing, "spacing"), non_negative(std, "std")
    dtype, source = floating_dtype(dtype), generator(seed)
    occupied = _cells(cells, side)
    middle = (side - 1) / 2
    centres = spacing * (occupied.double().flip(1) - middle)
    labels = torch.arange(len(centres)).repeat_interleave(n)
    noise = torch.randn(len(labels), 2, generator=source, dtype=torch.float64)
    points = centres[labels] + std * noise
    return Clusters(points.to(dtype), labels, centres.to(dtype), std)


def _cells(cells: Sequence[Sequence[int]] | None, side: int) -> torch.Tensor:
    """Return checked (row, column) pairs, (K, 2), int64."""
    if cells is None:
        return torch.cartesian_prod(torch.arange(side), torch.arange(side))
    given = as_tensor(cells, "cells", shape=(None, 2), allow_empty=False)
    pairs = as_tensor(given, "cells", dtype=torch.int64)
    if pairs.min() < 0 or pairs.max() >= side:
        raise ValueError(
            f"cells must be rows and columns from 0 to {side - 1}, got {pairs.min()} to {pairs.max()}"
        )
    if len(pairs.unique(dim=0)) < len(pairs):
        raise ValueError(f"cells must be different, got {pairs.tolist()}")
    return pairs
