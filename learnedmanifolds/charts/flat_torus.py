"""Charts of the flat torus (S^1)^d in R^{2d} by its angles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learnedmanifolds._check import integer, positive
from learnedmanifolds.charts.analytic import AnalyticCharts
from learnedmanifolds.charts.jet import JetRule


class FlatTorusCharts(AnalyticCharts):
    """The flat torus as d pairs (cos, sin) of its angles, by d + 1 charts.

    Chart k has the angles 2 pi k / (d + 1) + w t_i, w = pi (1 - (1 - overlap) / (d + 1)). In each
    coordinate it leaves out an arc of half width pi - w about the opposite angle; these arcs are
    disjoint for different k, so the d angles of a point put at most d charts out of reach, and
    the boxes cover. Every point lies overlap / (d + overlap) deep inside one of them.

    Parameters
    ----------
    dim : int
        d.
    overlap : float
        In (0, 1).

    Raises
    ------
    TypeError, ValueError
        If the dimension is not a positive integer or the overlap not between 0 and 1.
    """

    def __init__(self, dim: int = 2, overlap: float = 0.75) -> None:
        super().__init__(integer(dim, "dim", minimum=1) + 1, dim, (2 * dim,))
        if not positive(overlap, "overlap") < 1:
            raise ValueError(f"overlap must be between 0 and 1, got {overlap}.")
        self.half_width = math.pi * (1 - (1 - overlap) / self.n_charts)
        middle = 2 * math.pi / self.n_charts * torch.arange(self.n_charts, dtype=torch.float64)
        self.middle: Tensor
        self.register_buffer("middle", middle.view(-1, 1, 1))

    def _middle(self, chart: int | None) -> Tensor:
        return self.middle if chart is None else self.middle[chart]

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        angles = rule.shift(self.half_width * rows, self._middle(chart))
        return torch.stack(rule.cos_sin(angles), -1).flatten(-2)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`; a point off the torus counts by its angles."""
        pairs = x.unflatten(-1, (self.dim, 2))
        angles = torch.atan2(pairs[..., 1], pairs[..., 0]) - self._middle(chart)
        return (torch.remainder(angles + math.pi, 2 * math.pi) - math.pi) / self.half_width
