"""Distances from points to data, a few rows at a time; plain, or in units that data set locally."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

# Rows of a neighbour search: few enough that the answers take tens of megabytes. In local units an
# outlier's row may hold all the data.
_ROWS, _LOCAL_ROWS = 4096, 256


class DataDistances:
    r"""Distances d(x, x_j) to data x_j, or, in local units, d(x, x_j) / sqrt(r(x) r(x_j)).

    r is the distance to the k-th nearest data point, a data point being its own first. In these units
    data are about equally dense everywhere, and outliers are nearer to the rest.

    Parameters
    ----------
    x : ndarray, shape (N, n)
        The data, or their distances (N, N).
    local_scale : int, optional
        k; distances are plain without.
    precomputed : bool
        Whether distances are given instead of points, here and in every method.

    Raises
    ------
    ValueError
        If k duplicates of a point leave it no unit.

    References
    ----------
    Zelnik-Manor, Perona, Self-tuning spectral clustering, NeurIPS 2004.
    """

    def __init__(
        self, x: np.ndarray, local_scale: int | None = None, precomputed: bool = False
    ) -> None:
        self._x, self._precomputed, self._scale = x, precomputed, local_scale
        self._search = NearestNeighbors(metric="precomputed" if precomputed else "euclidean").fit(x)
        self._units = np.ones(len(x)) if local_scale is None else self._units_of(x)
        if self._units.min() <= 0:
            raise ValueError(
                f"x holds a point at distance 0 of its local_scale={local_scale} nearest, of which it "
                "is one, so that there is no local unit; drop duplicates or raise local_scale."
            )

    def __len__(self) -> int:
        return len(self._x)

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Distances (R, N) between the data of these indices and all."""
        some = self._x[index]
        distance = some if self._precomputed else pairwise_distances(some, self._x)
        if self._scale is None:
            return np.asarray(distance)
        return np.asarray(distance / np.sqrt(self._units[index, None] * self._units))

    def closest(self, x: np.ndarray) -> np.ndarray:
        """Distances (M,) of points to the data point that is nearest in plain distance."""
        distance, index = self._search.kneighbors(x, n_neighbors=1)
        if self._scale is None:
            return np.asarray(distance[:, 0])
        return np.asarray(distance[:, 0] / np.sqrt(self._units_of(x) * self._units[index[:, 0]]))

    def within(
        self, x: np.ndarray | None, radius: float
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Neighbours up to a distance of points (M, n), or of the data for None, some rows at a time.

        First row, numbers of neighbours of the rows, and their indices and distances, row by row.
        """
        points = self._x if x is None else x
        step = _ROWS if self._scale is None else _LOCAL_ROWS
        for start in range(0, len(points), step):
            part = points[start : start + step]
            if self._scale is None:
                distances, indices = self._search.radius_neighbors(part, radius)
                count = np.array([len(index) for index in indices])
                yield start, count, np.concatenate(indices), np.concatenate(distances)
                continue
            own = self._units[start : start + step] if x is None else self._units_of(part)
            reach = radius * float(np.sqrt(own.max() * self._units.max()))
            distances, indices = self._search.radius_neighbors(part, reach)
            count = np.array([len(index) for index in indices])
            row, index = np.repeat(np.arange(len(part)), count), np.concatenate(indices)
            distance = np.concatenate(distances) / np.sqrt(own[row] * self._units[index])
            kept = distance <= radius
            count = np.bincount(row[kept], minlength=len(part))
            yield start, count, index[kept], distance[kept]

    def _units_of(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self._search.kneighbors(x, n_neighbors=self._scale)[0][:, -1])
