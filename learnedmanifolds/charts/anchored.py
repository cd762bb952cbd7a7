"""Charts whose left inverse is the nearest point, looked for from the nearest of their anchors."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.jet import Jet, Pairs
from learnedmanifolds.charts.refine import change, expansion, refine

BOUND = 1.1
"""Coordinates up to which nearest points are sought."""
# Points whose distances from all others are held at a time.
_ROWS = 128


def nearest_gaps(points: Tensor, rank: int) -> Tensor:
    """Distances (K, A) of points (K, A, r) from the nearest others of their chart, of a rank."""
    count = min(1 + rank, points.shape[1])
    gaps = points.new_empty(points.shape[:2])
    for own, made in zip(points, gaps, strict=True):
        for rows, part in zip(own.split(_ROWS), made.split(_ROWS), strict=True):
            part.copy_(torch.cdist(rows, own).topk(count, largest=False).values[:, -1])
    return gaps


class AnchoredCharts(Charts):
    """Charts with an exact left inverse by Newton's method from the nearest anchor.

    Asked for all charts, those that are clearly farther than another give coordinates outside their
    domains.

    Parameters
    ----------
    anchors : Tensor, shape (K, A, d)
        Coordinates all over the domains.
    ambient_shape : tuple of int
    """

    anchors: Tensor
    anchor_points: Tensor
    slack: Tensor

    def __init__(self, anchors: Tensor, ambient_shape: tuple[int, ...]) -> None:
        super().__init__(len(anchors), anchors.shape[-1], ambient_shape)
        self.register_buffer("anchors", anchors)
        self._within = 0.0

    @torch.no_grad()
    def _place_anchors(self, points: Tensor) -> None:
        """Take the anchors' points (K, A, r), as `seen_from` sees them."""
        self.register_buffer("anchor_points", points, persistent=False)
        # A point of a chart is hardly farther from the nearest anchor than anchors are apart, and so
        # for the point nearest to any other.
        apart = nearest_gaps(points, 2 * self.dim)
        self.register_buffer("slack", 2 * apart.amax(), persistent=False)

    def overlap_within(self, distance: float) -> None:
        """See `Charts.overlap_within`."""
        self._within = distance

    @abc.abstractmethod
    def local_jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """What `jet` gives, also of points each in a chart of its own, as `seen_from` sees it."""

    def seen_from(self, x: Tensor, chart: int | None = None) -> Tensor:
        """Points in coordinates in which charts are to be compared with them, (..., N, r).

        An isometry of the space that holds a chart; distances to its points change by a constant.
        """
        return x

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`; differentiable in x."""
        if chart is not None:
            seen = self.seen_from(x, chart)
            near = torch.cdist(seen.detach(), self.anchor_points[chart].to(seen)).argmin(-1)
            index = torch.full((len(x),), chart, device=x.device)
            return self._nearest(seen, index, self.anchors[chart][near].to(seen))
        # One set of points for all charts: those far from a chart need not be sought in it.
        shared = x.dim() == 2
        seen = self.seen_from(x)
        seen = seen.expand(self.n_charts, *seen.shape[-2:])
        gap, near = torch.cdist(seen.detach(), self.anchor_points.to(seen)).min(-1)
        start = self.anchors.to(seen).gather(1, near.unsqueeze(-1).expand(-1, -1, self.dim))
        outward = start / start.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        coords = BOUND * torch.where(start.abs().amax(-1, keepdim=True) > 0, outward, 1.0)
        asked = torch.ones_like(gap, dtype=torch.bool)
        if shared:
            gap = self._distance(x.detach(), seen.detach(), gap)
            asked = gap <= gap.amin(0) + self.slack + self._within
        k, row = asked.nonzero(as_tuple=True)
        return coords.index_put((k, row), self._nearest(seen[k, row], k, start[k, row]))

    def refined(self, seen: Tensor, chart: Tensor, start: Tensor) -> Tensor:
        """The same by descent from starts (N, d) alone: on the same part of the chart."""
        return refine(
            lambda t, index, second: expansion(
                lambda a, pairs: self.local_jet(t, chart[index], a, pairs), t, second
            ),
            start,
            seen.detach(),
            BOUND,
        ).coords

    def _distance(self, x: Tensor, seen: Tensor, gap: Tensor) -> Tensor:
        """Distances (K, N) in space from those, (K, N), of what is seen (K, N, r) of points (N, n)."""
        return gap

    def _nearest(self, seen: Tensor, chart: Tensor, start: Tensor) -> Tensor:
        """Coordinates (N, d) of the points of charts (N,) nearest to what is seen of others."""
        with torch.no_grad():
            coords = self.refined(seen, chart, start)
            if not seen.requires_grad:
                return coords
            made = expansion(lambda a, pairs: self.local_jet(coords, chart, a, pairs), coords)
        return coords + change(made, coords, seen, BOUND)
