"""The Gaussian kernel on pairs of near points: a sparse graph, normalised, and its extension."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array, identity
from scipy.sparse.csgraph import connected_components

from learnedmanifolds.diffusion.neighbors import DataDistances

_FAR_ROWS = 256


@dataclass(frozen=True, eq=False)
class KernelGraph:
    """Weights exp(-d^2 / 4 epsilon) / (q_i q_j)^alpha between points closer than a radius.

    Attributes
    ----------
    weights : csr_array, shape (N, N)
        Symmetric; every point has an edge to itself.
    degree : ndarray, shape (N,)
        Sums of the rows of the weights. Divided by them, they are a random walk.
    density : ndarray, shape (N,)
        q, the sums of the rows of the kernel before the normalisation.
    epsilon, alpha, radius : float
    distances : DataDistances
    """

    weights: csr_array
    degree: np.ndarray
    density: np.ndarray
    epsilon: float
    alpha: float
    radius: float
    distances: DataDistances

    @property
    def stationary(self) -> np.ndarray:
        """Stationary probabilities of the walk, (N,)."""
        return self.degree / self.degree.sum()

    def transition(self, x: np.ndarray) -> csr_array:
        """Probabilities (M, N) of a step of the walk from new points to the data.

        The sum runs over the points whose weight is not below the cutoff relative to that of the
        nearest, so that a point far from all data has probabilities too; at data they are the walk's.

        Parameters
        ----------
        x : ndarray, shape (M, n)
            Or distances to the data, (M, N), of a graph made from distances.
        """
        nearest = self.distances.closest(x)
        order = np.argsort(nearest)
        rows, columns, values = [], [], []
        scale = self.density**-self.alpha
        for part in np.array_split(order, max(1, math.ceil(len(x) / _FAR_ROWS))):
            reach = math.sqrt(float(nearest[part[-1]]) ** 2 + self.radius**2) if len(part) else 0.0
            for start, count, index, distance in self.distances.within(x[part], reach):
                row = np.repeat(part[start : start + len(count)], count)
                further = distance**2 - nearest[row] ** 2
                kept = further <= self.radius**2
                row, index = row[kept], index[kept]
                rows.append(row)
                columns.append(index)
                values.append(np.exp(-further[kept] / (4 * self.epsilon)) * scale[index])
        row, weight = np.concatenate(rows), np.concatenate(values)
        weight /= np.bincount(row, weight, minlength=len(x))[row]
        shape = (len(x), len(self.degree))
        return csr_array(coo_array((weight, (row, np.concatenate(columns))), shape=shape))


def build_graph(
    distances: DataDistances, epsilon: float, alpha: float, cutoff: float
) -> KernelGraph:
    """Join data where the kernel is above the cutoff.

    Raises
    ------
    ValueError
        If the graph is not connected.
    """
    size = len(distances)
    radius = math.sqrt(-4 * epsilon * math.log(cutoff))
    indices, values = [], []
    counts = np.zeros(size, dtype=np.int64)
    for start, count, index, distance in distances.within(None, radius):
        row = np.repeat(np.arange(start, start + len(count)), count)
        # Of each pair once: both directions of a search may round differently.
        upper = index > row
        counts[start : start + len(count)] = np.bincount(row[upper] - start, minlength=len(count))
        indices.append(index[upper].astype(np.int32))
        values.append(np.exp(-(distance[upper] ** 2) / (4 * epsilon)))
    ends = np.append(0, np.cumsum(counts))
    half = csr_array((np.concatenate(values), np.concatenate(indices), ends), shape=(size, size))
    weights = csr_array(half + half.T + identity(size, format="csr"))
    _require_connected(weights, epsilon, radius)
    density = np.asarray(weights.sum(1))
    if alpha:
        _scale(weights, density**-alpha)
    degree = np.asarray(weights.sum(1))
    return KernelGraph(weights, degree, density, epsilon, alpha, radius, distances)


def _scale(weights: csr_array, factor: np.ndarray) -> None:
    """Multiply the rows and the columns of a matrix, in place."""
    weights.data *= np.repeat(factor, np.diff(weights.indptr))
    weights.data *= factor[weights.indices]


def _require_connected(weights: csr_array, epsilon: float, radius: float) -> None:
    count, label = connected_components(weights, directed=False)
    if count > 1:
        sizes = np.sort(np.bincount(label))[::-1]
        listed = ", ".join(map(str, sizes[:5])) + (", ..." if count > 5 else "")
        raise ValueError(
            f"x falls into {count} connected components, of {listed} points: no others are within "
            f"{radius:.4g}, the reach of the kernel at epsilon={epsilon:.4g}. Fit each component "
            "alone, drop outliers, or make epsilon larger."
        )
