"""Autograd functions of maps whose derivatives are given, for autograd and torch.func alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

Map: TypeAlias = Callable[[Tensor], Tensor]


def linear_map(vectors: Tensor, forward: Map, transpose: Map) -> Tensor:
    """A v of many vectors (N, ...), with A^T as derivative, to any order and in any mode.

    Parameters
    ----------
    vectors : Tensor, shape (N, ...)
    forward, transpose : callable
        A and A^T of many vectors; neither needs to be known to torch.
    """
    return _LinearMap.apply(vectors, forward, transpose)


def pulled_map(points: Tensor, function: Map, pull: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """F of many points (N, ...), with a given product F'(x)^T w as derivative in reverse mode.

    Parameters
    ----------
    points : Tensor, shape (N, ...)
    function : callable
        F of many points; need not be known to torch.
    pull : callable
        (x, w) -> F'(x)^T w; second derivatives need one that torch can differentiate.
    """
    return _PulledMap.apply(points, function, pull)


class _LinearMap(torch.autograd.Function):
    @staticmethod
    def forward(vectors: Tensor, forward: Map, transpose: Map) -> Tensor:
        return forward(vectors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.maps = inputs[1:]

    @staticmethod
    def backward(ctx: Any, covectors: Tensor) -> tuple[Tensor, None, None]:
        forward, transpose = ctx.maps
        return _LinearMap.apply(covectors, transpose, forward), None, None

    @staticmethod
    def jvp(ctx: Any, vectors: Tensor, *_: None) -> Tensor:
        return _LinearMap.apply(vectors, *ctx.maps)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], vectors: Tensor, forward: Map, transpose: Map
    ) -> tuple[Tensor, int]:
        # One call for all: the maps take any number of vectors.
        rows = vectors.movedim(in_dims[0], 0)
        images = _LinearMap.apply(rows.flatten(0, 1), forward, transpose)
        return images.unflatten(0, rows.shape[:2]), 0


class _PulledMap(torch.autograd.Function):
    @staticmethod
    def forward(points: Tensor, function: Map, pull: Any) -> Tensor:
        return function(points)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.pull = inputs[2]

    @staticmethod
    def backward(ctx: Any, covectors: Tensor) -> tuple[Tensor, None, None]:
        (points,) = ctx.saved_tensors
        return ctx.pull(points, covectors), None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], points: Tensor, function: Map, pull: Any
    ) -> tuple[Tensor, int]:
        rows = points.movedim(in_dims[0], 0)
        images = _PulledMap.apply(rows.flatten(0, 1), function, pull)
        return images.unflatten(0, rows.shape[:2]), 0
