"""Training of a variational autoencoder on a latent manifold, as a Lightning module."""

from __future__ import annotations

import copy
import math
from typing import Any

import lightning
import torch
from torch import Tensor

from learnedmanifolds._random import seeded
from learnedmanifolds.models.vae_network import Action, VAENetwork

# Learning rate of the logarithm of the noise, relative to that of the networks.
_NOISE_RATE = 10.0

WARMUP_STEPS = 100
"""Steps of the usual warm-up. Measured on circles and spheres: without it a learning rate of 5e-3 ends in
collapse from most seeds, with 30 steps from some, with 100 from none."""


class VAETraining(lightning.LightningModule):
    """Maximises the evidence lower bound, with warm-up of the divergence and early stopping.

    Every random draw of a step comes from a generator seeded by the step's number, so that an
    interrupted run that resumes ends in the same weights.

    Parameters
    ----------
    network : VAENetwork
    x : Tensor, shape (N, *ambient_shape)
    held_out : Tensor, shape (M, *ambient_shape)
        Data that decide when to stop and which weights to keep; none where M is 0.
    batch_size : int
    learning_rate : float
        Of Adam.
    warmup : int or None
        Epochs in which the weight of the divergence rises linearly from 0 to 1; `WARMUP_STEPS` steps
        for None.
    patience : int
        Epochs without improvement before the training stops.
    cosine : int or None
        Epochs in which the rate falls to zero as a cosine; constant for None.
    neighbours : Tensor, shape (N,), or None
        For each point of x another one, near it, of the continuity term.
    continuity_weight, equivariance_weight : float
        Of |mode(x) - mode(neighbour)|^2 and of |mode(g x) - g mode(x)|^2.
    action : callable, optional
        Draws g and applies it to data and latent points.
    guides : Tensor, shape (N, *latent.shape), or None
        Latent points where they are known, rows of NaN where not.
    guide_weight : float
        Of |mode(x) - guide|^2 times the entries of a data point, beside minus the log-likelihood at
        the guide.
    guide_epochs : int or None
        Epochs after which the guides are let go; None for never.
    binarize : bool
        Draw binary images anew in every step (dynamic binarization).
    seed : int
    """

    def __init__(
        self,
        network: VAENetwork,
        x: Tensor,
        held_out: Tensor,
        *,
        batch_size: int,
        learning_rate: float,
        warmup: int | None,
        patience: int,
        cosine: int | None,
        neighbours: Tensor | None,
        continuity_weight: float,
        action: Action | None,
        equivariance_weight: float,
        guides: Tensor | None,
        guide_weight: float,
        guide_epochs: int | None,
        binarize: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        # Kept out of the state dict: the data belong to the user, not to the checkpoint.
        self._x, self._held_out, self._neighbours = x, held_out, neighbours
        self.batch_size, self.learning_rate, self.cosine = batch_size, learning_rate, cosine
        self.warmup, self.patience, self.binarize, self.seed = warmup, patience, binarize, seed
        self.continuity_weight, self.equivariance_weight = continuity_weight, equivariance_weight
        self.action, self._guides, self.guide_weight = action, guides, guide_weight
        self.guide_epochs = guide_epochs
        self.history: dict[str, list[float]] = {"epoch": [], "loss": [], "held_out": []}
        self._order = torch.empty(0, dtype=torch.int64)
        self._sum = 0.0
        self._best: tuple[float, int, dict[str, Tensor]] = (math.inf, 0, {})
        self._stopped = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches that the data are split into."""
        return math.ceil(len(self._x) / self.batch_size)

    def example(self) -> None:
        """Pass one batch through the networks."""
        posterior = self.network.posterior(self._x[: self.batch_size])
        self.network.decoder(posterior.mode.flatten(1))

    @property
    def epochs_done(self) -> int:
        """Epochs in the history."""
        return len(self.history["epoch"])

    @property
    def warm_epochs(self) -> int:
        """Epochs that are warm-up, in part or as a whole."""
        if self.warmup is not None:
            return self.warmup
        return math.ceil(WARMUP_STEPS / self.steps_per_epoch)

    def training_step(self, batch: Tensor, batch_index: int) -> Tensor:
        """Minus the bound on one batch, and the other terms."""
        if self._x.device != self.device:
            self._x, self._held_out = self._x.to(self.device), self._held_out.to(self.device)
            if self._neighbours is not None:
                self._neighbours = self._neighbours.to(self.device)
            if self._guides is not None:
                self._guides = self._guides.to(self.device)
        epoch, place = divmod(self.global_step, self.steps_per_epoch)
        if place == 0 or not len(self._order):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._order = torch.randperm(len(self._x), generator=generator).to(self.device)
        pick = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        # The networks and the action are the user's, and may draw too.
        with seeded(self.seed * 7_919 + self.global_step):
            loss = self._loss(pick, epoch)
        if not bool(loss.isfinite()):
            raise RuntimeError(
                f"the training diverged at step {self.global_step}: the loss is {float(loss.detach())}; "
                f"try a smaller learning_rate."
            )
        self._sum += float(loss.detach()) * len(pick)
        return loss

    def _loss(self, pick: Tensor, epoch: int) -> Tensor:
        if self.warmup is None:
            weight = min(1.0, (self.global_step + 1) / WARMUP_STEPS)
        else:
            weight = min(1.0, (epoch + 1) / (self.warmup + 1))
        x = self._x[pick]
        target = torch.bernoulli(x) if self.binarize else x
        likelihood, divergence, posterior = self.network.bound(target)
        loss = (weight * divergence - likelihood).mean()
        if self._neighbours is not None:
            near = self.network.posterior(self._x[self._neighbours[pick]]).mode
            gap = (posterior.mode - near).flatten(1).square().sum(-1)
            loss = loss + self.continuity_weight * gap.mean()
        if self.action is not None:
            moved, expected = self.action(x, posterior.mode)
            gap = (self.network.posterior(moved).mode - expected).flatten(1).square().sum(-1)
            loss = loss + self.equivariance_weight * gap.mean()
        guided = self.guide_epochs is None or epoch < self.guide_epochs
        if self._guides is not None and guided:
            guide = self._guides[pick]
            known = guide.flatten(1).isfinite().all(1)
            at = guide[known]
            gap = (posterior.mode[known] - at).flatten(1).square().sum(-1)
            miss = self.guide_weight * x[0].numel() * gap - self.network.log_likelihood(
                target[known], at
            )
            loss = loss + miss.sum() / len(pick)
        return loss

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """Minus the bound on the held-out data, in nats, with the same draws in every epoch."""
        self.eval()
        total = 0.0
        with seeded(self.seed * 7_919 + 2**40):
            for part in self._held_out.split(1024):
                target = torch.bernoulli(part) if self.binarize else part
                likelihood, divergence, _ = self.network.bound(target)
                total += float((divergence - likelihood).sum())
        self.train()
        return total / len(self._held_out)

    def on_fit_start(self) -> None:
        """A training that had stopped is not taken up again."""
        self.trainer.should_stop = self._stopped

    def on_train_batch_end(self, outputs: Any, batch: Tensor, batch_index: int) -> None:
        """At the end of an epoch keep the best weights; stop when they were reached long ago."""
        # Lightning's own epochs begin anew where a training resumes.
        epoch, place = divmod(self.global_step, self.steps_per_epoch)
        if place:
            return
        self.history["epoch"].append(epoch)
        self.history["loss"].append(self._sum / len(self._x))
        self._sum = 0.0
        if not len(self._held_out):
            return
        loss = self.held_out_loss()
        self.history["held_out"].append(loss)
        self.log("held_out", loss, prog_bar=True)
        if loss < self._best[0]:
            self._best = (loss, epoch, copy.deepcopy(self.network.state_dict()))
        elif epoch - self._best[1] >= self.patience and epoch > self.warm_epochs:
            self.trainer.should_stop = self._stopped = True

    def on_fit_end(self) -> None:
        """Go back to the best weights."""
        if self._best[2]:
            self.network.load_state_dict(self._best[2])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resumed run needs beside the weights."""
        checkpoint["history"], checkpoint["best"] = self.history, self._best
        checkpoint["sum"], checkpoint["stopped"] = self._sum, self._stopped

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        self.history, self._best = checkpoint["history"], checkpoint["best"]
        self._sum, self._stopped = checkpoint["sum"], checkpoint["stopped"]

    def configure_optimizers(self) -> Any:
        """Adam, its rate constant or a cosine."""
        noise = self.network.log_noise
        others = [p for p in self.network.parameters() if p is not noise]
        groups: list[dict[str, Any]] = [
            {"params": others},
            # One number, that has to go from the spread of the data to that of the noise.
            {"params": [noise], "lr": _NOISE_RATE * self.learning_rate},
        ]
        optimizer = torch.optim.Adam(groups, lr=self.learning_rate, fused=True)
        if self.cosine is None:
            return optimizer
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, self.cosine * self.steps_per_epoch
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
