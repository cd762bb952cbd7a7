"""Training of lifted charts in three stages, as a Lightning module."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn

from learnedmanifolds.models.losses import (
    consensus_loss,
    lipschitz_loss,
    mixture_loss,
    negative_elbo,
    overlap_weights,
)
from learnedmanifolds.models.schedule import Schedule
from learnedmanifolds.models.start import Start

# Points whose claims are computed at a time.
_ROWS = 4096


class AtlasTraining(lightning.LightningModule):
    """A regression on what the training starts from, then the published loss with its overlap step.

    Every random draw of a step comes from a generator seeded by the step's number, so that an
    interrupted run that resumes ends in the same weights.

    Parameters
    ----------
    start : Start
        Its charts are trained.
    noise_std : float
        sigma_x, in its units.
    schedule : Schedule
    seed : int

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, sections 3 and 5.
    """

    steps_per_epoch = 50
    """Steps between two checkpoints."""

    def __init__(self, start: Start, noise_std: float, schedule: Schedule, seed: int) -> None:
        super().__init__()
        self.flow = start.charts.flow
        self.logits = nn.Parameter(torch.zeros(start.charts.n_charts, dtype=torch.float32))
        self.noise_std, self.schedule, self.seed = noise_std, schedule, seed
        # Kept out of the state dict: the data belong to the user, not to the checkpoint.
        self._start, self._radius = start, start.charts.flow.radius.square()
        self._frozen: Tensor | None = None
        self.history: dict[str, list[float]] = {"step": [], "loss": []}

    @property
    def log_weights(self) -> Tensor:
        """Log mixing weights, (K,)."""
        return torch.log_softmax(self.logits, dim=0)

    def _to_device(self) -> None:
        start = self._start
        if start.x.device != self.device:
            moved = {n: t.to(self.device) for n, t in start._asdict().items() if n != "principal"}
            self._start = start._replace(**moved)
            self._radius = self._radius.to(self.device)

    def example(self) -> None:
        """Pass one batch through the networks of all charts."""
        charts = self._start.charts
        charts.decode(charts.left_inverse(self._start.x[: self.schedule.batch_size]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs beside the weights."""
        checkpoint["claims"], checkpoint["history"] = self._frozen, self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        self._frozen, self.history = checkpoint["claims"], checkpoint["history"]

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        """Loss of one step of the stage that the step is in."""
        self._to_device()
        step = self.global_step
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
        name, done = self.schedule.stage(step)
        loss: Tensor = getattr(self, f"_{name}_loss")(generator, done)
        if step % 25 == 0:
            self.history["step"].append(step)
            self.history["loss"].append(float(loss.detach()))
            self.log("loss", loss.detach(), prog_bar=True)
        return loss

    def _pick(self, count: int, generator: torch.Generator) -> Tensor:
        size = (self.schedule.batch_size,)
        return torch.randint(count, size, generator=generator, device=self.device)

    def _noise(self, points: int, generator: torch.Generator) -> Tensor:
        charts = self._start.charts
        size = (charts.n_charts, points, charts.dim)
        noise = torch.randn(size, generator=generator, device=self.device, dtype=torch.float32)
        return self.schedule.latent_noise * noise

    def _miss(self, generator: torch.Generator) -> Tensor:
        """Squared distances (K, B) of leading coordinates from those that the training starts from."""
        pick = self._pick(self._start.codes.shape[1], generator)
        made = self.flow.decode(self._start.codes[:, pick])
        return (made - self._start.leading[:, pick]).square().sum(-1)

    def _regression_loss(self, generator: torch.Generator, done: float) -> Tensor:
        return (self._miss(generator) / self._radius[..., 0]).mean()

    def _guide(self, generator: torch.Generator) -> Tensor:
        return self.schedule.guide_weight * self._miss(generator).mean() / (2 * self.noise_std**2)

    def _elbo(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Losses (K, B) of some points, reconstructions (K, B, q), and which points (B,)."""
        pick = self._pick(len(self._start.x), generator)
        noise = self._noise(len(pick), generator)
        charts = self._start.charts
        return *negative_elbo(charts, self._start.x[pick], self.noise_std, noise), pick

    def _mixture_loss(self, generator: torch.Generator, done: float) -> Tensor:
        losses, _, _ = self._elbo(generator)
        loss = mixture_loss(losses, self.log_weights)[0] + self._guide(generator)
        # The published run has the Lipschitz term for its first quarter only.
        if done >= 0.25:
            return loss
        t = self._start.codes[:, self._pick(self._start.codes.shape[1], generator)]
        noise = self._noise(t.shape[1], generator)
        far = lipschitz_loss(self._start.charts, t, noise, self.noise_std)
        return loss + self.schedule.lipschitz_weight * far

    def _overlap_loss(self, generator: torch.Generator, done: float) -> Tensor:
        if self._frozen is None:
            self._frozen = self._freeze_weights()
        losses, made, pick = self._elbo(generator)
        # A checkpoint's are on the processor.
        weights = self._frozen.to(pick.device)[:, pick]
        apart = consensus_loss(made, weights, self.noise_std)
        loss = (weights * losses).sum(0).mean() + self.schedule.consensus_weight * apart
        return loss + self._guide(generator)

    @torch.no_grad()
    def _freeze_weights(self) -> Tensor:
        """Claims (K, N) of the overlap step, each chart's wider in turn, of what it held at the start."""
        parts = [
            overlap_weights(
                self._start.charts,
                part,
                self.log_weights,
                self.noise_std,
                self.schedule.overlap_factor,
            )
            for part in self._start.x.split(_ROWS)
        ]
        held = self._start.holds
        claims = torch.where(held, torch.cat(parts, dim=1).clamp(min=0.1), 0.0)
        return claims / claims.sum(0, keepdim=True)

    def configure_optimizers(self) -> Any:
        """Adam with the schedule's rate."""
        optimizer = torch.optim.Adam(
            self.parameters(), lr=self.schedule.learning_rate, betas=(0.9, 0.95), fused=True
        )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule.rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
