"""Couplings of two finite metric spaces: where to start, and how good one is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from scipy.linalg import eigh, qr

from learnedmanifolds.metrics._points import optional

# Coordinates in which the spaces are aligned: what three principal axes leave, the solver corrects.
_N_AXES = 3
# Pivots of the network simplex; POT warns at its default of 1e5 from a few hundred points on.
MOST_PIVOTS = 10_000_000


def distortion(a: np.ndarray, b: np.ndarray, coupling: np.ndarray) -> float:
    """The sum of (a_ik - b_jl)^2 t_ij t_kl for distances a (n, n), b (m, m), coupling t (n, m)."""
    p, q = coupling.sum(1), coupling.sum(0)
    total = p @ (a * a) @ p + q @ (b * b) @ q - 2 * np.vdot(a @ coupling, coupling @ b)
    return max(0.0, float(total))


def profile_coupling(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """The coupling of points with alike distances to all others, and what it proves.

    It minimises the mean of W_2^2 between the distributions of distances from the one and from the
    other point; the minimum is a lower bound of the distortion of every coupling.

    References
    ----------
    Memoli, Gromov-Wasserstein distances and the metric approach to object matching, 2011, section
    6.3 (the third lower bound).
    """
    n, m = len(a), len(b)
    # The quantile functions are constant between multiples of 1/n and of 1/m: integers in 1/(n m).
    ends = np.unique(np.concatenate([m * np.arange(n + 1), n * np.arange(m + 1)]))
    root = np.sqrt(np.diff(ends) / (n * m))
    rows = np.sort(a, axis=1)[:, ends[:-1] // m] * root
    columns = np.sort(b, axis=1)[:, ends[:-1] // n] * root
    cost = _squares(rows, columns)
    coupling = _transport(cost)
    return coupling, float(np.vdot(cost, coupling))


def aligned_couplings(
    a: np.ndarray, b: np.ndarray, n_random: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Optimal transport after aligning principal axes: with every choice of signs, then turned.

    Turned at random, for spaces whose axes are not determined, such as spheres.
    """
    first, second = _principal(a), _principal(b)
    k = min(first.shape[1], second.shape[1])
    first, second = first[:, :k], second[:, :k]
    for signs in itertools.product((1.0, -1.0), repeat=k):
        yield _transport(_squares(first, second * np.array(signs)))
    for _ in range(n_random):
        upper = qr(generator.standard_normal((k, k)), mode="economic") if k else (np.eye(0), None)
        yield _transport(_squares(first, second @ upper[0]))


def random_coupling(n: int, m: int, generator: np.random.Generator) -> np.ndarray:
    """A random vertex of the couplings of uniform weights; a permutation where n = m."""
    return _transport(generator.random((n, m)))


def _principal(distance: np.ndarray) -> np.ndarray:
    """Classical scaling: leading principal coordinates (n, k) from distances, of mean square 1."""
    gram = -0.5 * distance * distance
    gram = gram - gram.mean(0) - gram.mean(1, keepdims=True) + gram.mean()
    n = len(gram)
    values, vectors = eigh(gram, subset_by_index=(max(0, n - _N_AXES), n - 1))
    kept = values > 1e-9 * max(values[-1], np.finfo(float).tiny)
    coordinates = (vectors[:, kept] * np.sqrt(values[kept]))[:, ::-1]
    size = np.sqrt((coordinates**2).sum() / n)
    return coordinates / size if size > 0 else coordinates


def _squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    cross = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    result: np.ndarray = np.maximum(cross, 0.0)
    return result


def _transport(cost: np.ndarray) -> np.ndarray:
    n, m = cost.shape
    coupling: np.ndarray = optional("ot").emd(
        np.full(n, 1 / n), np.full(m, 1 / m), cost, numItermax=MOST_PIVOTS
    )
    return coupling
