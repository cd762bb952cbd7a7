"""Charts of a product of manifolds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.analytic import AnalyticCharts
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, JetRule, Pairs


class ProductCharts(Charts):
    """Products of the charts of several manifolds, whose points and coordinates are concatenated.

    There is one chart for every choice of a chart from each factor, the last factor's index running
    fastest. A factor that is a product counts by its own factors.

    Parameters
    ----------
    *factors : Charts

    Raises
    ------
    TypeError, ValueError
        If a factor is no Charts object, or there is none.
    """

    def __init__(self, *factors: Charts) -> None:
        if not factors:
            raise ValueError("factors must hold at least one Charts object, got none.")
        for factor in factors:
            if not isinstance(factor, Charts):
                raise TypeError(f"factors must be Charts objects, got {type(factor).__name__}.")
        flat: list[Charts] = [part for factor in factors for part in _parts(factor)]
        counts = [factor.n_charts for factor in flat]
        super().__init__(
            math.prod(counts),
            sum(factor.dim for factor in flat),
            (sum(factor.n_ambient for factor in flat),),
        )
        self.factors = nn.ModuleList(flat)
        self._dims = [factor.dim for factor in flat]
        self._sizes = [factor.n_ambient for factor in flat]
        self._counts = counts
        self._choices = list(itertools.product(*(range(count) for count in counts)))

    @property
    def parts(self) -> list[Charts]:
        """The factors."""
        return [factor for factor in self.factors if isinstance(factor, Charts)]

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        return self.each(lambda f, t, k: f.decode(t, k), coords, self._dims, chart)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        if chart is None and x.dim() == 2:
            parts = zip(self.parts, x.split(self._sizes, -1), strict=True)
            index = torch.tensor(self._choices, device=x.device).T
            found = zip((f.encode(part) for f, part in parts), index, strict=True)
            return torch.cat([coords[k] for coords, k in found], -1)
        return self.each(lambda f, y, k: f.encode(y, k), x, self._sizes, chart)

    def log_prior(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_prior`."""

        def density(factor: Charts, t: Tensor, k: int | None) -> Tensor:
            return factor.log_prior(t, k).unsqueeze(-1)

        return self.each(density, coords, self._dims, chart).sum(-1)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; every factor's with its part of the tangents."""
        n_first = tangents.shape[-3]
        # The rows of tangents and of derivatives are carried behind the points, as `each` wants.
        both = torch.cat([coords.unsqueeze(-2), tangents.movedim(-3, -2)], -2)

        def rows(factor: Charts, packed: Tensor, k: int | None) -> Tensor:
            directions = packed[..., 1:, :].movedim(-2, -3)
            jet = factor.jet(packed[..., 0, :], k, directions, pairs)
            stacked = torch.cat([jet.value.unsqueeze(-3), jet.first, jet.second], -3)
            return stacked.movedim(-3, -2)

        stacked = self.each(rows, both, self._dims, chart, trailing=2).movedim(-2, -3)
        value, first, second = stacked.split_with_sizes((1, n_first, len(pairs)), -3)
        return Jet(value.squeeze(-3), first, second)

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """What `AnalyticCharts.push` does; every factor must be of that kind."""

        def pushed(factor: Charts, packed: Tensor, k: int | None) -> Tensor:
            if not isinstance(factor, AnalyticCharts):
                raise TypeError(f"{type(factor).__name__} has no Taylor arithmetic.")
            return factor.push(packed.movedim(-2, -3), rule, k).movedim(-3, -2)

        packed = rows.movedim(-3, -2)
        return self.each(pushed, packed, self._dims, chart, trailing=2).movedim(-2, -3)

    def each(
        self,
        function: Callable[[Charts, Tensor, int | None], Tensor],
        rows: Tensor,
        sizes: list[int],
        chart: int | None,
        trailing: int = 1,
    ) -> Tensor:
        """Values of a function at every factor, its part of the rows, and its chart, concatenated.

        Rows are (N, ...) or (K, N, ...) with ``trailing`` axes behind the points, of which the last
        is split by the sizes.
        """
        parts = rows.split(sizes, -1)
        if chart is not None:
            triples = zip(self.parts, parts, self._choices[chart], strict=True)
            return torch.cat([function(factor, part, k) for factor, part, k in triples], -1)
        values = []
        for axis, (factor, part) in enumerate(zip(self.parts, parts, strict=True)):
            # Axes of all factors' charts; this one's goes first, the others join the points.
            grid = part.unflatten(0, self._counts).movedim(axis, 0)
            value = function(factor, grid.flatten(1, -1 - trailing), None)
            value = value.unflatten(1, grid.shape[1:-trailing]).movedim(0, axis)
            values.append(value.flatten(0, len(self._counts) - 1))
        return torch.cat(values, -1)


class AnalyticProductCharts(AnalyticCharts):
    """`ProductCharts` of factors that are all `AnalyticCharts`, itself one of them.

    Parameters
    ----------
    *factors : AnalyticCharts

    Raises
    ------
    TypeError, ValueError
        If a factor is none, or there is none.
    """

    def __init__(self, *factors: AnalyticCharts) -> None:
        product = ProductCharts(*factors)
        for factor in factors:
            if not isinstance(factor, AnalyticCharts):
                raise TypeError(f"factors must be AnalyticCharts, got {type(factor).__name__}.")
        super().__init__(product.n_charts, product.dim, product.ambient_shape)
        self.product = product

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        return self.product.push(rows, rule, chart)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        return self.product.encode(x, chart)

    def log_prior(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_prior`."""
        return self.product.log_prior(coords, chart)


def product_charts(*factors: Charts) -> ProductCharts | AnalyticProductCharts:
    """Charts of a product; in Taylor arithmetic where all factors are."""
    analytic = [factor for factor in factors if isinstance(factor, AnalyticCharts)]
    if factors and len(analytic) == len(factors):
        return AnalyticProductCharts(*analytic)
    return ProductCharts(*factors)


def _parts(factor: Charts) -> list[Charts]:
    if isinstance(factor, AnalyticProductCharts):
        return factor.product.parts
    return factor.parts if isinstance(factor, ProductCharts) else [factor]
