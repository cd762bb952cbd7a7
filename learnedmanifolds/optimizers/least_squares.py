"""Problems whose Hessian has a Gauss-Newton part that is cheap to get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
import pymanopt
from pymanopt.manifolds.manifold import Manifold
from torch import Tensor

from learnedmanifolds.optimizers.residual import Residual

Curvature: TypeAlias = Callable[[Sequence[Any]], np.ndarray]
"""Tangent vectors v_1..v_T -> rows a_i (T, m) with <a_i, a_j> = H(v_i, v_j), H Gauss-Newton's."""


class LeastSquaresProblem(pymanopt.Problem):
    """A pymanopt problem that also gives the Gauss-Newton part of its cost's Hessian.

    For f(x) = |r(x)|^2 / 2 that is J^T J, J the derivative of r; for a negative log-likelihood,
    Fisher's information. Levenberg-Marquardt runs on these problems, on any pymanopt manifold.

    Parameters
    ----------
    manifold, cost
        See `pymanopt.Problem`.
    linearize : callable
        At a point, the map from T tangent vectors to their rows (T, m): for f = |r|^2 / 2 the
        derivatives of r along them.
    **derivatives
        Gradient and Hessian, see `pymanopt.Problem`.

    Raises
    ------
    TypeError
        If ``linearize`` is not callable.
    """

    def __init__(
        self,
        manifold: Any,
        cost: Callable[..., Any],
        *,
        linearize: Callable[[Any], Curvature],
        **derivatives: Any,
    ) -> None:
        if not callable(linearize):
            raise TypeError(
                "linearize must be a callable from a point to a map of tangent vectors, "
                f"got {type(linearize).__name__}."
            )
        super().__init__(manifold, cost, **derivatives)
        self.linearize = linearize

    @classmethod
    def from_residual(cls, manifold: Any, residual: Callable[..., Tensor]) -> Self:
        """The problem of f(x) = |r(x)|^2 / 2, all derivatives by torch.

        Parameters
        ----------
        manifold : pymanopt Manifold
        residual : callable
            r, from a point (a float64 tensor, several where pymanopt's points are of several
            arrays, complex where they are) to a tensor of any shape; differentiable by
            `torch.func`, forwards and backwards. Where it raises `OutsideDomainError` the cost is
            infinite.

        Raises
        ------
        TypeError
            If an argument is of the wrong kind, or the residual returns no tensor.
        """
        if not isinstance(manifold, Manifold):
            raise TypeError(f"manifold must be a pymanopt Manifold, got {type(manifold).__name__}.")
        if not callable(residual):
            raise TypeError(f"residual must be a callable, got {type(residual).__name__}.")
        parts = Residual(manifold, residual)

        # pymanopt counts the arguments of a method wrongly.
        def decorate(method: Callable[..., Any]) -> Any:
            return pymanopt.function.numpy(manifold)(lambda *arrays: method(*arrays))

        return cls(
            manifold,
            decorate(parts.cost),
            linearize=parts.linearize,
            euclidean_gradient=decorate(parts.gradient),
            euclidean_hessian=decorate(parts.hessian),
        )
