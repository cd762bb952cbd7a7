"""Points that are apart from all others."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import LocalOutlierFactor

# Neighbours that a point is compared with, and how much sparser it must be.
_NEIGHBORS, _SPARSER = 20, 2.0


def outlying(x: np.ndarray) -> np.ndarray:
    """Which of points (N, q) are where points are twice as far apart as around their neighbours, (N,).

    Also some at steps in the density of the others.

    References
    ----------
    Breunig, Kriegel, Ng, Sander, ACM SIGMOD, 2000 (local outlier factor).
    """
    points, place = np.unique(x, axis=0, return_inverse=True)
    if len(points) <= 2 * _NEIGHBORS:
        return np.zeros(len(x), dtype=bool)
    factor = LocalOutlierFactor(n_neighbors=_NEIGHBORS).fit(points).negative_outlier_factor_
    return np.asarray((-factor > _SPARSER)[place])
