"""Steps across the charts of an atlas: to the border, into the next chart, along a boundary."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from learnedmanifolds.charts.domain import Walls
from learnedmanifolds.geometry import ChartedManifold, LocalGeometry, Located
from learnedmanifolds.geometry.curve import SAME

MIN_ENTRY_DEPTH = 0.01
"""A chart is entered where it holds the border point at least this deep (hysteresis), if one does."""

SHELL = 0.2
"""Long steps that end in the outer shell of a domain, where densities fall, change chart."""

_LONG_STEP = 0.1
_LEAST_DEPTH = 1e-12
_MAX_CROSSINGS = 24


def move(manifold: ChartedManifold, located: Located, step: Tensor) -> Located:
    """End of a step in coordinates, walked through the charts that it crosses.

    Inside the domain it is an addition. A step that leaves it, be it into a hole on the way, walks to
    the border; there the chart that holds the border point most deeply, among those that reproduce
    it within the atlas' tolerance, takes over, and the rest of the tangent vector is carried into it
    by projection. Where no chart does, the manifold ends: the step slides on along the wall.

    A long step that ends in the shell of the domain near its border also moves on to a chart that
    holds the end much more deeply; a short one stays, so that a line search that converges near
    the border never sees two charts.

    Parameters
    ----------
    manifold : ChartedManifold
    located : Located
        Charts (N,) and coordinates (N, d) of the starts, inside the domains.
    step : Tensor, shape (N, d)

    Returns
    -------
    Located
    """
    if not len(step):
        return located
    domain = manifold.charts.domain
    long = step.abs().amax(-1) > _LONG_STEP
    chart, coords, rest = located.chart.clone(), located.coords.clone(), step.clone()
    active = domain.leaves(coords, step, chart)
    coords[~active] += step[~active]
    for _ in range(_MAX_CROSSINGS):
        if not bool(active.any()):
            break
        index = active.nonzero().squeeze(-1)
        at, k, part = coords[index], chart[index], rest[index]
        fraction = domain.exit(at, part, k).unsqueeze(-1)
        at = domain.confine(at + fraction * part, k)
        part = (1 - fraction) * part
        local = LocalGeometry(manifold, at, k, first_order=True)
        entered, (new_chart, new_coords) = deepest_other(
            manifold, manifold.decode(at, k).flatten(1), k
        )
        # Some no longer press against the border that they stand at.
        entered &= domain.leaves(at, part, k)
        # Those that go on in another chart carry the rest of the tangent vector with them.
        if bool(entered.any()):
            there = LocalGeometry(
                manifold, new_coords[entered], new_chart[entered], first_order=True
            )
            part[entered] = there.coordinates(local.vector(part)[entered])
            at[entered], k[entered] = new_coords[entered], new_chart[entered]
        if not bool(entered.all()):
            walls = domain.walls(at, local.chart, domain.on_wall)
            slid = _slide(local.metric, walls, part)[~entered]
            if domain.curved:
                at[~entered] = domain.confine(at[~entered] + slid, k[~entered])
                slid = torch.zeros_like(slid)
            part[~entered] = slid
        coords[index], chart[index], rest[index] = at, k, part
        target = at + part
        done = ~domain.leaves(at, part, k) | (part.abs().amax(-1) < 1e-14)
        coords[index[done]] = domain.confine(target[done], k[done])
        active[index[done]] = False
    _leave_shell(manifold, chart, coords, located.chart, long)
    return Located(chart, coords)


def inward(manifold: ChartedManifold, local: LocalGeometry, vector: Tensor) -> Tensor:
    """Projection of tangent vectors (N, n) on the tangent cone: what does not leave the manifold.

    The identity but on a wall behind which no chart follows and through which the vector leaves.
    """
    (chart, at), domain = local.located, manifold.charts.domain
    walls = domain.walls(at, chart, domain.on_wall)
    if not bool(walls.on.any()):
        return vector
    step = local.coordinates(vector)
    slid = _slide(local.metric, walls, step)
    bent = (slid != step).any(-1)
    if bool(bent.any()):
        bent &= ~deepest_other(manifold, local.point, chart)[0]
    return torch.where(bent.unsqueeze(-1), local.vector(slid), vector)


def on_sheet(manifold: ChartedManifold, error: Tensor, depth: Tensor, most: float) -> Tensor:
    """Which charts hold points, by how far they miss them (K, N) and the depths there (K, N).

    Those that miss it by at most so much, unless another is much nearer: they may be another sheet that
    passes by.
    """
    inside = depth >= 0
    least = torch.where(inside, error, torch.inf).amin(0)
    return inside & (error <= most) & (error <= least + SAME * manifold.agreement)


def deepest_other(
    manifold: ChartedManifold, x: Tensor, chart: Tensor, depth_asked: float = MIN_ENTRY_DEPTH
) -> tuple[Tensor, Located]:
    """Whether another chart holds each point deep enough, which, and where."""
    if manifold.n_charts == 1:
        none = torch.zeros_like(chart, dtype=torch.bool)
        return none, Located(chart, x.new_zeros(len(x), manifold.dim))
    coords, error = manifold.claims(x)
    rows = torch.arange(len(x), device=x.device)
    depth = manifold.charts.domain.depth(coords)
    depth[chart, rows] = -torch.inf
    held = torch.where(on_sheet(manifold, error, depth, manifold.agreement), depth, -torch.inf)
    # A jump a little farther than charts agree is better than a wall where no boundary is, and so is a
    # chart that holds the point less deeply.
    nearly = torch.where(error <= 2 * manifold.agreement, depth, -torch.inf)
    score = torch.where(held.amax(0) >= depth_asked, held, nearly)
    least = torch.where(score.amax(0) >= depth_asked, depth_asked, min(depth_asked, _LEAST_DEPTH))
    best, new_chart = torch.where(least < depth_asked, held, score).max(0)
    entered = best >= least
    return entered, Located(new_chart, coords[new_chart, rows])


def _slide(metric: Tensor, walls: Walls, step: Tensor) -> Tensor:
    """Steps that leave through no wall, nearest to the given ones in the metric, (N, d).

    At an edge between walls the nearest step may be along any of them: the best of all.
    """
    best, least = torch.zeros_like(step), step.new_full((len(step),), torch.inf)
    numbers = walls.on.any(0).nonzero().flatten().tolist()
    raised = torch.linalg.solve(metric, walls.normal.mT).mT
    rounding = 8 * torch.finfo(step.dtype).eps * step.abs().amax(-1, keepdim=True)
    for count in range(min(len(numbers), step.shape[-1]) + 1):
        for held in itertools.combinations(numbers, count):
            # Without their parts along the normals of the walls held, raised by the metric.
            normal, up = walls.normal[:, held], raised[:, held]
            # Walls may be parallel.
            load = torch.linalg.pinv(up @ normal.mT) @ (normal @ step.unsqueeze(-1))
            slid = step - (up.mT @ load).squeeze(-1) if held else step
            # What rounding leaves would lead through walls of the box again.
            slid = torch.where(slid.abs() <= rounding, 0.0, slid)
            along = (walls.normal @ slid.unsqueeze(-1)).squeeze(-1)
            along[:, held] = 0
            gap = slid - step
            cost = (gap * (metric @ gap.unsqueeze(-1)).squeeze(-1)).sum(-1)
            better = ((along <= 0) | ~walls.on).all(-1) & (cost < least)
            best, least = (
                torch.where(better.unsqueeze(-1), slid, best),
                torch.where(better, cost, least),
            )
    return best


def _leave_shell(
    manifold: ChartedManifold, chart: Tensor, coords: Tensor, start_chart: Tensor, long: Tensor
) -> None:
    """Move ends of long steps in the shell of their domain to a chart that holds them deeper."""
    domain = manifold.charts.domain
    index = (long & (chart == start_chart)).nonzero().squeeze(-1)
    index = index[domain.depth(coords[index], chart[index]) < SHELL]
    if not len(index):
        return
    points = manifold.decode(coords[index], chart[index]).flatten(1)
    entered, (new_chart, new_coords) = deepest_other(manifold, points, chart[index])
    entered &= domain.depth(new_coords, new_chart) > SHELL
    chart[index[entered]] = new_chart[entered]
    coords[index[entered]] = new_coords[entered]
