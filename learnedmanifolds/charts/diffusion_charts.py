"""Charts whose coordinates are diffusion coordinates, carried into the data space by a decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, JetRule, Pairs, functional_jet, jet_rule
from learnedmanifolds.charts.monomials import Monomials
from learnedmanifolds.charts.refine import Expansion, expansion, refine
from learnedmanifolds.charts.taylor import can_push, push

BOUND = 1.1
"""Coordinates up to which the polynomials are fitted, and nearest points are sought."""


class DiffusionCharts(Charts):
    """Charts x = D(p_k(t)) of one decoder D, p_k polynomials from the box into diffusion space.

    Where charts overlap they differ by the errors of their polynomials only, for D is the same. The left
    inverse is the nearest point, by Gauss-Newton from the nearest of the chart's anchors. Asked for
    all charts, those that are clearly farther than another give coordinates outside their boxes.

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
    anchors: Tensor
    anchor_points: Tensor
    slack: Tensor

    def __init__(
        self,
        coefficients: Tensor,
        decoder: nn.Module,
        anchors: Tensor,
        degree: int,
        ambient_shape: tuple[int, ...],
    ) -> None:
        super().__init__(len(coefficients), anchors.shape[-1], ambient_shape)
        self.decoder = decoder
        self._monomials = Monomials(self.dim, degree)
        self.register_buffer("coefficients", coefficients)
        self.register_buffer("anchors", anchors)
        with torch.no_grad():
            points = self.decode(anchors)
            gaps = torch.cdist(points, points)
        self.register_buffer("anchor_points", points)
        # A point of a chart is hardly farther from the nearest anchor than anchors are apart, and so
        # for the point nearest to any other.
        apart = gaps.topk(min(2 * self.dim + 1, gaps.shape[-1]), largest=False).values[..., -1]
        self.register_buffer("slack", 2 * apart.amax())

    def embed(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """Points p_k(t) of diffusion space, (N, d) -> (N, D), or (K, N, d) -> (K, N, D)."""
        return self._embed(coords.unsqueeze(-3), jet_rule(0, ()), chart).squeeze(-3)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        z = self.embed(coords, chart)
        return self._immerse(z.flatten(0, -2)).unflatten(0, z.shape[:-1])

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; Taylor arithmetic where the decoder has it."""
        return self._jet(coords, chart, tangents, pairs)

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`; differentiable in x."""
        if chart is not None:
            near = torch.cdist(x.detach(), self.anchor_points[chart]).argmin(-1)
            index = torch.full((len(x),), chart, device=x.device)
            return self._nearest(x, index, self.anchors[chart][near])
        # One set of points for all charts: those far from a chart need not be sought in it.
        shared = x.dim() == 2
        points = x.expand(self.n_charts, *x.shape) if shared else x
        gap, near = torch.cdist(points.detach(), self.anchor_points).min(-1)
        start = self.anchors.gather(1, near.unsqueeze(-1).expand(-1, -1, self.dim))
        outward = start / start.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        coords = BOUND * torch.where(start.abs().amax(-1, keepdim=True) > 0, outward, 1.0)
        asked = (
            gap <= gap.amin(0) + self.slack if shared else torch.ones_like(gap, dtype=torch.bool)
        )
        k, row = asked.nonzero(as_tuple=True)
        return coords.index_put((k, row), self._nearest(points[k, row], k, start[k, row]))

    def _nearest(self, x: Tensor, chart: Tensor, start: Tensor) -> Tensor:
        """Coordinates (N, d) of the points of charts (N,) nearest to x (N, n)."""
        with torch.no_grad():
            coords = refine(
                lambda t, index, second: self._expand(t, chart[index], second),
                start,
                x.detach(),
                BOUND,
            ).coords
            if not x.requires_grad:
                return coords
            value, j, _ = self._expand(coords, chart, False)
        # At the nearest point the step is zero; its derivative is that of the left inverse.
        step = (j @ (x - value).unsqueeze(-1)).squeeze(-1)
        return coords + torch.linalg.solve(j @ j.mT, step)

    def _expand(self, coords: Tensor, chart: Tensor, second: bool) -> Expansion:
        return expansion(lambda t, pairs: self._jet(coords, chart, t, pairs), coords, second)

    def _embed(self, rows: Tensor, rule: JetRule, chart: int | Tensor | None) -> Tensor:
        features = self._monomials.push(rows, rule)
        if chart is None:
            return features @ self.coefficients.unsqueeze(1)
        if isinstance(chart, int):
            return features @ self.coefficients[chart]
        return (features.unsqueeze(-2) @ self.coefficients[chart]).squeeze(-2)

    def _immerse(self, z: Tensor) -> Tensor:
        return self.decoder(z).flatten(1)

    def _jet(
        self, coords: Tensor, chart: int | Tensor | None, tangents: Tensor, pairs: Pairs
    ) -> Jet:
        """A jet of points in one chart, in all, or each in a chart of its own (N,)."""
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
