"""Optimizers by name: pymanopt's and those of this package."""

from __future__ import annotations

import copy
from collections.abc import Callable

from pymanopt.optimizers import (
    ConjugateGradient,
    NelderMead,
    ParticleSwarm,
    SteepestDescent,
    TrustRegions,
)
from pymanopt.optimizers.line_search import AdaptiveLineSearcher
from pymanopt.optimizers.optimizer import Optimizer

from learnedmanifolds._check import integer, non_negative, one_of, positive
from learnedmanifolds.inverse.units import Units
from learnedmanifolds.optimizers.bent_search import BentLineSearcher
from learnedmanifolds.optimizers.fixed_step import FixedStep
from learnedmanifolds.optimizers.lbfgs import LBFGS
from learnedmanifolds.optimizers.levenberg_marquardt import LevenbergMarquardt
from learnedmanifolds.optimizers.stopping import Criterion


def _search(units: Units) -> dict[str, float]:
    """Halves the last step more often than by default: one from near a maximum may be huge."""
    return {"max_iterations": 40, "initial_step_size": units.length}


_MAX_ITERATIONS = 200

MIN_GRADIENT_NORM = 1e-6
"""The default threshold, in units of the variation of the cost over the manifold by its size."""

# Pymanopt's, and how much of the cost its trust regions count as rounding, in machine epsilons; both
# for problems of unit size.
_MIN_STEP, _ROUNDING = 1e-10, 1e3
_NO_LIMIT = 10**9

_FACTORIES: dict[str, Callable[..., Optimizer]] = {
    # As in `solve_batch`. Pymanopt's default search doubles the step that it guesses from the last
    # decrease, which rounding makes useless near the minimum: 4 trials a step, where this one takes 1.5.
    "steepest-descent": lambda units, **options: SteepestDescent(
        line_searcher=AdaptiveLineSearcher(**_search(units)),
        min_step_size=_MIN_STEP * units.length,
        **options,
    ),
    # With pymanopt's default rule (Hestenes-Stiefel) the direction cancels to rounding noise when a
    # line search overshoots along a line, always possible in dimension 1, and the run stops:
    # measured in 9 of 250 starts on the exact sphere.
    "conjugate-gradient": lambda units, **options: ConjugateGradient(
        beta_rule="PolakRibiere",
        line_searcher=BentLineSearcher(**_search(units)),
        min_step_size=_MIN_STEP * units.length,
        **options,
    ),
    "trust-regions": lambda units, **options: TrustRegions(
        rho_regularization=_ROUNDING * min(1.0, units.cost), **options
    ),
    "levenberg-marquardt": lambda units, **options: LevenbergMarquardt(**options),
    "lbfgs": lambda units, **options: LBFGS(**options),
    "fixed-step": lambda units, **options: FixedStep(**options),
    "particle-swarm": lambda units, **options: ParticleSwarm(**options),
    "nelder-mead": lambda units, **options: NelderMead(**options),
}

OPTIMIZERS = tuple(_FACTORIES)
"""Names of the optimizers; the last two use no derivatives."""


def make_optimizer(
    optimizer: str | Optimizer,
    *,
    stopping: Criterion | None = None,
    max_iterations: int | None = None,
    min_gradient_norm: float | None = None,
    max_time: float | None = None,
    units: Units = Units(),  # noqa: B008 - immutable
) -> Optimizer:
    """A silent pymanopt optimizer.

    Parameters
    ----------
    optimizer : str or pymanopt Optimizer
        One of `OPTIMIZERS`; or a ready optimizer, of which a silent copy with its own options is
        returned.
    stopping : Criterion, optional
        What is going to end the runs beside the optimizer's own limits, which with it have no
        defaults but the time.
    max_iterations : int, optional
        200 by default.
    min_gradient_norm : float, optional
        In units of the cost per unit of the data; by default 1e-6 in the problem's own ones.
    max_time : float, optional
        Seconds; 1000 by default.
    units : Units
        The problem's own.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.
    """
    if stopping is not None and not isinstance(stopping, Criterion):
        raise TypeError(f"stopping must be a Criterion, got {type(stopping).__name__}.")
    options: dict[str, float] = {"max_time": positive(_or(max_time, 1000.0), "max_time")}
    alone = stopping is None
    natural = MIN_GRADIENT_NORM * units.gradient
    gradient_norm = _or(min_gradient_norm, natural if alone else 0.0)
    options["min_gradient_norm"] = non_negative(gradient_norm, "min_gradient_norm")
    iterations = _or(max_iterations, _MAX_ITERATIONS if alone else _NO_LIMIT)
    options["max_iterations"] = integer(iterations, "max_iterations", minimum=1)
    if isinstance(optimizer, Optimizer):
        ready = copy.deepcopy(optimizer)
        ready._verbosity = ready._log_verbosity = 0
        if ready._min_gradient_norm is None:
            ready._min_gradient_norm = natural
        return ready
    if not isinstance(optimizer, str):
        raise TypeError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)} or a pymanopt Optimizer, "
            f"got {type(optimizer).__name__}."
        )
    name = one_of(optimizer, "optimizer", OPTIMIZERS)
    if name == "particle-swarm" and iterations == _NO_LIMIT:
        # The swarm slows down in proportion to it.
        del options["max_iterations"]
    return _FACTORIES[name](units, verbosity=0, log_verbosity=0, **options)


def optimizer_name(optimizer: str | Optimizer) -> str:
    """The name of an optimizer in tables and figures."""
    return optimizer if isinstance(optimizer, str) else type(optimizer).__name__


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
