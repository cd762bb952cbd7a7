"""Flow charts: injective decoders built from invertible networks, for vectors of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from learnedmanifolds._check import as_tensor
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.coupling import CouplingStack
from learnedmanifolds.charts.jet import Jet, Pairs, jet_rule


class FlowCharts(Charts):
    """K charts x = c + r Q F(pad(T(m + w t))) with an exact left inverse.

    T is a flow on R^d (only for d > 1), F an invertible network on R^n, pad appends zeros, and
    (c, r, Q) the centre, radius and orthonormal frame of the chart's seed, so that an untrained
    chart is a flat patch of the data. (m, w) are the middle and half the width of the box
    that `rebox` chose, 0 and 1 before. The left inverse applies the inverse networks and
    keeps the first d coordinates.

    Parameters
    ----------
    n_charts, dim : int
        K and d.
    n_ambient : int
        n >= 2, n >= d.
    hidden : int
        Width of the subnets' hidden layers.
    n_blocks, n_latent_blocks : int
        Coupling blocks of F and of T.
    seed : int
        Seed of the initial weights.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, sections 3 and 5.
    """

    def __init__(
        self,
        n_charts: int,
        dim: int,
        n_ambient: int,
        hidden: int = 64,
        n_blocks: int = 5,
        n_latent_blocks: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(n_charts, dim, (n_ambient,))
        generator = torch.Generator().manual_seed(seed)
        self._config = {
            "n_charts": n_charts,
            "dim": dim,
            "n_ambient": n_ambient,
            "hidden": hidden,
            "n_blocks": n_blocks,
            "n_latent_blocks": n_latent_blocks,
        }
        self.network = CouplingStack(n_charts, n_ambient, n_blocks, hidden, generator)
        self.latent = (
            CouplingStack(n_charts, dim, n_latent_blocks, hidden, generator) if dim > 1 else None
        )
        self.center: Tensor
        self.frame: Tensor
        self.radius: Tensor
        self.middle: Tensor
        self.half_width: Tensor
        self.register_buffer("center", torch.zeros(n_charts, 1, n_ambient))
        self.register_buffer("frame", torch.eye(n_ambient).repeat(n_charts, 1, 1))
        self.register_buffer("radius", torch.ones(n_charts, 1, 1))
        self.register_buffer("middle", torch.zeros(n_charts, 1, dim))
        self.register_buffer("half_width", torch.ones(n_charts, 1, dim))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.frame.dtype
        super()._apply(fn, recurse)
        if self.frame.dtype != before:
            # Orthonormal to the rounding of the new dtype: the left inverse relies on it.
            q, r = torch.linalg.qr(self.frame)
            self.frame = (q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)).contiguous()
        return self

    def config(self) -> dict[str, object]:
        """Arguments of the constructor, but the seed."""
        return dict(self._config)

    def _placement(self, chart: int | None) -> tuple[Tensor, Tensor, Tensor]:
        if chart is None:
            return self.center, self.frame, self.radius
        return self.center[chart], self.frame[chart], self.radius[chart]

    def _box(self, chart: int | None) -> tuple[Tensor, Tensor]:
        if chart is None:
            return self.middle, self.half_width
        return self.middle[chart], self.half_width[chart]

    def _pad(self, z: Tensor) -> Tensor:
        return torch.nn.functional.pad(z, (0, self.n_ambient - self.dim))

    def rebox(self, low: Tensor, high: Tensor) -> None:
        """Make what lies between two corners of every box, (K, d) each, the whole box.

        Raises
        ------
        ValueError
            If a corner is not below the other.
        """
        shape = (self.n_charts, self.dim)
        low, high = as_tensor(low, "low", shape=shape), as_tensor(high, "high", shape=shape)
        if not bool((low < high).all()):
            raise ValueError(f"low must be below high, got {low} and {high}.")
        self.middle += self.half_width * ((low + high) / 2).unsqueeze(1)
        self.half_width *= ((high - low) / 2).unsqueeze(1)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        z = torch.addcmul(*self._box(chart), coords)
        if self.latent is not None:
            z = self.latent(z, chart)[0]
        return self.decode_base(z, chart)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        z = self.encode_base(x, chart)
        if self.latent is not None:
            z = self.latent.inverse(z, chart)[0]
        middle, half_width = self._box(chart)
        return (z - middle) / half_width

    def decode_base(self, z: Tensor, chart: int | None = None) -> Tensor:
        """D(z): the decoder without the latent flow, the variable of the evidence lower bound."""
        center, frame, radius = self._placement(chart)
        y = self.network(self._pad(z), chart)[0]
        return center + radius * (y @ frame.mT)

    def encode_base(self, x: Tensor, chart: int | None = None) -> Tensor:
        """E(x): the left inverse of `decode_base`."""
        center, frame, radius = self._placement(chart)
        y = ((x - center) / radius) @ frame
        return self.network.inverse(y, chart)[0][..., : self.dim]

    def base_prior(self, z: Tensor, chart: int | None = None) -> tuple[Tensor, Tensor]:
        """Log density of z, log q(t) + log |det dt/dz|, and its coordinates t."""
        middle, half_width = self._box(chart)
        log_det = -half_width.log().sum(-1)
        if self.latent is not None:
            z, flow_log_det = self.latent.inverse(z, chart)
            log_det = log_det + flow_log_det
        t = (z - middle) / half_width
        return self.density.log_prob(t) + log_det, t

    def log_prior(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """Log density of z at the coordinates t, (..., N)."""
        middle, half_width = self._box(chart)
        log_prob = self.density.log_prob(coords) - half_width.log().sum(-1)
        if self.latent is None:
            return log_prob
        return log_prob - self.latent(torch.addcmul(middle, half_width, coords), chart)[1]

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; one pass of Taylor mode through the networks."""
        rule = jet_rule(tangents.shape[-3], tuple(pairs))
        middle, half_width = self._box(chart)
        rows = rule.pack(middle + half_width * coords, half_width.unsqueeze(-3) * tangents)
        if self.latent is not None:
            rows = self.latent.push(rows, rule, chart)
        rows = self.network.push(self._pad(rows), rule, chart)
        center, frame, radius = self._placement(chart)
        rows = radius.unsqueeze(-1) * (rows @ frame.mT.unsqueeze(-3))
        value, first, second = rule.unpack(rows)
        return Jet(center + value, first, second)
