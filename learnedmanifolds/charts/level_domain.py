"""Domains whose border is a level of a smooth function."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from learnedmanifolds.charts.domain import Chart, Domain, Walls

# How steeply the depth falls to the faces of the box, inside which all domains are.
_EDGE = 0.95
_PULLS, _HALVINGS = 6, 50
_AHEAD, _LONGEST = 1e-6, 0.2
_ROUNDINGS = 64


class Level(Protocol):
    """A smooth function of the coordinates of charts, such as `CubicSplines` and `LeverageLevel`."""

    def __call__(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """Values (..., N) at coordinates (..., N, d)."""
        ...

    def slope(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor]:
        """Values (..., N) and gradients (..., N, d)."""
        ...


class LevelDomain(Domain):
    """Where a function is positive: an approximate signed distance from the data's border.

    Parameters
    ----------
    level : Level
        The depth, about 1 inside and negative outside.
    inner : Tensor, shape (K, A, d)
        Points all over each domain.
    """

    def __init__(self, level: Level, inner: Tensor) -> None:
        self.level, self.inner = level, inner

    def depth(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """See `Domain.depth`."""
        edge = (1 - coords.abs().amax(-1)) / (1 - _EDGE)
        return torch.minimum(self.level(coords, chart).to(edge), edge)

    def walls(self, coords: Tensor, chart: Chart, slack: float) -> Walls:
        """See `Domain.walls`; the level, then the nearer face of every coordinate."""
        level, slope = (part.to(coords) for part in self.level.slope(coords, chart))
        slope = -slope
        size = slope.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(coords.dtype).tiny)
        side = torch.where(coords < 0, -1.0, 1.0).to(coords)
        normal = torch.cat([(slope / size).unsqueeze(1), torch.diag_embed(side)], 1)
        # Levels are rounded.
        near = max(slack, _ROUNDINGS * torch.finfo(coords.dtype).eps)
        return Walls(normal, torch.cat([level.unsqueeze(-1) <= near, coords.abs() >= 1 - near], 1))

    def confine(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """See `Domain.confine`; along the slope of the depth, and where that fails to inner points."""
        out = self.depth(coords, chart) < 0
        if not bool(out.any()):
            return coords
        where = out.nonzero(as_tuple=True)
        index: Chart = where[0] if chart is None else chart
        if isinstance(chart, Tensor):
            index = chart[where[0]]
        outer = coords[where].clamp(-1, 1)
        inner = self._inner(outer, index)
        found = torch.zeros_like(outer[:, 0], dtype=torch.bool)
        for _ in range(_PULLS):
            # A step of Newton's method for the depth, along the normal.
            depth = self.depth(outer, index)
            normal = self.walls(outer, index, 0.0).normal[:, 0]
            ahead = self.depth(outer - _AHEAD * normal, index)
            rise = (ahead - depth).clamp(min=torch.finfo(depth.dtype).tiny)
            length = (-depth * _AHEAD / rise).clamp(0, _LONGEST)
            trial = (outer - length.unsqueeze(-1) * normal).clamp(-1, 1)
            inside = self.depth(trial, index) >= 0
            new = (inside & ~found).unsqueeze(-1)
            inner, found = torch.where(new, trial, inner), found | inside
            outer = torch.where(found.unsqueeze(-1), outer, trial)
        # The border between the last point outside and one inside.
        for _ in range(_HALVINGS):
            half = (outer + inner) / 2
            deep = (self.depth(half, index) >= 0).unsqueeze(-1)
            outer, inner = torch.where(deep, outer, half), torch.where(deep, half, inner)
        return coords.index_put(where, inner)

    def _inner(self, coords: Tensor, chart: Chart) -> Tensor:
        """The inner points of charts nearest to coordinates (N, d)."""
        known = self.inner[chart].to(coords)
        gaps = torch.cdist(coords.detach().unsqueeze(-2), known).squeeze(-2)
        near = gaps.argmin(-1)
        return known[near] if known.dim() == 2 else known[torch.arange(len(near)), near]
