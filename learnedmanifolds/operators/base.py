"""The operator protocol: forward, linearisation and adjoint, one point or many at a time."""

from __future__ import annotations

import abc
from functools import cached_property, partial

from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds.operators._autograd import linear_map
from learnedmanifolds.operators.linearization import Differentiator, Linearization

__all__ = ["AffineOperator", "Linearization", "Operator"]


class Operator(abc.ABC):
    """A measurement F from a point of the ambient space to an observation.

    A subclass gives `batch`, differentiable by torch; `linearize` has a general default. Results
    have the dtype of the point. Where F is not defined they are NaN, or `OutsideDomainError` is
    raised.
    """

    @abc.abstractmethod
    def batch(self, points: Tensor) -> Tensor:
        """F of many points, (N, *ambient_shape) -> (N, *observation shape)."""

    def __call__(self, point: ArrayLike) -> Tensor:
        """F of one point."""
        return self.batch(_tensor(point, "point").unsqueeze(0)).squeeze(0)

    def linearize(self, point: ArrayLike) -> Linearization:
        """F and its derivative at one point."""
        return self._differentiator.linearize(_tensor(point, "point"))

    def jvp(self, point: ArrayLike, vector: ArrayLike) -> Tensor:
        """F'(x) v, of the observation's shape."""
        rows = _tensor(vector, "vector").unsqueeze(0)
        return self.linearize(point).jvp(rows).squeeze(0)

    def vjp(self, point: ArrayLike, covector: ArrayLike) -> Tensor:
        """F'(x)^T w, of the ambient shape."""
        rows = _tensor(covector, "covector").unsqueeze(0)
        return self.linearize(point).vjp(rows).squeeze(0)

    @cached_property
    def _differentiator(self) -> Differentiator:
        return Differentiator(self)


class AffineOperator(Operator):
    """F(x) = A x + b.

    A subclass gives A and A^T, which torch need not be able to differentiate; and `batch` where b
    is not zero.
    """

    @abc.abstractmethod
    def derivative(self, vectors: Tensor) -> Tensor:
        """A v, (N, *ambient_shape) -> (N, *observation shape)."""

    @abc.abstractmethod
    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """A^T w, (N, *observation shape) -> (N, *ambient_shape)."""

    def batch(self, points: Tensor) -> Tensor:
        """See `Operator.batch`."""
        return linear_map(
            points, self.derivative, partial(self.adjoint, ambient_shape=tuple(points.shape[1:]))
        )

    def linearize(self, point: ArrayLike) -> Linearization:
        """See `Operator.linearize`."""
        x = _tensor(point, "point").detach()
        return Linearization(
            self(x), self.derivative, partial(self.adjoint, ambient_shape=tuple(x.shape))
        )


def _tensor(value: ArrayLike, name: str) -> Tensor:
    return value if isinstance(value, Tensor) else as_tensor(value, name)
