"""The data seen locally: chart centres, tangent frames, and flat patches that cover the support."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# A chunk of the distance matrix, in entries; keeps neighbour searches within tens of megabytes.
_CHUNK = 4_000_000

_MEDOID_TRIES = 20

CELL_MARGIN = 1.15
"""Overlap of the cells that the charts are seeded on, relative to the distance to the centres."""


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


def geodesic_cells(
    x: Tensor, count: int, generator: torch.Generator, n_nodes: int = 1024, n_neighbours: int = 15
) -> tuple[Tensor, Tensor]:
    """Centres (count, n), data points, and overlapping cells (count, N): k-medoids along the data.

    A cell holds the points that are at most `CELL_MARGIN` times as far from its centre as from the
    nearest one.

    Distances are shortest paths in a neighbour graph of a subsample, so that a cell is a disc of
    the manifold, never a sector of a tube or two sheets that come near; separate components lie at
    infinite distance, and farthest-first selection gives each its centres.
    """
    from scipy.sparse.csgraph import shortest_path
    from sklearn.neighbors import kneighbors_graph

    nodes = x[torch.randperm(len(x), generator=generator)[:n_nodes]].double().cpu()
    graph = kneighbors_graph(nodes.numpy(), min(n_neighbours, len(nodes) - 1), mode="distance")
    paths = torch.from_numpy(shortest_path(graph, directed=False))
    # Components apart: farther than any path, and farther the farther they lie in space.
    finite = paths[paths.isfinite()].max()
    paths = torch.where(paths.isfinite(), paths, 2 * finite + torch.cdist(nodes, nodes))
    tries = [_medoids(paths, count, generator) for _ in range(_MEDOID_TRIES)]
    medoids = min(tries, key=lambda m: float(paths[m].amin(0).square().sum()))
    distance = paths[medoids]
    members = distance <= CELL_MARGIN * distance.amin(0)
    return nodes[medoids].to(x), members.to(x.device)[:, _nearest(x, nodes.to(x))]


def _medoids(paths: Tensor, count: int, generator: torch.Generator) -> Tensor:
    centers = [int(torch.randint(len(paths), (1,), generator=generator))]
    for _ in range(count - 1):
        centers.append(int(paths[centers].amin(0).argmax()))
    medoids = torch.tensor(centers)
    square = paths.square()
    for _ in range(50):
        same = paths[medoids].argmin(0) == torch.arange(count).unsqueeze(1)
        moved = torch.where(same, same.double() @ square, torch.inf).argmin(1)
        if torch.equal(moved, medoids):
            break
        medoids = moved
    return medoids


def principal_frames(x: Tensor, cells: Tensor, centers: Tensor) -> Tensor:
    """Orthonormal frames (K, n, n) at the centres, the leading direction of the data first.

    From each cell's points nearest to the centre, at most 200: a frame should see the tangent
    space, not the bend of the cell.
    """
    frames = []
    for k, center in enumerate(centers):
        own = x[cells[k]]
        near = (own - center).square().sum(-1).topk(min(200, len(own)), largest=False).indices
        centred = own[near] - own[near].mean(0)
        frames.append(torch.linalg.eigh(centred.mT @ centred).eigenvectors.flip(-1))
    return torch.stack(frames)


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
