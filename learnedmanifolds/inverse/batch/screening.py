"""Starts of many problems among the same random points, as `choose_starts` takes them for one."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import integer
from learnedmanifolds.geometry import Located
from learnedmanifolds.inverse.batch.objective import BatchObjective
from learnedmanifolds.inverse.starts import LEAST_SEPARATION, SCREENED, SEPARATION

# Numbers in work at once.
_BATCH = 2**22


def drawn_starts(
    objective: BatchObjective, n_starts: int, seed: int | None, n_screen: int | None
) -> Located:
    """The starts that `solve` has with these arguments, charts (N, S) and coordinates (N, S, d).

    All problems draw the same random points, at which the operator is evaluated once.
    """
    atlas = objective.atlas
    screened = SCREENED * n_starts if n_screen is None else integer(n_screen, "n_screen", minimum=0)
    root = np.random.SeedSequence(None if seed is None else integer(seed, "seed", minimum=0))
    random = np.random.default_rng(root)
    n_problems = len(objective.observations)
    if not screened:
        spots = [atlas.sample_coords(1, int(random.integers(2**62))) for _ in range(n_starts)]
        chart, coords = (torch.cat(part) for part in zip(*spots, strict=True))
        return Located(chart.expand(n_problems, -1), coords.expand(n_problems, -1, -1))
    drawn = atlas.sample_coords(max(screened, n_starts), int(random.integers(2**62)))
    points = atlas.decode(drawn.coords, drawn.chart)
    index = apart(screen(objective, points), points.flatten(1), n_starts)
    return Located(drawn.chart[index], drawn.coords[index])


def screen(objective: BatchObjective, points: Tensor) -> Tensor:
    """Costs (N, P) of points (P, *ambient_shape) in every problem; infinite where not numbers."""
    with torch.no_grad():
        predicted = objective.predict(points)
        prior = objective.prior(points)
        n_points = len(points)
        costs = []
        for observed in objective.observations.split(max(1, _BATCH // predicted.numel())):
            shape = (len(observed), *predicted.shape)
            misfit = objective.noise.negative_log_likelihood(
                predicted.expand(shape).flatten(0, 1),
                observed.unsqueeze(1).expand(shape).flatten(0, 1),
            )
            costs.append(misfit.view(-1, n_points) + prior)
    return torch.cat(costs).nan_to_num(nan=math.inf, posinf=math.inf)


def apart(cost: Tensor, points: Tensor, n_starts: int) -> Tensor:
    """Indices (N, S) of points (P, n) of low cost (N, P) that are apart, by rising cost.

    By rising cost, each point is taken that is far enough from those taken before. Where too few
    are far enough, the distance is halved until there are enough.
    """
    order = cost.argsort(dim=1, stable=True)
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(cost.shape[1], device=cost.device).expand_as(order))
    chosen = order[:, :1]
    if n_starts == 1:
        return chosen
    n_points = cost.shape[1]
    finite = cost.isfinite()
    barred = ~finite & (finite.sum(1, keepdim=True) >= n_starts)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    spread = math.sqrt(float((points - points.mean(0)).square().sum(1).mean()))
    parts = [
        _chosen(rank[rows], barred[rows], distances, n_starts, spread)
        for rows in torch.arange(len(cost), device=cost.device).split(max(1, _BATCH // n_points))
    ]
    index = torch.cat(parts)
    return index.gather(1, rank.gather(1, index).argsort(1))


def _chosen(
    rank: Tensor, barred: Tensor, distances: Tensor, n_starts: int, spread: float
) -> Tensor:
    n_points = rank.shape[1]
    barred, rows = barred.clone(), torch.arange(len(rank), device=rank.device)
    gap = torch.full_like(distances[:1], math.inf).repeat(len(rank), 1)
    separation = torch.full_like(gap[:, 0], SEPARATION)
    chosen = torch.zeros(len(rank), n_starts, dtype=torch.int64, device=rank.device)
    counts = torch.zeros_like(rows)
    while bool((counts < n_starts).any()):
        near = gap < (separation * spread).unsqueeze(1)
        best, index = rank.masked_fill(near | barred, n_points).min(1)
        found = (best < n_points) & (counts < n_starts)
        at = found.nonzero().squeeze(-1)
        chosen[at, counts[at]] = index[at]
        barred[at, index[at]] = True
        gap[at] = torch.minimum(gap[at], distances[index[at]])
        counts = counts + found.long()
        halved = torch.where(separation > LEAST_SEPARATION, separation / 2, 0.0)
        separation = torch.where(best < n_points, separation, halved)
    return chosen
