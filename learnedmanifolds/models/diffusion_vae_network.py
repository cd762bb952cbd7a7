"""Covariances of steps in diffusion space, and the decoder of a variational diffusion autoencoder."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from learnedmanifolds.charts.jet import JetRule
from learnedmanifolds.charts.taylor import can_push, push
from learnedmanifolds.training.networks import default_decoder, default_encoder
from learnedmanifolds.training.units import Rescale, Units, chain

# Of the last layer of a decoder beside its linear part: it starts nearly linear.
_START = 0.1
# Of the diagonal of a Cholesky factor, over the standard deviation of a step.
_LEAST = 1e-4
# Points at which the scale is measured, and neighbours of each.
_PROBES, _NEAR = 1000, 33


class Step(NamedTuple):
    """Gaussian steps N(0, C) in diffusion space.

    Attributes
    ----------
    factor : Tensor, shape (N, D, D)
        Cholesky factor L of C = L L^T, lower triangular.
    """

    factor: Tensor

    @property
    def covariance(self) -> Tensor:
        """C, (N, D, D)."""
        return self.factor @ self.factor.mT

    def draw(self, noise: Tensor) -> Tensor:
        """Steps L noise, (N, D), of standard normal noise (N, D)."""
        return (self.factor @ noise.unsqueeze(-1)).squeeze(-1)

    def divergence(self, precision: Tensor, log_det: Tensor) -> Tensor:
        """KL(N(m, C) || N(m, S)) in nats, (N,), of one mean m; S given by S^-1 and log |S|.

        1/2 [tr(S^-1 C) - D + log(|S| / |C|)].
        """
        trace = ((precision @ self.factor) * self.factor).sum((-2, -1))
        own = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 0.5 * (trace - self.factor.shape[-1] + log_det) - own


class DiffusionVAENetwork(nn.Module):
    """C(psi) and the decoder; both take the coordinates divided by their spread.

    C is given by its Cholesky factor, which is a smooth function of it; its eigenvectors are not.

    Parameters
    ----------
    decoder : nn.Module
        Coordinates of unit variance (N, D) -> (N, *ambient_shape).
    psi : Tensor, shape (N, D)
        Diffusion coordinates of the data.
    hidden : tuple of int
        Widths of the network of C.
    std : float
        Standard deviation of a step, about; the network gives the rest.
    """

    places: Tensor

    def __init__(
        self, decoder: nn.Module, psi: Tensor, hidden: tuple[int, ...], std: float
    ) -> None:
        super().__init__()
        mean, spread = psi.mean(0), psi.std(0, correction=0)
        self.scaling = Rescale(1 / spread, -mean / spread)
        d = psi.shape[1]
        self.root = default_encoder((d,), d * (d + 1) // 2, hidden)
        self.register_buffer("places", torch.tril_indices(d, d, -1))
        parts = decoder if isinstance(decoder, nn.Sequential) else (decoder,)
        self.decoder = nn.Sequential(self.scaling, *parts)
        self._std = std

    def carry(self, units: Units, own: bool) -> None:
        """Become the network for the data themselves and psi in their units, in their dtype.

        Parameters
        ----------
        units : Units
            In which it was trained.
        own : bool
            Whether the decoder makes data in units; if not, `Units.remover` undoes its last link.
        """
        parts = list(self.decoder)[1:]
        self.scaling.scale = self.scaling.scale.double() / units.scale
        self.decoder = chain(self.scaling, *(parts + [units.restorer()] if own else parts[:-2]))
        self._std *= units.scale
        self.to(units.dtype)

    def step(self, psi: Tensor) -> Step:
        """Steps from points with coordinates (N, D)."""
        d = psi.shape[-1]
        diagonal, below = self.root(self.scaling(psi)).split([d, d * (d - 1) // 2], -1)
        factor = torch.diag_embed(nn.functional.softplus(diagonal) + _LEAST)
        factor[:, self.places[0], self.places[1]] = below
        return Step(self._std * factor)


class NearlyLinear(nn.Module):
    """A linear map plus a network that starts small.

    Diffusion coordinates are nearly linear functions of the data, or the other way round, wherever
    the data are themselves an embedding of low frequencies: circles, spheres, tori. The network then
    has only the rest to learn.

    Parameters
    ----------
    network : nn.Sequential, (N, D) -> (N, *ambient_shape)
        Its last affine layer is made small.
    inputs : Tensor, shape (N, D)
    outputs : Tensor, shape (N, *ambient_shape)
        The linear map starts as the one of least squares between them.
    """

    def __init__(self, network: nn.Sequential, inputs: Tensor, outputs: Tensor) -> None:
        super().__init__()
        shape = tuple(outputs.shape[1:])
        self.network = network
        linear = nn.utils.skip_init(
            nn.Linear, inputs.shape[1], math.prod(shape), dtype=torch.float32
        )
        self.linear = nn.Sequential(linear, nn.Unflatten(1, shape))
        with torch.no_grad():
            ones = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1).double()
            map_ = torch.linalg.lstsq(ones, outputs.flatten(1).double()).solution
            linear.weight.copy_(map_[:-1].T)
            linear.bias.copy_(map_[-1])
            last = [m for m in network if isinstance(m, nn.Linear | nn.ConvTranspose2d)][-1]
            for name in ("weight", "bias"):
                last.get_parameter(name).mul_(_START)

    def forward(self, z: Tensor) -> Tensor:
        """Points (N, *ambient_shape) of (N, D)."""
        return self.linear(z) + self.network(z)

    def can_push(self) -> bool:
        """See `TaylorModule.can_push`."""
        return can_push(self.network)

    def push(self, rows: Tensor, rule: JetRule) -> Tensor:
        """See `TaylorModule.push`."""
        shape = (rows.shape[-1],)
        return push(self.linear, rows, rule, shape) + push(self.network, rows, rule, shape)


def nearly_linear_decoder(psi: Tensor, x: Tensor, hidden: tuple[int, ...]) -> nn.Sequential:
    """A decoder of coordinates of unit variance that starts as the linear regression of x on psi.

    Parameters
    ----------
    psi : Tensor, shape (N, D)
    x : Tensor, shape (N, *ambient_shape)
        In units in which they are centred and of unit scale.
    hidden : tuple of int
    """
    shape = tuple(x.shape[1:])
    network = default_decoder(psi.shape[1], shape, tuple(reversed(hidden)))
    scaled = (psi - psi.mean(0)) / psi.std(0, correction=0)
    return nn.Sequential(NearlyLinear(network, scaled, x))


def local_scale(psi: Tensor, x: Tensor) -> float:
    """Median over some points of how much longer ways to neighbours are in x than in psi; positive.

    Parameters
    ----------
    psi : Tensor, shape (N, D)
    x : Tensor, shape (N, *ambient_shape)
    """
    some = slice(None, None, max(1, len(psi) // _PROBES))
    values, points = psi.double().numpy(), x.flatten(1).double()
    near = NearestNeighbors().fit(values).kneighbors(values[some], min(_NEAR, len(psi)))[1][:, 1:]
    far, wide = (
        (p[near] - p[some].unsqueeze(1)).square().sum((1, 2)) for p in (points, psi.double())
    )
    tiny = torch.finfo(far.dtype).tiny
    return max(tiny, float((far / wide.clamp(min=tiny)).sqrt().median()))
