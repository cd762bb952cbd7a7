"""Training of a variational diffusion autoencoder, as a Lightning module."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor

from learnedmanifolds.models.diffusion_vae_network import DiffusionVAENetwork
from learnedmanifolds.models.diffusion_vae_steps import StepLaw

# Steps between two entries of the history, and between two checkpoints.
STEPS_PER_EPOCH = 100


class DiffusionVAETraining(lightning.LightningModule):
    """Minimises E_q[-log p(x' | z')] + KL(q(z' | x) || p(z' | x)), x' the data point nearest to z'.

    Every draw of a step comes from a generator seeded by the step's number, so that an interrupted
    run that resumes ends in the same weights.

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
    learning_rate : float
        Of Adam; it falls to zero as a cosine.
    max_steps : int
    seed : int
    """

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
        super().__init__()
        self.network, self._cumulative = network, share.double().cumsum(0)
        self.noise_std, self.batch_size = noise_std, batch_size
        self.learning_rate, self.max_steps, self.seed = learning_rate, max_steps, seed
        self.history: dict[str, list[Any]] = {"step": [], "loss": [], "divergence": []}
        self._sums = [0.0, 0.0]
        precision, log_det = law.inverse()
        # Not in the checkpoints: they are as large as the data.
        self.register_buffer("_x", x, persistent=False)
        self.register_buffer("_psi", psi, persistent=False)
        self.register_buffer("_mean", law.mean.to(psi), persistent=False)
        self.register_buffer("_precision", precision.to(psi), persistent=False)
        self.register_buffer("_log_det", log_det.to(psi), persistent=False)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Minus the bound on one batch, in nats a point."""
        step = self.global_step
        source = torch.Generator().manual_seed(self.seed * 7_919 + step)
        place = torch.rand(self.batch_size, generator=source, dtype=torch.float64)
        pick = torch.searchsorted(self._cumulative, place * self._cumulative[-1])
        pick = pick.clamp(max=len(self._x) - 1)
        noise = torch.randn(self.batch_size, self._psi.shape[1], generator=source)
        pick, noise = pick.to(self._x.device), noise.to(self._x.device)
        law = self.network.step(self._psi[pick])
        z = self._mean[pick] + law.draw(noise)
        target = self._x[nearest_other(z.detach(), self._psi, pick)]
        fit = log_likelihood((self.network.decoder(z) - target).flatten(1), self.noise_std)
        divergence = law.divergence(self._precision[pick], self._log_det[pick])
        loss = (divergence - fit).mean()
        if not bool(loss.isfinite()):
            raise RuntimeError(
                f"the training diverged at step {step}: the loss is {float(loss.detach())}; try a "
                "smaller learning_rate."
            )
        self._record(loss, divergence.mean())
        return loss

    def _record(self, *values: Tensor) -> None:
        self._sums = [s + float(v.detach()) for s, v in zip(self._sums, values, strict=True)]
        done = self.global_step + 1
        if done % STEPS_PER_EPOCH == 0 or done == self.max_steps:
            since = done - (self.history["step"][-1] if self.history["step"] else 0)
            self.history["step"].append(done)
            for name, total in zip(("loss", "divergence"), self._sums, strict=True):
                self.history[name].append(total / since)
            self._sums = [0.0, 0.0]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        self.history = checkpoint["history"]

    def configure_optimizers(self) -> Any:
        """Adam, its rate falling as a cosine."""
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, fused=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.max_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def nearest_other(z: Tensor, psi: Tensor, own: Tensor | None = None) -> Tensor:
    """Indices (M,) of the points psi (N, D) nearest to z (M, D), but not a row's own index."""
    # Squared distances less |z|^2, by one product.
    gap = torch.addmm(psi.square().sum(-1), z, psi.T, alpha=-2)
    if own is not None:
        gap[torch.arange(len(z), device=z.device), own] = torch.inf
    return gap.argmin(-1)


def log_likelihood(miss: Tensor, noise_std: float) -> Tensor:
    """Log density (M,), in nats, of differences (M, n) under N(0, noise_std^2 I)."""
    constant = miss.shape[-1] * (math.log(noise_std) + 0.5 * math.log(2 * math.pi))
    return -0.5 * miss.square().sum(-1) / noise_std**2 - constant
