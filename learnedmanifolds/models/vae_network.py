"""Encoder, decoder and likelihood of a variational autoencoder on a latent manifold."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from learnedmanifolds.latent.base import LatentSpace

Action = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""A random symmetry: data (N, ...) and latent points (N, ...) to those it moves them to."""


class VAENetwork(nn.Module):
    """Encoder, decoder and likelihood on a latent space.

    Parameters
    ----------
    latent : LatentSpace
    encoder : nn.Module, (N, *ambient_shape) -> (N, n_parameters)
    decoder : nn.Module, (N, m) -> (N, *ambient_shape)
        The mean of a Gaussian, or the logits of a Bernoulli likelihood.
    noise_std : float or None
        sigma_x of a Gaussian likelihood, in the units of the data; None for Bernoulli.
    learn_noise : bool
        Whether sigma_x is learned, from that value on.
    """

    def __init__(
        self,
        latent: LatentSpace,
        encoder: nn.Module,
        decoder: nn.Module,
        noise_std: float | None,
        learn_noise: bool,
    ) -> None:
        super().__init__()
        self.latent, self.encoder, self.decoder = latent, encoder, decoder
        self.bernoulli = noise_std is None
        log_noise = torch.tensor(math.log(noise_std or 1.0), dtype=torch.float32)
        self.log_noise = nn.Parameter(log_noise, requires_grad=learn_noise)

    @property
    def dtype(self) -> torch.dtype:
        """Of data and parameters."""
        return self.log_noise.dtype

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x), of batch shape (N,)."""
        return self.latent.posterior(self.encoder(x))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x | z) in nats, (...), of data (N, *ambient_shape) and z (..., N or 1, *latent.shape)."""
        lead = z.shape[: z.dim() - len(self.latent.shape)]
        out = self.decoder(z.reshape(-1, self.latent.n_ambient))
        out, target = torch.broadcast_tensors(out.flatten(1).unflatten(0, lead), x.flatten(1))
        if self.bernoulli:
            loss = nn.functional.binary_cross_entropy_with_logits(out, target, reduction="none")
            return -loss.sum(-1)
        # Over the noise first: squares of small or large units leave float32.
        square = ((out - target) * (-self.log_noise).exp()).square().sum(-1)
        constant = target.shape[-1] * (self.log_noise + 0.5 * math.log(2 * math.pi))
        return -0.5 * square - constant

    def bound(self, x: Tensor) -> tuple[Tensor, Tensor, Distribution]:
        """Log p(x | z) at one draw z of the posterior, the divergence (both (N,)), the posterior."""
        posterior = self.posterior(x)
        z = posterior.rsample()
        return self.log_likelihood(x, z), self.latent.divergence(posterior, z), posterior
