"""A graph over the charts of a manifold: shortest paths to start geodesics from, components."""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary, proxy

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra, minimum_spanning_tree
from torch import Tensor

from learnedmanifolds.geometry.local import ChartedManifold, Located

_MOST_NODES = 2000
_PER_CHART = {1: 128, 2: 256}
_LARGE = 512
_CROSSINGS = 3
_BISECTOR = 0.1

# Middles of ways are apart by these in units of the direct way: first far ones, as those around the other
# side of the tube of a torus, then ones that may be geodesics beside a longer one. Ways that are longer
# than the direct one by the factor do not shorten to less.
_APART, _LONGER = (0.25, 0.12, 0.06), 1.2


class SampleGraph:
    """Nodes spread evenly over the domain of every chart, joined to their neighbours by chords.

    Nodes of two charts are joined where one chart holds a node of the other.

    Parameters
    ----------
    manifold : ChartedManifold
    """

    def __init__(self, manifold: ChartedManifold) -> None:
        self.manifold = manifold
        k, d = manifold.n_charts, manifold.dim
        self.per_chart = max(d + 2, min(_PER_CHART.get(d, _LARGE), _MOST_NODES // k))
        sobol = torch.quasirandom.SobolEngine(d, scramble=True, seed=0)
        unit = sobol.draw(self.per_chart, dtype=torch.float64)
        box = (2 * unit - 1).to(dtype=manifold.dtype, device=manifold.device)
        # Those outside a domain stand at its border.
        self._coords = manifold.charts.domain.confine(box.expand(k, *box.shape))
        chart = torch.arange(k, device=manifold.device).repeat_interleave(self.per_chart)
        self.nodes = Located(chart, self._coords.flatten(0, 1))
        self.points = manifold.decode(self.nodes.coords, chart).flatten(1)

    @cached_property
    def _edges(self) -> csr_array:
        count, size = self.per_chart, len(self.points)
        shifts = count * torch.arange(self.manifold.n_charts)
        pairs = []
        for own, shift in zip(self._coords, shifts, strict=True):
            gaps = torch.cdist(own, own).double().cpu()
            near = gaps.topk(min(count, 4 + 6 * self.manifold.dim), largest=False).indices[:, 1:]
            tree = torch.from_numpy(minimum_spanning_tree(gaps.numpy()).toarray()).nonzero()
            source = torch.arange(count).repeat_interleave(near.shape[1])
            pairs.append(torch.cat([torch.stack([source, near.flatten()]), tree.mT], 1) + shift)
        coords, error = self.manifold.claims(self.points)
        inside = self.manifold.charts.domain.depth(coords) >= 0
        holds = inside & (error <= self.manifold.agreement)
        for k, shift in enumerate(shifts.tolist()):
            held = holds[k].clone()
            held[shift : shift + count] = False
            index = held.nonzero().squeeze(-1)
            if len(index):
                close = torch.cdist(coords[k, index], self._coords[k])
                to = close.topk(min(count, _CROSSINGS), largest=False).indices + shift
                pairs.append(
                    torch.stack([index.repeat_interleave(to.shape[1]), to.flatten()]).cpu()
                )
        source, target = torch.cat(pairs, dim=1).to(self.points.device)
        # Nodes that two charts share must not be at distance zero, which means no edge.
        chord = (self.points[source] - self.points[target]).norm(dim=-1)
        chord = chord.clamp(min=1e-9 * float(self.points.std()))
        # Every edge once: duplicates would be added up.
        low, high = torch.minimum(source, target), torch.maximum(source, target)
        _, inverse = torch.unique(low * size + high, return_inverse=True)
        first = torch.full((int(inverse.max()) + 1,), len(low), device=low.device)
        first.scatter_reduce_(0, inverse, torch.arange(len(low), device=low.device), "amin")
        entries = (chord[first].cpu(), (low[first].cpu(), high[first].cpu()))
        return csr_array(coo_array(entries, shape=(size, size)))

    @cached_property
    def components(self) -> Tensor:
        """Number of the connected component of each chart, (K,)."""
        count = self.per_chart
        labels = connected_components(self._edges, directed=False)[1].reshape(-1, count)
        return torch.from_numpy(labels[:, 0].astype(np.int64)).to(self.points.device)

    @cached_property
    def _shortest(self) -> tuple[np.ndarray, np.ndarray]:
        lengths, before = dijkstra(self._edges, directed=False, return_predecessors=True)
        return lengths, before

    def nearest_node(self, located: Located) -> np.ndarray:
        """The node nearest in coordinates in the chart of each point, (N,)."""
        index = torch.zeros_like(located.chart)
        for k in located.chart.unique().tolist():
            own = located.chart == k
            index[own] = torch.cdist(located.coords[own], self._coords[k]).argmin(-1)
        return (index + located.chart * self.per_chart).cpu().numpy()

    def distance(self, start: Located, end: Located) -> Tensor:
        """Lengths (N,) of shortest ways between the nodes nearest to points, infinite without one."""
        lengths = self._shortest[0][self.nearest_node(start), self.nearest_node(end)]
        return torch.from_numpy(lengths).to(self.points)

    def paths(self, start: Located, end: Located, n_ways: int) -> list[list[list[int]]]:
        """For each pair of points ways of nodes, the shortest first.

        Every further way leads through the node of the least detour among those about as far from
        both points and far from the middles of the ways before: around the other side of a hole. Up to
        ``n_ways`` of them are far from each other, as many nearer, and as many nearer still.
        """
        lengths, before = self._shortest
        source, target = self.nearest_node(start), self.nearest_node(end)
        ways = []
        for s, t in zip(source.tolist(), target.tolist(), strict=True):
            direct = lengths[s, t]
            found = [_walk(before, s, t)]
            slack = max(2 * self.spacing, _BISECTOR * direct)
            through = lengths[s] + lengths[t]
            # Nodes of other components are infinitely far from both.
            near = np.isfinite(through)
            near[near] = np.abs(lengths[s, near] - lengths[t, near]) <= slack
            through = np.where(near, through, np.inf)
            middle = min(found[0], key=lambda node: abs(lengths[s, node] - direct / 2))
            gap = lengths[middle]
            for apart in _APART:
                for _ in range(n_ways):
                    left = np.where(gap > apart * direct, through, np.inf)
                    middle = int(left.argmin())
                    if not left[middle] <= _LONGER * direct:
                        break
                    found.append(_walk(before, s, middle) + _walk(before, middle, t)[1:])
                    gap = np.minimum(gap, lengths[middle])
            ways.append(found)
        return ways

    @cached_property
    def spacing(self) -> float:
        """Median length of an edge."""
        return float(np.median(self._edges.data))


_GRAPHS: WeakKeyDictionary[ChartedManifold, SampleGraph] = WeakKeyDictionary()


def sample_graph(manifold: ChartedManifold) -> SampleGraph:
    """The graph of a manifold, made when it is first asked for."""
    if manifold not in _GRAPHS:
        # Not the manifold itself, which the graph would keep alive.
        _GRAPHS[manifold] = SampleGraph(proxy(manifold))
    return _GRAPHS[manifold]


def _walk(before: np.ndarray, source: int, target: int) -> list[int]:
    nodes = [target]
    while nodes[-1] != source:
        nodes.append(int(before[source, nodes[-1]]))
    return nodes[::-1]
