"""Solve an inverse problem on a manifold from several starts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from pymanopt.optimizers.optimizer import Optimizer

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds.atlas import Atlas
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.inverse.optimizers import make_optimizer, optimizer_name
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.inverse.run import run
from learnedmanifolds.inverse.solution import Run, Solution
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.manifolds.point import AtlasPoint

Source: TypeAlias = Atlas | Charts | PymanoptManifold


def solve(
    problem: InverseProblem,
    source: Source,
    optimizer: str | Optimizer = "trust-regions",
    n_starts: int = 1,
    seed: int | None = None,
    *,
    initial_points: ArrayLike | None = None,
    retraction: str = "second-order",
    max_iterations: int = 200,
    min_gradient_norm: float = 1e-6,
    max_time: float = 1000.0,
) -> Solution:
    """Minimise the cost of an inverse problem over a manifold.

    Parameters
    ----------
    problem : InverseProblem
    source : Atlas, Charts or PymanoptManifold
    optimizer : str or pymanopt Optimizer
        One of `OPTIMIZERS`, or a ready optimizer with its own options.
    n_starts : int
        Starts drawn from the manifold; the same seed gives the same ones for every optimizer.
    seed : int, optional
        Of the starts and of everything random in the runs; fresh entropy by default.
    initial_points : array, shape (S, *ambient_shape), optional
        Starts, in place of random ones; ``n_starts`` is not used then.
    retraction : {"second-order", "chart", "projection"}
        A `PymanoptManifold` keeps its own.
    max_iterations : int
        For each start.
    min_gradient_norm : float
        A run has converged when its Riemannian gradient norm is below.
    max_time : float
        Seconds for each start.

    Returns
    -------
    Solution
        The best run by cost, and all runs.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or value, or a start is not on the manifold.
    """
    options = {
        "max_iterations": max_iterations,
        "min_gradient_norm": min_gradient_norm,
        "max_time": max_time,
    }
    make_optimizer(optimizer, **options)  # type: ignore[arg-type]
    manifold = as_manifold(source, retraction)
    starts, seeds = draw_starts(manifold, n_starts, seed, initial_points)
    return Solution.best_of(run_all(problem, manifold, optimizer, starts, seeds, options))


def as_manifold(source: Source, retraction: str) -> PymanoptManifold:
    """The pymanopt manifold of a source; of a manifold, a copy with random numbers of its own."""
    if isinstance(source, PymanoptManifold):
        return copy.copy(source)
    if not isinstance(source, Atlas | Charts):
        raise TypeError(
            f"source must be an Atlas, Charts or PymanoptManifold, got {type(source).__name__}."
        )
    return PymanoptManifold(source, retraction)


def draw_starts(
    manifold: PymanoptManifold,
    n_starts: int,
    seed: int | None,
    initial_points: ArrayLike | None,
) -> tuple[list[AtlasPoint], list[np.random.SeedSequence]]:
    """Starts, and a seed for each run; the manifold's own random numbers are replaced."""
    count = integer(n_starts, "n_starts", minimum=1)
    root = np.random.SeedSequence(None if seed is None else integer(seed, "seed", minimum=0))
    if initial_points is None:
        manifold._random = np.random.default_rng(root)
        starts = [manifold.random_point() for _ in range(count)]
    else:
        shape = (None, *manifold.atlas.ambient_shape)
        points = as_tensor(initial_points, "initial_points", shape=shape, allow_empty=False)
        starts = [_locate(manifold, i, x) for i, x in enumerate(points.detach().cpu().numpy())]
    return starts, root.spawn(len(starts))


def run_all(
    problem: InverseProblem,
    manifold: PymanoptManifold,
    optimizer: str | Optimizer,
    starts: Sequence[AtlasPoint],
    seeds: Sequence[np.random.SeedSequence],
    options: dict[str, float],
) -> tuple[Run, ...]:
    """One run a start."""
    if not isinstance(problem, InverseProblem):
        raise TypeError(f"problem must be an InverseProblem, got {type(problem).__name__}.")
    hosted = problem.to_pymanopt(manifold)
    name = optimizer_name(optimizer)
    return tuple(
        run(hosted, manifold, make_optimizer(optimizer, **options), start, seed, name)  # type: ignore[arg-type]
        for start, seed in zip(starts, seeds, strict=True)
    )


def _locate(manifold: PymanoptManifold, index: int, x: np.ndarray) -> AtlasPoint:
    try:
        return manifold.locate(x.astype(np.float64))
    except ValueError as error:
        raise ValueError(f"initial_points[{index}]: {error}") from error
