"""Charts of the image of the cube under a network, and of copies of it turned in space."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.analytic import AnalyticCharts
from learnedmanifolds.charts.jet import Jet, JetRule, Pairs, jet_rule
from learnedmanifolds.charts.refine import Expansion, expansion, refine
from learnedmanifolds.charts.taylor import push

# How far beyond the box, in coordinates, the nearest point of the continued network is sought.
_BOUND = 1.25


class NetworkCharts(AnalyticCharts):
    """Charts x = F_k g(t) of one network g on the box, turned by orthogonal matrices F_k.

    The left inverse is the nearest point by Gauss-Newton from the nearest of some anchors.

    Parameters
    ----------
    network : nn.Sequential
        g, (N, d) -> (N, n), of layers that `learnedmanifolds.charts.taylor.push` knows.
    anchors : Tensor, shape (M, d)
        Coordinates all over the box.
    frames : Tensor, shape (K, n, n)
        Orthogonal matrices F_k.
    """

    def __init__(self, network: nn.Sequential, anchors: Tensor, frames: Tensor) -> None:
        super().__init__(len(frames), anchors.shape[-1], (frames.shape[-1],))
        self.network = network
        self.anchors: Tensor
        self.frames: Tensor
        self.register_buffer("anchors", anchors)
        self.register_buffer("frames", frames)

    def push(self, rows: Tensor, rule: JetRule, chart: int | None) -> Tensor:
        """See `AnalyticCharts.push`."""
        frames = self.frames.unsqueeze(1) if chart is None else self.frames[chart]
        return push(self.network, rows, rule, (self.dim,)) @ frames.mT

    def encode(self, x: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.encode`; differentiable in x."""
        # Rows as vectors: x F is F^T x, the point turned back.
        y = x @ (self.frames if chart is None else self.frames[chart])
        return self._nearest(y.flatten(0, -2)).unflatten(0, y.shape[:-1])

    def _expand(self, coords: Tensor, second: bool) -> Expansion:
        def jet(tangents: Tensor, pairs: Pairs) -> Jet:
            rule = jet_rule(self.dim, tuple(pairs))
            rows = rule.pack(coords, tangents)
            return rule.unpack(push(self.network, rows, rule, (self.dim,)))

        return expansion(jet, coords, second)

    def _nearest(self, y: Tensor) -> Tensor:
        with torch.no_grad():
            start = self.anchors[torch.cdist(y, self.network(self.anchors)).argmin(-1)]
            found = refine(lambda t, _, second: self._expand(t, second), start, y.detach(), _BOUND)
            coords = found.coords
            if not y.requires_grad:
                return coords
            value, j, _ = self._expand(coords, False)
        # At the nearest point the step is zero; its derivative is that of the left inverse.
        step = (j @ (y - value).unsqueeze(-1)).squeeze(-1)
        return coords + torch.linalg.solve(j @ j.mT, step)
