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

# An error of the left inverse below this many roundings of a point's size is zero.
_ROUNDING = 64

# Basins that are tried beside the first, and neighbours of an anchor that they are told by.
_BASINS = 4
_NEIGHBOURS = 3

_NEWTON_STEPS = 12


class ImmersedCharts(Charts):
    """Charts D(c_k(t)) of a latent manifold Z with charts c_k and an immersion D: Z -> R^n.

    All charts share the decoder, so they agree where they overlap. The left inverse is the nearest
    point: Gauss-Newton along Z from the encoder's guess, or from the nearest of some anchors where
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
        self.reach: Tensor
        with torch.no_grad():
            points = self.immerse(anchors)
            count = min(len(anchors), 1 + _NEIGHBOURS * self.dim)
            around = torch.cdist(anchors, anchors).topk(count, largest=False).indices[:, 1:]
            edges = (points[around] - points.unsqueeze(1)).norm(dim=-1)
        self.register_buffer("anchor_points", points)
        self.register_buffer("around", around)
        self.register_buffer("reach", edges.amax(-1))

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
                # At the nearest point the step is zero; its derivative is that of the left inverse.
                value, j = self._linearize(t, k)
                step = (j @ (x[index] - value).unsqueeze(-1)).squeeze(-1)
                t = t + torch.linalg.solve(j @ j.mT, step)
            z = z.index_copy(0, index, self.space.decode(t, k))
        return z

    def _nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Charts (N,) and coordinates (N, d) of nearest points."""
        guess = self.encoder(x.unflatten(-1, self.ambient_shape))
        # Distances are differences of squares, which lose digits far from the origin.
        middle = self.anchor_points.mean(0)
        extent = (self.anchor_points - middle).norm(dim=-1).amax()
        gap = torch.cdist(x - middle, self.anchor_points - middle)
        near = gap.argmin(-1)
        miss = (self.immerse(guess) - x).norm(dim=-1)
        worse = ~(miss <= (self.anchor_points[near] - x).norm(dim=-1))
        chart, coords, error = self._descend(
            torch.where(worse.unsqueeze(-1), self.anchors[near], guess), x
        )
        rounding = _ROUNDING * torch.finfo(x.dtype).eps ** 0.75
        left = error > rounding * (extent + x.norm(dim=-1))
        left = (left & error.isfinite()).nonzero().squeeze(-1)
        row, anchor = self._basins(gap[left], near[left].where(worse[left], -1), error[left])
        row = left[row]
        if len(row):
            others = self._descend(self.anchors[anchor], x[row])
            least = error.scatter_reduce(0, row, others[2], "amin")
            place = torch.arange(len(row), device=x.device)
            # Two starts may end in one point: the first counts.
            first = torch.full_like(chart, len(row)).scatter_reduce(
                0, row, torch.where(others[2] == least[row], place, len(row)), "amin"
            )
            better = place[(first[row] == place) & (others[2] < error[row])]
            chart[row[better]], coords[row[better]] = others[0][better], others[1][better]
        for k in chart[left].unique().tolist():
            index = left[chart[left] == k]
            coords[index] = self._polish(k, coords[index], x[index])
        return chart, coords

    def _polish(self, chart: int, coords: Tensor, x: Tensor) -> Tensor:
        """Newton's method from near a minimizer: far from the manifold Gauss-Newton is slow."""
        d = self.dim
        best, least = coords.clone(), x.new_full((len(x),), torch.inf)
        step, damping = torch.zeros_like(coords), torch.ones_like(least)
        active = torch.arange(len(x), device=x.device)
        small = torch.finfo(x.dtype).eps ** 0.75
        row, column = torch.triu_indices(d, d, device=x.device)
        pairs = list(zip(row.tolist(), column.tolist(), strict=True))
        eye = torch.eye(d, dtype=x.dtype, device=x.device).unsqueeze(1)
        for _ in range(_NEWTON_STEPS):
            trial = (best[active] + damping[active].unsqueeze(-1) * step[active]).clamp(
                -_BOUND, _BOUND
            )
            jet = self.jet(trial, chart, eye.expand(d, *trial.shape), pairs)
            residual = jet.value - x[active]
            square = residual.square().sum(-1)
            better = square < least[active]
            chosen, first = active[better], jet.first[:, better].movedim(0, 1)
            best[chosen], least[chosen] = trial[better], square[better]
            bend = (jet.second[:, better] * residual[better]).sum(-1)
            hessian = torch.zeros_like(first[..., :d])
            hessian[:, row, column] = hessian[:, column, row] = bend.T
            hessian += first @ first.mT
            size, axes = torch.linalg.eigh(hessian)
            # Away from directions of negative curvature too.
            size = size.abs().clamp(min=1e-6 * size.abs().amax(-1, keepdim=True))
            gradient = axes.mT @ first @ residual[better].unsqueeze(-1)
            step[chosen] = -(axes @ (gradient / size.unsqueeze(-1))).squeeze(-1)
            damping[chosen] = 1.0
            damping[active[~better]] /= 4
            moves = (damping[active].unsqueeze(-1) * step[active]).abs().amax(-1) > small
            active = active[moves]
            if not len(active):
                break
        return best

    def _basins(self, gap: Tensor, tried: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
        """Anchors to start from: nearer than those around them, and with hope to get below an error.

        Rows and anchors, from distances (N, M) to all anchors; ``tried`` is left out.
        """
        around = gap.clone()
        for near in self.around.T:
            around = torch.minimum(around, gap[:, near])
        # From an anchor to the next the distance changes by at most the edge between them.
        hope = (gap <= around) & (gap - self.reach < error.unsqueeze(-1))
        hope &= torch.arange(gap.shape[1], device=gap.device) != tried.unsqueeze(-1)
        score = torch.where(hope, gap, torch.inf)
        least, anchor = score.topk(min(_BASINS, gap.shape[1]), largest=False)
        row, place = least.isfinite().nonzero(as_tuple=True)
        return row, anchor[row, place]

    def _descend(self, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Charts, coordinates and distances of local minimizers of |D(z) - x| near given points."""
        starts = self.space.encode(z)
        chart = starts.abs().amax(-1).argmin(0)
        coords = starts[chart, torch.arange(len(x), device=x.device)]
        square = x.new_empty(len(x))
        for k in chart.unique().tolist():
            index = (chart == k).nonzero().squeeze(-1)

            def linearize(t: Tensor, _: Tensor, k: int = k) -> tuple[Tensor, Tensor]:
                return self._linearize(t, k)

            coords[index], square[index] = refine(linearize, coords[index], x[index], _BOUND)
        return chart, coords, square.sqrt()

    def _linearize(self, coords: Tensor, chart: int) -> tuple[Tensor, Tensor]:
        eye = torch.eye(self.dim, dtype=coords.dtype, device=coords.device).unsqueeze(1)
        jet = self.jet(coords, chart, eye.expand(self.dim, *coords.shape))
        return jet.value, jet.first.movedim(0, 1)

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
