"""Maximum mean discrepancy, with a test of whether two samples have one law."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, generator, integer
from learnedmanifolds.metrics._points import as_pair, distances, subset
from learnedmanifolds.metrics.kernels import Kernel, median_bank

# Permuted sums that differ by rounding only count as ties.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class MMD:
    """An estimate of the squared maximum mean discrepancy; without unit.

    Attributes
    ----------
    value : float
        Unbiased, in [-2, 2]; of mean 0 where both samples have one law, so negative about as often
        as not.
    p_value : float or None
        In (0, 1]: uniform if both samples have one law, small if not; None without permutations.
    null : Tensor, shape (n_permutations,)
        The estimate after permutations of the pooled points.
    kernels : tuple of Kernel
        Those whose mean was used.
    n_x, n_y : int
        Points compared.
    """

    value: float
    p_value: float | None
    null: Tensor
    kernels: tuple[Kernel, ...]
    n_x: int
    n_y: int

    def __repr__(self) -> str:
        p = "" if self.p_value is None else f", p_value={self.p_value:.3g}"
        return f"MMD(value={self.value:.4g}{p}, n_x={self.n_x}, n_y={self.n_y})"


def mmd(
    x: ArrayLike,
    y: ArrayLike,
    kernels: Kernel | Sequence[Kernel] | None = None,
    *,
    n_permutations: int = 500,
    max_points: int | None = 1000,
    seed: int | None = 0,
) -> MMD:
    """Squared maximum mean discrepancy of the laws of two samples, with a permutation test.

    sum_{i != j} k(x_i, x_j) / (n (n - 1)) + sum_{i != j} k(y_i, y_j) / (m (m - 1))
    - 2 sum_{ij} k(x_i, y_j) / (n m),

    with k the mean of the kernels. The p-value is (1 + number of permutations with at least the
    estimate) / (1 + number of permutations): a test at level a errs with probability at most a.

    Parameters
    ----------
    x, y : array, shape (N, ...), (M, ...)
        Independent points, at least two each.
    kernels : Kernel or sequence of Kernel, optional
        By default a bank of Gaussian kernels and inverse multiquadrics with half, once and twice the
        median distance of the pooled points as length.
    n_permutations : int
        0 leaves the test out.
    max_points : int or None
        Larger samples are replaced by random subsets of this size; None takes all.
    seed : int, optional

    Returns
    -------
    MMD

    Raises
    ------
    TypeError, ValueError
        If a sample has fewer than two points, their sizes differ, the median distance is zero and no
        kernels are given, or a setting is out of range.

    References
    ----------
    Gretton, Borgwardt, Rasch, Schoelkopf, Smola, A kernel two-sample test, JMLR 13, 2012, lemma 6.
    Phipson, Smyth, Permutation p-values should never be zero, 2010.
    """
    first, second = as_pair(x, y, ("x", "y"), minimum=2)
    integer(n_permutations, "n_permutations", minimum=0)
    if max_points is not None:
        integer(max_points, "max_points", minimum=2)
    source = generator(seed)
    first, second = subset(first, max_points, source), subset(second, max_points, source)
    pooled = torch.cat([first, second])
    n, total = len(first), len(pooled)
    square = distances(pooled, pooled).square()
    off = torch.triu_indices(total, total, 1, device=square.device)
    bank = _bank(kernels) or median_bank(square[off[0], off[1]])
    gram = torch.stack([kernel(square) for kernel in bank]).mean(0).fill_diagonal_(0)

    member = torch.zeros(total, 1 + n_permutations, dtype=torch.float64, device=gram.device)
    member[:n, 0] = 1
    draws = torch.rand(total, n_permutations, generator=source, dtype=torch.float32)
    ranks = draws.argsort(0).to(gram.device)
    member[:, 1:] = (ranks < n).double()
    estimates = _estimates(gram, member, n)
    value, null = float(estimates[0]), estimates[1:]
    larger = int((null >= value - _ROUNDING).sum())
    p_value = (1 + larger) / (1 + n_permutations) if n_permutations else None
    return MMD(value, p_value, null.cpu(), bank, n, total - n)


def _estimates(gram: Tensor, member: Tensor, n: int) -> Tensor:
    """Estimates (B,) for the splits whose first groups, of n points, are the columns (N, B)."""
    m = len(gram) - n
    inner = (member * (gram @ member)).sum(0)
    reach = gram.sum(1) @ member
    cross, outer = reach - inner, gram.sum() - 2 * reach + inner
    return inner / (n * (n - 1)) + outer / (m * (m - 1)) - 2 * cross / (n * m)


def _bank(kernels: Kernel | Sequence[Kernel] | None) -> tuple[Kernel, ...]:
    if kernels is None:
        return ()
    given = (kernels,) if isinstance(kernels, Kernel) else kernels
    if not isinstance(given, Sequence) or not all(isinstance(k, Kernel) for k in given):
        raise TypeError(f"kernels must be a Kernel or a sequence of them, got {kernels!r}")
    if not given:
        raise ValueError("kernels must hold at least one kernel, got none")
    return tuple(given)
