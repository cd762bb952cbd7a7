"""Objects that speak deepinv's protocol, and whatever else may stand for an operator."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from learnedmanifolds.operators._autograd import linear_map, pulled_map
from learnedmanifolds.operators.base import Operator
from learnedmanifolds.operators.function import FunctionOperator

__all__ = ["DeepinvOperator", "as_operator"]


class DeepinvOperator(Operator):
    """A physics of the deepinv package, or any object with the same methods; deepinv is not needed.

    The measurement is ``A``, without the noise that calling a physics adds. Points (C, H, W) are
    given to it as batches (B, C, H, W), points (H, W) with one channel, others as they are. The
    observation keeps every dimension but the batch.

    The derivative is that of the protocol, so that A need not be known to torch: ``A_vjp`` where
    there is one. ``A_adjoint`` is taken for it, and A for linear, where there is no ``A_vjp`` or
    the object is a ``LinearPhysics``; some nonlinear ones have an ``A_adjoint`` of another meaning.

    Parameters
    ----------
    physics : object
        With ``A(x)`` and ``A_vjp(x, v)`` or ``A_adjoint(y)``.

    Raises
    ------
    TypeError
        If a method is missing.

    References
    ----------
    Tachella et al., DeepInverse: A Python package for solving imaging inverse problems with deep
    learning, arXiv 2505.20160.
    """

    def __init__(self, physics: Any) -> None:
        if not _speaks(physics):
            raise TypeError(
                f"physics must have methods A and A_vjp or A_adjoint, got {type(physics).__name__}."
            )
        self.physics = physics
        named = any(kind.__name__ == "LinearPhysics" for kind in type(physics).__mro__)
        self.is_linear = _has(physics, "A_adjoint") and (named or not _has(physics, "A_vjp"))

    def __repr__(self) -> str:
        return f"DeepinvOperator({self.physics!r})"

    def batch(self, points: Tensor) -> Tensor:
        """A of many points."""
        images = points.unsqueeze(1) if points.ndim == 3 else points
        if self.is_linear:
            return linear_map(images, self.physics.A, self.physics.A_adjoint)
        return pulled_map(images, self.physics.A, self.physics.A_vjp)


def as_operator(value: Any) -> Operator:
    """Make an operator of what stands for one.

    Parameters
    ----------
    value : Operator, object of deepinv's protocol, or callable
        An operator is returned as it is; see `DeepinvOperator` and `FunctionOperator`.

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(value, Operator):
        return value
    if _speaks(value):
        return DeepinvOperator(value)
    if callable(value):
        return FunctionOperator(value)
    raise TypeError(
        f"operator must be a callable from a point to an observation, an Operator, or an object "
        f"with methods A and A_vjp or A_adjoint; got {type(value).__name__}."
    )


def _speaks(value: object) -> bool:
    return _has(value, "A") and (_has(value, "A_vjp") or _has(value, "A_adjoint"))


def _has(value: object, name: str) -> bool:
    return callable(getattr(value, name, None))
