"""A backtracking line search whose trial steps a boundary may bend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pymanopt.manifolds.manifold import Manifold
from pymanopt.optimizers.line_search import AdaptiveLineSearcher


class BentLineSearcher(AdaptiveLineSearcher):
    """pymanopt's adaptive search, with Armijo's rule for the way that a step has really gone.

    On a manifold with boundary a retraction slides along it, and the cost falls as much as what is left
    of the step promises, not as the whole of it does. Where the whole is asked for, steps near a boundary
    shrink until they end before it, ever nearer, and a run creeps.

    For manifolds whose points and tangent vectors are arrays of one vector space. The arguments are those
    of `AdaptiveLineSearcher`.

    References
    ----------
    Bertsekas, IEEE Transactions on Automatic Control 21, 1976 (Armijo's rule along the projection arc).
    """

    _oldalpha: float | None

    def search(
        self,
        objective: Callable[[np.ndarray], float],
        manifold: Manifold,
        x: np.ndarray,
        d: np.ndarray,
        f0: float,
        df0: float,
    ) -> tuple[float, np.ndarray]:
        """Length of the step found, and its end; 0 and x where there is none."""
        square = manifold.inner_product(x, d, d)
        start = self._initial_step_size / np.sqrt(square)
        alpha = float(start if self._oldalpha is None else self._oldalpha)
        for count in range(1, self._max_iterations + 2):
            point = manifold.retraction(x, alpha * d)
            gone = min(alpha, manifold.inner_product(x, d, point - x) / square)
            if gone > 0 and objective(point) <= f0 + self._sufficient_decrease * gone * df0:
                # One trial more than needed tells that the next step may be as long.
                self._oldalpha = alpha if count == 2 else 2 * alpha
                return alpha * float(np.sqrt(square)), point
            alpha *= self._contraction_factor
        self._oldalpha = 2 * alpha
        return 0.0, x
