"""Any torch callable as operator."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from learnedmanifolds.operators.base import Operator
from learnedmanifolds.operators.linearization import Differentiator

__all__ = ["FunctionOperator"]


class FunctionOperator(Operator):
    """A torch callable from one point to an observation.

    Many points go through `torch.vmap` where the callable allows it, and one by one where not;
    derivatives are got in the fastest way that works. Both are found out at the first use.

    Parameters
    ----------
    function : callable
        From a tensor of the ambient shape to a tensor; differentiable by torch, once at least: one
        that loses the graph, by NumPy or ``.detach()``, or has none, as a constant, is refused where
        derivatives are asked for. It may raise `OutsideDomainError`.

    Raises
    ------
    TypeError
        If ``function`` is not callable.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        if not callable(function):
            raise TypeError(
                f"function must be a callable from a point to an observation, "
                f"got {type(function).__name__}."
            )
        self.function = function
        self._vectorises = True

    def __repr__(self) -> str:
        return f"FunctionOperator({self.function!r})"

    def __call__(self, point: Any) -> Tensor:
        """The callable itself."""
        return self.function(point)

    def batch(self, points: Tensor) -> Tensor:
        """The callable at every point, (N, *observation shape).

        Raises
        ------
        TypeError
            If it does not return tensors.
        """
        if self._vectorises:
            try:
                return torch.vmap(self.function)(points)
            # Whatever fails in a vectorised call and not in single ones is due to it.
            except Exception:
                images = self._each(points)
                self._vectorises = False
                return images
        return self._each(points)

    def _each(self, points: Tensor) -> Tensor:
        images = [self.function(point) for point in points]
        for image in images:
            if not isinstance(image, Tensor):
                raise TypeError(f"operator must return a torch tensor, got {type(image).__name__}.")
        return torch.stack(images)

    @cached_property
    def _differentiator(self) -> Differentiator:
        return Differentiator(self.function)
