"""Where the charts start: a cover of the data by overlapping discs, each with coordinates."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds.models.patches import nearest_center

MARGIN = 0.1
"""How far cells overlap their neighbours, relative to the largest radius of a cell."""

FLAT = 0.1
"""Relative error of its coordinates' distances up to which a cell counts as a disc."""

_EDGE = 0.9
_LEAST_EDGE = 1e-3
_TRIES = 30
_SEARCHES = 16
_MOVES = 320


class Cells(NamedTuple):
    """A cover of the data by K overlapping cells, known at M nodes, a subsample of the data.

    Attributes
    ----------
    nodes : Tensor, shape (M, n)
    paths : Tensor, shape (M, M)
        Lengths of the shortest paths along the data.
    members : Tensor, shape (K, M), bool
    coords : Tensor, shape (K, M, d)
        Coordinates of the members in the box [-1, 1]^d; zero for the others.
    radius : Tensor, shape (K,)
        Length of a unit of the coordinates, on average.
    node : Tensor, shape (N,)
        The node nearest to each point of the data.
    """

    nodes: Tensor
    paths: Tensor
    members: Tensor
    coords: Tensor
    radius: Tensor
    node: Tensor

    @property
    def margin(self) -> float:
        """Length by which the cells overlap their neighbours."""
        return MARGIN * float(self.radius.max())

    def dilate(self, region: Tensor) -> Tensor:
        """Regions of nodes, (K, M) bool, grown along the data by the margin."""
        return torch.stack([(self.paths[own] <= self.margin).any(0) | own for own in region])

    def frames(self, full: bool = True) -> tuple[Tensor, Tensor]:
        """Centres (K, n) and orthonormal columns that fit the coordinates first, (K, n, n or d)."""
        centers, frames = [], []
        for member, coords in zip(self.members, self.coords, strict=True):
            y, x = coords[member], self.nodes[member]
            near = y.norm(dim=-1).topk(min(len(y), len(y) // 4 + 4), largest=False).indices
            x, y = x[near], y[near]
            u, _, v = torch.linalg.svd((x - x.mean(0)).mT @ (y - y.mean(0)), full_matrices=full)
            d = y.shape[-1]
            centers.append(x[0])
            frames.append(torch.cat([u[:, :d] @ v, u[:, d:]], dim=1))
        return torch.stack(centers), torch.stack(frames)


def disc_cells(
    x: Tensor,
    count: int,
    dim: int,
    generator: torch.Generator,
    n_nodes: int = 512,
    n_neighbours: int = 12,
) -> Cells:
    """Cover data (N, n) by cells that are discs of dimension d along the data.

    Cells are additively weighted Voronoi cells of shortest paths in a neighbour graph, so that they
    never bridge sheets or components; their coordinates are Isomap's of the cell alone. A cell that
    wraps around a handle has no coordinates that keep its distances: from the best k-medoids of
    several draws, a random search over centres and weights trades size for flatness.

    References
    ----------
    Tenenbaum, de Silva, Langford, Science 290, 2000 (Isomap).
    """
    from sklearn.neighbors import kneighbors_graph

    pick = torch.randperm(len(x), generator=generator)[:n_nodes].to(x.device)
    # Copies of a point would have none but each other as neighbours.
    first = np.sort(np.unique(x[pick].cpu().numpy(), axis=0, return_index=True)[1])
    pick = pick[torch.from_numpy(first).to(pick.device)]
    nodes = x[pick].double().cpu()
    graph = kneighbors_graph(nodes.numpy(), min(n_neighbours, len(nodes) - 1), mode="distance")
    graph = graph.maximum(graph.T)
    paths = _paths(graph, nodes)
    search = _Search(graph, nodes, paths, count, dim)
    members = search.run(generator)
    coords = torch.zeros(count, len(nodes), dim, dtype=torch.float32)
    radius = torch.zeros(count, dtype=torch.float32)
    for k, own in enumerate(members):
        y = search.embed(own)[0]
        spread = y.square().mean(0).sqrt().clamp(min=1e-6)
        t = y / spread
        # From the ball to the box, so that its corners are on the data too.
        t = t * (t.norm(dim=-1) / t.abs().amax(-1).clamp(min=1e-9)).unsqueeze(-1)
        edge = t.abs().amax(-1).quantile(0.95).clamp(min=_LEAST_EDGE)
        coords[k, own] = (_EDGE * t / edge).clamp(-1, 1).float()
        # A cell of one point has no size of its own.
        radius[k] = max(float(spread.mean() * edge / _EDGE), _LEAST_EDGE * float(paths.max()))
    node = nearest_center(x, nodes.to(x))
    return Cells(nodes.to(x), paths.to(x), members.to(x.device), coords.to(x), radius.to(x), node)


def _paths(graph: Any, nodes: Tensor, few: Any = None) -> Tensor:
    """Shortest paths among (few of the) nodes; separate components are far, as they lie in space."""
    from scipy.sparse.csgraph import shortest_path

    few = np.arange(len(nodes)) if few is None else few
    paths = torch.from_numpy(shortest_path(graph, directed=False, indices=few)[:, few])
    finite = paths[paths.isfinite()].max()
    return torch.where(paths.isfinite(), paths, 2 * finite + torch.cdist(nodes[few], nodes[few]))


class _Search:
    """Search for centres and weights whose cells are small discs."""

    def __init__(self, graph: Any, nodes: Tensor, paths: Tensor, count: int, dim: int) -> None:
        self.graph, self.nodes, self.paths = graph, nodes, paths
        self.count, self.dim = count, dim
        self._bends: dict[bytes, float] = {}

    def run(self, generator: torch.Generator) -> Tensor:
        """Members (K, M) of the cells of the best centres and weights found."""
        tries = [self._medoids(generator) for _ in range(_TRIES)]
        tries.sort(key=lambda m: float(self.paths[m].amin(0).square().sum()))
        self.reach = float(self.paths[tries[0]].amin(0).max())
        states = [(m, torch.zeros(self.count, 1, dtype=torch.float64)) for m in tries[:_SEARCHES]]
        found = [self._improve(*state, _MOVES // 8, 0.6, generator) for state in states]
        best = min(found, key=lambda f: f[0])
        return self._improve(*best[1:3], _MOVES, 0.4, generator)[-1]

    def _improve(
        self,
        centers: Tensor,
        weights: Tensor,
        n_moves: int,
        stride: float,
        generator: torch.Generator,
    ) -> tuple[float, Tensor, Tensor, Tensor]:
        cost, bends, members = self._cost(centers, weights)
        for move in range(n_moves if float(bends.max()) > FLAT else 0):
            reach = (1 - 0.8 * move / n_moves) * stride * self.reach
            new_centers, new_weights = centers.clone(), weights.clone()
            moved = [int(torch.multinomial(bends.square() + 1e-3, 1, generator=generator))]
            if torch.rand((), generator=generator, dtype=torch.float32) < 0.3:
                moved.append(int(torch.randint(self.count, (), generator=generator)))
            for k in moved:
                near = (self.paths[centers[k]] < reach).nonzero().flatten()
                new_centers[k] = near[torch.randint(len(near), (), generator=generator)]
                shift = torch.randn((), generator=generator, dtype=torch.float64)
                new_weights[k] += 0.4 * reach * shift
            found = self._cost(new_centers, new_weights)
            if found[0] < cost:
                centers, weights, (cost, bends, members) = new_centers, new_weights, found
        return cost, centers, weights, members

    def _medoids(self, generator: torch.Generator) -> Tensor:
        medoids = torch.randperm(len(self.paths), generator=generator)[: self.count]
        square = self.paths.square()
        for _ in range(50):
            same = self.paths[medoids].argmin(0) == torch.arange(self.count).unsqueeze(1)
            moved = torch.where(same, same.double() @ square, torch.inf).argmin(1)
            if torch.equal(moved, medoids):
                break
            medoids = moved
        return medoids

    def _cost(self, centers: Tensor, weights: Tensor) -> tuple[float, Tensor, Tensor]:
        """Inertia of the cells, raised where they are no discs; their bends; the wide cells."""
        distance = self.paths[centers] - weights
        excess = distance - distance.amin(0)
        own = excess <= 0
        members = excess <= 2 * MARGIN * self.reach
        bends = torch.tensor([self._bend(row) for row in members], dtype=torch.float32)
        inertia = (own.double() * self.paths[centers].square()).sum(1)
        cost = float((inertia * (1 + (bends / (0.8 * FLAT)) ** 4)).square().sum())
        return cost if bool(own.any(1).all()) else math.inf, bends, members

    def _bend(self, own: Tensor) -> float:
        key = np.packbits(own.numpy()).tobytes()
        if key not in self._bends:
            self._bends[key] = self.embed(own, every=2)[1]
        return self._bends[key]

    def embed(self, own: Tensor, every: int = 1) -> tuple[Tensor, float]:
        """Isomap of one cell: coordinates of every m-th member and the error of their distances."""
        index = own.nonzero().flatten()
        few = np.arange(0, len(index), every)
        if len(few) < 2:
            return torch.zeros(len(few), self.dim, dtype=torch.float64), 0.0
        paths = _paths(self.graph[index.numpy()][:, index.numpy()], self.nodes[index], few)
        square = paths.square()
        mean = square.mean(0)
        values, vectors = torch.linalg.eigh(-0.5 * (square - mean - mean[:, None] + mean.mean()))
        y = vectors[:, -self.dim :] * values[-self.dim :].clamp(min=0).sqrt()
        y = torch.nn.functional.pad(y, (0, self.dim - y.shape[1]))
        miss = (torch.cdist(y, y) - paths).square().sum() / square.sum().clamp(min=1e-300)
        return y, float(miss.sqrt())
