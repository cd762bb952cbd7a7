"""Solve an inverse problem on a manifold from several starts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from pymanopt.optimizers.optimizer import Optimizer

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds._grad import differentiable
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.inverse.optimizers import make_optimizer, optimizer_name
from learnedmanifolds.inverse.problem import InverseProblem
from learnedmanifolds.inverse.run import run
from learnedmanifolds.inverse.solution import Run, Solution
from learnedmanifolds.inverse.starts import SCREENED, choose_starts, require_a_start_inside
from learnedmanifolds.inverse.units import Units, natural_units
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.manifolds.point import AtlasPoint
from learnedmanifolds.manifolds.source import as_atlas
from learnedmanifolds.optimizers.stopping import Criterion

Source: TypeAlias = Atlas | Charts | PymanoptManifold


@differentiable()
def solve(
    problem: InverseProblem,
    source: Source,
    optimizer: str | Optimizer = "trust-regions",
    n_starts: int = 1,
    seed: int | None = None,
    *,
    initial_points: ArrayLike | None = None,
    n_screen: int | None = None,
    retraction: str = "second-order",
    stopping: Criterion | None = None,
    max_iterations: int | None = None,
    min_gradient_norm: float | None = None,
    max_time: float | None = None,
) -> Solution:
    """Minimise the cost of an inverse problem over a manifold.

    Parameters
    ----------
    problem : InverseProblem
    source : Atlas, Charts or PymanoptManifold
    optimizer : str or pymanopt Optimizer
        One of `OPTIMIZERS`, or a ready optimizer with its own options; the thresholds of pymanopt's
        own ones are absolute.
    n_starts : int
        Number of starts; the same seed gives the same ones for every optimizer.
    seed : int, optional
        Of the starts and of everything random in the runs; fresh entropy by default.
    initial_points : array, shape (S, *ambient_shape), optional
        Starts, in place of those; ``n_starts`` and ``n_screen`` are not used then.
    n_screen : int, optional
        Points that are drawn from the manifold, the starts being those of low cost that are apart
        (see `choose_starts`); `SCREENED` for each start by default. 0 takes random starts.
    retraction : {"second-order", "chart", "projection"}
        A `PymanoptManifold` keeps its own.
    stopping : Criterion, optional
        Ends a run, for instance ``GradientNorm(1e-8) | MaxEvaluations(100)``. The limits below then
        hold only where they are given, but for the time.
    max_iterations : int, optional
        For each start; 200 by default.
    min_gradient_norm : float, optional
        A run has converged when its Riemannian gradient norm is below, in units of the cost per unit
        of the data. By default 1e-6 times what the cost varies by over the manifold (from the median
        down to the lowest of 16 points), per size of the manifold: neither the units of the data nor
        those of the cost decide.
    max_time : float, optional
        Seconds for each start; 1000 by default.

    Returns
    -------
    Solution
        The best run by cost, and all runs.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or value, a start is not on the manifold, or none
        is in the operator's domain. A single start outside of it is a failed run.
    """
    options = RunOptions(stopping, max_iterations, min_gradient_norm, max_time)
    options.make(optimizer)
    check_problem(problem)
    manifold = as_manifold(source, retraction)
    starts, seeds = draw_starts(problem, manifold, n_starts, seed, initial_points, n_screen)
    return Solution.best_of(run_all(problem, manifold, optimizer, starts, seeds, options))


@dataclass(frozen=True)
class RunOptions:
    """When runs end; see `solve`."""

    stopping: Criterion | None = None
    max_iterations: int | None = None
    min_gradient_norm: float | None = None
    max_time: float | None = None

    def make(self, optimizer: str | Optimizer, units: Units = Units()) -> Optimizer:  # noqa: B008
        """The optimizer with these limits, in these units; see `make_optimizer`."""
        return make_optimizer(
            optimizer,
            stopping=self.stopping,
            max_iterations=self.max_iterations,
            min_gradient_norm=self.min_gradient_norm,
            max_time=self.max_time,
            units=units,
        )


def check_problem(problem: object) -> None:
    """`TypeError` unless it is an `InverseProblem`."""
    if not isinstance(problem, InverseProblem):
        raise TypeError(f"problem must be an InverseProblem, got {type(problem).__name__}.")


def as_manifold(source: Source, retraction: str) -> PymanoptManifold:
    """The pymanopt manifold of a source; of a manifold, a copy with random numbers of its own."""
    if isinstance(source, PymanoptManifold):
        return copy.copy(source)
    return PymanoptManifold(as_atlas(source, "an Atlas, Charts or PymanoptManifold"), retraction)


def draw_starts(
    problem: InverseProblem,
    manifold: PymanoptManifold,
    n_starts: int,
    seed: int | None,
    initial_points: ArrayLike | None = None,
    n_screen: int | None = 0,
) -> tuple[list[AtlasPoint], list[np.random.SeedSequence]]:
    """Starts, and a seed for each run; the manifold's own random numbers are replaced."""
    count = integer(n_starts, "n_starts", minimum=1)
    screened = SCREENED * count if n_screen is None else integer(n_screen, "n_screen", minimum=0)
    root = np.random.SeedSequence(None if seed is None else integer(seed, "seed", minimum=0))
    if initial_points is not None:
        shape = (None, *manifold.atlas.ambient_shape)
        points = as_tensor(initial_points, "initial_points", shape=shape, allow_empty=False)
        starts = [_locate(manifold, i, x) for i, x in enumerate(points.detach().cpu().numpy())]
    else:
        manifold._random = np.random.default_rng(root)
        if screened:
            starts = choose_starts(problem, manifold, count, screened)
        else:
            starts = [manifold.random_point() for _ in range(count)]
    return starts, root.spawn(len(starts))


def run_all(
    problem: InverseProblem,
    manifold: PymanoptManifold,
    optimizer: str | Optimizer,
    starts: Sequence[AtlasPoint],
    seeds: Sequence[np.random.SeedSequence],
    options: RunOptions,
) -> tuple[Run, ...]:
    """One run a start; `OutsideDomainError` if the operator is defined at none."""
    hosted = problem.to_pymanopt(manifold)
    name, units = optimizer_name(optimizer), natural_units(problem, manifold.atlas)
    runs = tuple(
        run(hosted, manifold, options.make(optimizer, units), start, seed, name, options.stopping)
        for start, seed in zip(starts, seeds, strict=True)
    )
    if not any(np.isfinite(one.cost) for one in runs):
        require_a_start_inside(problem.operator, torch.from_numpy(np.stack(starts)))
    return runs


def _locate(manifold: PymanoptManifold, index: int, x: np.ndarray) -> AtlasPoint:
    try:
        return manifold.locate(x.astype(np.float64))
    except ValueError as error:
        raise ValueError(f"initial_points[{index}]: {error}") from error
