"""What a trained variational autoencoder on a latent manifold computes."""

from __future__ import annotations

import abc
import math
from typing import Self

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.distributions import Distribution

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds._random import seeded
from learnedmanifolds.atlas.immersion import Immersion
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.quadrature import exact_log_likelihood
from learnedmanifolds.models.vae_checks import data_tensor
from learnedmanifolds.models.vae_network import VAENetwork
from learnedmanifolds.training.frames import Framed

_DRAWS = 2**15
"""Latent points that are decoded in one call."""


class FittedVAE(Framed, BaseEstimator, abc.ABC):
    """Posteriors, images, samples and likelihoods of a trained network on a latent space.

    Data come and go in the units of the data of `fit`, in the dtype of the network.

    A subclass has the parameter ``latent``, and a `fit` that ends in `_keep`.
    """

    latent: LatentSpace

    @abc.abstractmethod
    def fit(self, x: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn from data (N, *ambient_shape)."""

    def _keep(self, network: VAENetwork, train: Tensor) -> None:
        """Take a network for these data, in their units."""
        self.network_ = network.eval().requires_grad_(False)
        self.n_features_in_ = train[0].numel()
        self._shape = tuple(train.shape[1:])
        self._residual = self._measure_residual(train)
        self._immersion: Immersion | None = None

    @torch.no_grad()
    def _measure_residual(self, x: Tensor) -> float:
        few = x[:4096]
        miss = (self.decode(self._modes(few)) - few).flatten(1).square().sum(-1).mean()
        variance = (few - few.mean(0)).flatten(1).square().sum(-1).mean()
        self._explained = 1 - float(miss / variance) if variance > 0 else 1.0
        n_normal = max(1, few[0].numel() - self.latent.dim)
        least = 1e-9 * float(variance.sqrt()) or 1e-9
        return max(least, float((miss / n_normal).sqrt()))

    @property
    def immersion_(self) -> Immersion:
        """The image of the latent space under the decoder: a manifold like any atlas.

        Raises
        ------
        TypeError
            If the latent space has no local parametrization.
        """
        network = self._fitted()
        if self._immersion is None:
            decoder = network.decoder
            if network.bernoulli:
                parts = decoder if isinstance(decoder, nn.Sequential) else (decoder,)
                decoder = nn.Sequential(*parts, nn.Sigmoid())
            self._immersion = Immersion(
                self.latent, decoder, _Mode(network), self._shape, self._residual
            )
        return self._immersion

    def posterior(self, x: ArrayLike) -> Distribution:
        """q(z | x) of data (N, *ambient_shape), of batch shape (N,)."""
        with torch.no_grad():
            return self._fitted().posterior(self._data(x))

    def transform(self, x: ArrayLike) -> Tensor:
        """Modes of the posteriors of data (N, *ambient_shape), (N, *latent.shape).

        After ``set_output(transform="pandas")`` a DataFrame of N rows.
        """
        modes: Tensor = self._as_asked(self._modes(x), x)
        return modes

    def _modes(self, x: ArrayLike) -> Tensor:
        return self.posterior(x).mode

    @property
    def _n_outputs(self) -> int:
        return self.latent.n_ambient

    def decode(self, z: ArrayLike) -> Tensor:
        """Mean data (N, *ambient_shape) of latent points (N, *latent.shape)."""
        network = self._fitted()
        points = as_tensor(z, "z", shape=(None, *self.latent.shape)).to(network.dtype)
        with torch.no_grad():
            out = network.decoder(points.flatten(1)).unflatten(0, (len(points),))
        out = out.reshape(len(points), *self._shape)
        return out.sigmoid() if network.bernoulli else out

    inverse_transform = decode

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """Points (n, *ambient_shape) of the learned manifold: decoded draws from the prior."""
        count = integer(n, "n", minimum=1)
        with seeded(seed):
            z = self.latent.prior().sample((count,))
        return self.decode(z)

    def interpolate(self, start: ArrayLike, end: ArrayLike, n: int = 10) -> Tensor:
        """Data (n, N, *ambient_shape) along the latent geodesics between data (N, *ambient_shape)."""
        count = integer(n, "n", minimum=2)
        first, last = self._modes(start), self._modes(end)
        if len(first) != len(last):
            raise ValueError(
                f"start and end must be as many points, got {len(first)} and {len(last)}."
            )
        z = self.latent.geodesic(first, last, torch.linspace(0, 1, count, dtype=first.dtype))
        return self.decode(z.flatten(0, 1)).unflatten(0, (count, len(first)))

    def elbo(self, x: ArrayLike, n: int = 1, seed: int | None = None) -> Tensor:
        """Evidence lower bound (N,) in nats of data (N, *ambient_shape), a mean over n draws."""
        network, data = self._fitted(), self._data(x)
        count = integer(n, "n", minimum=1)
        parts = []
        with torch.no_grad(), seeded(seed):
            for part in data.split(1024):
                total = part.new_zeros(len(part))
                for _ in range(count):
                    likelihood, divergence, _ = network.bound(part)
                    total += likelihood - divergence
                parts.append(total / count)
        return torch.cat(parts)

    def log_likelihood(self, x: ArrayLike, n: int = 500, seed: int | None = None) -> Tensor:
        """Importance-weighted bound of log p(x), (N,) in nats, from n draws of the posterior.

        log (1/n) sum_i p(x | z_i) p(z_i) / q(z_i | x); it rises to log p(x) as n grows.

        References
        ----------
        Burda, Grosse, Salakhutdinov, Importance weighted autoencoders, 2016, eq. 8.
        """
        network, data = self._fitted(), self._data(x)
        count = integer(n, "n", minimum=1)
        parts = []
        with torch.no_grad(), seeded(seed):
            for part in data.split(max(1, _DRAWS // count)):
                posterior = network.posterior(part)
                z = posterior.sample((count,))
                ratio = self.latent.log_ratio(posterior, z)
                parts.append(torch.logsumexp(network.log_likelihood(part, z) + ratio, 0))
        return torch.cat(parts) - math.log(count)

    def exact_log_likelihood(self, x: ArrayLike, n_nodes: int = 1000) -> Tensor:
        """Log p(x), (N,) in nats, by quadrature over a latent space of one or two dimensions.

        See `learnedmanifolds.latent.exact_log_likelihood`; double ``n_nodes`` to see whether they
        suffice.

        Raises
        ------
        TypeError, ValueError
            If there is no quadrature rule for the latent space, or an argument is out of range.
        """
        network, data = self._fitted(), self._data(x)

        def density(part: Tensor, z: Tensor) -> Tensor:
            return network.log_likelihood(part, z.unsqueeze(1).to(part)).T

        return exact_log_likelihood(density, data, self.latent, n_nodes)

    def score(self, x: ArrayLike, y: object = None) -> float:
        """Mean `log_likelihood` in nats from 100 draws with a fixed seed; larger is better."""
        return float(self.log_likelihood(x, 100, seed=0).mean())

    def _data(self, x: ArrayLike) -> Tensor:
        network = self._fitted()
        self._check_names(x)
        return data_tensor(x, (None, *self._shape), network.bernoulli).to(network.dtype)

    def _fitted(self) -> VAENetwork:
        check_is_fitted(self, "network_")
        return self.network_


class _Mode(nn.Module):
    """The mode of the posterior of data, as a module."""

    def __init__(self, network: VAENetwork) -> None:
        super().__init__()
        self.encoder, self._latent = network.encoder, network.latent

    def forward(self, x: Tensor) -> Tensor:
        """Latent points (N, *latent.shape)."""
        mode: Tensor = self._latent.posterior(self.encoder(x)).mode
        return mode
