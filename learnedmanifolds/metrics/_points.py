"""What the measures share: flat points, distances between them, subsets."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor

# Up to this many coordinates distances are sums of squared differences, exact for close points;
# beyond, products of matrices are ten times faster and good to 1e-8 of the points' size.
_DIRECT_DIM = 64
# Entries of a block of the distance matrix.
_BLOCK = 4_000_000


def as_points(value: ArrayLike, name: str, minimum: int = 1) -> Tensor:
    """Check points (N, ...) and return them as float64 rows (N, d), detached.

    Raises
    ------
    TypeError, ValueError
        If the value is no finite array of at least two axes, or holds fewer points than `minimum`.
    """
    points = as_tensor(value, name, allow_empty=False).detach()
    if points.ndim < 2:
        raise ValueError(f"{name} must have shape (N, ...), one row a point, got {points.shape}")
    if len(points) < minimum:
        raise ValueError(f"{name} must hold at least {minimum} points, got {len(points)}")
    return points.flatten(1).double()


def as_pair(
    x: ArrayLike, y: ArrayLike, names: tuple[str, str], minimum: int = 1
) -> tuple[Tensor, Tensor]:
    """Check two sets of points of one shape; the second is moved to the first one's device."""
    first, second = as_points(x, names[0], minimum), as_points(y, names[1], minimum)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{names[1]} must have points of the size of those of {names[0]}, {first.shape[1]}, "
            f"got {second.shape[1]}"
        )
    return first, second.to(first.device)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (N, M) of float64 rows (N, d) and (M, d)."""
    if x.shape[1] <= _DIRECT_DIM:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    center = y.mean(0)
    return torch.cdist(x - center, y - center, compute_mode="use_mm_for_euclid_dist")


def blocks(x: Tensor, n_columns: int) -> tuple[Tensor, ...]:
    """Rows of x in parts, so that a matrix of a part by so many columns stays small."""
    return x.split(max(1, _BLOCK // n_columns))


def neighbours(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (N, k) of the k nearest other rows of each row, the nearest first."""
    found, start = [], 0
    for part in blocks(x, len(x)):
        gap = distances(part, x)
        rows = torch.arange(len(part), device=x.device)
        gap[rows, start + rows] = torch.inf
        found.append(gap.topk(k, largest=False))
        start += len(part)
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def nearest_distance(x: Tensor, y: Tensor) -> Tensor:
    """Distance (N,) of each row of x to the nearest row of y."""
    return torch.cat([distances(part, y).amin(1) for part in blocks(x, len(y))])


def subset(x: Tensor, count: int | None, generator: torch.Generator) -> Tensor:
    """Rows of x without replacement, in random order; all where there are not more than asked."""
    if count is None or len(x) <= count:
        return x
    return x[torch.randperm(len(x), generator=generator)[:count].to(x.device)]


def optional(module: str) -> ModuleType:
    """Import a package of the extra `metrics`.

    Raises
    ------
    ImportError
        With the command that installs it, if it is absent.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"this measure needs the package {module!r}: pip install 'learnedmanifolds[metrics]'"
        ) from error
