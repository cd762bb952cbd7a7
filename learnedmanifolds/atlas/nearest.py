"""Nearest points of an atlas, at any distance: Newton's method in the boxes of all charts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from learnedmanifolds.charts.anchored import AnchoredCharts
from learnedmanifolds.charts.anchors import Anchors, is_huge, nearer
from learnedmanifolds.charts.border import refine_on_border
from learnedmanifolds.charts.jet import Jet
from learnedmanifolds.charts.level_domain import LevelDomain
from learnedmanifolds.charts.refine import Expand, Expansion, Refined, change, expansion, refine
from learnedmanifolds.geometry.local import ChartedManifold, Located

# Anchors along an axis of a box, by its dimension; beyond, a quasi-random set.
_PER_AXIS = {1: 129, 2: 33, 3: 13, 4: 7}
_MANY = 4096
# Numbers that the anchors of an atlas may take; a chart has at least some.
_LARGEST, _FEWEST = 2**25, 64
# Starts for one point beside the encoders', up to three dimensions and beyond, where there are many.
_BASINS, _FEW, _BASINS_BEYOND = 16, 3, 4
# An error below this many roundings of a point's size is zero.
_ROUNDING = 64


@torch.no_grad()
def anchors(manifold: ChartedManifold) -> tuple[Anchors, Located]:
    """Points all over the domains of all charts, and where they are."""
    d, n_charts = manifold.dim, manifold.n_charts
    coords = _all_over(manifold).to(dtype=manifold.dtype, device=manifold.device)
    chart = torch.arange(n_charts, device=coords.device).repeat_interleave(coords.shape[1])
    points = manifold.decode(coords.flatten(0, 1), chart).flatten(1)
    made = Anchors.of(coords, points, min(3**d - 1, 4 * d), d)
    return made, Located(chart, coords.flatten(0, 1))


def _all_over(manifold: ChartedManifold) -> Tensor:
    """Coordinates (K, M, d) all over the domains."""
    d, domain = manifold.dim, manifold.charts.domain
    most = max(_FEWEST, _LARGEST // (manifold.n_charts * manifold.charts.n_ambient))
    if d > _FEW and isinstance(domain, LevelDomain):
        # Domains are small parts of boxes of many dimensions.
        return domain.inner[:, :most]
    side = min(_PER_AXIS.get(d, 0), int(most ** (1 / d)))
    if side > 2:
        axis = torch.linspace(-1, 1, side, dtype=torch.float64)
        box = torch.cartesian_prod(*[axis] * d).view(-1, d)
    else:
        sobol = torch.quasirandom.SobolEngine(d, scramble=True, seed=0)
        box = 2 * sobol.draw(min(_MANY, most), dtype=torch.float64) - 1
    box = box.to(dtype=manifold.dtype, device=manifold.device)
    # Those outside a domain stand at its border.
    return domain.confine(box.expand(manifold.n_charts, *box.shape))


def nearest(manifold: ChartedManifold, x: Tensor) -> Located:
    """Chart and coordinates of the point of the manifold nearest to each flat point, (N, n).

    Minimises |D_k(t) - x|^2 over the domains of all charts: from the encoder's coordinates in the chart
    that claims x best, then from every anchor that is nearer than its neighbours in the box and may
    lead to a nearer point: up to 16 of them, above three dimensions up to 4. Coordinates have the
    derivative of the nearest point by x, once.
    """
    with torch.no_grad():
        found = _nearest(manifold, x.detach())
    return followed(manifold, found, x)


def followed(manifold: ChartedManifold, found: Located, x: Tensor) -> Located:
    """Places of the points nearest to x, which coordinates with the derivative by x are given."""
    if not (x.requires_grad and torch.is_grad_enabled() and len(x)):
        return found
    chart, coords = found
    with torch.no_grad():
        made = expansion(lambda t, pairs: manifold.jet(coords, chart, t, pairs), coords)
    return Located(chart, coords + change(made, coords, x))


def _nearest(manifold: ChartedManifold, x: Tensor) -> Located:
    n, d = len(x), manifold.dim
    if not n:
        return Located(torch.zeros(0, dtype=torch.int64, device=x.device), x.new_zeros(0, d))
    if bool(is_huge(x).any()):
        x = manifold.anchors[0].drawn_in(x)
    starts = manifold.charts.domain.confine(manifold.charts.encode(x))
    points = manifold.charts.decode(starts)
    chart = nearer(points, points[:1].nan_to_num(), x).nan_to_num(torch.inf).argmin(0)
    rows = torch.arange(n, device=x.device)
    coords, point = _descend(manifold, chart, starts[chart, rows].nan_to_num(), x)
    error = (point - x).norm(dim=-1)
    rounding = _ROUNDING * torch.finfo(x.dtype).eps
    left = (error > rounding * (point.norm(dim=-1) + x.norm(dim=-1))).nonzero().squeeze(-1)
    if not len(left):
        return Located(chart, coords)
    spread, places = manifold.anchors
    count = _BASINS if d <= _FEW else _BASINS_BEYOND
    row, anchor = spread.basins(x[left], point[left], count)
    row = left[row]
    # A minimum as near to an anchor as its neighbours is the one that it would lead to.
    at, other = places.coords[anchor], places.chart[anchor]
    around = (places.coords[spread.around[anchor]] - at.unsqueeze(1)).abs().amax((1, 2))
    new = (chart[row] != other) | ((coords[row] - at).abs().amax(-1) > around)
    row, at, other = row[new], at[new], other[new]
    if len(row):
        found = _descend(manifold, other, at, x[row])
        gain = nearer(found.point, point[row], x[row])
        least = x.new_zeros(n).scatter_reduce(0, row, gain, "amin")
        # Two starts may end in one point: the last counts.
        best = (gain == least[row]) & (gain < 0)
        place = torch.full_like(chart, -1)
        place[row[best]] = best.nonzero().squeeze(-1)
        better = place >= 0
        chart[better], coords[better] = other[place[better]], found.coords[place[better]]
    return Located(chart, coords)


def _descend(manifold: ChartedManifold, chart: Tensor, coords: Tensor, x: Tensor) -> Refined:
    charts, domain = manifold.charts, manifold.charts.domain
    jet: Callable[..., Jet] = manifold.jet
    if isinstance(charts, AnchoredCharts):
        # In the fewer dimensions that a chart spans.
        jet, seen = charts.local_jet, charts.seen_from(x)
        rows = torch.arange(len(x), device=x.device)
        x = seen[chart, rows] if seen.dim() == 3 else seen

    def expand_in(own: Tensor) -> Expand:
        def expand(at: Tensor, index: Tensor, second: bool) -> Expansion:
            return expansion(lambda t, pairs: jet(at, own[index], t, pairs), at, second)

        return expand

    found = refine(expand_in(chart), coords, x).coords
    if domain.curved:
        out = (domain.depth(found, chart) < 0).nonzero().squeeze(-1)
        if len(out):
            k = chart[out]
            found[out] = refine_on_border(expand_in(k), domain, k, found[out], x[out]).coords
    return Refined(found, manifold.decode(found, chart).flatten(1))
