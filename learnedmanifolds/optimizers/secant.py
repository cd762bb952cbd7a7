"""The part of a Hessian that Gauss and Newton leave out, from changes of the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learnedmanifolds.optimizers.iteration import Iterate
from learnedmanifolds.optimizers.tangent import TangentBasis, transport

# The update divides by <y, s>: it is left out where that is so small, relative to |y| |s|.
_MIN_COSINE = 1e-8


@dataclass(frozen=True, eq=False)
class Secant:
    """The step to an iterate, and what was known where it began.

    Attributes
    ----------
    iterate : Iterate
        Where the step began.
    basis : TangentBasis
        There.
    step, gradient : ndarray, shape (d,)
        Coordinates of the step and of the gradient there.
    curvature : ndarray, shape (d, d)
        The correction that was used there.
    """

    iterate: Iterate
    basis: TangentBasis
    step: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray

    def correction(
        self, point: Any, basis: TangentBasis, gradient: np.ndarray, gauss_newton: np.ndarray
    ) -> np.ndarray:
        """S (d, d), symmetric, such that S + Gauss-Newton's Hessian maps the step to the change y.

        The last S, carried to the new tangent space and first made smaller where it is too large
        along the step, is changed as little as possible, in the weighted norm of Davidon, Fletcher
        and Powell.

        Parameters
        ----------
        point : the end of the step
        basis : TangentBasis
            There.
        gradient : ndarray, shape (d,)
        gauss_newton : ndarray, shape (d, d)

        References
        ----------
        Dennis, Gay, Welsch, An adaptive nonlinear least-squares algorithm, ACM Trans. Math. Softw.
        7, 1981, with y = J'^T r' - J^T r throughout.
        """
        manifold, start = basis.manifold, self.iterate.point
        carried = basis.coordinates(
            [transport(manifold, start, point, vector) for vector in self.basis.vectors]
        )
        step, change = self.step @ carried, gradient - self.gradient @ carried
        curvature = carried.T @ self.curvature @ carried
        wanted = change - gauss_newton @ step
        along = step @ curvature @ step
        if along != 0:
            curvature = min(1.0, abs(step @ wanted) / abs(along)) * curvature
        product = step @ change
        if product <= _MIN_COSINE * np.linalg.norm(step) * np.linalg.norm(change):
            return curvature
        missing = wanted - curvature @ step
        mixed = np.outer(missing, change)
        square = np.outer(change, change) * (missing @ step / product)
        updated = curvature + (mixed + mixed.T - square) / product
        return updated if np.isfinite(updated).all() else np.zeros_like(updated)
