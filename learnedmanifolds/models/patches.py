"""The data seen locally: chart centres, tangent frames, and flat patches that cover the support."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# A chunk of the distance matrix, in entries; keeps neighbour searches within tens of megabytes.
_CHUNK = 4_000_000


class Patches(NamedTuple):
    """Flat discs that cover the data: centres (M, n), orthonormal bases (M, n, d), radii (M,)."""

    center: Tensor
    basis: Tensor
    radius: Tensor

    def excess(self, x: Tensor) -> Tensor:
        """Squared distance of points (N, n) to the disc of the nearest centre, (N,)."""
        nearest = _nearest(x.detach(), self.center)
        offset = x - self.center[nearest]
        basis = self.basis[nearest]
        along = (offset.unsqueeze(-2) @ basis).squeeze(-2)
        radius = self.radius[nearest]
        square = along.square().sum(-1)
        normal = (offset.square().sum(-1) - square).clamp(min=0)
        beyond = ((square + 1e-12).sqrt() - radius).clamp(min=0)
        return normal + beyond.square()


def _nearest(x: Tensor, centers: Tensor) -> Tensor:
    step = max(1, _CHUNK // len(centers))
    return torch.cat([torch.cdist(part, centers).argmin(-1) for part in x.split(step)])


def neighbours(x: Tensor, centers: Tensor, count: int) -> Tensor:
    """Indices (M, count) of the points of x nearest to each centre."""
    step = max(1, _CHUNK // len(x))
    return torch.cat(
        [torch.cdist(part, x).topk(count, largest=False).indices for part in centers.split(step)]
    )


def farthest_points(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Indices (count,) of points spread by greedy farthest-point selection from a random start."""
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    distance = (x - x[chosen[0]]).square().sum(-1)
    # The random start itself is dropped: the point farthest from it is a better first centre.
    for _ in range(count):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (x - x[chosen[-1]]).square().sum(-1))
        if len(chosen) == 2:
            distance = (x - x[chosen[-1]]).square().sum(-1)
    return torch.tensor(chosen[1:])


def spread_centers(x: Tensor, count: int, generator: torch.Generator, sweeps: int = 10) -> Tensor:
    """Centres (count, n), data points in the middle of equal shares: farthest points, then k-medoids.

    Farthest points alone sit on the rim of the data; a few sweeps of Lloyd's rule on a subsample,
    each mean replaced by its nearest data point, move them into the middle of their cells.
    """
    sample = x[torch.randperm(len(x), generator=generator)[:4096]]
    centers = sample[farthest_points(sample, count, generator)]
    for _ in range(sweeps):
        owner = torch.cdist(sample, centers).argmin(-1)
        means = torch.stack([sample[owner == k].mean(0) for k in range(count)])
        centers = sample[torch.cdist(means, sample).argmin(-1)]
    return centers


def local_frames(x: Tensor, centers: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal frames (M, n, n), leading directions first, and radii (M,) of each neighbourhood."""
    near = x[neighbours(x, centers, count)]
    centred = near - near.mean(1, keepdim=True)
    covariance = centred.mT @ centred / count
    vectors = torch.linalg.eigh(covariance).eigenvectors.flip(-1)
    return vectors, centred.norm(dim=-1).amax(-1)


def make_patches(
    x: Tensor, dim: int, generator: torch.Generator, n_patches: int = 1024, count: int = 20
) -> Patches:
    """Discs around a random subset of the data, by principal components of near neighbours."""
    centers = x[torch.randperm(len(x), generator=generator)[:n_patches]]
    near = x[neighbours(x, centers, min(count, len(x)))]
    mean = near.mean(1)
    centred = near - mean.unsqueeze(1)
    basis = torch.linalg.svd(centred, full_matrices=False).Vh[:, :dim].mT
    along = (centred @ basis).norm(dim=-1).amax(-1)
    spacing = torch.cdist(centers, centers).topk(min(2, len(centers)), largest=False).values[:, -1]
    return Patches(mean, basis, torch.maximum(along, spacing))
