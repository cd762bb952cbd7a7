"""One run of one optimizer, its result named by numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from learnedmanifolds.inverse.borders import held_faces, next_chart
from learnedmanifolds.inverse.optimizers import optimizer_name
from learnedmanifolds.inverse.recording import FAILURES, Recorder, Stalled, StationaryPoint
from learnedmanifolds.inverse.solution import Run, Status
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.manifolds.point import AtlasPoint

# A run that a jump between charts stopped goes on in the next chart at most so often.
_MAX_HOPS = 8

# Edge of the first Nelder-Mead simplex, in half diagonals of the manifold.
_SIMPLEX_EDGE = 0.2


def run(
    problem: pymanopt.Problem,
    manifold: PymanoptManifold,
    optimizer: Optimizer,
    start: AtlasPoint,
    seed: np.random.SeedSequence,
    name: str | None = None,
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
    """
    # pymanopt's steepest descent takes one more step when the gradient is small enough, to a point
    # where it may not be; the other optimizers look at it at once.
    descends = isinstance(optimizer, SteepestDescent)
    recorder = Recorder(problem, optimizer._min_gradient_norm if descends else 0.0)
    own = copy.copy(manifold)
    rng = np.random.default_rng(seed)
    own._random = rng
    # Derivative-free optimizers ask for thousands of logarithms.
    own._distance = "chordal"
    initial: Any = start
    if isinstance(optimizer, ParticleSwarm):
        size = optimizer._population_size or min(40, 10 * manifold.dim)
        initial = [start, *(own.random_point() for _ in range(int(size) - 1))]
    elif isinstance(optimizer, NelderMead):
        # pymanopt 2.2 refuses a simplex of the right size; it draws its own by random_point, and
        # a start for every centroid, for which the best point serves.
        setattr(own, "random_point", _supply(_simplex(own, start), recorder))  # noqa: B010
        initial = None
    # A residual of exactly zero after the first inner step, which pymanopt does not test by
    # default, would be divided by.
    settings = {"mininner": 0} if isinstance(optimizer, TrustRegions) else {}
    # Problem refuses to replace its manifold; this one is the recorder's own copy.
    vars(recorder.problem)["manifold"] = own
    # Trust regions count from 0, the two descent methods from 1.
    first = 1 if isinstance(optimizer, SteepestDescent | ConjugateGradient) else 0
    result, failed, stationary, hops, iterations = None, False, False, 0, 0
    with _numpy_seed(int(rng.integers(2**32))):
        while True:
            current = copy.deepcopy(optimizer)
            current._max_iterations = optimizer._max_iterations - iterations
            current._max_time = optimizer._max_time - recorder.seconds
            before, result = recorder.restart(), None
            try:
                result = current.run(recorder.problem, initial_point=initial, **settings)
            except StationaryPoint:
                stationary = True
            except Stalled:
                pass
            except FAILURES:
                failed = True
            walked = recorder.n_iterates - before - 1 + first
            iterations += walked if result is None else int(result.iterations)
            point = recorder.last if result is None else result.point
            over = failed or stationary or hops == _MAX_HOPS
            over |= iterations >= optimizer._max_iterations
            over |= recorder.seconds >= optimizer._max_time
            # Not a number for optimizers without derivatives: they go where they like.
            over |= not recorder.gradient_norm >= optimizer._min_gradient_norm
            follower = None if over or point is None else next_chart(recorder.problem, point)
            if follower is None:
                break
            initial, hops = follower, hops + 1
    seconds = recorder.seconds
    point = start if point is None else point
    history = recorder.finish(point)
    cost, gradient_norm = float(history.cost[-1]), float(history.gradient_norm[-1])
    if failed or not (np.isfinite(cost) and np.isfinite(gradient_norm)):
        status = Status.FAILED
    elif stationary or gradient_norm < optimizer._min_gradient_norm:
        status = Status.CONVERGED
    else:
        status = _why_stopped(recorder, optimizer, iterations, seconds)
    if status is not Status.FAILED and bool(held_faces(recorder.problem, point).any()):
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
        iterations,
    )


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


@contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, from which pymanopt's particle swarm draws, and restore it."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
