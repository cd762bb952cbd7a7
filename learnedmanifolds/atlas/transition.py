"""Steps across the charts of an atlas: to the border, into the next chart, along a boundary."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from learnedmanifolds.geometry import ChartedManifold, LocalGeometry, Located

MIN_ENTRY_DEPTH = 0.01
"""A chart is entered where it holds the border point at least this deep (hysteresis), if one does."""

SHELL = 0.2
"""Long steps that end in the outer shell of a box, where the latent density falls, change chart."""

_LONG_STEP = 0.1
_ON_FACE = 1e-12
_MAX_CROSSINGS = 24


def move(manifold: ChartedManifold, located: Located, step: Tensor) -> Located:
    """End of a step in coordinates, walked through the charts that it crosses.

    Inside the box it is an addition. A step that leaves the box walks to the border; there the
    chart that holds the border point most deeply, among those that reproduce it within the atlas'
    tolerance, takes over, and the rest of the tangent vector is carried into it by projection.
    Where no chart does, the manifold ends: the step slides on along the face of the box.

    A long step that ends in the shell of the box near its border also moves on to a chart that
    holds the end much more deeply; a short one stays, so that a line search that converges near
    the border never sees two charts.

    Parameters
    ----------
    manifold : ChartedManifold
    located : Located
        Charts (N,) and coordinates (N, d) of the starts, inside the boxes.
    step : Tensor, shape (N, d)

    Returns
    -------
    Located
    """
    if not len(step):
        return located
    end = located.coords + step
    reach = end.abs().amax(-1)
    if float(reach.max()) <= 1 - SHELL:
        return Located(located.chart, end)
    long = step.abs().amax(-1) > _LONG_STEP
    chart, coords, rest = located.chart.clone(), located.coords.clone(), step.clone()
    active = reach > 1
    coords[~active] = end[~active]
    for _ in range(_MAX_CROSSINGS):
        if not bool(active.any()):
            break
        index = active.nonzero().squeeze(-1)
        at, k, part = coords[index], chart[index], rest[index]
        fraction = _exit_fraction(at, part).unsqueeze(-1)
        at = (at + fraction * part).clamp(-1, 1)
        part = (1 - fraction) * part
        local = LocalGeometry(manifold, at, k, first_order=True)
        entered, (new_chart, new_coords) = deepest_other(
            manifold, manifold.decode(at, k).flatten(1), k
        )
        entered &= ~_blocked_inside(at, part)
        # Those that go on in another chart carry the rest of the tangent vector with them.
        if bool(entered.any()):
            there = LocalGeometry(
                manifold, new_coords[entered], new_chart[entered], first_order=True
            )
            part[entered] = there.coordinates(local.vector(part)[entered])
            at[entered], k[entered] = new_coords[entered], new_chart[entered]
        if not bool(entered.all()):
            part[~entered] = _slide(local.metric, at, part)[~entered]
        coords[index], chart[index], rest[index] = at, k, part
        target = at + part
        done = (target.abs().amax(-1) <= 1) | (part.abs().amax(-1) < 1e-14)
        coords[index[done]] = target[done].clamp(-1, 1)
        active[index[done]] = False
    _leave_shell(manifold, chart, coords, located.chart, long)
    return Located(chart, coords)


def inward(manifold: ChartedManifold, local: LocalGeometry, vector: Tensor) -> Tensor:
    """Projection of tangent vectors (N, n) on the tangent cone: what does not leave the manifold.

    The identity but on a face of the box where no chart follows and which the vector leaves.
    """
    at = local.coords
    if float(at.abs().amax()) < 1 - _ON_FACE:
        return vector
    step = local.coordinates(vector)
    slid = _slide(local.metric, at, step)
    bent = (slid != step).any(-1)
    chart = torch.as_tensor(local.chart, device=at.device).expand(len(at))
    if bool(bent.any()):
        bent &= ~deepest_other(manifold, local.point, chart)[0]
    return torch.where(bent.unsqueeze(-1), local.vector(slid), vector)


def _exit_fraction(coords: Tensor, step: Tensor) -> Tensor:
    """Largest s in [0, 1] with coords + s * step in the box, (N,)."""
    room = torch.where(step > 0, 1 - coords, 1 + coords)
    ratio = torch.where(
        step == 0, torch.inf, room / step.abs().clamp(min=torch.finfo(step.dtype).tiny)
    )
    return ratio.amin(-1).clamp(0, 1)


def _blocked_inside(coords: Tensor, step: Tensor) -> Tensor:
    """Whether the rest of a step no longer presses against the border it stands at."""
    return ((coords + step).abs() <= 1).all(-1)


def deepest_other(
    manifold: ChartedManifold, x: Tensor, chart: Tensor, depth_asked: float = MIN_ENTRY_DEPTH
) -> tuple[Tensor, Located]:
    """Whether another chart holds each point deep enough, which, and where."""
    coords, error = manifold.claims(x)
    rows = torch.arange(len(x), device=x.device)
    depth = 1 - coords.abs().amax(-1)
    depth[chart, rows] = -torch.inf
    held = torch.where(error <= manifold.tolerance, depth, -torch.inf)
    # A jump a little beyond the tolerance is better than a wall where no boundary is, and so is a
    # chart that holds the point less deeply.
    nearly = torch.where(error <= 2 * manifold.tolerance, depth, -torch.inf)
    score = torch.where(held.amax(0) >= depth_asked, held, nearly)
    least = torch.where(score.amax(0) >= depth_asked, depth_asked, min(depth_asked, _ON_FACE))
    best, new_chart = torch.where(least < depth_asked, held, score).max(0)
    entered = best >= least
    return entered, Located(new_chart, coords[new_chart, rows])


def _slide(metric: Tensor, coords: Tensor, step: Tensor) -> Tensor:
    """Steps that do not leave the box, nearest to the given ones in the metric, (N, d).

    At an edge of the box the nearest step may be along any of its faces: the best of all.
    """
    on_face = coords.abs() >= 1 - _ON_FACE
    best, least = torch.zeros_like(step), step.new_full((len(step),), torch.inf)
    faces = on_face.any(0).nonzero().flatten().tolist()
    pulled = (metric @ step.unsqueeze(-1)).squeeze(-1)
    for count in range(len(faces) + 1):
        for held in itertools.combinations(faces, count):
            free = torch.ones_like(step)
            free[:, held] = 0
            restricted = metric * free.unsqueeze(-1) * free.unsqueeze(-2) + torch.diag_embed(
                1 - free
            )
            slid = torch.linalg.solve(restricted, pulled * free) * free if held else step
            gap = slid - step
            cost = (gap * (metric @ gap.unsqueeze(-1)).squeeze(-1)).sum(-1)
            better = ((slid * coords <= 0) | ~on_face).all(-1) & (cost < least)
            best, least = (
                torch.where(better.unsqueeze(-1), slid, best),
                torch.where(better, cost, least),
            )
    return best


def _leave_shell(
    manifold: ChartedManifold, chart: Tensor, coords: Tensor, start_chart: Tensor, long: Tensor
) -> None:
    """Move ends of long steps in the shell of their box to a chart that holds them deeper."""
    depth = 1 - coords.abs().amax(-1)
    index = (long & (depth < SHELL) & (chart == start_chart)).nonzero().squeeze(-1)
    if not len(index):
        return
    points = manifold.decode(coords[index], chart[index]).flatten(1)
    entered, (new_chart, new_coords) = deepest_other(manifold, points, chart[index])
    entered &= 1 - new_coords.abs().amax(-1) > SHELL
    chart[index[entered]] = new_chart[entered]
    coords[index[entered]] = new_coords[entered]
