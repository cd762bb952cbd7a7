"""The exact embedding of circles."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from learnedmanifolds._check import integer
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.latent._call import call
from learnedmanifolds.latent._pairs import on_circles
from learnedmanifolds.latent._parameters import last_axis
from learnedmanifolds.latent.embedding.base import Embedding
from learnedmanifolds.latent.torus import Torus


class Projection(Embedding):
    """Phi(t) = (cos 2 pi t, sin 2 pi t): the circle, or with d coordinates the flat torus.

    It maps the uniform distribution to the uniform one exactly. Its left inverse jumps where t = 0
    and t = 1 meet.

    Parameters
    ----------
    dim : int
        d.
    """

    def __init__(self, dim: int = 1) -> None:
        super().__init__(integer(dim, "dim", minimum=1), 2 * dim)
        self._torus = Torus(dim)

    def __repr__(self) -> str:
        return call(Projection, dim=self.dim)

    @property
    def space(self) -> Any:
        """See `Torus.space`."""
        return self._torus.space

    def forward(self, t: Tensor) -> Tensor:
        """See `Embedding.forward`."""
        return on_circles(2 * math.pi * last_axis(t, "t", self.dim))

    def inverse(self, z: Tensor) -> Tensor:
        """See `Embedding.inverse`; in [0, 1)."""
        x, y = last_axis(z, "z", self.n_ambient).unflatten(-1, (-1, 2)).unbind(-1)
        return torch.remainder(torch.atan2(y, x) / (2 * math.pi), 1)

    def log_volume(self, t: Tensor) -> Tensor:
        """See `Embedding.log_volume`: d log 2 pi."""
        return t.new_full(t.shape[:-1], self.dim * math.log(2 * math.pi))

    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """See `Torus.geodesic`."""
        return self._torus.geodesic(start, end, t)

    def charts(self, turns: int = 1) -> Charts:
        """Charts of the whole torus, which need no turned copies."""
        return self._torus.charts()
