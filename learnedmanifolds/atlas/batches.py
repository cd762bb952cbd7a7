"""Evaluation of points in different charts, in few calls."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def single(chart: Tensor | int) -> int | None:
    """The chart that all rows are in, if they are in one."""
    if isinstance(chart, int):
        return chart
    if not len(chart):
        return 0
    return int(chart[0]) if bool((chart == chart[0]).all()) else None


def by_chart(
    n_charts: int,
    chart: Tensor | int,
    arguments: tuple[Tensor, ...],
    function: Callable[..., Tensor],
) -> Tensor:
    """Evaluate ``function(k, *arguments)`` for rows in different charts in one batched call.

    Rows of one chart go to that chart alone; of several, they are padded to a batch a chart.
    """
    only = single(chart)
    if only is not None or isinstance(chart, int):
        return function(only, *arguments)
    counts = torch.bincount(chart, minlength=n_charts)
    size = int(counts.max())
    order = torch.argsort(chart, stable=True)
    starts = counts.cumsum(0) - counts
    rank = torch.empty_like(chart)
    rank[order] = torch.arange(len(chart), device=chart.device) - starts[chart[order]]
    slot = chart * size + rank
    padded = []
    for argument in arguments:
        buffer = argument.new_zeros(n_charts * size, *argument.shape[1:])
        padded.append(buffer.index_copy(0, slot, argument).unflatten(0, (n_charts, size)))
    return function(None, *padded).flatten(0, 1)[slot]


# Measured on jets of flow charts: larger temporary tensors do not stay in the processor's cache, and
# a point then takes 2 to 4 times as long.
PIECE = 128


def in_pieces(
    n_charts: int,
    chart: Tensor | int,
    arguments: tuple[Tensor, ...],
    function: Callable[..., Tensor],
) -> Tensor:
    """What `by_chart` does; many rows chart by chart, in pieces."""
    count = len(arguments[0])
    if count <= PIECE:
        return by_chart(n_charts, chart, arguments, function)
    if isinstance(chart, int):
        groups = [(chart, torch.arange(count))]
    else:
        groups = [(k, (chart == k).nonzero().squeeze(-1)) for k in range(n_charts)]
    pieces = [(k, index) for k, rows in groups for index in rows.split(PIECE) if len(rows)]
    values = [function(k, *(argument[index] for argument in arguments)) for k, index in pieces]
    return torch.cat(values)[torch.cat([index for _, index in pieces]).argsort()]
