"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

_MAX_TRIALS = 30

# A trial step is at least so far inside the bracket, in units of its length. After an infinite
# cost, of which no polynomial tells anything, it goes back that far at first, and halfway later.
_MARGIN = 0.1

# While no bracket is found the step grows by a factor in between.
_GROWTH = 2.0, 10.0

# Costs that differ by less, relative to the cost, are equal up to rounding.
_ROUNDING = 10 * np.finfo(float).eps


class Trial(Protocol):
    """A point of a line t -> phi(t)."""

    @property
    def t(self) -> float:
        """Where it is."""
        ...

    @property
    def cost(self) -> float:
        """phi(t), infinite where it is not defined."""
        ...

    @property
    def slope(self) -> float:
        """phi'(t), computed when it is asked for, which is where the cost is low enough only."""
        ...


TrialT = TypeVar("TrialT", bound=Trial)


@dataclass(frozen=True)
class StrongWolfe:
    """Steps t > 0 with phi(t) <= phi(0) + c1 t phi'(0) and |phi'(t)| <= c2 |phi'(0)|.

    A bracket is found by steps that grow, and narrowed by cubic interpolation.

    Parameters
    ----------
    c1, c2 : float
        0 < c1 < c2 < 1.

    References
    ----------
    Nocedal, Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6.
    """

    c1: float = 1e-4
    c2: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.c1 < self.c2 < 1:
            raise ValueError(f"c1, c2: expected 0 < c1 < c2 < 1, got {self.c1}, {self.c2}.")

    def search(self, line: Callable[[float], TrialT], start: TrialT, t: float) -> TrialT | None:
        """A step that satisfies the conditions.

        Parameters
        ----------
        line : callable
            From a step t > 0 to a `Trial`.
        start : Trial
            At t = 0, where the slope is negative.
        t : float
            The first step to try.

        Returns
        -------
        Trial or None
            Where no step was found that satisfies the second condition, the best one that satisfies
            the first; None where there is none.
        """
        lower = start
        for left in reversed(range(_MAX_TRIALS)):
            trial = line(t)
            higher = lower is not start and trial.cost >= lower.cost
            if higher or not self._sufficient(start, trial):
                return self._narrow(line, start, lower, trial, left)
            if abs(trial.slope) <= -self.c2 * start.slope:
                return trial
            if trial.slope > 0:
                return self._narrow(line, start, trial, lower, left)
            guess = _cubic_minimiser(lower, trial)
            t = float(np.clip(guess, _GROWTH[0] * trial.t, _GROWTH[1] * trial.t))
            lower = trial
        return lower if lower is not start else None

    def _sufficient(self, start: TrialT, trial: TrialT) -> bool:
        """The first condition, up to rounding, at a point where there is a derivative."""
        bound = start.cost + self.c1 * trial.t * start.slope + _ROUNDING * abs(start.cost)
        return bool(trial.cost <= bound and np.isfinite(trial.slope))

    def _narrow(
        self, line: Callable[[float], TrialT], start: TrialT, low: TrialT, high: TrialT, trials: int
    ) -> TrialT | None:
        """A step between that satisfies the conditions.

        ``low`` has the lowest cost so far, and its slope points to ``high``.
        """
        slope_at_high = low.t > high.t
        for _ in range(trials):
            width = high.t - low.t
            if abs(width) <= np.finfo(float).eps * max(low.t, high.t):
                break
            if np.isfinite(high.cost):
                t = _cubic_minimiser(low, high) if slope_at_high else _square_minimiser(low, high)
                fraction = float(np.clip((t - low.t) / width, _MARGIN, 1 - _MARGIN))
            else:
                fraction = _MARGIN if low is start else 0.5
            trial = line(low.t + fraction * width)
            higher = trial.cost > low.cost + _ROUNDING * abs(start.cost)
            if higher or not self._sufficient(start, trial):
                high, slope_at_high = trial, False
                continue
            if abs(trial.slope) <= -self.c2 * start.slope:
                return trial
            if trial.slope * width >= 0:
                high, slope_at_high = low, True
            low = trial
        return low if low is not start else None


def _cubic_minimiser(a: Trial, b: Trial) -> float:
    """Of the cubic through two costs and slopes; infinite where it has none."""
    width = b.t - a.t
    mean = a.slope + b.slope - 3 * (b.cost - a.cost) / width
    square = mean**2 - a.slope * b.slope
    if square < 0:
        return np.inf
    root = np.copysign(np.sqrt(square), width)
    below = b.slope - a.slope + 2 * root
    return b.t - width * (b.slope + root - mean) / below if below != 0 else np.inf


def _square_minimiser(a: Trial, b: Trial) -> float:
    """Of the parabola through two costs and the slope at ``a``."""
    width = b.t - a.t
    bend = b.cost - a.cost - a.slope * width
    return a.t - a.slope * width**2 / (2 * bend) if bend > 0 else np.inf
