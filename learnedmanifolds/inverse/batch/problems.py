"""Problems that differ in nothing but their observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds._grad import ordinary
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.operators import DeepinvOperator, FunctionOperator, Identity, Operator


class Problems(NamedTuple):
    """One problem, and the observations of all.

    Attributes
    ----------
    shared : InverseProblem
    observations : Tensor, shape (N, *observation shape)
    """

    shared: InverseProblem
    observations: Tensor


def as_problems(
    problems: InverseProblem | Sequence[InverseProblem], observations: ArrayLike | None
) -> Problems:
    """Check problems, or one problem and the observations that take the place of its own.

    Raises
    ------
    TypeError, ValueError
        If there is none, one is no `InverseProblem`, they differ in more than the observation, or
        the observations do not fit.
    """
    if isinstance(problems, InverseProblem):
        return Problems(problems, _observations(problems, observations))
    if not isinstance(problems, Sequence):
        raise TypeError(
            f"problems must be an InverseProblem or a sequence of them, "
            f"got {type(problems).__name__}."
        )
    if observations is not None:
        raise ValueError(
            f"observations take the place of one problem's own: expected them beside a single "
            f"InverseProblem, got {len(problems)} problems in a sequence."
        )
    if not problems:
        raise ValueError("problems must hold at least one InverseProblem, got none.")
    for i, problem in enumerate(problems):
        if not isinstance(problem, InverseProblem):
            raise TypeError(
                f"problems[{i}] must be an InverseProblem, got {type(problem).__name__}."
            )
        _require_alike(problems[0], problem, i)
    return Problems(problems[0], torch.stack([problem.observation for problem in problems]))


def _observations(problem: InverseProblem, observations: ArrayLike | None) -> Tensor:
    if observations is None:
        return problem.observation.unsqueeze(0)
    shape = (None, *problem.observation.shape)
    stack = as_tensor(observations, "observations", shape=shape, allow_empty=False)
    stack = ordinary(stack.detach().to(device="cpu", dtype=torch.float64))
    problem.noise.check(stack)
    return stack


def _require_alike(first: InverseProblem, other: InverseProblem, index: int) -> None:
    if not _same(first.operator, other.operator):
        raise ValueError(
            f"problems must share one operator, got {other.operator!r} in problems[{index}], "
            f"which is not the same object as {first.operator!r} in problems[0]."
        )
    for name in ("noise", "prior_weight"):
        a, b = getattr(first, name), getattr(other, name)
        if a != b:
            raise ValueError(
                f"problems must have the same {name}, got {b!r} in problems[{index}], "
                f"{a!r} in problems[0]."
            )
    if first.observation.shape != other.observation.shape:
        raise ValueError(
            f"problems must have observations of the same shape, got "
            f"{tuple(other.observation.shape)} in problems[{index}], "
            f"{tuple(first.observation.shape)} in problems[0]."
        )


def _same(a: Operator, b: Operator) -> bool:
    # Every InverseProblem wraps what is no Operator in one of its own.
    if isinstance(a, FunctionOperator) and isinstance(b, FunctionOperator):
        return a.function is b.function
    if isinstance(a, DeepinvOperator) and isinstance(b, DeepinvOperator):
        return a.physics is b.physics
    return a is b or (isinstance(a, Identity) and isinstance(b, Identity))
