"""What an optimizer gives the batched iteration."""

from __future__ import annotations

import abc
from typing import ClassVar, Generic, NamedTuple, TypeVar

from torch import Tensor

from learnedmanifolds.inverse.batch.iterate import Iterate, Place
from learnedmanifolds.inverse.batch.objective import Evaluation
from learnedmanifolds.inverse.batch.rows import Rows

MemoryT = TypeVar("MemoryT", bound=Rows)


class Verdict(NamedTuple, Generic[MemoryT]):
    """On one trial step of every run.

    Attributes
    ----------
    accepted : Tensor, shape (A,)
    given_up : Tensor, shape (A,)
        Steps have become too small; the run ends where it is.
    memory : Rows
        For the next trial.
    """

    accepted: Tensor
    given_up: Tensor
    memory: MemoryT


class BatchMethod(abc.ABC, Generic[MemoryT]):
    """An optimizer as pure functions of rows, each of which depends on its own row alone.

    Steps, gradients and curvatures are in coordinates of the iterates' orthonormal tangent bases.

    Attributes
    ----------
    second_order : bool
        Whether `curvature` needs second derivatives.
    counts_rejected : bool
        Whether a step that is not taken counts as an iteration.
    """

    second_order: ClassVar[bool] = False
    counts_rejected: ClassVar[bool] = False

    @abc.abstractmethod
    def curvature(
        self, evaluation: Evaluation, index: Tensor, place: Place, gradient: Tensor
    ) -> Tensor:
        """Of the quadratic model, (B, d, d), at the rows of an index, of Euclidean gradient (B, n)."""

    @abc.abstractmethod
    def start(self, iterate: Iterate, size: float) -> MemoryT:
        """At the first iterate; ``size`` is the manifold's, in units of the data."""

    @abc.abstractmethod
    def propose(self, iterate: Iterate, memory: MemoryT) -> Tensor:
        """Steps (A, d)."""

    @abc.abstractmethod
    def judge(
        self, iterate: Iterate, memory: MemoryT, step: Tensor, cost: Tensor
    ) -> Verdict[MemoryT]:
        """Whether steps that lead to costs (A,) are taken."""

    @abc.abstractmethod
    def advance(
        self, old: Iterate, memory: MemoryT, step: Tensor, new: Iterate
    ) -> tuple[MemoryT, Tensor]:
        """Memory at new iterates, and which runs rather end at the old ones, (A,)."""
