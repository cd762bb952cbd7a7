"""Cubic splines on regular grids, one a chart."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.domain import Chart

_LEAST = 4


class CubicSplines:
    """f(t) = sum_i c_i B(t - t_i), with cubic B-splines about the knots of a grid.

    Beyond the second knot from the border, f goes on evenly. Where the coefficients are values of a
    function at the knots, f follows it without overshoot, and exactly where it is linear. Values are in
    the dtype of the knots, whatever that of the coordinates.

    Parameters
    ----------
    low, step : Tensor, shape (K, d)
        The first knot, and the distance of the knots along each axis.
    values : Tensor, shape (K, g^d)
        c, the last axis fastest; g knots an axis, at least 4.

    References
    ----------
    Schoenberg, Quarterly of Applied Mathematics 4, 1946.
    """

    def __init__(self, low: Tensor, step: Tensor, values: Tensor) -> None:
        self.low, self.step, self.values = low, step, values
        self.count = knots(values.shape[-1], low.shape[-1])

    def __call__(self, coords: Tensor, chart: Chart = None) -> Tensor:
        """Values (..., N) at coordinates (..., N, d)."""
        index, part, _ = self._cell(coords, chart)
        return self._sum(index, _basis(part), chart)

    def slope(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor]:
        """Values (..., N) and gradients (..., N, d)."""
        index, part, step = self._cell(coords, chart)
        basis, slope = _basis(part), _slopes(part) / step.unsqueeze(-1)
        rows = []
        for axis in range(coords.shape[-1]):
            mixed = [slope if a == axis else basis for a in range(coords.shape[-1])]
            rows.append(
                self._sum(
                    index, torch.stack([m[..., a, :] for a, m in enumerate(mixed)], -2), chart
                )
            )
        return self._sum(index, basis, chart), torch.stack(rows, -1)

    def _cell(self, coords: Tensor, chart: Chart) -> tuple[Tensor, Tensor, Tensor]:
        """The first of four knots along each axis, how far coordinates are beyond the second, steps."""
        low, step = self.low, self.step
        low, step = (
            (low.unsqueeze(1), step.unsqueeze(1)) if chart is None else (low[chart], step[chart])
        )
        place = (coords.to(low) - low) / step
        place = place.clamp(1, self.count - 2)
        first = place.detach().floor().clamp(max=self.count - 3) - 1
        # NaN has no cell; its value is NaN in any.
        first = first.nan_to_num(0.0)
        return first.long(), place - first - 1, step

    def _sum(self, index: Tensor, basis: Tensor, chart: Chart) -> Tensor:
        """Sums of the coefficients from indices (..., N, d) on, with weights (..., N, d, 4)."""
        weight, at = basis[..., 0, :], index[..., :1] + torch.arange(4, device=index.device)
        for axis in range(1, index.shape[-1]):
            own = index[..., axis : axis + 1] + torch.arange(4, device=index.device)
            weight = (weight.unsqueeze(-1) * basis[..., axis, :].unsqueeze(-2)).flatten(-2)
            at = (self.count * at.unsqueeze(-1) + own.unsqueeze(-2)).flatten(-2)
        if chart is None:
            row = torch.arange(len(self.values), device=index.device).view(-1, 1, 1)
            known = self.values[row, at]
        elif isinstance(chart, int):
            known = self.values[chart][at]
        else:
            known = self.values[chart.unsqueeze(-1), at]
        return (known * weight).sum(-1)


def knots(size: int, dim: int) -> int:
    """Knots along each axis of a grid of so many values.

    Raises
    ------
    ValueError
        If there is no such grid, or it has too few knots.
    """
    count = round(size ** (1 / dim))
    if count**dim != size or count < _LEAST:
        raise ValueError(
            f"values must be those of a grid of at least {_LEAST} knots along each of {dim} axes, "
            f"got {size}."
        )
    return count


def _basis(part: Tensor) -> Tensor:
    """The four cubic B-splines that are not 0 at parts of a cell, (..., 4)."""
    rest = 1 - part
    outer, last = rest.pow(3), part.pow(3)
    inner = 4 - 6 * part.square() + 3 * last
    return torch.stack([outer, inner, 4 - 6 * rest.square() + 3 * outer, last], -1) / 6


def _slopes(part: Tensor) -> Tensor:
    """Their derivatives."""
    rest = 1 - part
    first, last = -rest.square(), part.square()
    second = 3 * last - 4 * part
    return torch.stack([first, second, -first - second - last, last], -1) / 2
