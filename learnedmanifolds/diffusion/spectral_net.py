"""SpectralNet: the eigenfunctions of a diffusion map as a neural network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from learnedmanifolds._check import ArrayLike, integer, widths
from learnedmanifolds._grad import differentiable
from learnedmanifolds._random import seeded
from learnedmanifolds.diffusion.base import DiffusionEmbedding, as_given
from learnedmanifolds.diffusion.graph import KernelGraph
from learnedmanifolds.diffusion.spectrum import Spectrum, signs
from learnedmanifolds.training.estimator import TrainedEstimator

# Directions of the hidden features of less variance than this, relative to the first, are rounding.
_RANK = 1e-8
_BATCH = 2**14


class SpectralNet(TrainedEstimator, DiffusionEmbedding):
    """A network x -> psi(x) that approximates the coordinates of `DiffusionMap` by training.

    Unlike the Nystrom extension it needs no data once it is trained, is differentiable, and sees the
    graph in batches of edges only. The last layer is orthonormalised in every batch of the training;
    in the end a Rayleigh-Ritz step over all data takes, of all linear combinations of the last hidden
    features, those that are eigenfunctions best, in order, without the constant.

    Parameters
    ----------
    n_components : int
    epsilon, alpha, local_scale, n_neighbors, t, cutoff
        Of the kernel and the coordinates; see `DiffusionMap`.
    hidden : tuple of int
        Widths of the dense layers; images whose sides are multiples of 4 from 16 on go through
        convolutions first. The last one bounds n_components.
    max_steps, batch_size : int
        Steps of Adam, and edges a step.
    learning_rate : float
        It falls to zero as a cosine.
    <parameters of TrainedEstimator>

    Attributes
    ----------
    network_ : nn.Module
        (N, *ambient_shape) -> (N, n_components), psi itself, in float64, frozen.
    embedding_, eigenvalues_, laplacian_eigenvalues_, gaps_, spectral_gap_
        As in `DiffusionMap`. Rayleigh-Ritz values are never above the exact eigenvalues.
    epsilon_, dimension_, bandwidth_, n_features_in_
        As in `DiffusionMap`.
    history_ : dict
        Steps and mean losses; the loss of the exact eigenfunctions is sum_i (1 - lambda_i).

    References
    ----------
    Shaham, Stanton, Li, Nadler, Basri, Kluger, arXiv 1801.01587; here with the degrees' square roots
    in the loss, edges drawn by weight, the constant removed and a Rayleigh-Ritz step.
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        epsilon: float | None = None,
        alpha: float = 1.0,
        local_scale: int | None = None,
        n_neighbors: int | None = None,
        t: float = 1.0,
        cutoff: float = 1e-5,
        hidden: Sequence[int] = (128, 128),
        max_steps: int = 2000,
        batch_size: int = 512,
        learning_rate: float = 3e-3,
        checkpoint_dir: str | Path | None = None,
        accelerator: str = "auto",
        verbose: bool = False,
        random_state: int | None = None,
    ) -> None:
        super().__init__(
            checkpoint_dir=checkpoint_dir,
            accelerator=accelerator,
            verbose=verbose,
            random_state=random_state,
        )
        self.n_components = n_components
        self.epsilon = epsilon
        self.alpha = alpha
        self.local_scale = local_scale
        self.n_neighbors = n_neighbors
        self.t = t
        self.cutoff = cutoff
        self.hidden = hidden
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate

    @differentiable()
    def fit(self, x: ArrayLike, y: None = None) -> Self:
        """Train on data (N, *ambient_shape).

        Raises
        ------
        TypeError, ValueError
            As `DiffusionMap.fit`, and if a parameter of the training is out of range.
        RuntimeError
            If the loss becomes NaN or infinite.
        """
        # The models' package may import this one.
        from learnedmanifolds.diffusion.spectral_training import SpectralTraining
        from learnedmanifolds.training.networks import default_encoder
        from learnedmanifolds.training.units import Units, chain

        self._check_training()
        data, graph = self._graph_of(x)
        (seed,) = self._start(1, data)
        units = Units.of(data.cpu())
        points = units.remove(data.cpu())
        with seeded(seed):
            body = default_encoder(
                tuple(points.shape[1:]), int(self.n_components), tuple(self.hidden)
            )
        network = nn.Sequential(*body)
        module = SpectralTraining(
            network,
            points,
            graph.weights,
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            max_steps=int(self.max_steps),
            seed=seed,
        )
        self._run(module, self.max_steps, self.checkpoint_dir)
        self.history_ = module.history
        features = nn.Sequential(*list(network)[:-1]).eval().requires_grad_(False)
        hidden = _evaluate(features, points).double().numpy()
        spectrum, offset, weight = _rayleigh_ritz(graph, hidden, int(self.n_components))
        self._keep(spectrum, data)
        # Without a draw of weights, which would come from torch's global generator.
        last = nn.utils.skip_init(nn.Linear, *weight.shape, dtype=torch.float64)
        scaled = torch.from_numpy(weight * spectrum.values ** float(self.t))
        last.weight.data = scaled.mT.contiguous()
        last.bias.data = -torch.from_numpy(offset) @ scaled
        self.network_ = chain(units.remover(), features.double(), last).eval().requires_grad_(False)
        self.embedding_ = self.coordinates(data)
        return self

    def coordinates(self, x: ArrayLike) -> Tensor:
        """Coordinates (M, n_components) of data (M, *ambient_shape), in their dtype.

        Raises
        ------
        TypeError, ValueError
            If x is not finite or of another shape than the data.
        """
        data, _ = self._new_data(x)
        return as_given(_evaluate(self.network_, data.cpu().double()), data)

    def _check_training(self) -> None:
        super()._check_training()
        last = widths(self.hidden, "hidden")[-1]
        count = integer(self.n_components, "n_components", minimum=1)
        if last < count + 1:
            raise ValueError(
                f"the last of hidden must be more than n_components={count}, got {last}."
            )
        if self.batch_size <= count:
            raise ValueError(
                f"batch_size must be more than n_components={count}, got {self.batch_size}."
            )


class _Standardize(nn.Module):
    """Data minus their mean, over one scale of all entries; of networks in old pickles."""

    mean: Tensor
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


@torch.no_grad()
def _evaluate(network: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([network(part) for part in x.split(_BATCH)])


def _rayleigh_ritz(
    graph: KernelGraph, features: np.ndarray, count: int
) -> tuple[Spectrum, np.ndarray, np.ndarray]:
    """The eigenfunctions (features - offset) @ weight in the span of features (N, m), and these two."""
    law = graph.stationary
    offset = law @ features
    centred = features - offset
    scale, axes = np.linalg.eigh(centred.T @ (law[:, None] * centred))
    kept = scale > _RANK * scale[-1]
    if kept.sum() <= count:
        raise ValueError(
            f"the {features.shape[1]} hidden features span only {int(kept.sum())} directions, too few "
            f"for n_components={count}; make hidden wider, or train longer."
        )
    basis = axes[:, kept] / np.sqrt(scale[kept])
    white = centred @ basis
    values, rotation = np.linalg.eigh(white.T @ (graph.weights @ white) / graph.degree.sum())
    order = np.argsort(-values)[: count + 1]
    weight = basis @ rotation[:, order[:-1]]
    functions = centred @ weight
    sign = signs(functions)
    spectrum = Spectrum(values[order[:-1]], functions * sign, float(values[order[-1]]))
    return spectrum, offset, weight * sign
