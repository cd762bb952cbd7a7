"""Charts whose coordinates are diffusion coordinates, carried into the data space by a decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.anchored import AnchoredCharts
from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.jet import Jet, JetRule, Pairs, functional_jet, jet_rule
from learnedmanifolds.charts.monomials import Monomials
from learnedmanifolds.charts.taylor import can_push, push


class DiffusionCharts(AnchoredCharts):
    """Charts x = D(p_k(t)) of one decoder D, p_k polynomials from the box into diffusion space.

    Where charts overlap they differ by the errors of their polynomials only, for D is the same.

    Parameters
    ----------
    coefficients : Tensor, shape (K, F, D)
        Of the polynomials, in the order of `Monomials`.
    decoder : nn.Module
        D, (N, D) -> (N, *ambient_shape).
    anchors : Tensor, shape (K, A, d)
        Coordinates all over the boxes.
    degree : int
    ambient_shape : tuple of int
    """

    coefficients: Tensor

    def __init__(
        self,
        coefficients: Tensor,
        decoder: nn.Module,
        anchors: Tensor,
        degree: int,
        ambient_shape: tuple[int, ...],
    ) -> None:
        super().__init__(anchors, ambient_shape)
        self.decoder = decoder
        self._monomials = Monomials(self.dim, degree)
        self.register_buffer("coefficients", coefficients)
        self._place_anchors(self.decode(anchors).detach())

    def embed(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """Points p_k(t) of diffusion space, (N, d) -> (N, D), or (K, N, d) -> (K, N, D)."""
        return self._embed(coords.unsqueeze(-3), jet_rule(0, ()), chart).squeeze(-3)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        z = self.embed(coords, chart)
        return self._immerse(z.flatten(0, -2)).unflatten(0, z.shape[:-1])

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; Taylor arithmetic where the decoder has it."""
        return self.local_jet(coords, chart, tangents, pairs)

    def _embed(self, rows: Tensor, rule: JetRule, chart: Chart) -> Tensor:
        features = self._monomials.push(rows, rule)
        if chart is None:
            return features @ self.coefficients.unsqueeze(1)
        if isinstance(chart, int):
            return features @ self.coefficients[chart]
        return (features.unsqueeze(-2) @ self.coefficients[chart]).squeeze(-2)

    def _immerse(self, z: Tensor) -> Tensor:
        return self.decoder(z).flatten(1)

    def local_jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `AnchoredCharts.local_jet`."""
        rule = jet_rule(tangents.shape[-3], tuple(pairs))
        rows = self._embed(rule.pack(coords, tangents), rule, chart)
        if can_push(self.decoder):
            return rule.unpack(push(self.decoder, rows, rule, (rows.shape[-1],)))
        inner = rule.unpack(rows)
        if chart is not None:
            return self._chain(inner, pairs)
        parts = [self._chain(Jet(*(p[k] for p in inner)), pairs) for k in range(self.n_charts)]
        return Jet(*(torch.stack(part) for part in zip(*parts, strict=True)))

    def _chain(self, inner: Jet, pairs: Pairs) -> Jet:
        """Chain rule: D''[a, b] + D'[p''] with the tangents a, b of the polynomials."""
        count = len(inner.first)
        outer = functional_jet(
            self._immerse, inner.value, torch.cat([inner.first, inner.second]), pairs
        )
        return Jet(outer.value, outer.first[:count], outer.second + outer.first[count:])
