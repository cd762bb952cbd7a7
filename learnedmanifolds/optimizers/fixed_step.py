"""Steepest descent with a fixed step size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from learnedmanifolds._check import positive
from learnedmanifolds.optimizers.iteration import Iterate, IterativeOptimizer, Objective, size
from learnedmanifolds.optimizers.status import Status

# The default step size is the largest of those tried that lowers the cost by this share of what
# the slope promises (Armijo's rule), the first step as long as the manifold.
_DECREASE = 0.75
_CONTRACTION = 0.5
_MAX_TRIALS = 60


@dataclass(frozen=True, eq=False)
class FixedStepProgress:
    """Where the descent is, and its step size."""

    iterate: Iterate
    step_size: float


class FixedStep(IterativeOptimizer[FixedStepProgress]):
    """Steepest descent x -> R(-tau grad f(x)) with a fixed tau, as a baseline.

    Nothing sees to it that the cost falls; a step to where cost or gradient are not finite is not
    taken and ends the run.

    Parameters
    ----------
    step_size : float, optional
        tau, in squared units of the data per unit of the cost. By default chosen once a run, by
        halving at the start until the cost falls by three quarters of what the slope promises.
    **options
        See `IterativeOptimizer`.
    """

    def __init__(self, step_size: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._step_size = None if step_size is None else positive(step_size, "step_size")

    def _start(self, objective: Objective, iterate: Iterate) -> FixedStepProgress:
        if self._step_size is not None or iterate.gradient_norm == 0:
            return FixedStepProgress(iterate, self._step_size or 1.0)
        tau = size(objective.manifold) / iterate.gradient_norm
        for _ in range(_MAX_TRIALS):
            point = objective.manifold.retraction(iterate.point, -tau * iterate.gradient)
            asked = iterate.cost - _DECREASE * tau * iterate.gradient_norm**2
            if objective.cost(point) <= asked:
                break
            tau *= _CONTRACTION
        return FixedStepProgress(iterate, tau)

    def _step(
        self, objective: Objective, progress: FixedStepProgress
    ) -> FixedStepProgress | Status:
        old, tau = progress.iterate, progress.step_size
        point = objective.manifold.retraction(old.point, -tau * old.gradient)
        new = objective.iterate(point, objective.cost(point), tau * old.gradient_norm)
        return FixedStepProgress(new, tau) if new.finite else Status.FAILED
