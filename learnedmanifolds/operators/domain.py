"""Points at which operators are not defined."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["OutsideDomainError", "where_defined"]


class OutsideDomainError(ValueError):
    """An operator is not defined at a point.

    Any operator or callable may raise it, for one point or because of one of many. The cost of an
    `InverseProblem` is infinite there, so that an optimizer steps back from a trial point.
    """


def where_defined(
    function: Callable[[Tensor], Tensor], points: Tensor, shape: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """F of many points, and at which of them it is defined.

    One point outside makes the call for all of them fail; such points are found by halving.

    Parameters
    ----------
    function : callable, (N, *ambient_shape) -> (N, *shape)
    points : Tensor, shape (N, *ambient_shape)
    shape : tuple of int
        The observation's.

    Returns
    -------
    values : Tensor, shape (N, *shape)
        NaN where F is not defined; differentiable elsewhere.
    inside : Tensor of bool, shape (N,)
    """
    every = torch.arange(len(points), device=points.device)
    parts = _parts(function, points, every)
    if len(parts) == 1 and len(parts[0][0]) == len(points):
        return parts[0][1], torch.ones_like(every, dtype=torch.bool)
    inside = torch.zeros_like(every, dtype=torch.bool)
    if not parts:
        return points.new_full((len(points), *shape), torch.nan), inside
    index, images = (torch.cat(column) for column in zip(*parts, strict=True))
    values = images.new_full((len(points), *images.shape[1:]), torch.nan)
    return values.index_put((index,), images), inside.index_fill(0, index, True)


def _parts(
    function: Callable[[Tensor], Tensor], points: Tensor, index: Tensor
) -> list[tuple[Tensor, Tensor]]:
    try:
        return [(index, function(points if len(index) == len(points) else points[index]))]
    except OutsideDomainError:
        half = len(index) // 2
        if not half:
            return []
        return [
            part for some in (index[:half], index[half:]) for part in _parts(function, points, some)
        ]
