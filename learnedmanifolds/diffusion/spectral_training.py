"""Training of eigenfunctions by mini-batches of edges, as a Lightning module."""

from __future__ import annotations

from typing import Any

import lightning
import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

# Added to the covariance of a batch, relative to its mean eigenvalue: float32 must factor it.
_JITTER = 1e-6
STEPS_PER_EPOCH = 100


class SpectralTraining(lightning.LightningModule):
    """Minimises sum_ij W_ij |f(x_i) - f(x_j)|^2 over functions f that are orthonormal for the walk.

    A step draws edges (i, j) with probabilities proportional to W_ij. Then the ends of an edge have the
    law D of the degrees, so that orthonormality of the batch itself is that of y = sqrt(D) f, and
    |f_i - f_j|^2 = |y_i / sqrt(d_i) - y_j / sqrt(d_j)|^2. The orthonormalising layer subtracts the mean
    of the batch, which removes the constant, and divides by the Cholesky factor of its covariance.

    Every draw of a step comes from a generator seeded by the step's number, so that an interrupted
    run that resumes ends in the same weights.

    Parameters
    ----------
    network : nn.Module, (N, *ambient_shape) -> (N, m)
    x : Tensor, shape (N, *ambient_shape)
    weights : csr_array, shape (N, N)
    batch_size : int
        Edges a step.
    learning_rate : float
        Of Adam; it falls to zero as a cosine.
    max_steps : int
    seed : int
    """

    _x: Tensor

    def __init__(
        self,
        network: nn.Module,
        x: Tensor,
        weights: csr_array,
        *,
        batch_size: int,
        learning_rate: float,
        max_steps: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.batch_size, self.learning_rate = batch_size, learning_rate
        self.max_steps, self.seed = max_steps, seed
        self.history: dict[str, list[Any]] = {"step": [], "loss": []}
        self._sum = 0.0
        # Not in the checkpoints: they are as large as the data. Edges are drawn on the processor.
        self.register_buffer("_x", x, persistent=False)
        self._cumulative = torch.from_numpy(np.cumsum(weights.data))
        self._ends = torch.from_numpy(weights.indptr[1:].astype(np.int64))
        self._columns = torch.from_numpy(weights.indices.astype(np.int64))

    def edges(self, step: int) -> tuple[Tensor, Tensor]:
        """Ends of the edges of a step, (batch_size,) each."""
        generator = torch.Generator().manual_seed(self.seed * 7_919 + step)
        draw = torch.rand(self.batch_size, generator=generator, dtype=torch.float64)
        edge = torch.searchsorted(self._cumulative, draw * self._cumulative[-1])
        edge = edge.clamp(max=len(self._columns) - 1)
        return torch.searchsorted(self._ends, edge, right=True), self._columns[edge]

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Half the mean of |f_i - f_j|^2 over the edges, sum_i (1 - lambda_i) at the minimum."""
        first, second = self.edges(self.global_step)
        picked = torch.cat([first, second]).to(self._x.device)
        f = orthonormalize(self.network(self._x[picked]))
        near, far = f.split(len(first))
        loss = (near - far).square().sum(1).mean() / 2
        if not bool(loss.isfinite()):
            raise RuntimeError(
                f"the training diverged at step {self.global_step}: the loss is {float(loss.detach())}; "
                "try a smaller learning_rate."
            )
        self._sum += float(loss.detach())
        done = self.global_step + 1
        if done % STEPS_PER_EPOCH == 0 or done == self.max_steps:
            since = done - (self.history["step"][-1] if self.history["step"] else 0)
            self.history["step"].append(done)
            self.history["loss"].append(self._sum / since)
            self._sum = 0.0
        return loss

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


def orthonormalize(values: Tensor) -> Tensor:
    """Functions at a batch (B, m) to their combinations of mean 0 and covariance I over it."""
    centred = values - values.mean(0)
    covariance = centred.mT @ centred / len(centred)
    jitter = _JITTER * covariance.diagonal().mean()
    eye = torch.eye(len(covariance), dtype=values.dtype, device=values.device)
    factor, failed = torch.linalg.cholesky_ex(covariance + jitter * eye)
    # The loss is checked for NaN, with a message.
    factor = factor.masked_fill(failed > 0, torch.nan)
    return torch.linalg.solve_triangular(factor, centred.mT, upper=False).mT
