"""Variational autoencoder whose latent space is a manifold; its decoder is an immersion of it."""

from __future__ import annotations

import copy
import math
import warnings
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from learnedmanifolds._check import ArrayLike
from learnedmanifolds._grad import differentiable
from learnedmanifolds._random import seeded
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.models.fitted_vae import FittedVAE
from learnedmanifolds.models.neighbours import neighbours
from learnedmanifolds.models.spectral import spectral_points
from learnedmanifolds.models.vae_checks import (
    check_networks,
    check_parameters,
    checked_data,
    checked_guides,
    held_out_count,
)
from learnedmanifolds.models.vae_network import Action, VAENetwork
from learnedmanifolds.training.estimator import TrainedEstimator
from learnedmanifolds.training.networks import default_decoder, default_encoder
from learnedmanifolds.training.units import Units, chain

_COLLAPSED = 0.1
"""Share of the data's variance: a decoder that explains less gives little more than their mean."""


class ManifoldVAE(TrainedEstimator, FittedVAE):
    """Learn data as the image of a latent manifold Z: a sphere, SO(3), a torus, a product.

    The posterior and the prior live on Z, so that the latent space has the topology of the data,
    and the decoder's image of Z is a manifold like any atlas: `immersion_`.

    Data may be anywhere and in any units: with a Gaussian likelihood they are trained on centred and
    over one scale of all entries, and everything that the fitted model takes and gives is in theirs.

    Parameters
    ----------
    latent : LatentSpace
        From `learnedmanifolds.latent`.
    ambient_shape : tuple of int, optional
        Shape of one data point; that of the data by default.
    encoder : nn.Module, optional
        (N, *ambient_shape) -> (N, latent.n_parameters). By default dense layers, or convolutions
        for images whose sides are multiples of 4 from 16 on.
    decoder : nn.Module, optional
        (N, m) -> (N, *ambient_shape), m the entries of a latent point: the mean of a Gaussian or the
        logits of a Bernoulli likelihood. Given modules are copied, then trained; they see and make
        the data as they are, which may be trained already or end in the data's box, so that data far
        from 0 or from unit scale are theirs to cope with.
    hidden : tuple of int
        Widths of the default networks' dense layers, from the data inward.
    fourier_scale : float, optional
        The first layer of the default decoder becomes sines of frequencies up to about this one, in
        inverse units of Z, see `FourierFeatures`: for data that change fast along Z, such as pictures.
    likelihood : {"gaussian", "bernoulli"}
        Bernoulli takes data in [0, 1].
    noise_std : float, optional
        sigma_x of the Gaussian likelihood, in the units of the data; learned by default.
    binarize : bool
        With Bernoulli: draw binary data anew in every step.
    max_epochs, batch_size : int
    learning_rate : float
        Of Adam.
    cosine : bool
        Whether the rate falls to zero over `max_epochs` as a cosine; else it is constant.
    warmup : int, optional
        Epochs in which the weight of the divergence rises linearly to 1; by default it does so
        in the first 100 steps. Without, posteriors may become the prior before the decoder has learned
        anything from them, for good, the more likely the larger the learning rate (Bowman et al.,
        arXiv 1511.06349).
    n_starts, start_epochs : int
        As many seeds are trained for `start_epochs` each, and the one of the smallest loss in full: an
        encoder seldom leaves the homotopy class that it starts in, and not every class is that of
        the data. All but the first start draw the weights of given modules anew.
    patience : int, optional
        Epochs without a better bound on held-out data after which the training stops, and the best
        weights are kept; by default all epochs are run, on all data.
    validation_fraction : float
        Share of the data held out, with ``patience``.
    continuity_weight : float
        Weight of |mode(x) - mode(x')|^2, x' the data point nearest to x.
    action : callable, optional
        A symmetry of the data: ``action(x, z)`` draws one group element a row and gives the moved
        data and latent points.
    equivariance_weight : float
        Weight of |mode(g x) - g mode(x)|^2, with ``action``.
    guide_weight : float
        Weight of |mode(x) - y|^2 where a latent point y is given to `fit` or found for
        `spectral_start`, times the entries of a data point.
    <parameters of TrainedEstimator>

    Attributes
    ----------
    network_ : VAENetwork
        In the units of the data: float32, or float64 where float32 is too coarse for them (farther
        from the origin than 16 times their spread, or a spread beyond 1e-12 to 1e12). Data go in and
        come out in that dtype.
    immersion_ : Immersion
        The learned manifold, in the dtype of `network_`.
    history_ : dict
        Epochs, losses in nats a data point, and held-out losses.
    n_features_in_ : int

    References
    ----------
    Davidson et al., arXiv 1804.00891 (spheres); Falorsi et al., arXiv 1807.04689 (Lie groups).
    """

    def __init__(
        self,
        latent: LatentSpace,
        ambient_shape: tuple[int, ...] | None = None,
        *,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        hidden: tuple[int, ...] = (256, 128),
        fourier_scale: float | None = None,
        likelihood: str = "gaussian",
        noise_std: float | None = None,
        binarize: bool = False,
        max_epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        cosine: bool = False,
        warmup: int | None = None,
        n_starts: int = 1,
        start_epochs: int = 10,
        spectral_start: bool = False,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        continuity_weight: float = 0.0,
        action: Action | None = None,
        equivariance_weight: float = 1.0,
        guide_weight: float = 1.0,
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
        self.latent = latent
        self.ambient_shape = ambient_shape
        self.encoder = encoder
        self.decoder = decoder
        self.hidden = hidden
        self.fourier_scale = fourier_scale
        self.likelihood = likelihood
        self.noise_std = noise_std
        self.binarize = binarize
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.cosine = cosine
        self.warmup = warmup
        self.n_starts = n_starts
        self.start_epochs = start_epochs
        self.spectral_start = spectral_start
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.continuity_weight = continuity_weight
        self.action = action
        self.equivariance_weight = equivariance_weight
        self.guide_weight = guide_weight

    @differentiable()
    def fit(self, x: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn from data (N, *ambient_shape) and the latent points that are known.

        Parameters
        ----------
        x : array, shape (N, *ambient_shape)
        y : array, shape (N, *latent.shape), optional
            Latent points of some of the data, rows of NaN for the others. Without any, the latent
            space is learned up to its symmetries, and encoders may fold it: continuous maps of one
            degree do not become those of another in small steps, and the more a space has of topology
            the fewer starts have the right one. A few known points decide it.

        Raises
        ------
        TypeError, ValueError
            If x is not finite data of the expected shape, outside [0, 1] for a Bernoulli likelihood,
            y is not on the latent space, or a parameter is out of range or of the wrong type.
        RuntimeError
            If the loss becomes NaN or infinite.
        """
        # Lightning takes seconds to import; a pretrained atlas needs none.
        from learnedmanifolds.models.vae_training import VAETraining

        self._check_training()
        check_parameters(self)
        data = checked_data(self, x)
        self._take_names(x)
        n_held_out = held_out_count(self, len(data))
        guides = None if y is None else checked_guides(self, y, len(data))
        if guides is not None and self.spectral_start:
            raise ValueError("spectral_start finds latent points, but y already gives them.")
        seeds = self._start(self.n_starts, data, guides)
        order = torch.arange(len(data))
        if n_held_out:
            order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seeds[0]))
        held_out, given = data[order[:n_held_out]], data[order[n_held_out:]]
        # The bounds of a Bernoulli likelihood are where they are.
        units = None if self.likelihood == "bernoulli" else Units.of(given)
        train, held_out = (
            part.float() if units is None else units.remove(part) for part in (given, held_out)
        )
        if guides is not None:
            guides = guides[order[n_held_out:]]
        elif self.spectral_start:
            guides = spectral_points(train, self.latent, seeds[0])
        near = None
        if self.continuity_weight > 0:
            near = neighbours(train.flatten(1), train.flatten(1), 2)[:, 1]

        def trained(start: int, epochs: int, folder: str | Path | None = None) -> VAETraining:
            found = self.spectral_start and start == 0
            module = VAETraining(
                self._new_network(train, units, seeds[start], start > 0),
                train,
                held_out,
                batch_size=self.batch_size,
                learning_rate=float(self.learning_rate),
                warmup=self.warmup,
                patience=self.patience or 0,
                cosine=self.max_epochs if self.cosine else None,
                neighbours=near,
                continuity_weight=float(self.continuity_weight),
                action=self._action_in(units),
                equivariance_weight=float(self.equivariance_weight),
                guides=guides if found or not self.spectral_start else None,
                guide_weight=float(self.guide_weight),
                guide_epochs=min(self.start_epochs, self.max_epochs) // 2 if found else None,
                binarize=self.binarize,
                seed=seeds[start],
            )
            self._run(module, epochs * module.steps_per_epoch, folder)
            return module

        best = 0
        if self.n_starts > 1:
            epochs = min(self.start_epochs, self.max_epochs)
            losses = [trained(start, epochs).history["loss"][-1] for start in range(self.n_starts)]
            best = min(range(self.n_starts), key=losses.__getitem__)
        module = trained(best, self.max_epochs, self.checkpoint_dir)
        if module.history["epoch"][-1] > self.max_epochs:
            raise ValueError(
                f"checkpoint_dir must hold a training of at most max_epochs={self.max_epochs}, but "
                f"{self.checkpoint_dir} holds one of {module.history['epoch'][-1]} epochs."
            )
        self.history_ = dict(module.history)
        network = module.network
        if units is not None:
            # Densities of the data themselves: one over the scale for each entry.
            shift = train[0].numel() * math.log(units.scale)
            for name in ("loss", "held_out"):
                self.history_[name] = [value + shift for value in module.history[name]]
            self._leave(network, units)
            given = given.to(units.dtype)
        self._keep(network, given.to(network.dtype))
        # Before the divergence has its full weight nothing has collapsed.
        finished = module.epochs_done > module.warm_epochs
        if finished and self._explained < _COLLAPSED:
            warnings.warn(
                f"The decoder explains {max(0.0, self._explained):.1%} of the variance of the data "
                f"after {module.epochs_done} epochs: the training has collapsed, or the "
                "latent space is none of these data. Try a longer warmup, more max_epochs, a "
                "smaller learning_rate or another random_state.",
                stacklevel=2,
            )
        return self

    def _undecisive(self) -> frozenset[str]:
        # Without a cosine a training of more epochs begins as one of fewer does.
        return super()._undecisive() | (frozenset() if self.cosine else {"max_epochs"})

    def _action_in(self, units: Units | None) -> Action | None:
        """The action on data in units."""
        action = self.action
        if action is None or units is None:
            return action

        def moved(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            data, points = action(units.restore(x), z)
            return units.remove(data), points

        return moved

    def _enter(self, network: VAENetwork, units: Units) -> None:
        """Let given modules see and make the data themselves while the others see them in units."""
        if self.encoder is not None:
            network.encoder = nn.Sequential(units.restorer().float(), network.encoder)
        if self.decoder is not None:
            flat = Units(units.center.flatten(), units.scale)
            network.decoder = nn.Sequential(network.decoder, nn.Flatten(), flat.remover().float())

    def _leave(self, network: VAENetwork, units: Units) -> None:
        """Carry a network that was trained in units over to the data themselves."""
        encoder, decoder = network.encoder, network.decoder
        dtype = units.dtype
        if self.encoder is None:
            network.encoder = chain(units.remover(), encoder)
        elif isinstance(encoder, nn.Sequential):
            network.encoder = encoder[1]
        if self.decoder is None:
            network.decoder = chain(decoder, units.restorer())
        elif isinstance(decoder, nn.Sequential):
            network.decoder = decoder[0]
        network.encoder.to(dtype)
        network.decoder.to(dtype)
        network.log_noise.data = network.log_noise.data.to(dtype) + math.log(units.scale)

    def _new_network(self, train: Tensor, units: Units | None, seed: int, anew: bool) -> VAENetwork:
        """Networks to train; ``anew`` draws the weights of given modules too."""
        latent, shape, hidden = self.latent, tuple(train.shape[1:]), tuple(self.hidden)
        with seeded(seed):
            encoder, decoder = copy.deepcopy(self.encoder), copy.deepcopy(self.decoder)
            if encoder is None:
                encoder = default_encoder(shape, latent.n_parameters, hidden)
            if decoder is None:
                decoder = default_decoder(latent.n_ambient, shape, hidden, self.fourier_scale)
            for given, module in ((self.encoder, encoder), (self.decoder, decoder)):
                if anew and given is not None:
                    module.apply(_reset)
                # Given ones may be of torch's default dtype.
                module.float()
        noise = None
        if units is not None:
            # A learned one starts at the spread of the data.
            noise = 1.0 if self.noise_std is None else float(self.noise_std) / units.scale
        network = VAENetwork(latent, encoder, decoder, noise, self.noise_std is None)
        check_networks(network, train)
        if units is not None:
            self._enter(network, units)
        return network


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
