"""Variational autoencoder whose latent space is a manifold; its decoder is an immersion of it."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Self

import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn
from torch.distributions import Distribution

from learnedmanifolds._check import ArrayLike, as_tensor, integer, non_negative, positive
from learnedmanifolds._convert import to_tensor
from learnedmanifolds._random import seeded
from learnedmanifolds.immersion import Immersion
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.quadrature import exact_log_likelihood
from learnedmanifolds.models.networks import default_decoder, default_encoder
from learnedmanifolds.models.patches import neighbours
from learnedmanifolds.models.trainer import run_training
from learnedmanifolds.models.vae_training import Action, VAENetwork, VAETraining

_DRAWS = 2**15
"""Latent points that are decoded in one call."""


class ManifoldVAE(BaseEstimator):
    """Learn data as the image of a latent manifold Z: a sphere, SO(3), a torus, a product.

    The posterior and the prior live on Z, so that the latent space has the topology of the data,
    and the decoder's image of Z is a manifold like any atlas: `immersion_`.

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
        logits of a Bernoulli likelihood. Given modules are copied, then trained.
    hidden : tuple of int
        Widths of the default networks' dense layers, from the data inward.
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
    warmup : int
        Epochs in which the weight of the divergence rises linearly to 1.
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
        Weight of |mode(x) - y|^2 where a latent point y is given to `fit`.
    checkpoint_dir : str or Path, optional
        Folder for checkpoints, from which `fit` resumes; a new one for new data or parameters.
    accelerator : str
        Passed to Lightning: "auto" takes a GPU if there is one.
    verbose : bool
        Whether to show a progress bar.
    random_state : int, optional
        The same seed gives the same weights on one machine.

    Attributes
    ----------
    network_ : VAENetwork
    immersion_ : Immersion
        The learned manifold, float32.
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
        likelihood: str = "gaussian",
        noise_std: float | None = None,
        binarize: bool = False,
        max_epochs: int = 100,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        cosine: bool = False,
        warmup: int = 0,
        n_starts: int = 1,
        start_epochs: int = 10,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        continuity_weight: float = 0.0,
        action: Action | None = None,
        equivariance_weight: float = 1.0,
        guide_weight: float = 100.0,
        checkpoint_dir: str | Path | None = None,
        accelerator: str = "auto",
        verbose: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.latent = latent
        self.ambient_shape = ambient_shape
        self.encoder = encoder
        self.decoder = decoder
        self.hidden = hidden
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
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.continuity_weight = continuity_weight
        self.action = action
        self.equivariance_weight = equivariance_weight
        self.guide_weight = guide_weight
        self.checkpoint_dir = checkpoint_dir
        self.accelerator = accelerator
        self.verbose = verbose
        self.random_state = random_state

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
        data = self._check(x)
        seed = self.random_state
        if seed is None:
            seed = int(torch.empty((), dtype=torch.int64).random_(2**31).item())
        order, n_held_out = torch.arange(len(data)), 0
        if self.patience is not None:
            order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
            n_held_out = max(1, round(self.validation_fraction * len(data)))
        held_out, train = data[order[:n_held_out]], data[order[n_held_out:]]
        guides = None if y is None else self._check_guides(y, len(data))[order[n_held_out:]]
        near = None
        if self.continuity_weight > 0:
            near = neighbours(train.flatten(1), train.flatten(1), 2)[:, 1]
        steps = math.ceil(len(train) / self.batch_size)

        def trained(start: int, epochs: int, folder: Path | None = None) -> VAETraining:
            network = self._new_network(
                tuple(data.shape[1:]), train, seed + 7919 * start, start > 0
            )
            module = VAETraining(
                network,
                train,
                held_out,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                warmup=self.warmup,
                patience=self.patience or 0,
                cosine=self.max_epochs * steps if self.cosine else None,
                neighbours=near,
                continuity_weight=self.continuity_weight,
                action=self.action,
                equivariance_weight=self.equivariance_weight,
                guides=guides,
                guide_weight=self.guide_weight,
                binarize=self.binarize,
                seed=seed + 7919 * start,
            )
            run_training(
                module,
                steps_per_epoch=steps,
                max_steps=epochs * steps,
                accelerator=self.accelerator,
                verbose=self.verbose,
                folder=folder,
            )
            return module

        best = 0
        if self.n_starts > 1:
            losses = [
                trained(start, min(self.start_epochs, self.max_epochs)).history["loss"][-1]
                for start in range(self.n_starts)
            ]
            best = min(range(self.n_starts), key=losses.__getitem__)
        folder = None if self.checkpoint_dir is None else Path(self.checkpoint_dir)
        module = trained(best, self.max_epochs, folder)
        network = module.network
        self.network_ = network.eval().requires_grad_(False)
        self.history_ = module.history
        self.n_features_in_ = data[0].numel()
        self._shape = tuple(data.shape[1:])
        self._residual = self._measure_residual(train)
        self.__dict__.pop("_immersion", None)
        return self

    def _check(self, x: ArrayLike) -> Tensor:
        if not isinstance(self.latent, LatentSpace):
            raise TypeError(f"latent must be a LatentSpace, got {type(self.latent).__name__}.")
        shape = None if self.ambient_shape is None else (None, *self.ambient_shape)
        data = as_tensor(x, "x", shape=shape, allow_empty=False).detach().float()
        if data.dim() < 2:
            raise ValueError(f"x must have shape (N, ...), got {tuple(data.shape)}.")
        for name in ("max_epochs", "batch_size", "n_starts", "start_epochs"):
            integer(getattr(self, name), name, minimum=1)
        integer(self.warmup, "warmup", minimum=0)
        if self.patience is not None:
            integer(self.patience, "patience", minimum=1)
            fraction = positive(self.validation_fraction, "validation_fraction")
            if fraction >= 1 or len(data) < 2:
                raise ValueError(
                    f"validation_fraction must leave data to train on, got {fraction} of {len(data)}."
                )
        positive(self.learning_rate, "learning_rate")
        non_negative(self.continuity_weight, "continuity_weight")
        non_negative(self.equivariance_weight, "equivariance_weight")
        non_negative(self.guide_weight, "guide_weight")
        if self.random_state is not None:
            integer(self.random_state, "random_state", minimum=0)
        if self.likelihood not in ("gaussian", "bernoulli"):
            raise ValueError(
                f"likelihood must be 'gaussian' or 'bernoulli', got {self.likelihood!r}."
            )
        if self.noise_std is not None:
            positive(self.noise_std, "noise_std")
            if self.likelihood == "bernoulli":
                raise ValueError("noise_std is of a Gaussian likelihood; Bernoulli has none.")
        if self.likelihood == "bernoulli" and not bool(((data >= 0) & (data <= 1)).all()):
            raise ValueError(
                f"x must be in [0, 1] for a Bernoulli likelihood, got values from "
                f"{float(data.min()):.3g} to {float(data.max()):.3g}."
            )
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError("binarize needs likelihood='bernoulli'.")
        for width in self.hidden:
            integer(width, "hidden", minimum=1)
        for name in ("encoder", "decoder"):
            module = getattr(self, name)
            if not isinstance(module, nn.Module | None):
                raise TypeError(f"{name} must be a torch module, got {type(module).__name__}.")
        if not (self.action is None or callable(self.action)):
            raise TypeError(f"action must be callable, got {type(self.action).__name__}.")
        return data

    def _check_guides(self, y: ArrayLike, count: int) -> Tensor:
        given = to_tensor(y, "y").float()
        unknown = given.isnan()
        guides = as_tensor(given.masked_fill(unknown, 0), "y", shape=(count, *self.latent.shape))
        known = ~unknown.flatten(1).any(1)
        guides[~known] = torch.nan
        gap = (self.latent.project(guides[known]) - guides[known]).abs()
        if gap.numel() and float(gap.max()) > 1e-3:
            raise ValueError(
                f"y must be points of {self.latent!r} or rows of NaN, got points off by up to "
                f"{float(gap.max()):.3g}."
            )
        return guides

    def _new_network(
        self, shape: tuple[int, ...], train: Tensor, seed: int, anew: bool
    ) -> VAENetwork:
        latent = self.latent
        with seeded(seed):
            encoder = copy.deepcopy(self.encoder) or default_encoder(
                shape, latent.n_parameters, tuple(self.hidden)
            )
            decoder = copy.deepcopy(self.decoder) or default_decoder(
                latent.n_ambient, shape, tuple(self.hidden)
            )
            for given, module in ((self.encoder, encoder), (self.decoder, decoder)):
                if anew and given is not None:
                    module.apply(_reset)
        noise = self.noise_std
        if noise is None and self.likelihood == "gaussian":
            noise = max(1e-6, float((train - train.mean(0)).square().mean().sqrt()))
        network = VAENetwork(latent, encoder, decoder, noise, self.noise_std is None)
        with torch.no_grad():
            out = encoder(train[:2])
            if out.shape != (min(2, len(train)), latent.n_parameters):
                raise ValueError(
                    f"encoder must give {latent.n_parameters} numbers a point for {latent!r}, "
                    f"got shape {tuple(out.shape)} for {min(2, len(train))} points."
                )
            back = decoder(train.new_zeros(2, latent.n_ambient))
            if back.shape[0] != 2 or back[0].numel() != math.prod(shape):
                raise ValueError(
                    f"decoder must give points of shape {shape}, got {tuple(back.shape)} for two."
                )
        return network

    @torch.no_grad()
    def _measure_residual(self, x: Tensor) -> float:
        few = x[:4096]
        z = self.transform(few)
        miss = (self.decode(z) - few).flatten(1).square().sum(-1).mean()
        n_normal = max(1, few[0].numel() - self.latent.dim)
        return max(1e-9, float((miss / n_normal).sqrt()))

    @property
    def immersion_(self) -> Immersion:
        """The image of the latent space under the decoder: a manifold like any atlas.

        Raises
        ------
        TypeError
            If the latent space has no local parametrization.
        """
        network = self._fitted()
        if not hasattr(self, "_immersion"):
            decoder = network.decoder
            if network.bernoulli:
                parts = decoder if isinstance(decoder, nn.Sequential) else (decoder,)
                decoder = nn.Sequential(*parts, nn.Sigmoid())
            self._immersion = Immersion(
                self.latent, decoder, _Mode(network), self._shape, self._residual
            )
        return self._immersion

    def posterior(self, x: ArrayLike) -> Distribution:
        """q(z | x) of data (N, *ambient_shape), of batch shape (N,)."""
        with torch.no_grad():
            return self._fitted().posterior(self._data(x))

    def transform(self, x: ArrayLike) -> Tensor:
        """Modes of the posteriors of data (N, *ambient_shape), (N, *latent.shape)."""
        return self.posterior(x).mode

    def decode(self, z: ArrayLike) -> Tensor:
        """Mean data (N, *ambient_shape) of latent points (N, *latent.shape)."""
        network = self._fitted()
        points = as_tensor(z, "z", shape=(None, *self.latent.shape)).float()
        with torch.no_grad():
            out = network.decoder(points.flatten(1)).unflatten(0, (len(points),))
        out = out.reshape(len(points), *self._shape)
        return out.sigmoid() if network.bernoulli else out

    inverse_transform = decode

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """Points (n, *ambient_shape) of the learned manifold: decoded draws from the prior."""
        count = integer(n, "n", minimum=1)
        with seeded(seed):
            z = self.latent.prior().sample((count,))
        return self.decode(z)

    def interpolate(self, start: ArrayLike, end: ArrayLike, n: int = 10) -> Tensor:
        """Data (n, N, *ambient_shape) along the latent geodesics between data (N, *ambient_shape)."""
        count = integer(n, "n", minimum=2)
        first, last = self.transform(start), self.transform(end)
        if len(first) != len(last):
            raise ValueError(
                f"start and end must be as many points, got {len(first)} and {len(last)}."
            )
        z = self.latent.geodesic(first, last, torch.linspace(0, 1, count))
        return self.decode(z.flatten(0, 1)).unflatten(0, (count, len(first)))

    def elbo(self, x: ArrayLike, n: int = 1, seed: int | None = None) -> Tensor:
        """Evidence lower bound (N,) in nats of data (N, *ambient_shape), a mean over n draws."""
        network, data = self._fitted(), self._data(x)
        count = integer(n, "n", minimum=1)
        parts = []
        with torch.no_grad(), seeded(seed):
            for part in data.split(1024):
                total = torch.zeros(len(part))
                for _ in range(count):
                    likelihood, divergence, _ = network.bound(part)
                    total += likelihood - divergence
                parts.append(total / count)
        return torch.cat(parts)

    def log_likelihood(self, x: ArrayLike, n: int = 500, seed: int | None = None) -> Tensor:
        """Importance-weighted bound of log p(x), (N,) in nats, from n draws of the posterior.

        log (1/n) sum_i p(x | z_i) p(z_i) / q(z_i | x); it rises to log p(x) as n grows.

        References
        ----------
        Burda, Grosse, Salakhutdinov, Importance weighted autoencoders, 2016, eq. 8.
        """
        network, data = self._fitted(), self._data(x)
        count = integer(n, "n", minimum=1)
        parts = []
        with torch.no_grad(), seeded(seed):
            for part in data.split(max(1, _DRAWS // count)):
                posterior = network.posterior(part)
                z = posterior.sample((count,))
                ratio = self.latent.log_ratio(posterior, z)
                parts.append(torch.logsumexp(network.log_likelihood(part, z) + ratio, 0))
        return torch.cat(parts) - math.log(count)

    def exact_log_likelihood(self, x: ArrayLike, n_nodes: int = 1000) -> Tensor:
        """Log p(x), (N,) in nats, by quadrature over a latent space of one or two dimensions.

        See `learnedmanifolds.latent.exact_log_likelihood`; double ``n_nodes`` to see whether they
        suffice.

        Raises
        ------
        TypeError, ValueError
            If there is no quadrature rule for the latent space, or an argument is out of range.
        """
        network, data = self._fitted(), self._data(x)

        def density(part: Tensor, z: Tensor) -> Tensor:
            return network.log_likelihood(part, z.unsqueeze(1)).T

        return exact_log_likelihood(density, data, self.latent, n_nodes)

    def score(self, x: ArrayLike, y: object = None) -> float:
        """Mean `log_likelihood` in nats from 100 draws with a fixed seed; larger is better."""
        return float(self.log_likelihood(x, 100, seed=0).mean())

    def _data(self, x: ArrayLike) -> Tensor:
        return as_tensor(x, "x", shape=(None, *self._shape)).float()

    def _fitted(self) -> VAENetwork:
        if not hasattr(self, "network_"):
            raise NotFittedError("This ManifoldVAE is not fitted; call fit(x) first.")
        network: VAENetwork = self.network_
        return network


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


class _Mode(nn.Module):
    """The mode of the posterior of data, as a module."""

    def __init__(self, network: VAENetwork) -> None:
        super().__init__()
        self.encoder, self._latent = network.encoder, network.latent

    def forward(self, x: Tensor) -> Tensor:
        """Latent points (N, *latent.shape)."""
        mode: Tensor = self._latent.posterior(self.encoder(x)).mode
        return mode
