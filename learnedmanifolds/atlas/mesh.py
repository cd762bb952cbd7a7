"""Meshes of an atlas: a part in every chart, cut where others take over and where the manifold ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from learnedmanifolds.atlas.atlas import Atlas

# Grids reach this far out of the box, so that its faces are cut like any other border.
_OUT = 1e-3
# Vertices of all charts' grids together, and the least along a side.
_VERTICES = {1: 800, 2: 3000}
_LEAST = {1: 100, 2: 16}
# Of balls around charts, a share of their radius.
_ROOM = 0.1
# By how much more than its region a chart is drawn, over the points a side: where three charts meet
# straight cuts leave gaps.
_MORE = 0.1
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
    # By how much others are farther off, infinite where there is none.
    lead = torch.full_like(depth, torch.inf)
    if atlas.n_charts > 1 and len(t):
        off = regions.all_off(atlas.charts.decode(t, chart))
        off[:, chart] = torch.inf
        lead = off.amin(-1) - regions.off(t, chart) + _MORE / side
    corners, ends = _cut(cells, torch.minimum(depth, lead) >= 0, d)

    # Each corner is on an edge (i, j): the vertex i itself, or where the piece ends between them.
    edges, inverse = torch.cat([corners.flatten(0, 1), ends.flatten(0, 1)]).unique(
        dim=0, return_inverse=True
    )
    i, j = edges.unbind(-1)
    # Where another chart begins to hold the points between two vertices, both are drawn rather than none.
    met = lead[i].isfinite() & (lead[j] < 0)
    share = torch.where(met, lead[i] / (lead[i] - lead[j]), 1.0)
    out = depth[j] < 0
    exits = domain.exit(t[i[out]], t[j[out]] - t[i[out]], chart)
    left = torch.zeros_like(out)
    left[out] = exits <= share[out]
    share[out] = torch.minimum(share[out], exits)
    share[i == j] = 0.0
    at = t[i] + share.unsqueeze(-1) * (t[j] - t[i])
    # The manifold ends where the domain does, and no other chart goes on behind.
    last = left.clone()
    if atlas.n_charts > 1 and bool(left.any()):
        ahead = at[left] + nn.functional.normalize((t[j] - t[i])[left], dim=-1) / side
        off = regions.all_off(atlas.charts.decode(ahead, chart))
        off[:, chart] = torch.inf
        last[left] = off.amin(-1).isinf()
    pieces = at[inverse[: corners[..., 0].numel()].view(-1, d + 1)]
    facets = inverse[corners[..., 0].numel() :].view(-1, d)
    facets = at[facets[last[facets].all(-1)]]
    # In space the grid's triangles would be seen as facets.
    pieces = _quartered(pieces) if d == 2 and atlas.charts.n_ambient > 2 else pieces

    def decoded(corner: Tensor) -> Tensor:
        points = atlas.charts.decode(corner.flatten(0, 1), chart) if len(corner) else corner
        return points.view(*corner.shape[:-1], atlas.charts.n_ambient).cpu().double()

    return decoded(pieces), decoded(facets)


def _quartered(triangles: Tensor) -> Tensor:
    """Every triangle (M, 3, d) as four."""
    a, b, c = triangles.unbind(1)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return torch.cat([torch.stack(part, 1) for part in parts])


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
    """Which chart a point is drawn in: of those that hold it the one in whose middle it is most.

    That is, whose coordinates are nearest to the mean of the domain, in units of the domain's size.
    Depths may be rough functions, so that the deepest chart would change often where two overlap.

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
        centers, sizes, balls = [], [], []
        for k in range(atlas.n_charts):
            own = self.grid[atlas.charts.domain.depth(self.grid, k) >= 0]
            # A domain may be smaller than the grid's gaps.
            own = own if len(own) else self.grid
            centers.append(own.mean(0))
            sizes.append((own - centers[k]).square().sum(-1).mean().sqrt().clamp(min=_OUT))
            point = atlas.charts.decode(own, k)
            far = (point - point.mean(0)).norm(dim=-1).max()
            balls.append((point.mean(0), (1 + _ROOM) * far + atlas.tolerance))
        self.center, self.size, self.balls = torch.stack(centers), torch.stack(sizes), balls

    def off(self, coords: Tensor, chart: int) -> Tensor:
        """How far coordinates (N, d) are from the middle of their chart, (N,)."""
        return (coords - self.center[chart]).norm(dim=-1) / self.size[chart]

    def all_off(self, point: Tensor) -> Tensor:
        """The same of points (N, n) in each chart, infinite where it does not hold them, (N, K)."""
        charts = self.atlas.charts
        out = point.new_full((len(point), self.atlas.n_charts), torch.inf)
        for k, (middle, radius) in enumerate(self.balls):
            index = ((point - middle).norm(dim=-1) <= radius).nonzero().squeeze(-1)
            if len(index):
                coords = charts.encode(point[index], k)
                error = (charts.decode(coords, k) - point[index]).norm(dim=-1)
                holds = (error <= self.atlas.agreement) & (charts.domain.depth(coords, k) >= 0)
                out[index, k] = torch.where(holds, self.off(coords, k), torch.inf)
        return out

    def owner(self, point: Tensor, chart: Tensor) -> Tensor:
        """The chart (N,) that each of points (N, n) is drawn in, the given one where none holds it."""
        if self.atlas.n_charts == 1:
            return chart
        off, owner = self.all_off(point).min(-1)
        return torch.where(off.isinf(), chart, owner)


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
