"""Lifted charts: an injective flow into few leading coordinates, all others a regression on the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from learnedmanifolds.charts.anchored import BOUND
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.domain import Domain
from learnedmanifolds.charts.featured import FeatureCharts
from learnedmanifolds.charts.flow import FlowCharts, orthonormal
from learnedmanifolds.charts.jet import Jet, Pairs
from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.charts.network import NetworkCharts
from learnedmanifolds.charts.refine import change, expansion, refine

_PREFIX = "start."
# Numbers that derivatives at a time may take.
_NUMBERS = 2**23


class LiftedCharts(Charts):
    """K charts x = c + B f(t) + (I - B B') (D(t) - c) with the exact left inverse f^-1(B' (x - c)).

    f is an injective flow into r coordinates, B their orthonormal directions, and D are feature charts,
    which give all other coordinates, the domain and the latent density. The left inverse is exact
    whatever D is, and costs what a flow in r dimensions does. With r = n the charts are the flow alone.
    Points off a chart are encoded as the nearest ones of it, looked for from the left inverse.

    Parameters
    ----------
    start : FeatureCharts
        D, copied.
    basis : Tensor, shape (K, n, r)
        B, orthonormal columns, 2 <= r <= n, d <= r.
    hidden, n_blocks : int
        Size of f, see `FlowCharts`.
    seed : int
        Of the initial weights.

    Attributes
    ----------
    sizes : dict
        Hidden and n_blocks.

    Raises
    ------
    TypeError, ValueError
        If start is something else, or the basis has another shape.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 3 (flows as charts); Whitney,
    Annals of Mathematics 37, 1936 (2 d + 1 coordinates are enough in general).
    """

    def __init__(
        self,
        start: FeatureCharts,
        basis: Tensor,
        hidden: int = 64,
        n_blocks: int = 5,
        seed: int = 0,
    ) -> None:
        if not isinstance(start, FeatureCharts):
            raise TypeError(f"start must be FeatureCharts, got {type(start).__name__}.")
        super().__init__(start.n_charts, start.dim, start.ambient_shape)
        n, r = self.n_ambient, basis.shape[-1]
        if tuple(basis.shape) != (self.n_charts, n, r) or not max(2, self.dim) <= r <= n:
            raise ValueError(
                f"basis must have shape ({self.n_charts}, {n}, r) with {max(2, self.dim)} <= r <= {n}, "
                f"got {tuple(basis.shape)}."
            )
        self.sizes = {"hidden": hidden, "n_blocks": n_blocks}
        self.flow = FlowCharts(self.n_charts, self.dim, r, hidden, n_blocks, 0, seed)
        self.start = type(start).restored(start.config(), start.state_dict()).to(start.dtype)
        self.basis: Tensor
        self.register_buffer("basis", basis.to(self.flow.frame))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.basis.dtype
        super()._apply(fn, recurse)
        if self.basis.dtype != before:
            self.basis = orthonormal(self.basis)
        return self

    @property
    def whole(self) -> bool:
        """Whether the flow gives all coordinates."""
        return self.basis.shape[-1] == self.n_ambient

    @property
    def domain(self) -> Domain:
        """See `Charts.domain`."""
        return self.start.domain

    def draw(self, chart: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Charts.draw`."""
        return self.start.draw(chart, generator)

    def log_latent(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_latent`."""
        return self.start.log_latent(coords, chart)

    def _basis(self, chart: int | None) -> Tensor:
        return self.basis if chart is None else self.basis[chart]

    def leading(self, x: Tensor, chart: int | None = None) -> Tensor:
        """Leading coordinates B' (x - c) of points, (..., N, r)."""
        return (x - self.start.center.to(x)) @ self._basis(chart)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        basis, y = self._basis(chart), self.flow.decode(coords, chart)
        if self.whole:
            return self.start.center.to(y) + y @ basis.mT
        other = self.start.decode(coords, chart)
        return other + (y - self.leading(other, chart)) @ basis.mT

    def left_inverse(self, x: Tensor, chart: int | None = None) -> Tensor:
        """Coordinates f^-1(B' (x - c)) of points, (..., N, d): the encoder that is trained."""
        return self.flow.encode(self.leading(x, chart), chart)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`; the nearest points, by Newton's method from `left_inverse`.

        Differentiable in x. Where `left_inverse` is outside the box it is left as it is.
        """
        with torch.no_grad():
            coords = self.left_inverse(x.detach(), chart)
            inside = (coords.abs() <= BOUND).all(-1)
        if chart is not None:
            rows = inside.nonzero().squeeze(-1)
            return coords.index_put((rows,), self._nearest(x[rows], coords[rows], chart))
        for k in range(self.n_charts):
            rows = inside[k].nonzero().squeeze(-1)
            own = (x if x.dim() == 2 else x[k])[rows]
            at = torch.full_like(rows, k)
            coords = coords.index_put((at, rows), self._nearest(own, coords[k, rows], k))
        return coords

    def _nearest(self, x: Tensor, start: Tensor, chart: int) -> Tensor:
        """Coordinates (N, d) of the points of a chart nearest to others (N, n)."""
        size = max(1, _NUMBERS // (x.shape[1] * (1 + self.dim) ** 2))
        parts = zip(x.split(size), start.split(size), strict=True)
        found = [self._nearest_part(own, at, chart) for own, at in parts]
        return torch.cat(found) if found else start

    def _nearest_part(self, x: Tensor, start: Tensor, chart: int) -> Tensor:
        with torch.no_grad():
            coords = refine(
                lambda t, _, second: expansion(
                    lambda a, pairs: self.jet(t, chart, a, pairs), t, second
                ),
                start,
                x.detach(),
                BOUND,
            ).coords
            if not x.requires_grad:
                return coords
            made = expansion(lambda a, pairs: self.jet(coords, chart, a, pairs), coords)
        return coords + change(made, coords, x, BOUND)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; one pass of Taylor mode through the flow, the rest in closed form."""
        basis, made = self._basis(chart), self.flow.jet(coords, chart, tangents, pairs)
        rows = basis if chart is not None else basis.unsqueeze(1)
        if self.whole:
            value, first, second = made
            value = self.start.center.to(value) + value @ basis.mT
            return Jet(value, first @ rows.mT, second @ rows.mT)
        other = self.start.jet(coords, chart, tangents, pairs)
        return Jet(
            other.value + (made.value - self.leading(other.value, chart)) @ basis.mT,
            other.first + (made.first - other.first @ rows) @ rows.mT,
            other.second + (made.second - other.second @ rows) @ rows.mT,
        )

    def config(self) -> dict[str, object]:
        """See `Charts.config`; what D is, its tensors tell."""
        return {**self.sizes, **self.start.config()}

    @classmethod
    def config_names(cls) -> dict[str, bool]:
        """See `Charts.config_names`."""
        return {"hidden": True, "n_blocks": True, "ambient_shape": True}

    def rounded(self) -> Self:
        """See `Charts.rounded`."""
        made = super().rounded()
        made.start = self.start.rounded()
        return made

    @classmethod
    def restored(cls, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Self:
        """See `Charts.restored`."""
        sizes = dict(config)
        own = {n.removeprefix(_PREFIX): t for n, t in state.items() if n.startswith(_PREFIX)}
        family: type[FeatureCharts] = KernelCharts if "border" in own else NetworkCharts
        start = family.restored({"ambient_shape": sizes.pop("ambient_shape")}, own)
        charts = cls(start, state["basis"], **sizes)
        flow = {n.removeprefix("flow."): t for n, t in state.items() if n.startswith("flow.")}
        charts.flow.load_state_dict(flow, assign=True)
        charts.basis = state["basis"]
        return charts
