"""Products with many rows of many features, a few rows at a time."""

from __future__ import annotations

from torch import Tensor

# Numbers of points that are float64 at a time.
_NUMBERS = 2**23


def moments(factors: Tensor, x: Tensor, rows: Tensor) -> Tensor:
    """Sums (F, n) of the products of factors (N, F) with some rows (N,) of points (M, n) of any dtype."""
    made = factors.new_zeros(factors.shape[1], x.shape[1])
    size = max(1, _NUMBERS // x.shape[1])
    for own, index in zip(factors.split(size), rows.split(size), strict=True):
        made.addmm_(own.mT, x[index].to(made))
    return made
