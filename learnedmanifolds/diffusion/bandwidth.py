"""The width of a Gaussian kernel, chosen from the distances between the data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from learnedmanifolds.diffusion.neighbors import DataDistances

# Points whose distances to all the data are looked at.
_ROWS = 500
# Bins of log d^2, d in units of a mean distance. Sums over them are those over the distances to
# within a part in 10^5.
_BIN, _LOWEST, _HIGHEST = 0.02, -100.0, 50.0
# Squared distances below this share of the largest one are rounding errors.
_COINCIDENT = 1e-13
# Share of its plateau that the slope must reach in the linear region.
_LINEAR = 0.95
_STEP = 0.1


@dataclass(frozen=True, eq=False)
class DistanceSample:
    """Distances of some of the data to all of them, in narrow bins.

    Attributes
    ----------
    square : ndarray, shape (B,)
        Squared distances, increasing, in squared units of the data; the first is 0.
    count : ndarray, shape (B,)
        Mean number of points at that distance of a point, which counts itself.
    """

    square: np.ndarray
    count: np.ndarray

    def kernel_sum(self, epsilon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S = sum_j exp(-d_ij^2 / 4 epsilon), its mean over i, and d log S / d log epsilon, both (E,)."""
        exponent = self.square / (4 * epsilon[:, None])
        weight = self.count * np.exp(-exponent)
        total = weight.sum(1)
        return total, (weight * exponent).sum(1) / total

    def neglected(self, epsilon: float, radius: float) -> float:
        """Share of the kernel's sum that lies farther than a radius, in [0, 1]."""
        weight = self.count * np.exp(-self.square / (4 * epsilon))
        return float(weight[self.square > radius**2].sum() / weight.sum())

    def within(self, radius: float) -> float:
        """Mean number of points within a radius, the point itself not counted."""
        return float(self.count[self.square <= radius**2].sum()) - 1

    def square_radius(self, n_neighbors: int) -> float:
        """The squared radius that holds so many other points in the mean, at most; infinite for all."""
        if n_neighbors + 1 >= self.count.sum() - 0.5:
            return math.inf
        held = np.searchsorted(np.cumsum(self.count), n_neighbors + 1, side="right")
        return float(self.square[held - 1]) if held else 0.0


@dataclass(frozen=True, eq=False)
class Bandwidth:
    """The width of a kernel and what it was chosen from.

    Attributes
    ----------
    epsilon : float
        Of exp(-d^2 / 4 epsilon), in squared units of the data.
    dimension : float
        Estimate of the intrinsic dimension: twice the slope of log S at epsilon, the weight of every
        point on itself left out.
    linear : tuple of float
        The widths between which log S rises with log epsilon at its full slope.
    neighbors, neglected : float
        Mean number of other points within the distance where the kernel is cut, and the share of its
        sum that lies beyond, in [0, 1].
    grid, slope : ndarray, shape (E,)
        d log S / d log epsilon at several epsilon.
    """

    epsilon: float
    dimension: float
    linear: tuple[float, float]
    neighbors: float
    neglected: float
    grid: np.ndarray
    slope: np.ndarray


