"""pymanopt's optimizers by name."""

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


def _line_search() -> AdaptiveLineSearcher:
    """Halves the last step more often than by default: one from near a maximum may be huge."""
    return AdaptiveLineSearcher(max_iterations=20)


_FACTORIES: dict[str, Callable[..., Optimizer]] = {
    # pymanopt's default search doubles the step that it guesses from the last decrease, which
    # rounding makes useless near the minimum: 4 trials a step, where this one takes 1.5.
    "steepest-descent": lambda **options: SteepestDescent(line_searcher=_line_search(), **options),
    # With pymanopt's default rule (Hestenes-Stiefel) the direction cancels to rounding noise when a
    # line search overshoots along a line, always possible in dimension 1, and the run stops:
    # measured in 9 of 250 starts on the exact sphere.
    "conjugate-gradient": lambda **options: ConjugateGradient(
        beta_rule="PolakRibiere", line_searcher=_line_search(), **options
    ),
    "trust-regions": TrustRegions,
    "particle-swarm": ParticleSwarm,
    "nelder-mead": NelderMead,
}

OPTIMIZERS = tuple(_FACTORIES)
"""Names of the optimizers; the last two use no derivatives."""


def make_optimizer(
    optimizer: str | Optimizer,
    *,
    max_iterations: int = 200,
    min_gradient_norm: float = 1e-6,
    max_time: float = 1000.0,
) -> Optimizer:
    """A silent pymanopt optimizer.

    Parameters
    ----------
    optimizer : str or pymanopt Optimizer
        One of `OPTIMIZERS`; or a ready optimizer, of which a silent copy with its own options is
        returned.
    max_iterations : int
    min_gradient_norm : float
        In units of the cost per unit of the data.
    max_time : float
        Seconds.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.
    """
    options = {
        "max_iterations": integer(max_iterations, "max_iterations", minimum=1),
        "min_gradient_norm": non_negative(min_gradient_norm, "min_gradient_norm"),
        "max_time": positive(max_time, "max_time"),
    }
    if isinstance(optimizer, Optimizer):
        ready = copy.deepcopy(optimizer)
        ready._verbosity = ready._log_verbosity = 0
        return ready
    if not isinstance(optimizer, str):
        raise TypeError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)} or a pymanopt Optimizer, "
            f"got {type(optimizer).__name__}."
        )
    return _FACTORIES[one_of(optimizer, "optimizer", OPTIMIZERS)](
        verbosity=0, log_verbosity=0, **options
    )


def optimizer_name(optimizer: str | Optimizer) -> str:
    """The name of an optimizer in tables and figures."""
    return optimizer if isinstance(optimizer, str) else type(optimizer).__name__
