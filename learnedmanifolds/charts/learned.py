"""Charts learned from data: a latent flow on the box, then an injective decoder."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from learnedmanifolds._check import as_tensor
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.coupling import CouplingStack
from learnedmanifolds.charts.jet import Jet, JetRule, Pairs, jet_rule


class LearnedCharts(Charts):
    """K charts x = D(T(m + w t)) with the exact left inverse E of D.

    T is a flow on R^d (only for d > 1). (m, w) are the middle and half the width of the box that
    `rebox` chose, 0 and 1 before. A subclass gives D, E and how jet rows pass through D.

    Parameters
    ----------
    n_charts, dim : int
        K and d.
    ambient_shape : tuple of int
    latent : CouplingStack, optional
        T.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, sections 3 and 5.
    """

    def __init__(
        self,
        n_charts: int,
        dim: int,
        ambient_shape: tuple[int, ...],
        latent: CouplingStack | None,
    ) -> None:
        super().__init__(n_charts, dim, ambient_shape)
        self.latent = latent
        self.middle: Tensor
        self.half_width: Tensor
        self.register_buffer("middle", torch.zeros(n_charts, 1, dim, dtype=torch.float32))
        self.register_buffer("half_width", torch.ones(n_charts, 1, dim, dtype=torch.float32))

    @abc.abstractmethod
    def decode_base(self, z: Tensor, chart: int | None = None) -> Tensor:
        """D(z): the decoder without the latent flow, the variable of the evidence lower bound."""

    @abc.abstractmethod
    def encode_base(self, x: Tensor, chart: int | None = None) -> Tensor:
        """E(x): the left inverse of `decode_base`."""

    @abc.abstractmethod
    def push_base(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """Jet rows (..., R, N, d) carried through D, (..., R, N, n)."""

    def _box(self, chart: int | None) -> tuple[Tensor, Tensor]:
        if chart is None:
            return self.middle, self.half_width
        return self.middle[chart], self.half_width[chart]

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
        return rule.unpack(self.push_base(rows, rule, chart))
