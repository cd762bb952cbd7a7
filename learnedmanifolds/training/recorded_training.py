"""What trainings on batches that they draw themselves share: a history, Adam, the check for NaN."""

from __future__ import annotations

import abc
from typing import Any

import lightning
import torch
from torch import Tensor, nn


class RecordedTraining(lightning.LightningModule, abc.ABC):
    """Adam with a rate that falls as a cosine, and a history that is in the checkpoints.

    Every draw of a step comes from a generator seeded by the step's number, so that an interrupted
    run that resumes ends in the same weights.

    Parameters
    ----------
    network : nn.Module
        What is trained.
    learning_rate : float
        It falls to zero.
    max_steps : int
    seed : int
    """

    steps_per_epoch = 100
    """Steps between two entries of the history, and between two checkpoints."""

    def __init__(self, network: nn.Module, learning_rate: float, max_steps: int, seed: int) -> None:
        super().__init__()
        self.network = network
        self.learning_rate, self.max_steps, self.seed = learning_rate, max_steps, seed
        self.history: dict[str, list[Any]] = {"step": []}
        self._sums: dict[str, float] = {}

    @abc.abstractmethod
    def example(self) -> None:
        """Pass one batch through the networks."""

    @property
    def advice(self) -> str:
        """What to try when a training diverges."""
        return "try a smaller learning_rate"

    def draws(self, step: int) -> torch.Generator:
        """The generator of a step."""
        return torch.Generator().manual_seed(self.seed * 7_919 + step)

    def record(self, loss: Tensor, **others: Tensor) -> Tensor:
        """Put the loss and other values of a step into the history; return the loss.

        Raises
        ------
        RuntimeError
            If the loss is NaN or infinite.
        """
        if not bool(loss.isfinite()):
            raise RuntimeError(
                f"the training diverged at step {self.global_step}: the loss is {float(loss.detach())}; "
                f"{self.advice}."
            )
        for name, value in {"loss": loss, **others}.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach())
        done = self.global_step + 1
        if done % self.steps_per_epoch == 0 or done == self.max_steps:
            since = done - (self.history["step"][-1] if self.history["step"] else 0)
            self.history["step"].append(done)
            for name, total in self._sums.items():
                self.history.setdefault(name, []).append(total / since)
            self._sums = {}
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history, and what is still to go into it."""
        checkpoint["history"], checkpoint["sums"] = self.history, self._sums

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore it."""
        self.history, self._sums = checkpoint["history"], checkpoint["sums"]

    def configure_optimizers(self) -> Any:
        """Adam, its rate falling as a cosine."""
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate, fused=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.max_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
