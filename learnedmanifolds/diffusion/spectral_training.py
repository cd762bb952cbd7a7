"""Training of eigenfunctions by mini-batches of edges, as a Lightning module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from learnedmanifolds.training.recorded_training import RecordedTraining

# Added to the covariance of a batch, relative to its mean eigenvalue: float32 must factor it.
_JITTER = 1e-6
# Edges a component that a batch should have.
_EDGES = 4


class SpectralTraining(RecordedTraining):
    """Minimises sum_ij W_ij |f(x_i) - f(x_j)|^2 over functions f that are orthonormal for the walk.

    A step draws edges (i, j) with probabilities proportional to W_ij. Then the ends of an edge have the
    law D of the degrees, so that orthonormality of the batch itself is that of y = sqrt(D) f, and
    |f_i - f_j|^2 = |y_i / sqrt(d_i) - y_j / sqrt(d_j)|^2. The orthonormalising layer subtracts the mean
    of the batch, which removes the constant, and divides by the Cholesky factor of its covariance.

    Parameters
    ----------
    network : nn.Module, (N, *ambient_shape) -> (N, m)
    x : Tensor, shape (N, *ambient_shape)
    weights : csr_array, shape (N, N)
    batch_size : int
        Edges a step.
    learning_rate, max_steps, seed
        See `RecordedTraining`.
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
        super().__init__(network, learning_rate, max_steps, seed)
        self.batch_size = batch_size
        self._count = 0
        # Not in the checkpoints: they are as large as the data. Edges are drawn on the processor.
        self.register_buffer("_x", x, persistent=False)
        self._cumulative = torch.from_numpy(np.cumsum(weights.data))
        self._ends = torch.from_numpy(weights.indptr[1:].astype(np.int64))
        self._columns = torch.from_numpy(weights.indices.astype(np.int64))

    def example(self) -> None:
        """See `RecordedTraining.example`."""
        self.network(self._x[: 2 * self.batch_size])

    @property
    def advice(self) -> str:
        """See `RecordedTraining.advice`; the covariance of a small batch has no stable inverse."""
        count = self._count
        if self.batch_size < _EDGES * count:
            return (
                f"batch_size={self.batch_size} is small for n_components={count}, of which every "
                f"batch gives a covariance; make it at least {_EDGES * count}"
            )
        return super().advice

    def edges(self, step: int) -> tuple[Tensor, Tensor]:
        """Ends of the edges of a step, (batch_size,) each."""
        draw = torch.rand(self.batch_size, generator=self.draws(step), dtype=torch.float64)
        edge = torch.searchsorted(self._cumulative, draw * self._cumulative[-1])
        edge = edge.clamp(max=len(self._columns) - 1)
        return torch.searchsorted(self._ends, edge, right=True), self._columns[edge]

    def training_step(self, batch: Any, index: int) -> Tensor:
        """Half the mean of |f_i - f_j|^2 over the edges, sum_i (1 - lambda_i) at the minimum."""
        first, second = self.edges(self.global_step)
        picked = torch.cat([first, second]).to(self._x.device)
        f = orthonormalize(self.network(self._x[picked]))
        self._count = f.shape[1]
        near, far = f.split(len(first))
        return self.record((near - far).square().sum(1).mean() / 2)


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
