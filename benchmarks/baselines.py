"""Small models to compare with: Gaussian, beta and hyperspherical autoencoders, a Wasserstein GAN.

All have ``fit(x)`` and ``sample(n, seed)``; the autoencoders also ``transform`` and
``inverse_transform``, the GAN ``inverse_transform`` and, having no encoder, ``draw_latent``. They are
dense networks of two hidden layers, trained for about as many steps each; nothing is tuned by data set.
"""

from __future__ import annotations

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from learnedmanifolds import ManifoldVAE
from learnedmanifolds._random import seeded
from learnedmanifolds.latent import Euclidean, Sphere
from learnedmanifolds.latent.base import LatentSpace

BATCH = 128
HIDDEN = (256, 128)
FEW_COORDINATES = 10


def autoencoder(
    latent: LatentSpace, x: Tensor, steps: int, seed: int, **options: Any
) -> ManifoldVAE:
    """A `ManifoldVAE` for data (N, n), to be trained for about so many steps; its noise is learned.

    The divergence comes in during the first half: without that, data of few coordinates make the
    posterior collapse to the prior.
    """
    epochs = max(1, round(steps / math.ceil(len(x) / BATCH)))
    settings = {
        "hidden": HIDDEN,
        "batch_size": BATCH,
        "cosine": True,
        "learning_rate": 2e-3,
        "max_epochs": epochs,
        "warmup": epochs // 2,
        "random_state": seed,
        **options,
    }
    return ManifoldVAE(latent, **settings)


class WeightedEuclidean(Euclidean):
    """R^d whose divergence counts beta times: the latent space of a beta-VAE.

    References
    ----------
    Higgins et al., beta-VAE: learning basic visual concepts with a constrained variational framework,
    ICLR 2017.
    """

    def __init__(self, dim: int, beta: float = 4.0) -> None:
        super().__init__(dim)
        self.beta = beta

    def divergence(self, posterior: Distribution, z: Tensor) -> Tensor:
        """Beta times the divergence from the prior, in nats."""
        return self.beta * super().divergence(posterior, z)


def gaussian_vae(dim: int, x: Tensor, steps: int, seed: int) -> ManifoldVAE:
    """Latent space R^dim."""
    return autoencoder(Euclidean(dim), x, steps, seed)


def beta_vae(dim: int, x: Tensor, steps: int, seed: int) -> ManifoldVAE:
    """Latent space R^dim, divergence four times as dear, noise a tenth of the spread of the data.

    A noise that is learned makes it collapse wherever beta is more than data have coordinates for each
    of the latent space.
    """
    noise = 0.1 * float((x - x.mean(0)).square().mean().sqrt())
    return autoencoder(WeightedEuclidean(dim), x, steps, seed, noise_std=noise)


def hyperspherical_vae(dim: int, x: Tensor, steps: int, seed: int) -> ManifoldVAE:
    """The sphere in R^dim as latent space, so that all have equally many coordinates."""
    return autoencoder(Sphere(dim - 1), x, steps, seed)


class WassersteinGAN:
    """Wasserstein GAN with gradient penalty, dense networks.

    Parameters
    ----------
    dim : int
        Of the standard normal latent variable.
    steps, critic_steps : int
        Steps of the generator, and of the critic for each of them.
    penalty : float
        Weight of (|gradient| - 1)^2.
    learning_rate : float
        Of Adam with betas 0.5 and 0.9; it falls to zero linearly.
    random_state : int

    References
    ----------
    Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, Improved training of Wasserstein GANs, NeurIPS
    2017, algorithm 1.
    """

    def __init__(
        self,
        dim: int,
        steps: int = 1500,
        critic_steps: int = 5,
        penalty: float = 10.0,
        learning_rate: float = 1e-3,
        random_state: int = 0,
    ) -> None:
        self.dim, self.steps, self.critic_steps = dim, steps, critic_steps
        self.penalty, self.learning_rate, self.random_state = penalty, learning_rate, random_state

    def fit(self, x: Tensor) -> Self:
        """Learn from data (N, n)."""
        self._mean, self._scale = x.mean(0), float((x - x.mean(0)).square().mean().sqrt())
        data = (x - self._mean) / self._scale
        with seeded(self.random_state):
            self._generator = _dense(self.dim, *reversed(HIDDEN), x.shape[1])
            critic = _dense(x.shape[1], *HIDDEN, 1)
            self._train(data, critic)
        return self

    def _train(self, data: Tensor, critic: nn.Module) -> None:
        generator = self._generator
        rate, betas = self.learning_rate, (0.5, 0.9)
        optimizers = [
            torch.optim.Adam(m.parameters(), rate, betas, fused=True) for m in (critic, generator)
        ]
        for step in range(self.steps):
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = rate * (1 - step / self.steps)
            for _ in range(self.critic_steps):
                real = data[torch.randint(len(data), (BATCH,))]
                with torch.no_grad():
                    made = generator(torch.randn(BATCH, self.dim))
                loss = critic(made).mean() - critic(real).mean()
                loss = loss + self.penalty * _gradient_penalty(critic, real, made)
                _step(optimizers[0], loss)
            _step(optimizers[1], -critic(generator(torch.randn(BATCH, self.dim))).mean())

    def draw_latent(self, n: int, seed: int) -> Tensor:
        """Draws (n, dim) of the latent variable."""
        return torch.randn(n, self.dim, generator=torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def inverse_transform(self, z: Tensor) -> Tensor:
        """Data (N, n) of latent points (N, dim)."""
        return self._mean + self._scale * self._generator(z)

    def sample(self, n: int, seed: int) -> Tensor:
        """Draw data (n, n_features)."""
        return self.inverse_transform(self.draw_latent(n, seed))


def wasserstein_gan(dim: int, x: Tensor, steps: int, seed: int) -> WassersteinGAN:
    """A generator's step takes six times as long as one of an autoencoder: half as many of them.

    The penalty's weight is that of the authors' code: 0.1 for points of a few coordinates, 10 for images.
    """
    penalty = 0.1 if x.shape[1] < FEW_COORDINATES else 10.0
    return WassersteinGAN(dim, max(1, steps // 2), penalty=penalty, random_state=seed)


BASELINES = {
    "Gaussian VAE": gaussian_vae,
    "beta-VAE": beta_vae,
    "hyperspherical VAE": hyperspherical_vae,
    "WGAN-GP": wasserstein_gan,
}
"""(dim, data, steps, seed) -> model that is to be fitted."""


def _gradient_penalty(critic: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    share = torch.rand(len(real), 1)
    between = (share * real + (1 - share) * made).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean()


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _dense(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(before, after), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
