"""What the batched iteration keeps of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from learnedmanifolds.inverse.batch.iterate import Iterate
from learnedmanifolds.inverse.batch.rows import Rows
from learnedmanifolds.optimizers.status import Status

STATUSES = tuple(Status)


@dataclass(frozen=True, eq=False)
class Ends(Rows):
    """Where and why runs ended.

    Attributes
    ----------
    chart, coords, value : Tensor, shapes (M,), (M, d), (M, n)
    cost, gradient_norm : Tensor, shape (M,)
    iterations, status : Tensor, shape (M,)
        The status as an index into `STATUSES`.
    """

    chart: Tensor
    coords: Tensor
    value: Tensor
    cost: Tensor
    gradient_norm: Tensor
    iterations: Tensor
    status: Tensor


@dataclass(frozen=True, eq=False)
class Runs(Rows):
    """Runs that go on: index of the run and of its problem, counts, where it is, its memory."""

    run: Tensor
    problem: Tensor
    iterations: Tensor
    rejected: Tensor
    hops: Tensor
    iterate: Iterate
    memory: Any


@dataclass(frozen=True, eq=False)
class Spots(Rows):
    """`Located` as rows."""

    chart: Tensor
    coords: Tensor
