"""Cells: overlapping parts of the data that are discs, each with coordinates along the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse.csgraph import dijkstra

from learnedmanifolds.learning.nodes import Nodes

# How far cells reach into their neighbours, in units of their own radius, and at least in edges: fits of
# curves through few points need some beyond their ends.
_MARGIN, _EDGES, _FEW_EDGES = 0.15, {1: 4.0}, 1.2
# What is fitted beyond the cell, in units of what is shared.
_FITTED = 1.5
# Relative error of distances in its coordinates up to which a cell is a disc, and share of its nodes
# that may be folded on others.
_FLAT, _FOLDED = 0.12, 0.01
# Two nodes are folded on each other where coordinates shorten their path to less than this part.
_SHORT = 0.4
_FAR = 4.5
_LANDMARKS, _FEW = 200, 80
_MEDOID_STEPS = 10
_POWER_STEPS = 12
_EDGE = 0.85


class Cell(NamedTuple):
    """One cell.

    Attributes
    ----------
    core, inner, members : ndarray of int
        Nodes of the cell itself; with what it shares with its neighbours; and with what is only fitted,
        for fits are worst at their ends.
    coords : ndarray, shape (len(members), d)
        In the box; distances along the data up to a factor.
    radius : float
        Length of a unit of the coordinates.
    bend : float
        Relative error of distances in the coordinates; infinite where the cell is folded.
    """

    core: np.ndarray
    inner: np.ndarray
    members: np.ndarray
    coords: np.ndarray
    radius: float
    bend: float

    @property
    def is_disc(self) -> bool:
        """Whether the coordinates keep distances, roughly, and lay no part on another."""
        return self.bend <= _FLAT


def divide(covers: Sequence[Cover], count: int) -> None:
    """Halve the most bent cells of covers until there are so many.

    Raises
    ------
    ValueError
        If cells have too few nodes for that.
    """
    while (total := sum(len(cover.cells) for cover in covers)) < count:
        able = [
            (cell.bend, len(cell.core), c, i)
            for c, cover in enumerate(covers)
            for i, cell in enumerate(cover.cells)
            if cover.can_split(i)
        ]
        if not able:
            raise ValueError(
                f"n_charts must be at most {total}, for charts need enough points, got {count}."
            )
        *_, c, i = max(able)
        covers[c].split(i)


class Cover:
    """Cells of one connected component, one at first.

    Parameters
    ----------
    nodes : Nodes
    component : int
    dim : int
        d.
    least : int
        Nodes that a cell that was split has at least.

    References
    ----------
    Tenenbaum, de Silva, Langford, Science 290, 2000 (Isomap).
    """

    def __init__(self, nodes: Nodes, component: int, dim: int, least: int = 0) -> None:
        self._own = np.flatnonzero(nodes.component == component)
        self._graph = nodes.graph[self._own][:, self._own]
        self._paths = dijkstra(self._graph, directed=False)
        self.dim = dim
        self._least = max(2 * (2 * dim + 3), least)
        everything = np.arange(len(self._own))
        self.cells = [self._cell(everything)]

    def make_discs(self) -> None:
        """Halve cells until all are discs, or have too few nodes; join them where one serves for two."""
        index = 0
        while index < len(self.cells):
            if self.cells[index].is_disc or not self.can_split(index):
                index += 1
            else:
                self.split(index)
        self._merge()

    def _merge(self) -> None:
        """Join neighbouring cells where both together are a disc, the smallest first."""
        failed: set[tuple[int, int]] = set()
        while True:
            pair = self._smallest_pair(failed)
            if pair is None:
                return
            core = np.union1d(*(self._places(cell) for cell in pair))
            if self._may_be_disc(core) and (joined := self._cell(core)).is_disc:
                self.cells = [c for c in self.cells if c is not pair[0] and c is not pair[1]]
                self.cells.append(joined)
            else:
                failed.add((id(pair[0]), id(pair[1])))

    def _may_be_disc(self, core: np.ndarray) -> bool:
        """Whether few of the nodes have coordinates that keep their distances."""
        few = core[:: -(-len(core) // _FEW)]
        paths = self._paths[np.ix_(few, few)]
        spacing = _spacing(self._paths[few], self.dim)
        return _bend(paths, _isomap(paths, self.dim), spacing) <= _FLAT

    def _smallest_pair(self, failed: set[tuple[int, int]]) -> tuple[Cell, Cell] | None:
        """The two neighbouring cells with the fewest nodes together, not among those that failed."""
        owner = np.empty(len(self._own), dtype=int)
        for i, cell in enumerate(self.cells):
            owner[self._places(cell)] = i
        edges = self._graph.tocoo()
        count = len(self.cells)
        pairs = np.unique(owner[edges.row] * count + owner[edges.col]).tolist()
        size = np.array([len(cell.core) for cell in self.cells])
        found = [
            (int(size[i] + size[j]), i, j)
            for i, j in (divmod(pair, count) for pair in pairs)
            if i < j and (id(self.cells[i]), id(self.cells[j])) not in failed
        ]
        if not found:
            return None
        _, i, j = min(found)
        return self.cells[i], self.cells[j]

    def _places(self, cell: Cell) -> np.ndarray:
        """Indices of the nodes of a cell's core among those of the component."""
        return np.searchsorted(self._own, cell.core)

    def split(self, index: int) -> None:
        """Replace a cell by its halves."""
        cell = self.cells.pop(index)
        self.cells += [self._cell(half) for half in self._halves(self._places(cell))]

    def can_split(self, index: int) -> bool:
        """Whether the halves of a cell would have enough nodes."""
        return len(self.cells[index].core) > 2 * self._least

    def _halves(self, core: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two parts, each nearest to its own medoid."""
        paths = self._paths[np.ix_(core, core)]
        first = int(paths[0].argmax())
        medoids = [first, int(paths[first].argmax())]
        for _ in range(_MEDOID_STEPS):
            side = paths[medoids].argmin(0)
            moved = []
            for s in (0, 1):
                part = np.flatnonzero(side == s)
                moved.append(int(part[np.square(paths[np.ix_(part, part)]).sum(0).argmin()]))
            if moved == medoids:
                break
            medoids = moved
        # Neither part is too small for a chart.
        order = (paths[medoids[0]] - paths[medoids[1]]).argsort(kind="stable")
        least = min(self._least, len(core) // 2)
        cut = int(np.clip((paths[medoids].argmin(0) == 0).sum(), least, len(core) - least))
        return core[np.sort(order[:cut])], core[np.sort(order[cut:])]

    def _cell(self, core: np.ndarray) -> Cell:
        inner = members = core
        if len(core) < len(self._own):
            radius = self._paths[np.ix_(core, core)].max(0).min()
            edge = float(np.median(self._graph.data))
            reach = max(_MARGIN * radius, _EDGES.get(self.dim, _FEW_EDGES) * edge)
            away = self._paths[core].min(0)
            shared, fitted = away <= reach, away <= _FITTED * reach
            if self.dim == 1:
                # Across gaps too, which may be far wider than other edges.
                shared |= self._graph @ (away == 0) > 0
                fitted |= self._graph @ shared > 0
            inner, members = np.flatnonzero(shared), np.flatnonzero(fitted)
        paths = self._paths
        if len(members) < len(paths):
            paths = dijkstra(self._graph[members][:, members], directed=False)
            if not np.isfinite(paths).all():
                paths = self._paths[np.ix_(members, members)]
        coords = _isomap(paths, self.dim)
        few = np.arange(0, len(members), max(1, len(members) // _LANDMARKS))
        bend = _bend(paths[np.ix_(few, few)], coords[few], _spacing(paths[few], self.dim))
        middle = (coords.max(0) + coords.min(0)) / 2
        radius = float(np.abs(coords - middle).max()) / _EDGE or 1.0
        own = self._own
        return Cell(own[core], own[inner], own[members], (coords - middle) / radius, radius, bend)


def _isomap(paths: np.ndarray, dim: int) -> np.ndarray:
    """Coordinates (M, d) whose distances are nearest to the paths, by classical scaling."""
    square = np.square(paths)
    mean = square.mean(0)
    gram = -0.5 * (square - mean - mean[:, None] + mean.mean())
    count = min(dim + 4, len(gram))
    basis = np.random.default_rng(0).standard_normal((len(gram), count))
    for _ in range(_POWER_STEPS):
        basis = np.linalg.qr(gram @ basis)[0]
    values, vectors = np.linalg.eigh(basis.T @ gram @ basis)
    size = np.sqrt(values[-dim:].clip(0))
    coords = basis @ vectors[:, -dim:] * size
    return np.pad(coords, ((0, 0), (0, dim - coords.shape[1])))


def _spacing(paths: np.ndarray, dim: int) -> float:
    """How far neighbours of some nodes are, from their paths (L, M) to all."""
    rank = min(paths.shape[1] - 1, 2 * dim + 2)
    return float(np.median(np.partition(paths, rank, 1)[:, rank]))


def _bend(paths: np.ndarray, coords: np.ndarray, spacing: float) -> float:
    gaps = np.sqrt(np.square(coords[:, None] - coords).sum(-1))
    folded = ((gaps < _SHORT * paths) & (paths > _FAR * spacing)).any(1).mean()
    if folded > _FOLDED:
        return np.inf
    return float(np.sqrt(np.square(gaps - paths).sum() / max(np.square(paths).sum(), 1e-300)))
