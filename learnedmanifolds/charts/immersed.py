"""Charts of a latent manifold carried into the data space by one decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.anchors import Anchors, nearer
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, Pairs, functional_jet, jet_rule
from learnedmanifolds.charts.refine import Expansion, change, expansion, refine
from learnedmanifolds.charts.taylor import can_push, push

# Coordinates may leave the box this far while the nearest point is looked for.
_BOUND = 1.5

# An error of the left inverse below this many roundings of a point's size is zero.
_ROUNDING = 64

# Basins that are tried beside the first, and neighbours of an anchor that they are told by.
_BASINS = 4
_NEIGHBOURS = 3


class ImmersedCharts(Charts):
    """Charts D(c_k(t)) of a latent manifold Z with charts c_k and an immersion D: Z -> R^n.

    All charts share the decoder, so they agree where they overlap. The left inverse is the nearest
    point: Newton's method along Z from the encoder's guess, or from the nearest of some anchors where
    that is nearer. Where that leaves a distance, it may be another local minimum, and anchors nearer
    than all anchors around them are starts as well.

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
        self.around: Tensor
        with torch.no_grad():
            spread = Anchors.of(anchors, self.immerse(anchors), _NEIGHBOURS * self.dim, self.dim)
        self.register_buffer("anchor_points", spread.points)
        self.register_buffer("around", spread.around)

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
            chart, coords = self._nearest(x.detach())
        z = self.anchors.new_empty(len(x), self.space.n_ambient)
        for k in chart.unique().tolist():
            index = (chart == k).nonzero().squeeze(-1)
            t = coords[index]
            if x.requires_grad:
                t = t + change(self._expand(t, k, second=True), t, x[index], _BOUND)
            z = z.index_copy(0, index, self.space.decode(t, k))
        return z

    def _nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Charts (N,) and coordinates (N, d) of nearest points."""
        spread = Anchors(self.anchor_points, self.around, self.dim)
        x = spread.drawn_in(x)
        guess = self.encoder(x.unflatten(-1, self.ambient_shape))
        extent = (self.anchor_points - self.anchor_points.mean(0)).norm(dim=-1).amax()
        near = spread.squares(x).argmin(-1)
        worse = ~(nearer(self.immerse(guess), self.anchor_points[near], x) <= 0)
        chart, coords, point = self._descend(
            torch.where(worse.unsqueeze(-1), self.anchors[near], guess), x
        )
        error = (point - x).norm(dim=-1)
        rounding = _ROUNDING * torch.finfo(x.dtype).eps ** 0.75
        left = error > rounding * (extent + x.norm(dim=-1))
        left = (left & error.isfinite()).nonzero().squeeze(-1)
        row, anchor = spread.basins(x[left], point[left], _BASINS)
        row = left[row]
        if len(row):
            others = self._descend(self.anchors[anchor], x[row])
            gain = nearer(others[2], point[row], x[row])
            least = torch.zeros_like(error).scatter_reduce(0, row, gain, "amin")
            # Two starts may end in one point: the last counts.
            best = (gain == least[row]) & (gain < 0)
            place = torch.full_like(chart, -1)
            place[row[best]] = best.nonzero().squeeze(-1)
            better = place >= 0
            chart[better], coords[better] = others[0][place[better]], others[1][place[better]]
        return chart, coords

    def _descend(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Charts, coordinates and points of local minima of |D(z) - x| near given points."""
        starts = self.space.encode(z)
        chart = starts.abs().amax(-1).argmin(0)
        coords = starts[chart, torch.arange(len(x), device=x.device)]
        point = torch.empty_like(x)
        for k in chart.unique().tolist():
            index = (chart == k).nonzero().squeeze(-1)

            def expand(t: Tensor, _: Tensor, second: bool, k: int = k) -> Expansion:
                return self._expand(t, k, second)

            found = refine(expand, coords[index], x[index], _BOUND)
            coords[index], point[index] = found
        return chart, coords, point

    def _expand(self, coords: Tensor, chart: int, second: bool) -> Expansion:
        return expansion(lambda t, pairs: self.jet(coords, chart, t, pairs), coords, second)

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
