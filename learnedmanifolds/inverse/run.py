"""One run of one optimizer, its result named by numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymanopt
from pymanopt.optimizers import (
    ConjugateGradient,
    NelderMead,
    ParticleSwarm,
    SteepestDescent,
    TrustRegions,
)
from pymanopt.optimizers.optimizer import Optimizer

from learnedmanifolds.geometry.local import LocalGeometry
from learnedmanifolds.inverse.optimizers import optimizer_name
from learnedmanifolds.inverse.recording import (
    FAILURES,
    Recorder,
    Stalled,
    StationaryPoint,
    Stopped,
)
from learnedmanifolds.inverse.solution import Run
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.manifolds.point import AtlasPoint
from learnedmanifolds.optimizers._seed import numpy_seed
from learnedmanifolds.optimizers.borders import is_held, next_chart
from learnedmanifolds.optimizers.iteration import IterativeOptimizer
from learnedmanifolds.optimizers.status import Status
from learnedmanifolds.optimizers.stopping import Criterion

# A run that a jump between charts stopped goes on in the next chart at most so often.
_MAX_HOPS = 8

# Edge of the first Nelder-Mead simplex, in half diagonals of the manifold.
_SIMPLEX_EDGE = 0.2


@dataclass
class _Progress:
    """Where a run is between the charts that it hops through; a status when it is over."""

    point: AtlasPoint | None = None
    iterations: int = 0
    status: Status | None = None


def run(
    problem: pymanopt.Problem,
    manifold: PymanoptManifold,
    optimizer: Optimizer,
    start: AtlasPoint,
    seed: np.random.SeedSequence,
    name: str | None = None,
    stopping: Criterion | None = None,
) -> Run:
    """Run a pymanopt optimizer from a start and record it.

    Parameters
    ----------
    problem : pymanopt.Problem
        On the manifold.
    manifold : PymanoptManifold
    optimizer : pymanopt Optimizer
        Used once; an optimizer keeps state.
    start : AtlasPoint
        Particle swarms draw the rest of the swarm, Nelder-Mead spans a small simplex at it.
    seed : SeedSequence
        Of everything random in the run.
    name : str, optional
        Of the optimizer.
    stopping : Criterion, optional
        Ends the run, as do the limits that the optimizer has.

    Returns
    -------
    Run
        Its point is the last one with finite cost and gradient, if there is any.
    """
    own = copy.copy(manifold)
    own._random = rng = np.random.default_rng(seed)
    # Derivative-free optimizers ask for thousands of logarithms.
    own._distance = "chordal"
    own._takes_any_step = True
    optimizer = _with_limits(optimizer, manifold.dim)
    # pymanopt's steepest descent takes one more step when the gradient is small enough, to a point
    # where it may not be; the other optimizers look at it at once.
    descends = isinstance(optimizer, SteepestDescent)
    recorder = Recorder(
        problem,
        optimizer._min_gradient_norm if descends else 0.0,
        stopping,
        announced=isinstance(optimizer, IterativeOptimizer),
    )
    # Problem refuses to replace its manifold; this one is the recorder's own copy.
    vars(recorder.problem)["manifold"] = own
    initial: Any = start
    if isinstance(optimizer, ParticleSwarm):
        count = int(optimizer._population_size or min(40, 10 * manifold.dim))
        initial = [start, *(own.random_point() for _ in range(count - 1))]
    elif isinstance(optimizer, NelderMead):
        # pymanopt 2.2 refuses a simplex of the right size; it draws its own by random_point, and
        # a start for every centroid, for which the best point serves.
        setattr(own, "random_point", _supply(_simplex(own, start), recorder))  # noqa: B010
        initial = None
    with numpy_seed(int(rng.integers(2**32))):
        end = _through_charts(recorder, optimizer, initial)
    seconds = recorder.seconds
    point = start if end.point is None else recorder.placed(end.point)
    history = recorder.finish(point)
    cost, gradient_norm = float(history.cost[-1]), float(history.gradient_norm[-1])
    status = end.status
    if not (np.isfinite(cost) and np.isfinite(gradient_norm)):
        status = Status.FAILED
    elif not np.array_equal(history.points[-1], point):
        status = Status.FAILED  # The point was not finite, and the one before is the result.
    elif status is None and gradient_norm < optimizer._min_gradient_norm:
        status = Status.CONVERGED
    elif status is None:
        status = _why_stopped(recorder, optimizer, end.iterations, seconds)
    if status not in (Status.FAILED, Status.COST_REACHED):
        if is_held(recorder.problem, point):
            if next_chart(recorder.problem, point) is None:
                status = Status.AT_BOUNDARY
    return Run(
        history.points[-1],
        int(history.chart[-1]),
        history.coords[-1],
        cost,
        gradient_norm,
        history,
        status,
        optimizer_name(optimizer) if name is None else name,
        seconds,
        end.iterations,
    )


def _through_charts(recorder: Recorder, optimizer: Optimizer, initial: Any) -> _Progress:
    """Run an optimizer, and again from the next chart where a border stops it."""
    end, hops = _Progress(), 0
    while True:
        _until_it_stops(recorder, optimizer, initial, end)
        over = end.status is not None or end.point is None or hops == _MAX_HOPS
        over |= end.iterations >= optimizer._max_iterations
        over |= recorder.seconds >= optimizer._max_time
        # Not a number for optimizers without derivatives: they go where they like.
        over |= not recorder.gradient_norm >= optimizer._min_gradient_norm
        follower = None if over else next_chart(recorder.problem, end.point)  # type: ignore[arg-type]
        if follower is None:
            return end
        initial, hops = follower, hops + 1


def _until_it_stops(recorder: Recorder, optimizer: Optimizer, initial: Any, end: _Progress) -> None:
    current = copy.deepcopy(optimizer)
    current._max_iterations = optimizer._max_iterations - end.iterations
    current._max_time = optimizer._max_time - recorder.seconds
    settings: dict[str, Any] = {}
    if isinstance(optimizer, TrustRegions):
        # A residual of exactly zero after the first inner step, which pymanopt does not test by
        # default, would be divided by.
        settings = {"mininner": 0}
    elif isinstance(optimizer, IterativeOptimizer):
        settings = {"callback": recorder.observe}
    elif isinstance(optimizer, ParticleSwarm | NelderMead):
        current._check_stopping_criterion = recorder.watch(current._check_stopping_criterion)
    before, result = recorder.restart(), None
    try:
        result = current.run(recorder.problem, initial_point=initial, **settings)
    except StationaryPoint:
        end.status = Status.CONVERGED
    except Stopped as stopped:
        end.status = stopped.status
    except Stalled:
        pass
    except FAILURES:
        end.status = Status.FAILED
    if result is None:
        # Trust regions and our own optimizers count from 0, pymanopt's descent methods from 1.
        first = isinstance(optimizer, SteepestDescent | ConjugateGradient)
        end.iterations += max(0, recorder.n_iterates - before - 1) + int(first)
        end.point = recorder.last
        return
    end.iterations += int(result.iterations)
    end.point = result.point
    if isinstance(optimizer, IterativeOptimizer):
        status = Status(result.stopping_criterion)
        # A step too small may be one at a border, behind which another chart follows.
        end.status = None if status is Status.STEP_TOO_SMALL else status


def _with_limits(optimizer: Optimizer, dim: int) -> Optimizer:
    """A copy of an optimizer with the limits that pymanopt's particle swarm leaves open."""
    limited = copy.deepcopy(optimizer)
    if limited._max_iterations is None:
        limited._max_iterations = max(500, 4 * dim)
    if limited._max_cost_evaluations is None:
        limited._max_cost_evaluations = max(5000, 2 * dim)
    return limited


