"""Points that are apart from all others."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import LocalOutlierFactor

# Neighbours that a point is compared with, how much sparser it must be, and how often those left are
# looked at again, for outliers hide each other.
_NEIGHBORS, _SPARSER, _ROUNDS = 20, 2.0, 5


def outlying(x: np.ndarray) -> np.ndarray:
    """Which of points (N, q) are where points are twice as far apart as around their neighbours, (N,).

    Also some at steps in the density of the others.

    References
    ----------
    Breunig, Kriegel, Ng, Sander, ACM SIGMOD, 2000 (local outlier factor).
    """
    points, place = np.unique(x, axis=0, return_inverse=True)
    apart = np.zeros(len(points), dtype=bool)
    for _ in range(_ROUNDS):
        left = np.flatnonzero(~apart)
        if len(left) <= 2 * _NEIGHBORS:
            break
        found = LocalOutlierFactor(n_neighbors=_NEIGHBORS).fit(points[left])
        sparse = -found.negative_outlier_factor_ > _SPARSER
        if not sparse.any():
            break
        apart[left[sparse]] = True
    return np.asarray(apart[place])
