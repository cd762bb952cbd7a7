"""Where charts are trusted: how deep in it coordinates are, its walls, ways out and back in."""

from __future__ import annotations

import abc
from typing import NamedTuple

import torch
from torch import Tensor

Chart = Tensor | int | None
"""One chart for all coordinates (N, d), charts (N,) of each, or None: all, coordinates (K, N, d)."""

_SECTIONS, _BISECTIONS = 16, 50


class Walls(NamedTuple):
    """Walls beside points.

    Attributes
    ----------
    normal : Tensor, shape (N, W, d)
        Outward, of unit length.
    on : Tensor of bool, shape (N, W)
        Whether the point is on the wall.
    """

    normal: Tensor
    on: Tensor

    def pressed(self, direction: Tensor) -> Tensor:
        """Which walls points are on and directions (N, d) leave through, (N, W)."""
        return self.on & ((self.normal @ direction.unsqueeze(-1)).squeeze(-1) > 0)


class Domain(abc.ABC):
    """Regions of R^d, one a chart, inside the box [-1, 1]^d.

    Attributes
    ----------
    curved : bool
        Whether walls are: a step along one leaves the domain then.
    on_wall : float
        Points less deep than this are on a wall: what rounding leaves of the depth there.
    """

    curved = True
    on_wall = 1e-9

    @abc.abstractmethod
    def depth(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """At most 1 in the middle, 0 at the border, negative outside, (..., N)."""

    @abc.abstractmethod
    def walls(self, coords: Tensor, chart: Chart, slack: float) -> Walls:
        """Walls, which points (N, d) are on where they are less deep than ``slack``."""

    @abc.abstractmethod
    def confine(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """The coordinates, (..., N, d); those outside moved to the border nearby."""

    def exit(self, coords: Tensor, step: Tensor, chart: Chart) -> Tensor:
        """The part of steps (N, d) after which they first leave, in [0, 1], (N,)."""
        low, high = torch.zeros_like(coords[:, 0]), torch.ones_like(coords[:, 0])
        found = torch.zeros_like(low, dtype=torch.bool)
        for i in range(1, _SECTIONS + 1):
            part = i / _SECTIONS
            out = self.depth(coords + part * step, chart) < 0
            new = out & ~found
            low[new], high[new] = part - 1 / _SECTIONS, part
            found |= out
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            inside = self.depth(coords + middle.unsqueeze(-1) * step, chart) >= 0
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        return torch.where(found, low, 1.0)


class Box(Domain):
    """The whole box [-1, 1]^d; depth is 1 - max |t_i|."""

    curved = False
    on_wall = 1e-12

    def depth(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """See `Domain.depth`."""
        return 1 - coords.abs().amax(-1)

    def walls(self, coords: Tensor, chart: Chart, slack: float) -> Walls:
        """See `Domain.walls`; the nearer face of every coordinate."""
        side = torch.where(coords < 0, -1.0, 1.0).to(coords)
        return Walls(torch.diag_embed(side), coords.abs() >= 1 - slack)

    def confine(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """See `Domain.confine`."""
        return coords.clamp(-1, 1)

    def exit(self, coords: Tensor, step: Tensor, chart: Chart) -> Tensor:
        """See `Domain.exit`."""
        room = torch.where(step > 0, 1 - coords, 1 + coords)
        tiny = torch.finfo(step.dtype).tiny
        ratio = torch.where(step == 0, torch.inf, room / step.abs().clamp(min=tiny))
        return ratio.amin(-1).clamp(0, 1)
