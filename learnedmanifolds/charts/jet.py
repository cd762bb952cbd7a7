"""Second-order Taylor arithmetic: values, tangents and second derivatives carried together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Pairs = Sequence[tuple[int, int]]


class Jet(NamedTuple):
    """Value, first and second directional derivatives of a map at a batch of points.

    Attributes
    ----------
    value : Tensor, shape (..., N, n)
    first : Tensor, shape (..., T, N, n)
        Derivatives along T tangents.
    second : Tensor, shape (..., P, N, n)
        Second derivatives along P pairs of those tangents.
    """

    value: Tensor
    first: Tensor
    second: Tensor


class JetRule:
    """How rows ``[value | T tangents | P second derivatives]`` pass through elementary maps.

    The rows of a jet are stacked on the axis before the points, shape (..., 1 + T + P, N, n), so
    that a linear map acts on all of them in one product.

    Parameters
    ----------
    n_tangents : int
    pairs : sequence of (int, int)
        For every second derivative the two tangents it is taken along.
    """

    def __init__(self, n_tangents: int, pairs: Pairs) -> None:
        self.sizes = [1, n_tangents, len(pairs)]
        left, right = [i for i, _ in pairs], [j for _, j in pairs]
        # Squares of all tangents in order, the usual case of curves, need no gathering.
        self._indices = (
            None
            if left == right == list(range(n_tangents))
            else (torch.tensor(left), torch.tensor(right))
        )

    def pack(self, value: Tensor, tangents: Tensor) -> Tensor:
        """Rows of the identity map at ``value`` (..., N, n) with ``tangents`` (..., T, N, n)."""
        zeros = value.new_zeros(*value.shape[:-2], self.sizes[2], *value.shape[-2:])
        return torch.cat([value.unsqueeze(-3), tangents, zeros], dim=-3)

    def unpack(self, rows: Tensor) -> Jet:
        """The jet that ``rows`` hold."""
        value, first, second = rows.split_with_sizes(self.sizes, -3)
        return Jet(value.squeeze(-3), first, second)

    def _tangent_pairs(self, first: Tensor) -> tuple[Tensor, Tensor]:
        if self._indices is None:
            return first, first
        left, right = (index.to(first.device) for index in self._indices)
        return first.index_select(-3, left), first.index_select(-3, right)

    def elementwise(
        self, rows: Tensor, function: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    ) -> Tensor:
        """Rows of f(u), where ``function`` gives f, f' and f'' at the value of u."""
        u, first, second = rows.split_with_sizes(self.sizes, -3)
        value, slope, curvature = function(u)
        parts = [value, slope * first]
        if self.sizes[2]:
            a, b = self._tangent_pairs(first)
            parts.append(torch.addcmul(slope * second, curvature, a * b))
        return torch.cat(parts, -3)

    def product(self, u: Tensor, v: Tensor) -> Tensor:
        """Rows of the pointwise product of two maps."""
        u0, u1, u2 = u.split_with_sizes(self.sizes, -3)
        v0, v1, v2 = v.split_with_sizes(self.sizes, -3)
        parts = [u0 * v0, torch.addcmul(u1 * v0, u0, v1)]
        if self.sizes[2]:
            ua, ub = self._tangent_pairs(u1)
            va, vb = self._tangent_pairs(v1)
            second = torch.addcmul(torch.addcmul(u2 * v0, u0, v2), ua, vb)
            parts.append(torch.addcmul(second, ub, va))
        return torch.cat(parts, -3)


@functools.lru_cache(maxsize=64)
def jet_rule(n_tangents: int, pairs: tuple[tuple[int, int], ...]) -> JetRule:
    """The rule for these tangents and pairs, made once."""
    return JetRule(n_tangents, pairs)


def functional_jet(
    function: Callable[[Tensor], Tensor], coords: Tensor, tangents: Tensor, pairs: Pairs
) -> Jet:
    """Jet of any torch function by nested forward-mode differentiation.

    Parameters
    ----------
    function : callable, (N, d) -> (N, n)
        Acts on every row alone.
    coords : Tensor, shape (N, d)
    tangents : Tensor, shape (T, N, d)
    pairs : sequence of (int, int)
    """

    def along(direction: Tensor) -> Tensor:
        return torch.func.jvp(function, (coords,), (direction,))[1]

    value = function(coords)
    first = [along(tangent) for tangent in tangents]
    second = [
        torch.func.jvp(
            lambda z, j=j: torch.func.jvp(function, (z,), (tangents[j],))[1],
            (coords,),
            (tangents[i],),
        )[1]
        for i, j in pairs
    ]
    empty = value.new_empty(0, *value.shape)
    return Jet(
        value,
        torch.stack(first) if first else empty,
        torch.stack(second) if second else empty,
    )
