"""Distributions on the parameters of an embedding: Beta ones, or normal ones of their probits."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.beta_uniform import Cube
from learnedmanifolds.latent.euclidean import Euclidean


class Hidden(abc.ABC):
    """A latent space whose prior is carried to the uniform one of the cube by a map of its own.

    Parameters
    ----------
    latent : LatentSpace
    """

    def __init__(self, latent: LatentSpace) -> None:
        self.latent = latent

    @abc.abstractmethod
    def to_cube(self, u: Tensor) -> Tensor:
        """Parameters t (..., n) of hidden points u (..., n)."""

    @abc.abstractmethod
    def from_cube(self, t: Tensor) -> Tensor:
        """Hidden points of parameters."""


class BetaHidden(Hidden):
    """The cube itself, with Beta posteriors."""

    def __init__(self, dim: int) -> None:
        super().__init__(Cube(dim))

    def to_cube(self, u: Tensor) -> Tensor:
        """See `Hidden.to_cube`."""
        return u

    def from_cube(self, t: Tensor) -> Tensor:
        """See `Hidden.from_cube`; off the ends, where densities may be infinite."""
        margin = torch.finfo(t.dtype).eps
        return t.clamp(margin, 1 - margin)


class NormalHidden(Hidden):
    """R^n with the standard normal prior and normal posteriors; t is the distribution function."""

    def __init__(self, dim: int) -> None:
        super().__init__(Euclidean(dim))

    def to_cube(self, u: Tensor) -> Tensor:
        """See `Hidden.to_cube`."""
        return torch.special.ndtr(u)

    def from_cube(self, t: Tensor) -> Tensor:
        """See `Hidden.from_cube`."""
        margin = torch.finfo(t.dtype).eps
        return torch.special.ndtri(t.clamp(margin, 1 - margin))


HIDDEN: dict[str, type[BetaHidden] | type[NormalHidden]] = {
    "beta": BetaHidden,
    "normal": NormalHidden,
}
