"""Where to start, where a cost has several minima."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.geometry import Located
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.manifolds.point import AtlasPoint
from learnedmanifolds.operators.base import Operator
from learnedmanifolds.operators.domain import OutsideDomainError

SCREENED = 64
"""Points that are screened for each start, by default.

Measured on squared misfits of random waves, with several minima, on a circle, a torus, a sphere, S^6
and a cube of dimension 6: one start, three, six reach the global minimum in 0.25, 0.5, 0.7 of the
problems from random starts, in 0.73, 0.94, 0.99 from these.
"""

# Starts are at least so far apart, in units of the root mean square distance of the points from their
# mean. Measured on the same costs: from 0.1 to 0.5 there is little between them, and little between
# them and starts at samples that are lower than their 2 d nearest ones; all beat the lowest samples.
SEPARATION = 0.3

# Below this separation any points will do.
LEAST_SEPARATION = 1e-6

# Values of a batch of points, 4 MB: operators take tens of times as much.
_BATCH = 2**19


def choose_starts(
    problem: InverseProblem, manifold: PymanoptManifold, n_starts: int, n_screen: int
) -> list[AtlasPoint]:
    """Points of low cost that are apart from each other, among random points of all charts.

    By rising cost, each point is taken that is far enough from those taken before; the first one is
    the lowest of all. Where too few are far enough, the distance is halved until there are enough.

    Parameters
    ----------
    problem : InverseProblem
    manifold : PymanoptManifold
        Its random numbers are drawn.
    n_starts : int
    n_screen : int
        Number of random points; at least ``n_starts`` are drawn.

    Returns
    -------
    list of AtlasPoint, length n_starts
        By rising cost. Random ones where no cost is finite.
    """
    atlas = manifold.atlas
    seed = int(manifold._random.integers(2**62))
    drawn = atlas.sample_coords(max(n_screen, n_starts), seed)
    size = max(1, _BATCH // atlas.charts.n_ambient)
    costs, mean, square = [], torch.zeros(()), 0.0
    with torch.no_grad():
        for chart, coords in zip(drawn.chart.split(size), drawn.coords.split(size), strict=True):
            points = atlas.decode(coords, chart)
            costs.append(problem.cost_batch(points, atlas))
            share = 1 / len(drawn.chart)
            mean = mean + share * points.flatten(1).sum(0)
            square += share * float(points.square().sum())
    spread = math.sqrt(max(0.0, square - float(mean.square().sum())))
    cost = torch.cat(costs).nan_to_num(nan=math.inf, posinf=math.inf)
    finite = int(cost.isfinite().sum())
    order = cost.argsort(stable=True)
    chosen = _apart(atlas, drawn, order[:finite] if finite >= n_starts else order, n_starts, spread)
    chosen.sort(key=lambda index: float(cost[index]))
    return [manifold.point(drawn.coords[i].numpy(), int(drawn.chart[i])) for i in chosen]


def require_a_start_inside(operator: Operator, points: Tensor) -> None:
    """`OutsideDomainError` if an operator raises it at each of the points (P, *ambient_shape)."""
    first: OutsideDomainError | None = None
    for point in points:
        try:
            with torch.no_grad():
                operator(point)
            return
        except OutsideDomainError as error:
            first = first or error
    raise OutsideDomainError(
        f"starts: expected at least one in the operator's domain, got {len(points)} outside; of "
        f"the first one it says: {first}"
    ) from first


def _apart(atlas: Atlas, drawn: Located, order: Tensor, n_starts: int, spread: float) -> list[int]:
    """Indices of points that are apart, the first ones in an order."""
    size = max(1, _BATCH // atlas.charts.n_ambient)
    chosen: list[int] = []
    points: list[Tensor] = []
    separation = SEPARATION
    while True:
        for batch in order.split(size):
            decoded = atlas.decode(drawn.coords[batch], drawn.chart[batch]).flatten(1)
            for index, point in zip(batch.tolist(), decoded, strict=True):
                if index in chosen:
                    continue
                gaps = [float((point - other).norm()) for other in points]
                if min(gaps, default=math.inf) >= separation * spread:
                    chosen.append(index)
                    points.append(point)
                if len(chosen) == n_starts:
                    return chosen
        separation = separation / 2 if separation > LEAST_SEPARATION else 0.0
