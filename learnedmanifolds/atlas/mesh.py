"""Meshes of an atlas: a part in every chart, cut where others take over and where the manifold ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from learnedmanifolds.atlas.atlas import Atlas

# Grids reach this far out of the box, so that its faces are cut like any other border.
_OUT = 1e-3
# Vertices of all charts' grids together, and the least along a side.
_VERTICES = {1: 1200, 2: 5000}
_LEAST = {1: 100, 2: 16}
# By how much more than its region a chart is drawn, a share of the longest edge: where three charts
# meet straight cuts leave gaps.
_MORE = 0.05
# Points all over a box of more dimensions.
_FEW = 1024
# Rays to the border, where there is no mesh.
_RAYS = 600


class Mesh(NamedTuple):
    """The manifold in pieces, each in one chart, see `Regions`.

    Attributes
    ----------
    simplices : Tensor, shape (M, d + 1, n)
        Corners of segments or triangles; none for d > 2.
    chart : Tensor, shape (M,)
    border : Tensor, shape (B, d, n)
        Corners of the facets in which the manifold ends; points (B, 1, n) on it for d = 3, none beyond.
    """

    simplices: Tensor
    chart: Tensor
    border: Tensor


def mesh(regions: Regions) -> Mesh:
    """The manifold as simplices; for d = 3 its border alone, as random points."""
    atlas = regions.atlas
    if atlas.dim > 2:
        empty = torch.zeros(0, dtype=torch.int64)
        corners = torch.zeros(0, atlas.dim + 1, atlas.charts.n_ambient, dtype=torch.float64)
        border = corners[:, :1]
        return Mesh(corners, empty, _random_border(atlas) if atlas.dim == 3 else border)
    parts = [_piece(regions, k) for k in range(atlas.n_charts)]
    chart = torch.cat([torch.full((len(own),), k) for k, (own, _) in enumerate(parts)])
    return Mesh(torch.cat([own for own, _ in parts]), chart, torch.cat([end for _, end in parts]))


def _piece(regions: Regions, chart: int) -> tuple[Tensor, Tensor]:
    """What is drawn in one chart, (M, d + 1, n), and the border there, (B, d, n)."""
    atlas, grid, side = regions.atlas, regions.grid, regions.side
    d, domain = atlas.dim, atlas.charts.domain
    cells = _cells(side, d).to(atlas.device)
    depth = domain.depth(grid, chart)
    cells = cells[(depth[cells] >= 0).any(-1)]
    used, cells = cells.unique(return_inverse=True)
    t, depth = grid[used], depth[used]
    vertex = atlas.charts.decode(t, chart)
    # No cut is farther from a vertex than the longest edge.
    edge = vertex[cells] - vertex[cells.roll(1, -1)]
    reach = float(edge.norm(dim=-1).max()) if len(cells) else 0.0
    lead = regions.lead(vertex, chart, reach) + _MORE * reach
    corners, ends = _cut(cells, torch.minimum(depth, lead) >= 0, d)

    # Each corner is on an edge (i, j): the vertex i itself, or where the piece ends between them.
    edges, inverse = torch.cat([corners.flatten(0, 1), ends.flatten(0, 1)]).unique(
        dim=0, return_inverse=True
    )
    i, j = edges.unbind(-1)
    tiny = torch.finfo(t.dtype).tiny
    # Where another chart begins to hold the points between two vertices, the cut is in the middle.
    share = torch.where(lead[i].isinf(), 0.5, lead[i] / (lead[i] - lead[j]).clamp(min=tiny))
    share = torch.where(lead[j] < 0, share, 1.0)
    out = depth[j] < 0
    exits = domain.exit(t[i[out]], t[j[out]] - t[i[out]], chart)
    left = torch.zeros_like(out)
    left[out] = exits <= share[out]
    share[out] = torch.minimum(share[out], exits)
    share[i == j] = 0.0
    point = atlas.charts.decode(t[i] + share.unsqueeze(-1) * (t[j] - t[i]), chart)
    # No other chart goes on behind what is left through the domain's own walls.
    last = left.clone()
    index = left.nonzero().squeeze(-1)
    owner = torch.full_like(index, chart)
    if len(index):
        last[index] = ~atlas.enter(point[index], owner)[0]
    inverse = inverse.cpu()
    point, last = point.cpu().double(), last.cpu()
    pieces = inverse[: corners[..., 0].numel()].view(-1, d + 1)
    facets = inverse[corners[..., 0].numel() :].view(-1, d)
    return point[pieces], point[facets[last[facets].all(-1)]]


def _cells(side: int, d: int) -> Tensor:
    """Vertices of the simplices of a grid, (M, d + 1)."""
    if d == 1:
        first = torch.arange(side - 1)
        return torch.stack([first, first + 1], -1)
    corner = torch.cartesian_prod(torch.arange(side - 1), torch.arange(side - 1))
    a = corner[:, 0] * side + corner[:, 1]
    b, c, e = a + side, a + 1, a + side + 1
    # Diagonals in turn, so that no direction stands out.
    turned = (corner.sum(-1) % 2 == 0).unsqueeze(-1)
    one = torch.where(turned, torch.stack([a, b, e], -1), torch.stack([a, b, c], -1))
    two = torch.where(turned, torch.stack([a, e, c], -1), torch.stack([b, e, c], -1))
    return torch.cat([one, two])


def _cut(cells: Tensor, inside: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Simplices and facets at which they are cut, their corners as edges: (M, d + 1, 2), (B, d, 2)."""
    count = inside[cells].sum(-1)
    # The vertices inside first.
    order = inside[cells].to(torch.int8).argsort(dim=-1, descending=True, stable=True)
    cells = cells.gather(-1, order)

    def edge(part: Tensor, i: int, j: int) -> Tensor:
        return torch.stack([part[:, i], part[:, j]], -1)

    whole = cells[count == d + 1]
    found = [torch.stack([whole, whole], -1)]
    one = cells[count == 1]
    cuts = [edge(one, 0, j) for j in range(1, d + 1)]
    found.append(torch.stack([edge(one, 0, 0), *cuts], 1))
    facets = [torch.stack(cuts, 1)]
    if d == 2:
        two = cells[count == 2]
        first, second = edge(two, 0, 2), edge(two, 1, 2)
        found.append(torch.stack([edge(two, 0, 0), edge(two, 1, 1), first], 1))
        found.append(torch.stack([edge(two, 1, 1), second, first], 1))
        facets.append(torch.stack([first, second], 1))
    return torch.cat(found), torch.cat(facets)


