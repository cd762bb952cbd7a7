"""Cost, derivatives and linearisation of a residual written in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from pymanopt.manifolds import FixedRankEmbedded, Product
from torch import Tensor

from learnedmanifolds._grad import differentiable
from learnedmanifolds.operators.domain import OutsideDomainError
from learnedmanifolds.operators.linearization import recorded
from learnedmanifolds.optimizers.tangent import embed

Arrays = tuple[Tensor, ...]


class Residual:
    """r of `LeastSquaresProblem.from_residual`, as functions of pymanopt's separate arrays.

    Parameters
    ----------
    manifold : pymanopt Manifold
    function : callable
        r.
    """

    def __init__(self, manifold: Any, function: Callable[..., Tensor]) -> None:
        self.manifold = manifold
        self.function = function
        self._is_recorded = False

    def cost(self, *arrays: np.ndarray) -> float:
        """|r|^2 / 2, infinite where r raises `OutsideDomainError`."""
        try:
            with torch.no_grad():
                return float(self._cost(*_tensors(arrays)))
        except OutsideDomainError:
            return np.inf

    def gradient(self, *arrays: np.ndarray) -> Any:
        """Euclidean gradient, one array for each of the point."""
        points = _tensors(arrays)
        self._require_graph(points)
        return _unpacked(self._gradient(*points))

    def hessian(self, *arrays: np.ndarray) -> Any:
        """Euclidean Hessian at the first half of the arrays, applied to the second."""
        count = len(arrays) // 2
        points, vectors = _tensors(arrays[:count]), _tensors(arrays[count:])
        return _unpacked(torch.func.jvp(self._gradient, points, vectors)[1])

    def linearize(self, point: Any) -> Callable[[Sequence[Any]], np.ndarray]:
        """See `LeastSquaresProblem`."""
        points = _tensors(self._arrays(point))
        self._require_graph(points)
        if _has_own_coordinates(self.manifold):
            return self._pullback(point, points)

        def rows(vectors: Sequence[Any]) -> np.ndarray:
            embedded = [
                _tensors(self._arrays(embed(self.manifold, point, vector))) for vector in vectors
            ]
            batched = tuple(torch.stack(parts) for parts in zip(*embedded, strict=True))

            def along(*tangents: Tensor) -> Tensor:
                return torch.func.jvp(self._residual, points, tangents)[1]

            return torch.func.vmap(along)(*batched).detach().numpy()

        return rows

    def _pullback(self, point: Any, points: Arrays) -> Callable[[Sequence[Any]], np.ndarray]:
        """Rows from the Riemannian gradient of every residual.

        For tangent vectors that are no derivatives of the arrays of a point.
        """
        value, pull = torch.func.vjp(self._residual, *points)[:2]
        each = torch.func.vmap(pull)(torch.eye(len(value), dtype=value.dtype))
        gradients = [
            self.manifold.euclidean_to_riemannian_gradient(
                point, [part[i].numpy() for part in each]
            )
            for i in range(len(value))
        ]

        def rows(vectors: Sequence[Any]) -> np.ndarray:
            inner = self.manifold.inner_product
            return np.array(
                [[inner(point, v, gradient) for gradient in gradients] for v in vectors]
            )

        return rows

    def _require_graph(self, points: Arrays) -> None:
        """`ValueError`, at the first derivative, if torch sees no way from a residual to its point."""
        if self._is_recorded:
            return
        with differentiable():
            recorded(
                self._residual, *(part.clone().requires_grad_() for part in points), name="residual"
            )
        self._is_recorded = True

    def _residual(self, *points: Tensor) -> Tensor:
        value = self.function(*points)
        if not isinstance(value, Tensor):
            raise TypeError(f"residual must return a torch tensor, got {type(value).__name__}.")
        return (torch.view_as_real(value) if value.is_complex() else value).flatten()

    def _cost(self, *points: Tensor) -> Tensor:
        return 0.5 * self._residual(*points).square().sum()

    def _gradient(self, *points: Tensor) -> Arrays:
        return torch.func.grad(self._cost, argnums=tuple(range(len(points))))(*points)

    def _arrays(self, point: Any) -> list[np.ndarray]:
        """The arrays of a point, or of a tangent vector in the ambient space."""
        layout = self.manifold.point_layout
        if isinstance(layout, int):
            return [point] if layout == 1 else list(point)
        pairs = zip(point, layout, strict=True)
        return [array for part, count in pairs for array in ([part] if count == 1 else part)]


def _has_own_coordinates(manifold: Any) -> bool:
    factors = manifold.manifolds if isinstance(manifold, Product) else [manifold]
    return any(isinstance(factor, FixedRankEmbedded) for factor in factors)


def _tensors(arrays: Sequence[np.ndarray]) -> Arrays:
    # A copy: torch takes neither read-only nor reversed arrays.
    return tuple(torch.tensor(np.array(array)) for array in arrays)


def _unpacked(tensors: Arrays) -> Any:
    arrays = [tensor.detach().numpy() for tensor in tensors]
    return arrays[0] if len(arrays) == 1 else arrays
