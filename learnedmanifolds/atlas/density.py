"""Where along a manifold data are: a mixture of Gaussian bumps about points of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from learnedmanifolds.geometry.farthest import farthest
from learnedmanifolds.geometry.local import ChartedManifold, Located
from learnedmanifolds.geometry.principal import Principal
from learnedmanifolds.geometry.quadrature import MOST, Quadrature, quadrature, random_quadrature

# Bumps at most, by the dimension; and points that tell their weights.
_BUMPS, _BUMPS_BEYOND, _POINTS = {1: 128, 2: 400, 3: 800}, 600, 2**14
# Neighbouring centres are this many widths apart at most; every width is that before by so much.
_WIDEST_GAP, _NARROWER = 2.0, math.sqrt(0.5)
# Cells are this many widths long at most: the rule of their midpoints is off by less than 1 %.
_WIDEST_CELL = 2.0
# Points that stand for the others in the choice of the width, in up to three dimensions, and parts of
# the data that are left out in turn.
_TOLD, _FOLDS, _ROWS = 2048, 4, 1024
# Widths beyond the best one that are tried.
_PATIENCE = 1
# Steps of the weights, and how many times as long as those of EM: twice would not converge.
_STEPS, _FASTER = 50, 1.9
# Times that steps of draws that would leave the domain are halved.
_HALVINGS = 5
# The least part of a flat space's integral that a bump may have.
_LEAST = 0.01


class Bumps:
    """Functions exp(-|x - c_a|^2 / 2 h^2) about points c_a of a manifold.

    Of points of more than 64 features the distances of 64 principal coordinates count.

    Parameters
    ----------
    manifold : ChartedManifold
    centers : Located
        Where the c_a are, A places.
    """

    def __init__(self, manifold: ChartedManifold, centers: Located) -> None:
        self.manifold, self.centers = manifold, centers
        points = manifold.decode(centers.coords, centers.chart).flatten(1)
        self._mean = points.mean(0)
        basis = Principal.of((points - self._mean).double().cpu(), seed=0).basis
        self._principal = Principal(None if basis is None else basis.to(points))
        self._centers = self._principal.coordinates(points - self._mean)

    @cached_property
    def cells(self) -> Quadrature:
        """Those over which bumps are integrated: above three dimensions random points about centres."""
        if self.manifold.dim <= MOST:
            return quadrature(self.manifold)
        return random_quadrature(self.manifold, self.centers, self.gap)

    def to(self, manifold: ChartedManifold) -> Bumps:
        """The same of the manifold in another dtype or on another device."""
        coords = self.centers.coords.to(dtype=manifold.dtype, device=manifold.device)
        made = Bumps(manifold, Located(self.centers.chart.to(coords.device), coords))
        old, new = self.centers.coords, made.centers.coords
        if "cells" in vars(self) and (old.dtype, old.device) == (new.dtype, new.device):
            made.cells = self.cells
        return made

    @cached_property
    def gap(self) -> float:
        """Median distance of a centre from the nearest other; of a single one, the noise."""
        gaps = torch.cdist(self._centers, self._centers).fill_diagonal_(torch.inf)
        return float(gaps.amin(1).median()) if len(gaps) > 1 else self.manifold.noise_std

    def squares(self, x: Tensor) -> Tensor:
        """Squared distances (N, A) of points (N, n) from the centres; twice differentiable."""
        seen = self._principal.coordinates(x - self._mean)
        sizes = seen.square().sum(1, keepdim=True) + self._centers.square().sum(1)
        return sizes - 2 * seen @ self._centers.mT

    @cached_property
    def _cell_squares(self) -> Tensor:
        return self.squares(self.cells.points)

    def norms(self, width: float) -> Tensor:
        """Integrals of the bumps of a width over the manifold, (A,)."""
        norms = self.cells.weight @ torch.exp(-self._cell_squares / (2 * width**2))
        return norms.clamp(min=_LEAST * (2 * math.pi * width**2) ** (self.manifold.dim / 2))


@dataclass(frozen=True, eq=False)
class Density:
    """Density of data with respect to the Riemannian volume, sum_a w_a exp(-|x - c_a|^2 / 2 h^2) / Z_a.

    Every Z_a is the integral of its bump over the manifold, so the whole is one. Bumps are functions of
    points, not of coordinates: the density is the same from every chart.

    Attributes
    ----------
    bumps : Bumps
    weights, norms : Tensor, shape (A,)
        w_a and Z_a.
    width : float
        h, in the units of the data.

    References
    ----------
    Geman, Hwang, Annals of Statistics 10(2), 1982 (sieves of mixtures, as narrow as points left out
    allow); Laird, Journal of the American Statistical Association 73, 1978 (weights of a mixture by EM).
    """

    bumps: Bumps
    weights: Tensor
    norms: Tensor
    width: float

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density (N,) in nats at points (N, n); differentiable."""
        scale = self.weights.log() - self.norms.log()
        return torch.logsumexp(scale - self.bumps.squares(x) / (2 * self.width**2), dim=1)

    def draw(self, count: int, source: torch.Generator | None) -> Located:
        """Places of so many points drawn from the density.

        Between the midpoints of cells it is linear; beyond three dimensions random points are drawn, and
        moved by a part of the width.
        """
        at, points, weight, cell, _ = self.bumps.cells
        mass = weight * self.log_prob(points).exp()
        pick = torch.multinomial(mass.cpu().double(), count, True, generator=source).to(at.chart)
        d = at.coords.shape[1]
        moved = torch.rand(count, 2, d, 1, generator=source, dtype=torch.float64).sum(1) - 1
        if d > MOST:
            moved = self.width * moved
        step, chart, coords = (
            (cell[pick] @ moved.to(cell)).squeeze(-1),
            at.chart[pick],
            at.coords[pick],
        )
        domain = self.bumps.manifold.charts.domain
        # Clamped to the border they would pile up there.
        for part in (*[0.5] * _HALVINGS, 0.0):
            out = domain.depth(coords + step, chart) < 0
            step = torch.where(out.unsqueeze(1), part * step, step)
        return Located(chart, coords + step)

    def to(self, manifold: ChartedManifold) -> Density:
        """The same of the manifold in another dtype or on another device."""
        bumps = self.bumps.to(manifold)
        like = bumps.centers.coords
        return Density(bumps, self.weights.to(like), self.norms.to(like), self.width)


