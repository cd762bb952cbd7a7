"""Limited-memory BFGS on manifolds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from learnedmanifolds._check import integer
from learnedmanifolds.optimizers.iteration import Iterate, IterativeOptimizer, Objective, size
from learnedmanifolds.optimizers.status import Status
from learnedmanifolds.optimizers.tangent import confine, held_walls, transport
from learnedmanifolds.optimizers.wolfe import StrongWolfe

# A pair is kept if <y, s> >= this * |grad| * |s|^2 (Huang, Absil, Gallivan 2015, section 4), lengths in
# units of the manifold's size.
_CAUTION = 1e-4

# Length of the first step, in units of the manifold's size; the same as pymanopt's trust regions.
_FIRST_STEP = 1 / 8


@dataclass(frozen=True, eq=False)
class Pair:
    """A step s and the change y of the gradient along it, in the tangent space of the iterate."""

    step: Any
    change: Any
    product: float
    """<y, s>."""
    scale: float
    """<y, s> / <y, y>."""


@dataclass(frozen=True, eq=False)
class LBFGSProgress:
    """Where L-BFGS is, and its pairs, the oldest first."""

    iterate: Iterate
    pairs: tuple[Pair, ...] = ()


class LBFGS(IterativeOptimizer[LBFGSProgress]):
    """Riemannian L-BFGS with a line search for the strong Wolfe conditions.

    The directions are those of the two-loop recursion; its pairs are carried along by the
    manifold's vector transport, or by projection where it has none. The derivative along a search
    line t -> R(t p) is taken for <grad f, T p> with that transport, which is exact for transports
    by differentiated retraction and right to first order in t for the others. Infinite and NaN
    costs are stepped back from.

    Parameters
    ----------
    memory : int
        Number of pairs.
    line_search : StrongWolfe, optional
    **options
        See `IterativeOptimizer`.

    References
    ----------
    Huang, Gallivan, Absil, A Broyden class of quasi-Newton methods for Riemannian optimization,
    SIAM J. Optim. 25, 2015; Nocedal, Wright, Numerical Optimization, 2006, section 7.2.
    """

    def __init__(
        self, *, memory: int = 10, line_search: StrongWolfe | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._memory = integer(memory, "memory", minimum=1)
        if line_search is not None and not isinstance(line_search, StrongWolfe):
            raise TypeError(f"line_search must be a StrongWolfe, got {type(line_search).__name__}.")
        self._line_search = StrongWolfe() if line_search is None else line_search

    def _start(self, objective: Objective, iterate: Iterate) -> LBFGSProgress:
        return LBFGSProgress(iterate)

    def _step(self, objective: Objective, progress: LBFGSProgress) -> LBFGSProgress | Status:
        iterate = progress.iterate
        direction = confine(
            objective.manifold,
            iterate.point,
            iterate.gradient,
            -1.0 * _two_loops(objective, progress),
        )
        slope = objective.slope(iterate, direction)
        if progress.pairs and not slope < 0:
            return self._step(objective, replace(progress, pairs=()))
        line = Line(objective, iterate, direction, slope)
        first = (
            1.0
            if progress.pairs
            else _FIRST_STEP * size(objective.manifold) / iterate.gradient_norm
        )
        found = self._line_search.search(line, line.start, first)
        if found is not None:
            return self._advance(objective, progress, line, found)
        if progress.pairs:
            return self._step(objective, replace(progress, pairs=()))
        return Status.FAILED if line.met_infinity else Status.STEP_TOO_SMALL

    def _advance(
        self, objective: Objective, progress: LBFGSProgress, line: Line, found: LineTrial
    ) -> LBFGSProgress:
        old, new = progress.iterate, found.iterate
        manifold = objective.manifold
        if held_walls(manifold, new.point, new.gradient) != held_walls(
            manifold, old.point, old.gradient
        ):
            # The gradient jumps where a boundary begins to hold it.
            return LBFGSProgress(new)

        def carried(vector: Any) -> Any:
            return transport(manifold, old.point, new.point, vector)

        pairs = [
            replace(pair, step=carried(pair.step), change=carried(pair.change))
            for pair in progress.pairs
        ]
        step = found.t * found.direction
        change = new.gradient - carried(old.gradient)
        product = _inner(objective, new, change, step)
        length = _inner(objective, new, step, step)
        if product >= _CAUTION * new.gradient_norm * length / size(manifold) and product > 0:
            scale = product / _inner(objective, new, change, change)
            pairs.append(Pair(step, change, product, scale))
        return LBFGSProgress(new, tuple(pairs[-self._memory :]))


class Line:
    """The cost along t -> R(t p)."""

    def __init__(
        self, objective: Objective, iterate: Iterate, direction: Any, slope: float
    ) -> None:
        self.objective, self.iterate, self.direction = objective, iterate, direction
        self.length = float(np.real(objective.manifold.norm(iterate.point, direction)))
        self.met_infinity = False
        self.start = LineTrial(self, 0.0, iterate.point, iterate.cost)
        self.start.slope = slope

    def __call__(self, t: float) -> LineTrial:
        """See `Trial`."""
        point = self.objective.manifold.retraction(self.iterate.point, t * self.direction)
        trial = LineTrial(self, t, point, self.objective.cost(point))
        self.met_infinity |= not np.isfinite(trial.cost)
        return trial


class LineTrial:
    """See `Trial`; gradient and slope are computed when they are asked for."""

    def __init__(self, line: Line, t: float, point: Any, cost: float) -> None:
        self.line, self.t, self.point, self.cost = line, t, point, cost

    @cached_property
    def iterate(self) -> Iterate:
        """The iterate that the trial becomes."""
        return self.line.objective.iterate(self.point, self.cost, self.t * self.line.length)

    @cached_property
    def direction(self) -> Any:
        """The search direction, carried to the trial."""
        line = self.line
        start = line.iterate.point
        return transport(line.objective.manifold, start, self.point, line.direction)

    @cached_property
    def slope(self) -> float:
        """The derivative along the line; NaN where the gradient is not finite."""
        if not self.iterate.finite:
            self.line.met_infinity = True
            return np.nan
        return self.line.objective.slope(self.iterate, self.direction)


def _two_loops(objective: Objective, progress: LBFGSProgress) -> Any:
    """The approximate inverse Hessian applied to the gradient."""
    at = progress.iterate
    vector, weights = at.gradient, []
    for pair in reversed(progress.pairs):
        weights.append(_inner(objective, at, pair.step, vector) / pair.product)
        vector = vector - weights[-1] * pair.change
    if progress.pairs:
        vector = progress.pairs[-1].scale * vector
    for pair, weight in zip(progress.pairs, reversed(weights), strict=True):
        other = _inner(objective, at, pair.change, vector) / pair.product
        vector = vector + (weight - other) * pair.step
    return vector


def _inner(objective: Objective, at: Iterate, a: Any, b: Any) -> float:
    return float(np.real(objective.manifold.inner_product(at.point, a, b)))
