"""Embeddings learned from samples of a manifold."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch
from torch import Tensor, nn

from learnedmanifolds._check import integer
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.geometry.metric import InducedMetric
from learnedmanifolds.latent._call import call
from learnedmanifolds.latent._parameters import last_axis, times
from learnedmanifolds.latent.embedding.base import Embedding
from learnedmanifolds.latent.embedding.charts import NetworkCharts

if TYPE_CHECKING:
    from learnedmanifolds.latent.embedding.quality import EmbeddingQuality

# Anchors of the left inverse a coordinate, and all together for more than two coordinates.
_PER_COORDINATE = {1: 512, 2: 48}
_ANCHORS = 4096


class LearnedEmbedding(Embedding):
    """A network phi: [0, 1]^n -> R^l with the encoder that it was trained with, in float64.

    `fit_embedding` trains one. The network takes the coordinates 2 t - 1 of the box and has the
    smooth activation SiLU, so that its image has tangents and curvature. It follows its arguments
    to their device.

    Parameters
    ----------
    dim, n_ambient : int
        n and l.
    width : int
        Width of the two hidden layers of both networks.
    seed : int
        Seed of the initial weights.

    Attributes
    ----------
    quality : EmbeddingQuality or None
        Figures of how well it maps the uniform distribution to that of the samples.
    """

    def __init__(self, dim: int, n_ambient: int, width: int = 128, seed: int = 0) -> None:
        super().__init__(
            integer(dim, "dim", minimum=1), integer(n_ambient, "n_ambient", minimum=dim)
        )
        self.width = integer(width, "width", minimum=1)
        source = torch.Generator().manual_seed(integer(seed, "seed", minimum=0))
        network = _network(dim, n_ambient, width, nn.SiLU, source)
        # The encoder jumps where the ends of a closed manifold meet, as ReLU networks can.
        self.encoder = _network(n_ambient, dim, width, nn.ReLU, source).append(nn.Tanh())
        turns = torch.eye(n_ambient, dtype=torch.float64).unsqueeze(0)
        self.chart = NetworkCharts(network, _anchors(dim), turns)
        self.quality: EmbeddingQuality | None = None
        self.double()

    def __repr__(self) -> str:
        # Two embeddings of one shape are told apart by their weights.
        weights = torch.cat([w.detach().flatten().cpu() for w in self.parameters()])
        name = call(LearnedEmbedding, **self.config())
        return f"<{name}, weights {crc32(weights.numpy().tobytes()):08x}>"

    @property
    def network(self) -> nn.Sequential:
        """The network of the coordinates of the box [-1, 1]^n."""
        return self.chart.network

    def config(self) -> dict[str, object]:
        """Arguments of the constructor, but the seed."""
        return {"dim": self.dim, "n_ambient": self.n_ambient, "width": self.width}

    @property
    def space(self) -> Any:
        """See `GeomstatsManifold`."""
        from learnedmanifolds.manifolds.geomstats import GeomstatsManifold

        return GeomstatsManifold(self.atlas())

    def forward(self, t: Tensor) -> Tensor:
        """See `Embedding.forward`."""
        coords = 2 * self._here(last_axis(t, "t", self.dim)) - 1
        return self.network(coords).to(t.dtype)

    def inverse(self, z: Tensor) -> Tensor:
        """See `Embedding.inverse`."""
        flat = self._here(last_axis(z, "z", self.n_ambient)).flatten(0, -2)
        coords = self.chart.encode(flat.view(-1, self.n_ambient), 0)
        return ((1 + coords) / 2).clamp(0, 1).view(*z.shape[:-1], self.dim).to(z.dtype)

    def log_volume(self, t: Tensor) -> Tensor:
        """See `Embedding.log_volume`."""
        coords = (2 * self._here(last_axis(t, "t", self.dim)) - 1).view(-1, self.dim)
        eye = torch.eye(self.dim, dtype=coords.dtype, device=coords.device).unsqueeze(1)
        j = self.chart.jet(coords, 0, eye.expand(self.dim, *coords.shape)).first.movedim(0, 1)
        volume = torch.logdet(j @ j.mT) / 2 + self.dim * math.log(2)
        return volume.view(t.shape[:-1]).to(t.dtype)

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """See `Embedding.geodesic`; of nearest points of the image, by `InducedMetric`."""
        return geodesic(self.atlas(), start, end, t)

    def charts(self, turns: int = 1) -> NetworkCharts:
        """See `Embedding.charts`; copies are turned in every pair of coordinates at once."""
        angle = 2 * math.pi / turns * torch.arange(turns, dtype=torch.float64)
        frames = torch.eye(self.n_ambient, dtype=torch.float64).repeat(turns, 1, 1)
        if turns > 1:
            cos, sin = angle.cos(), angle.sin()
            turn = torch.stack((cos, -sin, sin, cos), -1).view(turns, 2, 2)
            for i in range(0, self.n_ambient, 2):
                frames[:, i : i + 2, i : i + 2] = turn
        # A copy: whoever takes charts may convert them to another dtype in place.
        network = copy.deepcopy(self.network)
        return NetworkCharts(network, self.chart.anchors, frames.to(self.chart.anchors.device))

    def atlas(self, turns: int = 1) -> Atlas:
        """The image as a manifold, which copies of it hold up to its distance to the samples."""
        stray = 0.01 if self.quality is None else self.quality.stray * self.quality.size
        return Atlas(self.charts(turns), noise_std=stray)

    def _here(self, value: Tensor) -> Tensor:
        if value.device != self.chart.anchors.device:
            self.to(value.device)
        return value.double()


def geodesic(atlas: Atlas, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    """Shortest curves of an atlas between the points nearest to points (..., n), (T, ..., n)."""
    start, end = torch.broadcast_tensors(start, end)
    times(t, start)
    metric = InducedMetric(atlas)
    at, to = (atlas.nearest(z.reshape(-1, z.shape[-1])) for z in (start, end))
    curve = metric.geodesic(at, metric.log(at, to))
    located = curve(t)
    points = atlas.decode(located.coords, located.chart)
    points = points.view(-1, len(t), points.shape[-1]).movedim(0, 1)
    return points.reshape(len(t), *start.shape).to(start)


def _network(
    n_in: int, n_out: int, width: int, activation: type[nn.Module], source: torch.Generator
) -> nn.Sequential:
    sizes = [n_in, width, width, n_out]
    layers: list[nn.Module] = []
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        linear = nn.utils.skip_init(nn.Linear, a, b, dtype=torch.float32)
        nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5), generator=source)
        nn.init.uniform_(linear.bias, -1 / math.sqrt(a), 1 / math.sqrt(a), generator=source)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def _anchors(dim: int) -> Tensor:
    if dim not in _PER_COORDINATE:
        draws = torch.quasirandom.SobolEngine(dim).draw(_ANCHORS, dtype=torch.float64)
        return 2 * draws - 1
    line = torch.linspace(-1, 1, _PER_COORDINATE[dim], dtype=torch.float64)
    return torch.cartesian_prod(*[line] * dim).view(-1, dim)
