"""The data seen locally: neighbours, and flat patches that cover the support."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# A chunk of the distance matrix, in entries; keeps neighbour searches within tens of megabytes.
_CHUNK = 4_000_000


class Patches(NamedTuple):
    """Flat discs that cover the data.

    Attributes
    ----------
    center : Tensor, shape (M, n)
    basis : Tensor, shape (M, n, d)
        Orthonormal columns.
    radius : Tensor, shape (M,)
    error : Tensor, shape ()
        Mean `excess` of the data: what curvature, noise and a sparse cover leave.
    """

    center: Tensor
    basis: Tensor
    radius: Tensor
    error: Tensor

    def excess(self, x: Tensor) -> Tensor:
        """Squared distance of points (N, n) to the disc of the nearest centre, (N,)."""
        nearest = nearest_center(x.detach(), self.center)
        offset = x - self.center[nearest]
        basis = self.basis[nearest]
        along = (offset.unsqueeze(-2) @ basis).squeeze(-2)
        radius = self.radius[nearest]
        square = along.square().sum(-1)
        normal = (offset.square().sum(-1) - square).clamp(min=0)
        beyond = ((square + 1e-12).sqrt() - radius).clamp(min=0)
        return normal + beyond.square()

    def penalty(self, x: Tensor, noise_std: float) -> Tensor:
        """`excess` of points (N, n) in nats, (N,): over twice the noise's or the patches' variance.

        Flat patches say no more about where a manifold is than they do about its own data. With the
        noise alone, data of high dimension, whose patches are far apart, are punished for being
        where they are, and charts shrink to the few places where the patches fit.
        """
        return self.excess(x) / (2 * self.error.clamp(min=noise_std**2))


def nearest_center(x: Tensor, centers: Tensor) -> Tensor:
    """Index (N,) of the centre nearest to each point."""
    step = max(1, _CHUNK // len(centers))
    return torch.cat([torch.cdist(part, centers).argmin(-1) for part in x.split(step)])


def neighbours(x: Tensor, centers: Tensor, count: int) -> Tensor:
    """Indices (M, count) of the points of x nearest to each centre."""
    step = max(1, _CHUNK // len(x))
    return torch.cat(
        [torch.cdist(part, x).topk(count, largest=False).indices for part in centers.split(step)]
    )


def make_patches(
    x: Tensor, dim: int, generator: torch.Generator, n_patches: int = 2048, count: int = 20
) -> Patches:
    """Discs around a random subset of the data, by principal components of near neighbours."""
    centers = x[torch.randperm(len(x), generator=generator)[:n_patches]]
    near = x[neighbours(x, centers, min(count, len(x)))]
    mean = near.mean(1)
    centred = near - mean.unsqueeze(1)
    basis = torch.linalg.svd(centred, full_matrices=False).Vh[:, :dim].mT
    along = (centred @ basis).norm(dim=-1).amax(-1)
    spacing = torch.cdist(centers, centers).topk(min(2, len(centers)), largest=False).values[:, -1]
    patches = Patches(mean, basis, torch.maximum(along, spacing), x.new_zeros(()))
    return patches._replace(error=patches.excess(x[:4096]).mean())
