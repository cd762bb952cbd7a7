"""Gromov-Wasserstein: how unlike two sets of points are as metric spaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, generator, integer, one_of
from learnedmanifolds.metrics._couplings import (
    MOST_PIVOTS,
    aligned_couplings,
    distortion,
    profile_coupling,
    random_coupling,
)
from learnedmanifolds.metrics._points import as_points, distances, optional

_ITERATIONS = 1000
_METRICS = ("euclidean", "precomputed")


@dataclass(frozen=True, eq=False)
class GromovWasserstein:
    """The distortion of the best coupling found, and what it is to be compared with.

    In squared units of the distances; without unit and in [0, 1] where they are normalised.

    Attributes
    ----------
    value : float
        Distortion of the coupling, an upper bound of the minimum.
    lower_bound : float
        A proven lower bound of the minimum.
    floor : float or None
        The same measure between two random halves of x, which share no point; None if not asked.
    n_x, n_y : int
        Points compared.
    floor_points : int
        Points of each half. The floor falls as it grows, so it is to be quoted.
    coupling : Tensor, shape (n_x, n_y), float64
        The coupling; its rows sum to 1 / n_x, its columns to 1 / n_y.
    index_x, index_y : Tensor
        The points compared, as rows of x and of y.
    start : str
        The start that led to the coupling.
    starts : dict of str to float
        Distortion reached from every start.
    """

    value: float
    lower_bound: float
    floor: float | None
    n_x: int
    n_y: int
    floor_points: int
    coupling: Tensor
    index_x: Tensor
    index_y: Tensor
    start: str
    starts: dict[str, float]

    def __repr__(self) -> str:
        floor = "" if self.floor is None else f", floor={self.floor:.4g} of {self.floor_points}"
        return (
            f"GromovWasserstein(value={self.value:.4g}, lower_bound={self.lower_bound:.4g}{floor}, "
            f"n_x={self.n_x}, n_y={self.n_y})"
        )


def gromov_wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    *,
    metric: str = "euclidean",
    normalize: bool = False,
    n_random: int = 4,
    max_points: int | None = 500,
    floor: bool = True,
    seed: int | None = 0,
) -> GromovWasserstein:
    """Gromov-Wasserstein discrepancy with squared loss and uniform weights.

    min over couplings t of sum_{ijkl} (d_x(i, k) - d_y(j, l))^2 t_ij t_kl,

    zero exactly for isometric sets of points. The spaces of x and y may have different dimensions.
    Half its square root is Memoli's distance. The problem is not convex, so POT's conditional
    gradients run from several couplings: the product, the one of alike distance profiles (which also
    gives the lower bound), alignments of the principal axes in all signs and in random rotations,
    and random ones.

    Parameters
    ----------
    x, y : array, shape (N, ...), (M, ...)
        Points; or distance matrices (N, N), (M, M) with ``metric="precomputed"``.
    metric : {"euclidean", "precomputed"}
    normalize : bool
        Divide the distances of each space by its largest. The table of Li et al. does, and gives the
        values times 1000.
    n_random : int
        Random rotations, and as many random couplings, to start from.
    max_points : int or None
        Larger sets are replaced by random subsets of this size; None takes all. Time grows like the
        cube: 500 points take about 4 s on one core, twice that with the floor.
    floor : bool
        Whether to compute the floor; it needs four points.
    seed : int, optional

    Returns
    -------
    GromovWasserstein

    Raises
    ------
    ImportError
        If POT is not installed.
    TypeError, ValueError
        If an array holds no finite points or is no distance matrix, or a setting is out of range.

    References
    ----------
    Memoli, Gromov-Wasserstein distances and the metric approach to object matching, Foundations of
    Computational Mathematics 11, 2011. Vayer, Chapel, Flamary, Tavenard, Courty, Optimal transport
    for structured data, ICML 2019, algorithm 2 (the solver).
    """
    optional("ot")
    precomputed = one_of(metric, "metric", _METRICS) == "precomputed"
    integer(n_random, "n_random", minimum=0)
    if max_points is not None:
        integer(max_points, "max_points", minimum=1)
    source = generator(seed)
    first, second = as_points(x, "x").cpu(), as_points(y, "y").cpu()
    if precomputed:
        _check_metric(first, "x")
        _check_metric(second, "y")

    def matrix(points: Tensor, index: Tensor) -> np.ndarray:
        chosen = points[index]
        d = (chosen[:, index] if precomputed else distances(chosen, chosen)).numpy()
        return d / d.max() if normalize and d.max() > 0 else d

    order_x = torch.randperm(len(first), generator=source)
    order_y = torch.randperm(len(second), generator=source)
    index_x = order_x[:max_points].sort().values
    index_y = order_y[:max_points].sort().values
    draws = np.random.default_rng(int(torch.randint(2**62, (), generator=source)))
    half = min(len(index_x), len(first) // 2)
    found = _solve(matrix(first, index_x), matrix(second, index_y), n_random, draws)
    between: float | None = None
    if floor and len(first) >= 4:
        halves = (matrix(first, order_x[:half]), matrix(first, order_x[half : 2 * half]))
        between = _solve(*halves, n_random, draws)[0]
    value, lower, coupling, start, reached = found
    return GromovWasserstein(
        value,
        min(lower, value),
        between,
        len(index_x),
        len(index_y),
        half,
        torch.from_numpy(coupling),
        index_x,
        index_y,
        start,
        reached,
    )


def _solve(
    a: np.ndarray, b: np.ndarray, n_random: int, draws: np.random.Generator
) -> tuple[float, float, np.ndarray, str, dict[str, float]]:
    # The solver's tolerances are absolute: distances go to it in units of their largest.
    unit = max(float(a.max()), float(b.max())) or 1.0
    a, b = a / unit, b / unit
    profile, lower = profile_coupling(a, b)

    def starts() -> Iterator[tuple[str, np.ndarray]]:
        yield "product", np.full((len(a), len(b)), 1 / (len(a) * len(b)))
        yield "profile", profile
        for i, coupling in enumerate(aligned_couplings(a, b, n_random, draws)):
            yield f"aligned {i}", coupling
        for i in range(n_random):
            yield f"random {i}", random_coupling(len(a), len(b), draws)

    p, q = np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b))
    reached: dict[str, float] = {}
    best: tuple[float, np.ndarray, str] | None = None
    for name, start in starts():
        coupling = optional("ot").gromov.gromov_wasserstein(
            a,
            b,
            p,
            q,
            loss_fun="square_loss",
            symmetric=True,
            G0=start,
            max_iter=_ITERATIONS,
            numItermaxEmd=MOST_PIVOTS,
        )
        reached[name] = distortion(a, b, coupling)
        if best is None or reached[name] < best[0]:
            best = (reached[name], coupling, name)
    if best is None:
        raise RuntimeError("no start was tried")
    value, coupling, name = best
    square = unit**2
    reached = {start: square * found for start, found in reached.items()}
    return square * value, square * lower, coupling, name, reached


def _check_metric(d: Tensor, name: str) -> None:
    if d.shape[0] != d.shape[1]:
        raise ValueError(f"{name} must be a square distance matrix, got {tuple(d.shape)}")
    scale = float(d.abs().max())
    asymmetry = float((d - d.T).abs().max())
    if float(d.min()) < 0 or asymmetry > 1e-9 * scale or float(d.diagonal().abs().max()) > 0:
        raise ValueError(
            f"{name} must be a distance matrix: symmetric, non-negative, zero on its diagonal; got "
            f"entries from {float(d.min()):.3g}, asymmetry {asymmetry:.3g}, diagonal up to "
            f"{float(d.diagonal().abs().max()):.3g}"
        )
