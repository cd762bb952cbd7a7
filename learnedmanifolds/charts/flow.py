"""Flow charts: injective decoders built from invertible networks, for vectors of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from learnedmanifolds.charts.coupling import CouplingStack
from learnedmanifolds.charts.jet import JetRule
from learnedmanifolds.charts.learned import LearnedCharts


def orthonormal(columns: Tensor) -> Tensor:
    """Columns (..., n, r) that were orthonormal in another dtype: left inverses rely on them."""
    q, r = torch.linalg.qr(columns)
    return (q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)).contiguous()


class FlowCharts(LearnedCharts):
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
        Coupling blocks of F and of T; without any T is the identity.
    seed : int
        Seed of the initial weights.
    published : bool
        The published networks, see `CouplingStack`.

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
        published: bool = False,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        network = CouplingStack(n_charts, n_ambient, n_blocks, hidden, generator, published)
        latent = (
            CouplingStack(n_charts, dim, n_latent_blocks, hidden, generator, published)
            if dim > 1 and n_latent_blocks
            else None
        )
        super().__init__(n_charts, dim, (n_ambient,), latent)
        self.network = network
        self._config = {
            "n_charts": n_charts,
            "dim": dim,
            "n_ambient": n_ambient,
            "hidden": hidden,
            "n_blocks": n_blocks,
            "n_latent_blocks": n_latent_blocks,
            "published": published,
        }
        self.center: Tensor
        self.frame: Tensor
        self.radius: Tensor
        self.register_buffer("center", torch.zeros(n_charts, 1, n_ambient, dtype=torch.float32))
        self.register_buffer(
            "frame", torch.eye(n_ambient, dtype=torch.float32).repeat(n_charts, 1, 1)
        )
        self.register_buffer("radius", torch.ones(n_charts, 1, 1, dtype=torch.float32))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = self.frame.dtype
        super()._apply(fn, recurse)
        if self.frame.dtype != before:
            self.frame = orthonormal(self.frame)
        return self

    def config(self) -> dict[str, object]:
        """Arguments of the constructor, but the seed."""
        return dict(self._config)

    @torch.no_grad()
    def place(self, centers: Tensor, frames: Tensor, radius: Tensor) -> None:
        """Set the centres (K, n), orthonormal frames (K, n, n) and radii (K,) of the seeds."""
        self.center.copy_(centers.unsqueeze(1))
        self.frame.copy_(frames)
        self.radius.copy_(radius.view(-1, 1, 1))

    @torch.no_grad()
    def carry(self, center: Tensor, scale: float) -> None:
        """Become the charts of center + scale * x, with center (n,); the coordinates stay."""
        self.center.copy_(center + scale * self.center.to(center))
        self.radius *= scale

    def _placement(self, chart: int | None) -> tuple[Tensor, Tensor, Tensor]:
        if chart is None:
            return self.center, self.frame, self.radius
        return self.center[chart], self.frame[chart], self.radius[chart]

    def _pad(self, z: Tensor) -> Tensor:
        return torch.nn.functional.pad(z, (0, self.n_ambient - self.dim))

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

    def push_base(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `LearnedCharts.push_base`."""
        rows = self.network.push(self._pad(rows), rule, chart)
        center, frame, radius = self._placement(chart)
        return rule.shift(radius.unsqueeze(-1) * (rows @ frame.mT.unsqueeze(-3)), center)
