"""Kernel charts: decoders linear in their weights, trusted where there are data."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds.charts.anchored import AnchoredCharts
from learnedmanifolds.charts.domain import Chart
from learnedmanifolds.charts.jet import Jet, Pairs
from learnedmanifolds.charts.kernel_features import KernelFeatures, apply
from learnedmanifolds.charts.level_domain import LevelDomain

# Depth up to which the latent density falls, and how fast, in nats.
_SHELL, _FALL = 0.2, 15.0


class KernelCharts(AnchoredCharts):
    """Charts x = c + W' phi(t): constant, linear terms and Gaussian bumps, with weights W.

    The mean of a Gaussian process. Derivatives of every order are closed. The left inverse is the
    nearest point, looked for in the at most F dimensions that a chart spans. The domain is a
    `LevelDomain`.

    Parameters
    ----------
    center : Tensor, shape (n,)
        c.
    weights : Tensor, shape (K, F, n)
        Of 1, the coordinates, and the bumps.
    centers : Tensor, shape (K, m, d)
        Of the bumps; F = 1 + d + m.
    width : Tensor, shape (K,)
        Of the bumps.
    border_centers : Tensor, shape (K, M, d)
    border_width : Tensor, shape (K,)
    border_weights : Tensor, shape (K, 1 + d + M)
        Of the same kind of features, the depth in the domain.
    codes : Tensor, shape (K, A, d)
        Coordinates of data in the domain: they are what samples are like, and where nearest points are
        looked for.
    ambient_shape : tuple of int

    References
    ----------
    Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, sections 2.2 and 2.7.
    """

    center: Tensor
    weights: Tensor
    centers: Tensor
    width: Tensor
    border_centers: Tensor
    border_width: Tensor
    border_weights: Tensor
    spread: Tensor
    frame: Tensor | None
    core: Tensor

    def __init__(
        self,
        center: Tensor,
        weights: Tensor,
        centers: Tensor,
        width: Tensor,
        border_centers: Tensor,
        border_width: Tensor,
        border_weights: Tensor,
        codes: Tensor,
        ambient_shape: tuple[int, ...],
    ) -> None:
        super().__init__(codes, ambient_shape)
        for name, value in (
            ("center", center),
            ("weights", weights),
            ("centers", centers),
            ("width", width),
            ("border_centers", border_centers),
            ("border_width", border_width),
            ("border_weights", border_weights),
        ):
            self.register_buffer(name, value)
        self._span()

    @torch.no_grad()
    def _span(self) -> None:
        """Orthonormal bases (K, n, r) of what the charts span about c, and the weights in them."""
        frame, core = None, self.weights
        if self.weights.shape[2] > self.weights.shape[1]:
            frame, core = torch.linalg.qr(self.weights.mT)
            core = core.mT.contiguous()
        # Of the nearest other code, as an even density would have it.
        gaps = torch.cdist(self.anchors, self.anchors)
        near = gaps.topk(min(2, gaps.shape[-1]), largest=False).values[..., -1]
        self.register_buffer("spread", near.median(-1).values, persistent=False)
        self.register_buffer("frame", frame, persistent=False)
        self.register_buffer("core", core, persistent=False)
        self._place_anchors()

    @property
    def domain(self) -> LevelDomain:
        """See `Charts.domain`."""
        features = KernelFeatures(self.border_centers, self.border_width)
        return LevelDomain(features, self.border_weights, self.anchors)

    @property
    def features(self) -> KernelFeatures:
        """Phi."""
        return KernelFeatures(self.centers, self.width)

    def draw(self, chart: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `Charts.draw`; codes of data, moved by about as far as others are from them."""
        pick = torch.randint(self.anchors.shape[1], chart.shape, generator=generator)
        noise = torch.randn(*chart.shape, self.dim, generator=generator, dtype=torch.float64)
        own = chart.to(self.anchors.device)
        spread = self.spread[own].double().cpu().unsqueeze(-1)
        coords = self.anchors[own, pick.to(own)].double().cpu() + spread * noise
        return self.domain.confine(coords.to(self.anchors), own).double().cpu()

    def log_latent(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.log_latent`; even inside the domain, falling near its border and beyond."""
        return -_FALL * (_SHELL - self.domain.depth(coords, chart)).clamp(min=0)

    def decode(self, coords: Tensor, chart: int | None = None) -> Tensor:
        """See `Charts.decode`."""
        return self.center + apply(self.features(coords, chart), self.weights, chart)

    def jet(self, coords: Tensor, chart: int | None, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `Charts.jet`; in closed form."""
        made = self._jet(self.weights, coords, chart, tangents, pairs)
        return made._replace(value=made.value + self.center)

    def local_jet(self, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """See `AnchoredCharts.local_jet`."""
        return self._jet(self.core, coords, chart, tangents, pairs)

    def _jet(
        self, weights: Tensor, coords: Tensor, chart: Chart, tangents: Tensor, pairs: Pairs
    ) -> Jet:
        rows = apply(self.features.jet(coords, chart, tangents, pairs), weights, chart)
        n_tangents = tangents.shape[-3]
        value, first, second = rows.split_with_sizes((1, n_tangents, len(pairs)), -3)
        return Jet(value.squeeze(-3), first, second)

    def _seen_from(self, x: Tensor, chart: int | None = None) -> Tensor:
        if self.frame is None:
            return x - self.center
        return (x - self.center) @ (self.frame if chart is None else self.frame[chart])

    def _distance(self, x: Tensor, seen: Tensor, gap: Tensor) -> Tensor:
        square = (x - self.center).square().sum(-1) - seen.square().sum(-1)
        return (gap.square() + square.clamp(min=0)).sqrt()
