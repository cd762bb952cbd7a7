"""Where charts are trusted: how deep in it coordinates are, its walls, ways out and back in."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Chart = Tensor | int | None
"""One chart for all coordinates (N, d), charts (N,) of each, or None: all, coordinates (K, N, d)."""

# How far apart, in units of the box, paths are looked at: narrower holes may be stepped over.
_SECTION, _BISECTIONS = 0.1, 50


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

    def crossing(
        self,
        path: Callable[[float], Tensor],
        length: Tensor,
        chart: Chart,
        slack: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Parts of paths between which they first leave, (N,) each; both 1 where they are inside.

        Parameters
        ----------
        path : callable
            Coordinates (N, d) after a part in (0, 1] of the paths, which start inside.
        length : Tensor, shape (N,)
            Of the paths, in units of the box.
        chart : Chart
        slack : float
            Depth outside that counts as inside.
        """
        count = 1
        if self.curved and len(length):
            count = max(1, math.ceil(float(length.max()) / _SECTION))
        low, high = torch.ones_like(length), torch.ones_like(length)
        for i in range(count, 0, -1):
            out = self.depth(path(i / count), chart) < -slack
            low = torch.where(out, (i - 1) / count, low)
            high = torch.where(out, i / count, high)
        return low, high

    def leaves(self, coords: Tensor, step: Tensor, chart: Chart) -> Tensor:
        """Whether steps (N, d) lead out, be it only on the way, (N,)."""
        out = self.depth(coords + step, chart) < 0
        length = torch.where(out, 0.0, step.abs().amax(-1))
        if not self.curved or bool((length <= _SECTION).all()):
            return out
        return out | (self.crossing(lambda part: coords + part * step, length, chart)[0] < 1)

    def exit(self, coords: Tensor, step: Tensor, chart: Chart) -> Tensor:
        """The part of steps (N, d) after which they first leave, in [0, 1], (N,)."""
        # All domains are inside the box.
        whole = _exit_of_box(coords, step)
        step = whole.unsqueeze(-1) * step
        low, high = self.crossing(lambda part: coords + part * step, step.abs().amax(-1), chart)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            inside = self.depth(coords + middle.unsqueeze(-1) * step, chart) >= 0
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        return whole * low


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
        return _exit_of_box(coords, step)


def _exit_of_box(coords: Tensor, step: Tensor) -> Tensor:
    room = torch.where(step > 0, 1 - coords, 1 + coords)
    tiny = torch.finfo(step.dtype).tiny
    ratio = torch.where(step == 0, torch.inf, room / step.abs().clamp(min=tiny))
    return ratio.amin(-1).clamp(0, 1)
