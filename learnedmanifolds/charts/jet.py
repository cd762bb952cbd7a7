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
        left, right = [i for i, _ in pairs], [j for _, j in pairs]
        triangle = [(i, j) for i in range(n_tangents) for j in range(i, n_tangents)]
        # All pairs are carried as a square of rows, and squares of all tangents in order, the usual
        # case of curves, as they are: neither needs gathering.
        self._square = n_tangents > 1 and list(pairs) == triangle
        self._upper = torch.tensor([i * n_tangents + j for i, j in triangle])
        place = {pair: p for p, pair in enumerate(triangle)}
        whole = [place[min(i, j), max(i, j)] for i in range(n_tangents) for j in range(n_tangents)]
        self._whole = torch.tensor(whole, dtype=torch.int64)
        self._indices = (
            None
            if self._square or left == right == list(range(n_tangents))
            else (torch.tensor(left), torch.tensor(right))
        )
        self.sizes = [1, n_tangents, n_tangents**2 if self._square else len(pairs)]

    def pack(self, value: Tensor, tangents: Tensor) -> Tensor:
        """Rows of the identity map at ``value`` (..., N, n) with ``tangents`` (..., T, N, n)."""
        zeros = value.new_zeros(*value.shape[:-2], self.sizes[2], *value.shape[-2:])
        return torch.cat([value.unsqueeze(-3), tangents, zeros], dim=-3)

    def rows(self, jet: Jet) -> Tensor:
        """The rows that hold a jet."""
        second = jet.second
        if self._square:
            second = second.index_select(-3, self._whole.to(second.device))
        return torch.cat([jet.value.unsqueeze(-3), jet.first, second], dim=-3)

    def unpack(self, rows: Tensor) -> Jet:
        """The jet that ``rows`` hold."""
        value, first, second = rows.split_with_sizes(self.sizes, -3)
        if self._square:
            second = second.index_select(-3, self._upper.to(second.device))
        return Jet(value.squeeze(-3), first, second)

    def _products(self, a: Tensor, b: Tensor) -> Tensor:
        """Products of the rows of two sets of tangents for every pair."""
        if self._square:
            return (a.unsqueeze(-3) * b.unsqueeze(-4)).flatten(-4, -3)
        if self._indices is None:
            return a * b
        left, right = (index.to(a.device) for index in self._indices)
        return a.index_select(-3, left) * b.index_select(-3, right)

    def elementwise(
        self, rows: Tensor, function: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    ) -> Tensor:
        """Rows of f(u), where ``function`` gives f, f' and f'' at the value of u."""
        at, first, _ = rows.split_with_sizes(self.sizes, -3)
        value, slope, curvature = function(at)
        out = rows * slope
        out.narrow(-3, 0, 1).copy_(value)
        if self.sizes[2]:
            squares = self._products(first, first)
            out.narrow(-3, 1 + self.sizes[1], self.sizes[2]).addcmul_(curvature, squares)
        return out

    def shift(self, rows: Tensor, constant: Tensor) -> Tensor:
        """Rows of a map plus a constant (..., N or 1, n)."""
        value, rest = rows.split_with_sizes((1, rows.shape[-3] - 1), -3)
        return torch.cat([value + constant.unsqueeze(-3), rest], -3)

    def cos_sin(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the cosine and the sine of a map."""
        value = rows.select(-3, 0).unsqueeze(-3)
        cos, sin = value.cos(), value.sin()
        return (
            self.elementwise(rows, lambda _: (cos, -sin, -cos)),
            self.elementwise(rows, lambda _: (sin, cos, -sin)),
        )

    def product(self, u: Tensor, v: Tensor) -> Tensor:
        """Rows of the pointwise product of two maps."""
        _, tangents, seconds = self.sizes
        out = u.narrow(-3, 0, 1) * v
        rest = tangents + seconds
        out.narrow(-3, 1, rest).addcmul_(u.narrow(-3, 1, rest), v.narrow(-3, 0, 1))
        if seconds:
            second = out.narrow(-3, 1 + tangents, seconds)
            u1, v1 = u.narrow(-3, 1, tangents), v.narrow(-3, 1, tangents)
            if self._square:
                # Both orders at once: u_i v_j in the row of (i, j), and in that of (j, i).
                both = u1.unsqueeze(-3) * v1.unsqueeze(-4)
                second.add_((both + both.transpose(-4, -3)).flatten(-4, -3))
            elif self._indices is None:
                second.addcmul_(u1, v1, value=2)
            else:
                second.add_(self._products(u1, v1)).add_(self._products(v1, u1))
        return out


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

    def twice(one: Tensor, other: Tensor) -> Tensor:
        def first(z: Tensor) -> Tensor:
            return torch.func.jvp(function, (z,), (other,))[1]

        return torch.func.jvp(first, (coords,), (one,))[1]

    value = function(coords)
    empty = value.new_empty(0, *value.shape)
    first = torch.func.vmap(along)(tangents) if len(tangents) else empty
    left, right = (tangents[[pair[i] for pair in pairs]] for i in (0, 1))
    second = torch.func.vmap(twice)(left, right) if len(pairs) else empty
    return Jet(value, first, second)
