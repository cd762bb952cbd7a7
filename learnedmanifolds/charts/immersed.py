"""Charts of a latent manifold carried into the data space by one decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, Pairs, functional_jet, jet_rule
from learnedmanifolds.charts.refine import refine
from learnedmanifolds.charts.taylor import can_push, push

# Coordinates may leave the box this far while the nearest point is looked for.
_BOUND = 1.5


class ImmersedCharts(Charts):
    """Charts D(c_k(t)) of a latent manifold Z with charts c_k and an immersion D: Z -> R^n.

    All charts share the decoder, so they agree where they overlap. The left inverse is the nearest
    point: Gauss-Newton along Z from the encoder's guess, or from the nearest of some anchors where
    that is nearer.

    Parameters
    ----------
    space : Charts
        c_k, with points in R^m.
    decoder : nn.Module
        D, (N, m) -> (N, *ambient_shape).
    encoder : nn.Module
        Guess of the point of Z, (N, *ambient_shape) -> (N, m).
    anchors : Tensor, shape (M, m)
        Points all over Z.
    ambient_shape : tuple of int
    """

    def __init__(
        self,
        space: Charts,
        decoder: nn.Module,
        encoder: nn.Module,
        anchors: Tensor,
        ambient_shape: tuple[int, ...],
    ) -> None:
        super().__init__(space.n_charts, space.dim, ambient_shape)
        self.decoder, self.encoder = decoder, encoder
        self.space = space.to(anchors)
        self.anchors: Tensor
        self.anchor_points: Tensor
        self.register_buffer("anchors", anchors)
        with torch.no_grad():
            self.register_buffer("anchor_points", self.immerse(anchors))

    def immerse(self, z: Tensor) -> Tensor:
        """Points D(z), (N, m) -> (N, n)."""
        return self.decoder(z).flatten(1)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        z = self.space.decode(coords, chart)
        return self.immerse(z.flatten(0, -2)).unflatten(0, z.shape[:-1])

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`."""
        z = self.latent(x.flatten(0, -2)).unflatten(0, x.shape[:-1])
        return self.space.encode(z, chart)

    def latent(self, x: Tensor) -> Tensor:
        """Points of Z whose images are nearest to points (N, n), (N, m); differentiable in x."""
        with torch.no_grad():
            guess = self._guess(x)
            coords = self.space.encode(guess)
            chart = coords.abs().amax(-1).argmin(0)
            rows = torch.arange(len(x), device=x.device)
            start, z = coords[chart, rows], guess.clone()
        for k in chart.unique().tolist():
            index = (chart == k).nonzero().squeeze(-1)
            z = z.index_copy(0, index, self._nearest(k, start[index], x[index]))
        return z

    def _guess(self, x: Tensor) -> Tensor:
        guess = self.encoder(x.unflatten(-1, self.ambient_shape))
        near = torch.cdist(x, self.anchor_points).argmin(-1)
        miss = (self.immerse(guess) - x).norm(dim=-1)
        worse = ~(miss <= (self.anchor_points[near] - x).norm(dim=-1))
        return torch.where(worse.unsqueeze(-1), self.anchors[near], guess)

    def _nearest(self, chart: int, start: Tensor, x: Tensor) -> Tensor:
        def linearize(coords: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
            eye = torch.eye(self.dim, dtype=coords.dtype, device=coords.device).unsqueeze(1)
            jet = self.jet(coords, chart, eye.expand(self.dim, *coords.shape))
            return jet.value, jet.first.movedim(0, 1)

        with torch.no_grad():
            coords, _ = refine(linearize, start, x.detach(), _BOUND)
            if x.requires_grad:
                value, j = linearize(coords, torch.arange(len(x), device=x.device))
        if x.requires_grad:
            # At the nearest point the step is zero; its derivative is that of the left inverse.
            step = (j @ (x - value).unsqueeze(-1)).squeeze(-1)
            coords = coords + torch.linalg.solve(j @ j.mT, step)
        return self.space.decode(coords, chart)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; Taylor arithmetic for networks of usual layers."""
        inner = self.space.jet(coords, chart, tangents, pairs)
        if can_push(self.decoder):
            rule = jet_rule(tangents.shape[-3], tuple(pairs))
            rows = push(self.decoder, rule.rows(inner), rule, (self.space.n_ambient,))
            return rule.unpack(rows)
        if chart is None:
            parts = [self._chain(Jet(*(p[k] for p in inner)), pairs) for k in range(self.n_charts)]
            return Jet(*(torch.stack(part) for part in zip(*parts, strict=True)))
        return self._chain(inner, pairs)

    def _chain(self, inner: Jet, pairs: Pairs) -> Jet:
        """Chain rule: D''[a, b] + D'[c''] with the tangents of the latent space's charts."""
        tangents = torch.cat([inner.first, inner.second], -3)
        outer = functional_jet(self.immerse, inner.value, tangents, pairs)
        count = inner.first.shape[-3]
        return Jet(outer.value, outer.first[:count], outer.second + outer.first[count:])
