"""The identity: denoising."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from learnedmanifolds.operators.base import AffineOperator

__all__ = ["Identity", "identity"]


@dataclass(frozen=True)
class Identity(AffineOperator):
    """F(x) = x: denoising."""

    def __call__(self, point: Any) -> Any:
        """The point itself."""
        return point

    def batch(self, points: Tensor) -> Tensor:
        """The points themselves."""
        return points

    def derivative(self, vectors: Tensor) -> Tensor:
        """The vectors themselves."""
        return vectors

    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """The covectors themselves."""
        return covectors


identity = Identity()
"""F(x) = x."""
