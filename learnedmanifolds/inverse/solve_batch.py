"""Solve many inverse problems at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, integer, non_negative, one_of
from learnedmanifolds._grad import differentiable
from learnedmanifolds.geometry import Located
from learnedmanifolds.inverse.batch.engine import Engine
from learnedmanifolds.inverse.batch.levenberg_marquardt import BatchLevenbergMarquardt
from learnedmanifolds.inverse.batch.method import BatchMethod
from learnedmanifolds.inverse.batch.objective import BatchObjective
from learnedmanifolds.inverse.batch.problems import as_problems
from learnedmanifolds.inverse.batch.records import STATUSES, Ends
from learnedmanifolds.inverse.batch.screening import drawn_starts, screen
from learnedmanifolds.inverse.batch.solution import BatchRuns, BatchSolution
from learnedmanifolds.inverse.batch.starts import given_starts
from learnedmanifolds.inverse.batch.steepest_descent import BatchSteepestDescent
from learnedmanifolds.inverse.batch.trust_region import BatchTrustRegion
from learnedmanifolds.inverse.optimizers import MIN_GRADIENT_NORM
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.inverse.solve import Source, as_manifold
from learnedmanifolds.inverse.starts import require_a_start_inside
from learnedmanifolds.inverse.units import unit_points, variation

BATCH_OPTIMIZERS: dict[str, BatchMethod[Any]] = {
    "levenberg-marquardt": BatchLevenbergMarquardt(),
    "trust-regions": BatchTrustRegion(),
    "steepest-descent": BatchSteepestDescent(),
}
"""Optimizers by the names that they have in `OPTIMIZERS`."""


@differentiable()
def solve_batch(
    problems: InverseProblem | Sequence[InverseProblem],
    source: Source,
    optimizer: str = "levenberg-marquardt",
    n_starts: int = 1,
    seed: int | None = None,
    *,
    observations: ArrayLike | None = None,
    initial_points: ArrayLike | Located | None = None,
    n_screen: int | None = None,
    retraction: str = "second-order",
    max_iterations: int = 200,
    min_gradient_norm: float | None = None,
) -> BatchSolution:
    """Minimise the costs of many inverse problems over a manifold, all at once in torch.

    What `solve` does, for problems of one operator with many observations, and for many starts.
    Every run takes the steps that it would take alone, with a line search or trust region of its
    own, and ends by itself; the points at which the others are in a round are evaluated together.

    Parameters
    ----------
    problems : InverseProblem or sequence of InverseProblem
        That share the operator (the same object), the noise model and the prior weight; or one
        problem, of many starts or of many ``observations``.
    source : Atlas, Charts or PymanoptManifold
        Evaluated in float64 on the CPU, as by `solve`.
    optimizer : str
        One of `BATCH_OPTIMIZERS`.
    n_starts : int
        Number S of starts of each problem.
    seed : int, optional
        Of the starts, which are those of `solve`; fresh entropy by default.
    observations : array, shape (N, *observation shape), optional
        Observations of N problems, in place of that of the one problem given.
    initial_points : array or Located, optional
        Starts in place of those, shape (S, *ambient_shape) for all problems, or
        (N, S, *ambient_shape). Charts and coordinates (`Located`) save looking for the points.
    n_screen : int, optional
        Points that are drawn from the manifold, the starts being those of low cost that are apart;
        `SCREENED` for each start by default. 0 takes random starts, the same for every problem.
    retraction : {"second-order", "chart", "projection"}
        A `PymanoptManifold` keeps its own.
    max_iterations : int
        For each start.
    min_gradient_norm : float, optional
        A run has converged when its Riemannian gradient norm is below; by default as in `solve`, for
        each problem by itself.

    Returns
    -------
    BatchSolution
        The best run by cost of every problem, and all runs.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or value, the problems differ in more than the
        observation, a start is not on the manifold, or none is in the operator's domain. A single
        start outside of it is a failed run.
    """
    begin = time.perf_counter()
    name = one_of(optimizer, "optimizer", BATCH_OPTIMIZERS)
    integer(n_starts, "n_starts", minimum=1)
    integer(max_iterations, "max_iterations", minimum=1)
    if min_gradient_norm is not None:
        non_negative(min_gradient_norm, "min_gradient_norm")
    shared, stack = as_problems(problems, observations)
    manifold = as_manifold(source, retraction)
    atlas = manifold.atlas
    shared.check_on(atlas)
    objective = BatchObjective(shared.operator, shared.noise, shared.prior_weight, stack, atlas)
    if initial_points is None:
        starts = drawn_starts(objective, n_starts, seed, n_screen)
    else:
        starts = given_starts(atlas, len(stack), initial_points)
    if min_gradient_norm is None:
        varies = variation(screen(objective, unit_points(atlas)))
        least = MIN_GRADIENT_NORM * varies / atlas.half_diagonal
    else:
        least = torch.full((len(stack),), float(min_gradient_norm), dtype=torch.float64)
    engine = Engine(
        objective,
        BATCH_OPTIMIZERS[name],
        manifold._retraction,
        manifold.typical_dist,
        max_iterations,
        least,
    )
    n_problems, count = starts.chart.shape
    index = torch.arange(n_problems).repeat_interleave(count)
    begins = Located(starts.chart.flatten(), starts.coords.flatten(0, 1))
    ends = engine.run(begins, index)
    if not bool(ends.cost.isfinite().any()):
        require_a_start_inside(shared.operator, atlas.decode(begins.coords, begins.chart))
    runs = _runs(ends, (n_problems, count), atlas.ambient_shape)
    return BatchSolution.best_of(runs, name, time.perf_counter() - begin)


def _runs(ends: Ends, leading: tuple[int, int], ambient_shape: tuple[int, ...]) -> BatchRuns:
    def shaped(values: Tensor, *shape: int) -> np.ndarray:
        return values.detach().view(*leading, *shape).numpy()

    return BatchRuns(
        shaped(ends.value, *ambient_shape),
        shaped(ends.chart),
        shaped(ends.coords, ends.coords.shape[-1]),
        shaped(ends.cost),
        shaped(ends.gradient_norm),
        np.array(STATUSES, dtype=object)[shaped(ends.status)],
        shaped(ends.iterations),
    )