class Regions:
    """Which chart a point is drawn in: of those that hold it the one whose middle is nearest.

    Domains end at levels of what may be rough, so the deepest chart changes often between two that
    both hold a point well; this one changes once.

    Parameters
    ----------
    atlas : Atlas

    Attributes
    ----------
    grid : Tensor, shape (G, d)
        All over the box; regular up to d = 2.
    side : int
        Its points a side.
    """

    def __init__(self, atlas: Atlas) -> None:
        self.atlas = atlas
        self.grid, self.side = _grid(atlas)
        depth = atlas.charts.domain.depth
        # A domain may be smaller than the grid's gaps.
        inside = [self.grid[depth(self.grid, k) >= 0] for k in range(atlas.n_charts)]
        centers = [own.mean(0, keepdim=True) if len(own) else self.grid[:1] for own in inside]
        middles = [atlas.charts.decode(center, k)[0] for k, center in enumerate(centers)]
        self.middle = torch.stack(middles)

    def lead(self, point: Tensor, chart: int, reach: float) -> Tensor:
        """Distances (N,) to where another chart holding the points takes over, infinite beyond reach."""
        gap = torch.cdist(point, self.middle).square()
        apart = (self.middle - self.middle[chart]).norm(dim=-1).clamp(min=1e-12)
        gap = (gap - gap[:, chart : chart + 1]) / (2 * apart)
        gap[gap > reach] = torch.inf
        gap[:, chart] = torch.inf
        return self._first(point, gap)[1]

    def owner(self, point: Tensor, chart: Tensor) -> Tensor:
        """The chart (N,) that each of points (N, n) is drawn in, the given one where none holds it."""
        if self.atlas.n_charts == 1:
            return chart
        owner, gap = self._first(point, torch.cdist(point, self.middle))
        return torch.where(gap.isinf(), chart, owner)

    def _first(self, point: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
        """Of the charts that hold each point the one with the least finite gap (N, K), and that gap."""
        gaps, order = gap.sort(-1)
        owner, least = order[:, 0].clone(), torch.full_like(gaps[:, 0], torch.inf)
        left = torch.arange(len(point), device=point.device)
        for rank in range(self.atlas.n_charts):
            left = left[gaps[left, rank].isfinite()]
            for k in order[left, rank].unique().tolist():
                index = left[order[left, rank] == k]
                index = index[self._holds(point[index], k)]
                owner[index], least[index] = k, gaps[index, rank]
            left = left[least[left].isinf()]
        return owner, least

    def _holds(self, point: Tensor, chart: int) -> Tensor:
        charts = self.atlas.charts
        coords = charts.encode(point, chart)
        error = (charts.decode(coords, chart) - point).norm(dim=-1)
        return (error <= self.atlas.tolerance) & (charts.domain.depth(coords, chart) >= 0)


def _grid(atlas: Atlas) -> tuple[Tensor, int]:
    """A grid (G, d) over a box, a little beyond it, fine for few charts, and its points a side."""
    d = min(atlas.dim, 2)
    side = max(_LEAST[d], round((_VERTICES[d] / atlas.n_charts) ** (1 / d)))
    if atlas.dim > 2:
        unit = torch.quasirandom.SobolEngine(atlas.dim).draw(_FEW, dtype=torch.float64)
        return (2 * unit - 1).to(dtype=atlas.dtype, device=atlas.device), 0
    line = torch.linspace(-1 - _OUT, 1 + _OUT, side, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * atlas.dim).view(-1, atlas.dim)
    return grid.to(dtype=atlas.dtype, device=atlas.device), side


def _random_border(atlas: Atlas) -> Tensor:
    """Where rays from samples leave their charts and no other chart goes on, (B, 1, n)."""
    at = atlas.sample_coords(_RAYS, seed=0)
    source = torch.Generator().manual_seed(0)
    ray = torch.randn(_RAYS, atlas.dim, generator=source, dtype=torch.float64)
    # As long as the diagonal of the box.
    ray = 2 * atlas.dim**0.5 * ray / ray.norm(dim=-1, keepdim=True)
    step = ray.to(at.coords)
    domain = atlas.charts.domain
    end = domain.confine(
        at.coords + domain.exit(at.coords, step, at.chart).unsqueeze(-1) * step, at.chart
    )
    point = atlas.decode(end, at.chart).flatten(1)
    return point[~atlas.enter(point, at.chart)[0]].unsqueeze(1).cpu().double()
