"""One chart of a family, by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, Pairs


class SingleChart(Charts):
    """One chart of a family as a family of one.

    Parameters
    ----------
    charts : Charts
    index : int
    """

    def __init__(self, charts: Charts, index: int) -> None:
        super().__init__(1, charts.dim, charts.ambient_shape)
        self.charts, self.index = charts, index

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        if chart is None:
            return self.charts.decode(coords[0], self.index).unsqueeze(0)
        return self.charts.decode(coords, self.index)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        if chart is None:
            return self.charts.encode(x[0] if x.dim() == 3 else x, self.index).unsqueeze(0)
        return self.charts.encode(x, self.index)

    def log_prior(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_prior`."""
        if chart is None:
            return self.charts.log_prior(coords[0], self.index).unsqueeze(0)
        return self.charts.log_prior(coords, self.index)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`."""
        if chart is None:
            one = self.charts.jet(coords[0], self.index, tangents[0], pairs)
            return Jet(*(torch.unsqueeze(part, 0) for part in one))
        return self.charts.jet(coords, self.index, tangents, pairs)
