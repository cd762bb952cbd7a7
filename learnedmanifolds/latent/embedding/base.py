"""The embedding protocol: a manifold as the image of the unit cube."""

from __future__ import annotations

import abc
from typing import Any

from torch import Tensor, nn

from learnedmanifolds.charts.base import Charts


class Embedding(nn.Module, abc.ABC):
    """A map phi: [0, 1]^n -> R^l, an immersion that is injective inside the cube.

    Parameters
    ----------
    dim : int
        n.
    n_ambient : int
        l.

    References
    ----------
    Golikov, Kretov, Embedding-reparameterization procedure for manifold-valued latent variables in
    generative models, 2018.
    """

    def __init__(self, dim: int, n_ambient: int) -> None:
        super().__init__()
        self.dim, self.n_ambient = dim, n_ambient

    @property
    @abc.abstractmethod
    def space(self) -> Any:
        """The image as a manifold of geomstats (imported when asked for)."""

    @abc.abstractmethod
    def forward(self, t: Tensor) -> Tensor:
        """Points phi(t) (..., l) of parameters (..., n), in their dtype."""

    @abc.abstractmethod
    def inverse(self, z: Tensor) -> Tensor:
        """Parameters (..., n) in the cube of the nearest points of the image."""

    @abc.abstractmethod
    def log_volume(self, t: Tensor) -> Tensor:
        """Log of sqrt(det J^T J), the volume that a unit of the cube takes, (...)."""

    @abc.abstractmethod
    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Points (T, ..., l) at times (T,) of shortest curves of the image."""

    @abc.abstractmethod
    def charts(self, turns: int = 1) -> Charts:
        """Charts of the image; of a learned one, ``turns`` copies turned as evenly as can be."""