def sample_distances(distances: DataDistances) -> DistanceSample:
    """Distances of randomly chosen data to all.

    Raises
    ------
    ValueError
        If all points coincide.
    """
    size = len(distances)
    rows = np.random.default_rng(0).permutation(size)[:_ROWS]
    n_bins = round((_HIGHEST - _LOWEST) / _BIN)
    counts = np.zeros(n_bins)
    zeros, unit = 0, 0.0
    for part in np.array_split(rows, max(1, len(rows) * size // 2**22)):
        distance = distances.rows(part)
        positive = distance[distance > 0]
        zeros += distance.size - positive.size
        unit = unit or float(distance.mean())
        index = (2 * np.log(positive / (unit or 1.0)) - _LOWEST) / _BIN
        counts += np.bincount(index.astype(np.int64).clip(0, n_bins - 1), minlength=n_bins)
    square = (unit or 1.0) ** 2 * np.exp(_LOWEST + _BIN * (np.arange(n_bins) + 0.5))
    used = counts.nonzero()[0]
    apart = used[square[used] > _COINCIDENT * square[used[-1]]] if len(used) else used
    if not len(apart):
        raise ValueError(
            f"x must hold at least two distinct points, got {size} points that all coincide: every "
            "feature is constant."
        )
    zeros += int(counts.sum() - counts[apart].sum())
    square, counts = np.append(0.0, square[apart]), np.append(zeros, counts[apart])
    return DistanceSample(square, counts / len(rows))


def choose_bandwidth(
    sample: DistanceSample, n_neighbors: int, cutoff: float, epsilon: float | None = None
) -> Bandwidth:
    r"""Choose epsilon in the region where log S rises linearly with log epsilon, or describe a given one.

    For data on a manifold of dimension d, S grows like epsilon^(d/2) as long as the kernel is wider
    than the gaps between the points and narrower than the manifold's bends (Coifman, Shkolnisky,
    Sigworth, Singer 2008); d is read off the greatest slope (Berry, Harlim 2016). That greatest slope
    itself is a poor choice: on a circle or a flat torus it lies at widths of the order of the squared
    curvature radius, and the eigenvalues are wrong by a third to a half. In the region [a, b], bending
    changes the first eigenvalues by a part of about epsilon / 2b (measured on circles, spheres and
    tori), the weight that random points give themselves by 1 / S; epsilon makes the sum of the two
    least.

    Parameters
    ----------
    sample : DistanceSample
    n_neighbors : int
        Mean number of points within the kernel's reach, at most; a chosen epsilon is lowered to it.
    cutoff : float
        The kernel is cut where it falls below this.
    epsilon : float, optional
        Given width.

    Raises
    ------
    ValueError
        If a given width reaches more points than n_neighbors, or duplicates leave no width at all.

    References
    ----------
    Coifman, Shkolnisky, Sigworth, Singer, IEEE Trans. Image Process. 17 (2008);
    Berry, Harlim, Appl. Comput. Harmon. Anal. 40 (2016).
    """
    low, high = math.log(sample.square[1] / 40), math.log(sample.square[-1])
    grid = np.exp(np.arange(low, high + _STEP, _STEP))
    total, slope = sample.kernel_sum(grid)
    top = int(slope.argmax())
    # A slope past that of a whole dimension is the curvature's: chords are shorter than arcs.
    plateau = min(slope[top], max(0.5, round(2 * slope[top]) / 2))
    flat = slope >= _LINEAR * plateau
    first = top - int(np.append(flat[: top + 1][::-1], False).argmin()) + 1
    last = top + int(np.append(flat[top:], False).argmin()) - 1
    reach = -4 * math.log(cutoff)
    widest = sample.square_radius(n_neighbors) / reach
    if epsilon is None:
        inside = slice(first, last + 1)
        cost = grid[inside] / (2 * grid[last]) + 1 / total[inside]
        epsilon = min(float(grid[inside][cost.argmin()]), widest)
        if epsilon <= 0:
            raise ValueError(
                f"x holds so many duplicates (in the mean {sample.count[0] - 1:.1f} of each point) that "
                f"the n_neighbors={n_neighbors} nearest points are at distance 0 and the kernel would "
                "have no width; drop duplicates, raise n_neighbors, or give epsilon."
            )
    elif sample.within(math.sqrt(reach * epsilon)) > n_neighbors + 0.5:
        raise ValueError(
            f"epsilon must reach at most n_neighbors={n_neighbors} points in the mean, got "
            f"{epsilon:.4g}, which reaches {sample.within(math.sqrt(reach * epsilon)):.0f}; the largest "
            f"that does is {widest:.4g}. Raise n_neighbors (memory grows with it), or cutoff."
        )
    sums, slopes = sample.kernel_sum(np.array([epsilon]))
    others = max(float(sums[0]) - float(sample.count[0]), 1e-12)
    return Bandwidth(
        epsilon,
        2 * float(slopes[0] * sums[0]) / others,
        (float(grid[first]), float(grid[last])),
        sample.within(math.sqrt(reach * epsilon)),
        sample.neglected(epsilon, math.sqrt(reach * epsilon)),
        grid,
        slope,
    )
