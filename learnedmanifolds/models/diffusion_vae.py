"""Variational diffusion autoencoder: one step of the diffusion on the data, learned."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from sklearn.base import clone
from torch import Tensor, nn

from learnedmanifolds._check import ArrayLike, as_tensor, integer, one_of, positive, widths
from learnedmanifolds._grad import differentiable
from learnedmanifolds._random import seeded
from learnedmanifolds.diffusion import DiffusionMap, SpectralNet
from learnedmanifolds.diffusion.graph import build_graph
from learnedmanifolds.diffusion.neighbors import DataDistances
from learnedmanifolds.models.diffusion_vae_fitted import FittedDiffusionVAE
from learnedmanifolds.models.diffusion_vae_network import (
    DiffusionVAENetwork,
    local_scale,
    nearly_linear_decoder,
)
from learnedmanifolds.models.diffusion_vae_steps import (
    DiffusionSteps,
    NeighbourSteps,
    StepLaw,
    StepRule,
    mean_variance,
    nearest_other,
)
from learnedmanifolds.training.estimator import TrainedEstimator
from learnedmanifolds.training.units import Units

_COMPONENTS = 8


class DiffusionVAE(TrainedEstimator, FittedDiffusionVAE):
    """Generate data of unknown topology by a random walk that follows the diffusion on them.

    With psi the coordinates of a diffusion map, in units in which ways to neighbours are as long in psi
    as in the data, a step from x draws z' from q(z' | x) = N(m(x), C(x)) and decodes it; C is a full
    covariance, its Cholesky factor a network of psi(x). Training lets the decoder hit the data point
    whose psi is nearest to z', and keeps q near a prior N(m(x), S(x)) that knows the neighbourhood
    of x, by their exact divergence.

    Parameters
    ----------
    n_components : int, optional
        D; by default that of ``diffusion``, or 8. psi must tell all data apart: a circle takes 2, a
        torus 5 and, to be nearly linear in psi, 12.
    diffusion : DiffusionMap or SpectralNet, optional
        Copied and fitted anew; a `DiffusionMap` by default. For images take a `SpectralNet`: decoded
        images are near no datum, and there the extension of a `DiffusionMap` tends to the mean.
    step : {"diffusion", "neighbors"}
        Mean and covariance of the prior: those of psi after ``alpha`` steps of the diffusion's own
        walk, for which the random walk is stationary at the uniform distribution of the
        manifold if the diffusion map has alpha = 1, whatever the density of the data. Or the paper's,
        m = psi(x) and S = alpha Sigma* with Sigma* the covariance of the k points nearest to
        psi(x): its steps are short where data are dense, and for data of density q on a manifold of
        dimension d it is stationary at q^(2/d).
    n_neighbors : int
        k, of "neighbors".
    alpha : float
        An integer, the number of steps, for "diffusion"; the scale of S for "neighbors". With more
        of it walks forget their start sooner, and the decoder's errors, which make short steps drift,
        weigh less; with less, samples are nearer to the manifold.
    regularization : float
        What is added to the diagonal of S, over its mean; S is singular without.
    decoder : nn.Module, optional
        Coordinates of unit variance (N, D) -> (N, *ambient_shape), in the units of the data; copied,
        then trained. By default dense layers, or convolutions for images, beside a linear map, which
        work in units in which the data are centred and of unit scale.
    hidden : tuple of int
        Widths of the layers of the network of C and of the default decoder.
    noise_std : float, optional
        c of the likelihood N(decoder(z'), c^2 I), in the units of the data. By default training
        takes the data's root mean square spread (c = 1 for standardised data, the paper's choice), and
        `noise_std_` is then the c of the largest bound.
    max_steps, batch_size : int
        Steps of Adam, and points a step.
    learning_rate : float
        It falls to zero as a cosine.
    dim : int, optional
        Dimension of `immersion_`; by default the diffusion map's estimate.
    <parameters of TrainedEstimator>

    Attributes
    ----------
    diffusion_ : DiffusionMap or SpectralNet
    network_ : DiffusionVAENetwork
        In the units of the data: float32, or float64 where float32 is too coarse for them, see
        `Units.dtype`. Everything that the model gives is of that dtype.
    immersion_ : Atlas
        The image of the diffusion embedding under the decoder, in the dtype of `network_`.
    scale_ : float
        psi over the coordinates of ``diffusion_``.
    noise_std_ : float
        Of the likelihood, in the units of the data.
    history_ : dict
        Steps, losses (minus the bound) and divergences, in nats a data point.
    dim_, n_features_in_ : int

    References
    ----------
    Li, Lindenbaum, Cheng, Cloninger, Variational diffusion autoencoders with random walk sampling,
    ECCV 2020.
    """

    def __init__(
        self,
        n_components: int | None = None,
        *,
        diffusion: DiffusionMap | SpectralNet | None = None,
        step: str = "diffusion",
        n_neighbors: int = 16,
        alpha: float = 1.0,
        regularization: float = 0.1,
        decoder: nn.Module | None = None,
        hidden: Sequence[int] = (128, 128),
        noise_std: float | None = None,
        max_steps: int = 5000,
        batch_size: int = 256,
        learning_rate: float = 5e-3,
        dim: int | None = None,
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
        self.diffusion = diffusion
        self.step = step
        self.n_neighbors = n_neighbors
        self.alpha = alpha
        self.regularization = regularization
        self.decoder = decoder
        self.hidden = hidden
        self.noise_std = noise_std
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dim = dim

    @differentiable()
    def fit(self, x: ArrayLike, y: object = None) -> Self:
        """Fit the diffusion map, then the networks, to data (N, *ambient_shape); y is ignored.

        Raises
        ------
        TypeError, ValueError
            If x is not finite, has too few points for the neighbours or components, or falls into
            several connected components; if a parameter is out of range or of the wrong type.
        RuntimeError
            If the loss becomes NaN or infinite.
        """
        # Lightning takes seconds to import; a pretrained atlas needs none.
        from learnedmanifolds.models.diffusion_vae_training import DiffusionVAETraining

        data = self._check(x)
        (seed,) = self._start(1, data)
        self._take_names(x)
        units = Units.of(data)
        train = units.remove(data)
        self.diffusion_ = self._new_diffusion().fit(data.double())
        psi = self.diffusion_.embedding_
        self.scale_ = local_scale(psi, data)
        psi = self.scale_ * psi
        rule = self._rule_of(data.double(), psi)
        law = rule.law(None, psi)
        law = StepLaw(law.mean / units.scale, law.covariance / units.scale**2)
        scaled = (psi / units.scale).float()
        noise_std = 1.0 if self.noise_std is None else float(self.noise_std) / units.scale
        std = mean_variance(law.covariance) ** 0.5
        module = DiffusionVAETraining(
            self._new_network(train, scaled, std, units, seed),
            train,
            scaled,
            law,
            rule.start,
            noise_std=noise_std,
            batch_size=int(self.batch_size),
            learning_rate=float(self.learning_rate),
            max_steps=int(self.max_steps),
            seed=seed,
        )
        self._run(module, int(self.max_steps), self.checkpoint_dir)
        # Densities of the data themselves: one over the scale for each entry.
        shift = data[0].numel() * math.log(units.scale)
        self.history_ = dict(module.history)
        self.history_["loss"] = [value + shift for value in module.history["loss"]]
        module.network.carry(units, self.decoder is None)
        self._keep(module.network, data.to(units.dtype), psi.to(units.dtype), rule)
        given = self.noise_std
        self.noise_std_ = self._residual(seed, units) if given is None else float(given)
        return self

    def _check(self, x: ArrayLike) -> Tensor:
        """Check the parameters; return the data."""
        data = as_tensor(x, "x", allow_empty=False).detach().cpu()
        if data.dim() < 2:
            raise ValueError(f"x must have shape (N, *ambient_shape), got {tuple(data.shape)}.")
        if self.n_components is not None:
            integer(self.n_components, "n_components", minimum=1)
        self._check_training()
        for name in ("alpha", "regularization"):
            positive(getattr(self, name), name)
        if one_of(self.step, "step", ("neighbors", "diffusion")) == "neighbors":
            near = integer(self.n_neighbors, "n_neighbors", minimum=2)
            if near >= len(data):
                raise ValueError(
                    f"n_neighbors must be less than the number of points, got {near} neighbours of "
                    f"{len(data)} points."
                )
        elif float(self.alpha) != int(self.alpha):
            raise ValueError(
                f"alpha must be a whole number of steps for step='diffusion', got {self.alpha}."
            )
        if not isinstance(self.decoder, nn.Module | None):
            raise TypeError(f"decoder must be a torch module, got {type(self.decoder).__name__}.")
        widths(self.hidden, "hidden")
        if self.noise_std is not None:
            positive(self.noise_std, "noise_std")
        return data

    def _new_diffusion(self) -> DiffusionMap | SpectralNet:
        given = self.diffusion
        if given is None:
            found: DiffusionMap | SpectralNet = DiffusionMap(self.n_components or _COMPONENTS)
        elif not isinstance(given, DiffusionMap | SpectralNet):
            raise TypeError(
                f"diffusion must be a DiffusionMap or a SpectralNet, got {type(given).__name__}."
            )
        elif isinstance(given, DiffusionMap) and given.metric != "euclidean":
            raise ValueError("diffusion must take data, got one for metric='precomputed'.")
        elif self.n_components not in (None, given.n_components):
            raise ValueError(
                f"n_components must be that of diffusion, {given.n_components}, or None; got "
                f"{self.n_components}."
            )
        else:
            found = clone(given)
        if self.dim is not None and integer(self.dim, "dim", minimum=1) > found.n_components:
            raise ValueError(
                f"dim must be at most n_components={found.n_components}, got {self.dim}."
            )
        return found

    def _rule_of(self, data: Tensor, psi: Tensor) -> StepRule:
        if self.step == "neighbors":
            near, ridge = int(self.n_neighbors), float(self.regularization)
            return NeighbourSteps(psi, near, float(self.alpha), ridge)
        found = self.diffusion_
        flat = data.flatten(1).numpy()
        center = flat.mean(0)
        if isinstance(found, DiffusionMap):
            graph = found.graph_
        else:
            scale = None if found.local_scale is None else int(found.local_scale)
            distances = DataDistances(flat - center, scale)
            graph = build_graph(distances, found.epsilon_, found.alpha, found.cutoff)
        return DiffusionSteps(
            graph, center, psi, found.eigenvalues_, int(self.alpha), self.regularization
        )

    def _new_network(
        self, x: Tensor, psi: Tensor, std: float, units: Units, seed: int
    ) -> DiffusionVAENetwork:
        with seeded(seed):
            decoder = copy.deepcopy(self.decoder)
            if decoder is None:
                decoder = nearly_linear_decoder(psi, x, tuple(self.hidden))
            # A given one may be of torch's default dtype.
            decoder.float()
            network = DiffusionVAENetwork(decoder, psi, tuple(self.hidden), std)
            with torch.no_grad():
                made = network.decoder(psi[:2])
        if made[0].numel() != x[0].numel() or len(made) != 2:
            raise ValueError(
                f"decoder must give points of shape {tuple(x.shape[1:])}, got {tuple(made.shape)} "
                "for two."
            )
        if self.decoder is not None:
            # It makes the data themselves, while the training sees them in units.
            flat = Units(units.center.flatten(), units.scale).remover().float()
            network.decoder = nn.Sequential(*network.decoder, nn.Flatten(), flat)
        return network

    @torch.no_grad()
    def _residual(self, seed: int, units: Units) -> float:
        """Root mean square of decoder(z') - x' over the data, one draw each."""
        z = self._draw(self._psi, torch.Generator().manual_seed(seed))
        own = torch.arange(len(z))
        target = torch.cat([nearest_other(z[i], self._psi, i) for i in own.split(1024)])
        miss = self._decode(z) - self._x[target]
        return max(1e-9 * units.scale, float(miss.square().mean().sqrt()))