def _why_stopped(
    recorder: Recorder, optimizer: Optimizer, iterations: int, seconds: float
) -> Status:
    if iterations >= optimizer._max_iterations:
        return Status.MAX_ITERATIONS
    if seconds >= optimizer._max_time:
        return Status.MAX_TIME
    derivative_free = isinstance(optimizer, ParticleSwarm | NelderMead)
    # A shrinking simplex evaluates fewer points than pymanopt counts, by at most d + 1.
    slack = recorder.problem.manifold.dim + 1
    if derivative_free and recorder.n_cost + slack >= optimizer._max_cost_evaluations:
        return Status.MAX_EVALUATIONS
    return Status.STEP_TOO_SMALL


def _simplex(manifold: PymanoptManifold, start: AtlasPoint) -> list[AtlasPoint]:
    """The start and d points around it, along an orthonormal basis of its tangent space."""
    local = start.local
    assert isinstance(local, LocalGeometry)
    edge = _SIMPLEX_EDGE * manifold.typical_dist
    basis = local.tangent_basis[0].T.numpy()
    vectors = [edge * direction.reshape(start.shape) for direction in basis]
    return [start, *(manifold.retraction(start, vector) for vector in vectors)]


def _supply(points: list[AtlasPoint], recorder: Recorder) -> Callable[[], AtlasPoint]:
    remaining = list(points)

    def random_point() -> AtlasPoint:
        if remaining:
            return remaining.pop(0)
        return points[0] if recorder.last is None else recorder.last

    return random_point
