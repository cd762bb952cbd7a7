"""Training of a variational diffusion autoencoder, as a Lightning module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from learnedmanifolds._random import seeded
from learnedmanifolds.models.diffusion_vae_network import DiffusionVAENetwork
from learnedmanifolds.models.diffusion_vae_steps import StepLaw, log_likelihood, nearest_other
from learnedmanifolds.training.recorded_training import RecordedTraining


class DiffusionVAETraining(RecordedTraining):
    """Minimises E_q[-log p(x' | z')] + KL(q(z' | x) || p(z' | x)), x' the data point nearest to z'.

    Parameters
    ----------
    network : DiffusionVAENetwork
    x : Tensor, shape (N, *ambient_shape)
    psi : Tensor, shape (N, D)
    law : StepLaw
        p(z' | x) of the N points.
    share : Tensor, shape (N,)
        Probabilities with which the points are drawn.
    noise_std : float
        c of the likelihood N(decoder(z'), c^2 I), in the units of the data.
    batch_size : int
        Points a step.
    learning_rate, max_steps, seed
        See `RecordedTraining`.
    """

    network: DiffusionVAENetwork
    _x: Tensor
    _psi: Tensor
    _mean: Tensor
    _precision: Tensor
    _log_det: Tensor

    def __init__(
        self,
        network: DiffusionVAENetwork,
        x: Tensor,
        psi: Tensor,
        law: StepLaw,
        share: Tensor,
        *,
        noise_std: float,
        batch_size: int,
        learning_rate: float,
        max_steps: int,
        seed: int,
    ) -> None:
        super().__init__(network, learning_rate, max_steps, seed)
        self._cumulative = share.double().cumsum(0)
        self.noise_std, self.batch_size = noise_std, batch_size
        precision, log_det = law.inverse()
        # Not in the checkpoints: they are as large as the data.
        self.register_buffer("_x", x, persistent=False)
        self.register_buffer("_psi", psi, persistent=False)
        self.register_buffer("_mean", law.mean.to(psi), persistent=False)
        self.register_buffer("_precision", precision.to(psi), persistent=False)
        self.register_buffer("_log_det", log_det.to(psi), persistent=False)

    def example(self) -> None:
        """See `RecordedTraining.example`."""
        psi = self._psi[: self.batch_size]
        self.network.step(psi)
        self.network.decoder(psi)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Minus the bound on one batch, in nats a point."""
        # The decoder is the user's, and may draw too.
        with seeded(self.seed * 7_919 + self.global_step):
            return self._step(self.draws(self.global_step))

    def _step(self, source: torch.Generator) -> Tensor:
        place = torch.rand(self.batch_size, generator=source, dtype=torch.float64)
        pick = torch.searchsorted(self._cumulative, place * self._cumulative[-1])
        pick = pick.clamp(max=len(self._x) - 1)
        size = (self.batch_size, self._psi.shape[1])
        noise = torch.randn(size, generator=source, dtype=self._psi.dtype)
        pick, noise = pick.to(self._x.device), noise.to(self._x.device)
        law = self.network.step(self._psi[pick])
        z = self._mean[pick] + law.draw(noise)
        target = self._x[nearest_other(z.detach(), self._psi, pick)]
        fit = log_likelihood((self.network.decoder(z) - target).flatten(1), self.noise_std)
        divergence = law.divergence(self._precision[pick], self._log_det[pick])
        return self.record((divergence - fit).mean(), divergence=divergence.mean())
