"""Levenberg and Marquardt's method on manifolds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from learnedmanifolds._check import positive
from learnedmanifolds.optimizers.iteration import (
    Iterate,
    IterativeOptimizer,
    Objective,
    rounding,
    size,
)
from learnedmanifolds.optimizers.secant import Secant
from learnedmanifolds.optimizers.status import Status
from learnedmanifolds.optimizers.tangent import TangentBasis, tangent_basis

# A step is taken if the cost falls by this share of what the model promises (Moré 1978).
_ACCEPTED = 1e-4

# The radius grows where the share is above the second, shrinks where it is below the first.
_POOR, _GOOD = 0.25, 0.75
_GROWTH, _SHRINKAGE = 2.0, 0.5

# After a step that is not taken the radius is the minimiser of a parabola along it, in between.
_RETREAT = 0.1, 0.5

# Costs that differ by less, relative to the cost, are equal up to rounding: of a finite element
# solution, measured on impedance tomography (1e-12).
_ROUNDING = 1e4 * np.finfo(float).eps

# Residuals are differences, which rounding of the points changes however small they are: by that of
# so many points, in units of `rounding`.
_OF_POINTS = 10

# How many steps are tried where rounding hides the fall of the cost and the gradient does not fall.
_MAX_TRIES = 3

# Gauss and Newton's model predicts the cost well if it is right up to this share: its convergence
# is then fast, and quadratic where the residuals vanish.
_GOOD_PREDICTION = 0.02

# A component of the gradient that is smaller, relative to the gradient, is rounding.
_NO_SLOPE = 1e-14

# The least damping, relative to the largest eigenvalue of the model's Hessian, and the longest
# step that it leaves, relative to the radius.
_LEAST_DAMPING, _LONGEST = 1e-14, 1e8


@dataclass(frozen=True, eq=False)
class LMProgress:
    """Where Levenberg-Marquardt is.

    Attributes
    ----------
    iterate : Iterate
    radius : float
        Longest step that the model is trusted on.
    corrected : bool
        Whether the model has the secant correction.
    secant : Secant, optional
        The last step.
    """

    iterate: Iterate
    radius: float
    corrected: bool = False
    secant: Secant | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """The cost around an iterate, in coordinates: <g, s> + <s, (G + S) s> / 2.

    Attributes
    ----------
    gradient : ndarray, shape (d,)
        g.
    gauss_newton, correction : ndarray, shape (d, d)
        G and S.
    """

    gradient: np.ndarray
    gauss_newton: np.ndarray
    correction: np.ndarray

    def step(self, radius: float, corrected: bool) -> np.ndarray:
        """The minimiser within a radius, with the correction or without."""
        hessian = self.gauss_newton + self.correction if corrected else self.gauss_newton
        values, axes = np.linalg.eigh(hessian)
        return axes @ damped_step(values, axes.T @ self.gradient, radius)

    def falls(self, step: np.ndarray) -> tuple[float, float]:
        """How much lower the cost is after a step, without the correction and with it."""
        plain = -self.gradient @ step - 0.5 * step @ self.gauss_newton @ step
        return float(plain), float(plain - 0.5 * step @ self.correction @ step)

    def noise(self, cost: float, length: float) -> float:
        """By how much rounding may change a cost, with points that are rounded by a length."""
        stretch = float(np.sqrt(2 * abs(cost)) * np.sqrt(np.linalg.norm(self.gauss_newton)))
        return _ROUNDING * abs(cost) + _OF_POINTS * length * stretch


class LevenbergMarquardt(IterativeOptimizer[LMProgress]):
    """Riemannian Levenberg-Marquardt for a `LeastSquaresProblem` on any pymanopt manifold.

    In an orthonormal basis of the tangent space, with A the rows of the linearisation, g the
    gradient, the step solves (A A^T + S + mu I) s = -g. The damping mu is the smallest for which
    the step is no longer than the radius, by an eigendecomposition of the (d, d) matrix, so that a
    step that is not taken costs one evaluation of the cost and no linearisation. The radius follows
    the ratio of the actual to the promised decrease.

    S is zero as long as Gauss and Newton's model predicts the cost better, and convergence is
    quadratic where the residuals vanish. Elsewhere S is a secant approximation of what Gauss and
    Newton leave out: the curvature of the residuals, and of other terms of the cost (a prior).

    Where rounding hides the fall of the cost, a step is taken if the gradient's norm falls.

    One iteration takes one gradient, one linearisation and one evaluation of the cost for each
    trial. The basis takes d random tangent vectors, and d^2 inner products unless the metric is
    Euclidean: the method is meant for up to a few hundred dimensions.

    Parameters
    ----------
    initial_radius : float, optional
        Longest first step, in units of the points; by default the manifold's ``typical_dist``.
    **options
        See `IterativeOptimizer`.

    References
    ----------
    Adachi, Okuno, Takeda, Riemannian Levenberg-Marquardt method with global and local convergence
    properties, 2022, arXiv:2210.00253; Moré, The Levenberg-Marquardt algorithm: implementation and
    theory, 1978; Dennis, Gay, Welsch, An adaptive nonlinear least-squares algorithm, 1981.
    """

    def __init__(self, *, initial_radius: float | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._initial_radius = (
            None if initial_radius is None else positive(initial_radius, "initial_radius")
        )

    def _start(self, objective: Objective, iterate: Iterate) -> LMProgress:
        objective.require_curvature()
        given = self._initial_radius
        return LMProgress(iterate, size(objective.manifold) if given is None else given)

    def _step(self, objective: Objective, progress: LMProgress) -> LMProgress | Status:
        old, radius, corrected = progress.iterate, progress.radius, progress.corrected
        basis = tangent_basis(objective.manifold, old.point, old.gradient)
        model = _model(objective, progress, basis)
        if not np.isfinite(model.gauss_newton).all():
            return Status.FAILED
        noise = model.noise(old.cost, rounding(objective.manifold))
        shortest = self._shortest_step(objective.manifold)
        new, tries = None, 0
        while new is None:
            step = model.step(radius, corrected)
            length = float(np.linalg.norm(step))
            if not length >= shortest or tries == _MAX_TRIES:
                return Status.STEP_TOO_SMALL
            point = objective.manifold.retraction(old.point, basis.combine(step))
            cost = objective.cost(point)
            fall, promises = old.cost - cost, model.falls(step)
            promised = promises[corrected]
            gain = (fall + noise) / (promised + noise)
            if gain > _ACCEPTED:
                new = objective.iterate(point, cost, length)
                if not new.finite:
                    new, fall = None, -np.inf
                elif promised <= noise and new.gradient_norm >= old.gradient_norm:
                    # Nothing but rounding is left in the cost; the gradient decides.
                    new, tries = None, tries + 1
            if np.isfinite(fall) and promised > noise:
                plain, better = (abs(fall - promise) for promise in promises)
                corrected = plain > max(better, _GOOD_PREDICTION * abs(fall))
            if new is None:
                radius = length * _retreat(float(model.gradient @ step), fall)
                if radius < shortest:
                    return Status.STEP_TOO_SMALL if np.isfinite(fall) else Status.FAILED
        if gain > _GOOD:
            radius = max(radius, _GROWTH * length)
        elif gain < _POOR:
            radius = _SHRINKAGE * length
        secant = Secant(old, basis, step, model.gradient, model.correction)
        return LMProgress(new, radius, corrected, secant)


def _model(objective: Objective, progress: LMProgress, basis: TangentBasis) -> Model:
    iterate = progress.iterate
    gradient = basis.coordinates([iterate.gradient])[0]
    rows = np.asarray(objective.curvature(iterate.point)(basis.vectors), dtype=float)
    gauss_newton = rows @ rows.T
    correction = np.zeros_like(gauss_newton)
    # Another dimension is that of a boundary that has begun, or ceased, to hold the iterate.
    if progress.secant is not None and len(progress.secant.basis) == len(basis):
        correction = progress.secant.correction(iterate.point, basis, gradient, gauss_newton)
    return Model(gradient, gauss_newton, correction)


def damped_step(values: np.ndarray, gradient: np.ndarray, radius: float) -> np.ndarray:
    """The step -g / (lambda + mu), no longer than a radius, with mu >= 0 as small as may be.

    Parameters
    ----------
    values : ndarray, shape (d,)
        Eigenvalues lambda of the Hessian, ascending; for a negative one, mu is larger.
    gradient : ndarray, shape (d,)
        g, in coordinates along the eigenvectors.
    radius : float
    """
    size_of_gradient = float(np.linalg.norm(gradient))
    if size_of_gradient == 0:
        return np.zeros_like(gradient)
    # Rounding must not lead along directions in which the model is flat.
    gradient = np.where(np.abs(gradient) > _NO_SLOPE * size_of_gradient, gradient, 0.0)
    steepest = size_of_gradient / radius
    scale = max(float(np.abs(values).max()), steepest / _LONGEST)
    shifted = values - min(0.0, float(values[0]))
    least = _LEAST_DAMPING * scale

    def shortness(damping: float) -> float:
        return 1 / float(np.linalg.norm(gradient / (shifted + damping))) - 1 / radius

    if shortness(least) >= 0:
        return -gradient / (shifted + least)
    # The function is nearly linear, and the radius only a guess.
    damping = brentq(shortness, least, least + 2 * steepest, xtol=1e-3 * least, rtol=1e-3)
    return -gradient / (shifted + damping)


def _retreat(slope: float, fall: float) -> float:
    """How much shorter the next step is than one along which the cost fell by so much."""
    if not np.isfinite(fall):
        return _RETREAT[0]
    return float(np.clip(slope / (2 * (slope + fall)), *_RETREAT))