@torch.no_grad()
def learn_density(manifold: ChartedManifold, data: Located) -> Density:
    """The density of data at places on a manifold.

    Centres are data far from each other; weights are those of greatest likelihood, and the width is that
    of the greatest likelihood of points left out, by cross-validation from wide to narrow.
    """
    source = torch.Generator().manual_seed(0)
    order = torch.randperm(len(data.chart), generator=source)[:_POINTS].to(data.chart)
    chart, coords = data.chart[order], data.coords[order]
    points = manifold.decode(coords, chart).flatten(1)
    away = points - points.mean(0)
    seen = Principal.of(away.double().cpu(), seed=0).coordinates(away.double().cpu())
    few = manifold.dim <= MOST
    pick, counts = _representatives(seen, _TOLD if few else _POINTS)
    index = pick[: _BUMPS.get(manifold.dim, _BUMPS_BEYOND)].to(order)
    bumps = Bumps(manifold, Located(chart[index], coords[index]))
    counts, squares = counts.to(points), bumps.squares(points[pick.to(order)])
    least = max(bumps.gap / _WIDEST_GAP, bumps.cells.reach / _WIDEST_CELL)
    width = max(least, float(seen.square().sum(1).mean().sqrt()))
    best, highest, tried = width, -math.inf, 0
    while tried <= _PATIENCE and width >= least:
        heights = torch.exp(-squares / (2 * width**2)) / bumps.norms(width)
        left = [(heights @ _weights(heights, counts.sum(0) - own)).log() for own in counts]
        told = float(torch.where(counts > 0, counts * torch.stack(left), 0.0).sum())
        tried += 1
        if told > highest:
            best, highest, tried = width, told, 0
        width *= _NARROWER
    norms = bumps.norms(best)
    heights = torch.exp(-bumps.squares(points) / (2 * best**2)) / norms
    return Density(bumps, _weights(heights, torch.ones_like(points[:, 0])), norms, best)


def _representatives(points: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Some of points (N, q), far from each other, and how many they stand for in each fold, (F, B)."""
    pick = farthest(points, most)
    owner = [torch.cdist(part, points[pick]).argmin(1) for part in points.split(_ROWS)]
    fold = torch.arange(len(points)) % min(_FOLDS, len(points))
    place = torch.cat(owner) + len(pick) * fold
    counts = torch.bincount(place, minlength=len(pick) * int(fold.max() + 1))
    return pick, counts.view(-1, len(pick))


def _weights(heights: Tensor, counts: Tensor) -> Tensor:
    """Weights (A,) of the greatest likelihood of points, so many each, of bumps with heights (N, A)."""
    weights, tiny = (
        torch.full_like(heights[0], 1 / heights.shape[1]),
        torch.finfo(heights.dtype).tiny,
    )
    for _ in range(_STEPS):
        gain = heights.mT @ (counts / (heights @ weights).clamp(min=tiny)) / counts.sum()
        weights = weights * gain**_FASTER
        weights = weights / weights.sum()
    return weights
