"""Steepest descent with one adaptive line search a run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds.inverse.batch.iterate import Iterate, Place
from learnedmanifolds.inverse.batch.method import BatchMethod, Verdict
from learnedmanifolds.inverse.batch.objective import Evaluation
from learnedmanifolds.inverse.batch.rows import Rows

# Those of pymanopt's adaptive line search as `solve` sets it: a step is taken if the cost falls by
# this share of what the slope promises, or at last if it does not rise.
_DECREASE = 0.5
_CONTRACTION = 0.5
_MAX_TRIALS = 41

# Length of the first step, and of the shortest, in units of the manifold's size.
_FIRST_STEP, _MIN_STEP = 1.0, 1e-10


@dataclass(frozen=True, eq=False)
class LineSearch(Rows):
    """Step sizes (A,), times the gradient; the shortest step, (A,); how often each has tried, (A,)."""

    step_size: Tensor
    shortest: Tensor
    trials: Tensor


class BatchSteepestDescent(BatchMethod[LineSearch]):
    """Steps along minus the gradient, as those of pymanopt's ``SteepestDescent``."""

    def curvature(
        self, evaluation: Evaluation, index: Tensor, place: Place, gradient: Tensor
    ) -> Tensor:
        """None: the model is linear."""
        return torch.zeros_like(place.factor)

    def start(self, iterate: Iterate, size: float) -> LineSearch:
        """See `BatchMethod.start`."""
        trials = torch.zeros_like(iterate.place.chart)
        shortest = torch.full_like(iterate.cost, _MIN_STEP * size)
        return LineSearch(_FIRST_STEP * size / iterate.gradient_norm, shortest, trials)

    def propose(self, iterate: Iterate, memory: LineSearch) -> Tensor:
        """See `BatchMethod.propose`."""
        return -memory.step_size.unsqueeze(-1) * iterate.gradient

    def judge(
        self, iterate: Iterate, memory: LineSearch, step: Tensor, cost: Tensor
    ) -> Verdict[LineSearch]:
        """See `BatchMethod.judge`."""
        trials = memory.trials + 1
        promised = memory.step_size * iterate.gradient_norm.square()
        last = trials == _MAX_TRIALS
        asked = torch.where(last, iterate.cost, iterate.cost - _DECREASE * promised)
        tiny = memory.step_size * iterate.gradient_norm < memory.shortest
        accepted = (cost <= asked) & ~tiny
        given_up = ~accepted & (last | tiny)
        # On average one trial more than needed: the size is kept after a single contraction.
        following = torch.where(trials == 2, memory.step_size, 2 * memory.step_size)
        size = torch.where(accepted, following, _CONTRACTION * memory.step_size)
        new = LineSearch(size, memory.shortest, torch.where(accepted, 0, trials))
        return Verdict(accepted, given_up, new)

    def advance(
        self, old: Iterate, memory: LineSearch, step: Tensor, new: Iterate
    ) -> tuple[LineSearch, Tensor]:
        """See `BatchMethod.advance`."""
        return memory, torch.zeros_like(new.at_boundary)
