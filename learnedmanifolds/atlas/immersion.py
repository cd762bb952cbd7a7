"""The image of a latent manifold under a decoder, as a manifold like any atlas."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds._random import seeded
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.immersed import ImmersedCharts
from learnedmanifolds.geometry.local import Located

_N_ANCHORS = 512


@runtime_checkable
class Parameters(Protocol):
    """What an immersion needs of its parameter manifold Z, such as `latent.LatentSpace`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        ...

    def prior(self) -> Distribution:
        """The distribution from which points are drawn."""
        ...

    def project(self, z: Tensor) -> Tensor:
        """Nearest points of Z of ambient points (..., *shape)."""
        ...

    def charts(self) -> Charts:
        """Charts whose boxes cover Z, with points flattened."""
        ...


class Immersion(Atlas):
    """The manifold D(Z): a latent space Z carried into the data space by an immersion D.

    It is the atlas of the charts of Z composed with D, so that everything that takes an `Atlas`
    takes it: the three manifold wrappers, `solve`, `compare`, `solve_batch`. Its charts agree
    exactly where they overlap. Points are drawn from the prior of Z.

    Parameters
    ----------
    latent : latent.LatentSpace
        Z, with charts.
    decoder : nn.Module
        D, (N, m) -> (N, *ambient_shape), with m the entries of a point of Z, flattened; C2 where
        second-order geometry is asked for.
    encoder : nn.Module
        Guess of the point of Z, (N, *ambient_shape) -> (N, m) or (N, *latent.shape).
    ambient_shape : tuple of int
    noise_std : float
        Standard deviation of the data around the manifold, in the units of the data.
    seed : int
        Of the anchors from which nearest points are looked for where the encoder guesses badly.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range, or the latent space has no charts.
    """

    charts: ImmersedCharts

    def __init__(
        self,
        latent: Parameters,
        decoder: nn.Module,
        encoder: nn.Module,
        ambient_shape: tuple[int, ...],
        noise_std: float = 0.01,
        seed: int = 0,
    ) -> None:
        if not isinstance(latent, Parameters):
            raise TypeError(f"latent must be a LatentSpace, got {type(latent).__name__}.")
        for name, module in (("decoder", decoder), ("encoder", encoder)):
            if not isinstance(module, nn.Module):
                raise TypeError(f"{name} must be a torch module, got {type(module).__name__}.")
        like = next(decoder.parameters(), torch.zeros(()))
        with seeded(seed):
            anchors = latent.prior().sample((_N_ANCHORS,)).flatten(1).to(like)
        with torch.no_grad():
            made = tuple(decoder(anchors[:2]).shape)
        if math.prod(made) != 2 * math.prod(ambient_shape):
            raise ValueError(
                f"decoder must give points of shape {tuple(ambient_shape)}, got {made} for two."
            )
        charts = ImmersedCharts(
            latent.charts(), decoder, _Flat(encoder), anchors, tuple(ambient_shape)
        )
        super().__init__(charts, noise_std=noise_std)
        self.latent = latent

    def __repr__(self) -> str:
        return f"Immersion({self.latent!r}, ambient_shape={self.ambient_shape}, dtype={self.dtype})"

    def immerse(self, z: ArrayLike) -> Tensor:
        """Points (N, *ambient_shape) of latent points (N, *latent.shape)."""
        checked = as_tensor(z, "z", shape=(None, *self.latent.shape))
        flat = checked.to(dtype=self.dtype, device=self.device).flatten(1)
        return self.charts.immerse(flat).unflatten(-1, self.ambient_shape)

    def latent_of(self, x: ArrayLike) -> Tensor:
        """Latent points (N, *latent.shape) whose images are nearest to points (N, *ambient_shape)."""
        z = self.charts.latent(self.flat(x))
        return self.latent.project(z.unflatten(-1, self.latent.shape))

    def log_density_flat(self, x: Tensor) -> Tensor:
        """Log of the prior at the nearest point's latent variable minus |x - D(z)|^2 / (2 sigma_x^2)."""
        z = self.charts.latent(x)
        error = (self.charts.immerse(z) - x).square().sum(-1)
        prior = self.latent.prior().log_prob(z.unflatten(-1, self.latent.shape))
        return prior - error / (2 * self.noise_std**2)

    def sample_coords(self, n: int, seed: int | None = None) -> Located:
        """Charts and coordinates of n draws from the prior, each in the chart that holds it deepest."""
        count = integer(n, "n", minimum=1)
        with seeded(seed):
            z = self.latent.prior().sample((count,)).flatten(1)
        coords = self.charts.space.encode(z.to(dtype=self.dtype, device=self.device))
        chart = self.charts.domain.depth(coords).argmax(0)
        rows = torch.arange(count, device=self.device)
        return Located(chart, self.charts.domain.confine(coords[chart, rows], chart))


class _Flat(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """The module's output, a row a point."""
        return self.module(x).flatten(1)
