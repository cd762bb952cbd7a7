"""What a trained variational diffusion autoencoder computes."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Self

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, generator, integer
from learnedmanifolds.diffusion import DiffusionMap, SpectralNet
from learnedmanifolds.models.diffusion_vae_immersion import DiffusionImmersion
from learnedmanifolds.models.diffusion_vae_network import DiffusionVAENetwork
from learnedmanifolds.models.diffusion_vae_steps import StepRule, log_likelihood, nearest_other
from learnedmanifolds.training.frames import Framed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PART = 4096
"""Points that are evaluated in one call."""


class FittedDiffusionVAE(Framed, BaseEstimator, abc.ABC):
    """Coordinates, images, walks, samples and bounds of a trained network on a diffusion map."""

    dim: int | None
    diffusion_: DiffusionMap | SpectralNet
    network_: DiffusionVAENetwork
    history_: dict[str, Any]
    noise_std_: float
    scale_: float

    @abc.abstractmethod
    def fit(self, x: ArrayLike, y: object = None) -> Self:
        """Learn from data (N, *ambient_shape)."""

    def _keep(self, network: DiffusionVAENetwork, x: Tensor, psi: Tensor, rule: StepRule) -> None:
        """Take a network that was trained on these data."""
        self.network_ = network.eval().requires_grad_(False)
        self.n_features_in_ = x[0].numel()
        self._x, self._psi, self._rule = x, psi, rule
        self._immersion: DiffusionImmersion | None = None

    def transform(self, x: ArrayLike) -> Tensor:
        """Diffusion coordinates psi(x) of data (M, *ambient_shape), (M, D), times `scale_`.

        After ``set_output(transform="pandas")`` a DataFrame of M rows.
        """
        psi: Tensor = self._as_asked(self._coordinates(x), x)
        return psi

    def _coordinates(self, x: ArrayLike) -> Tensor:
        # At full precision: a place far from the origin is rounded in float32.
        data = self._data(x, torch.float64)
        return (self.scale_ * self.diffusion_.coordinates(data)).to(self._psi)

    @property
    def _n_outputs(self) -> int:
        return self._psi.shape[1]

    def decode(self, z: ArrayLike) -> Tensor:
        """Mean data (M, *ambient_shape) of points (M, D) of diffusion space."""
        check_is_fitted(self, "network_")
        points = as_tensor(z, "z", shape=(None, self._psi.shape[1])).to(self._psi)
        return self._decode(points)

    inverse_transform = decode

    def random_walk(
        self, x: ArrayLike, steps: int = 10, *, seed: int | None = None, noise: bool = False
    ) -> Tensor:
        """Walks from data, all at once: x_{t+1} = decoder(z'), z' drawn from q(z' | x_t).

        Parameters
        ----------
        x : array, shape (M, *ambient_shape)
            Starts.
        steps : int
        seed : int, optional
        noise : bool
            Whether the noise of the likelihood is added to every decoded point.

        Returns
        -------
        Tensor, shape (steps + 1, M, *ambient_shape)
            The starts first.
        """
        at = self._data(x).detach()
        count = integer(steps, "steps", minimum=0)
        source = generator(seed)
        path = [at]
        for _ in range(count):
            at = self._decode(self._draw(self._coordinates(at), source))
            if noise:
                kick = torch.randn(at.shape, generator=source, dtype=torch.float32).to(at)
                at = at + self.noise_std_ * kick
            path.append(at)
        return torch.stack(path)

    def sample(
        self,
        n: int,
        seed: int | None = None,
        *,
        steps: int = 10,
        near: ArrayLike | None = None,
        noise: bool = False,
    ) -> Tensor:
        """Ends of random walks, (n, *ambient_shape).

        Parameters
        ----------
        n : int
        seed : int, optional
        steps : int
            Of each walk; at least 1, so that no sample is a data point.
        near : array, shape (M, *ambient_shape) or *ambient_shape, optional
            Where walks start: samples like these few points, the more so the fewer the steps. By
            default at data points; drawn evenly, and for ``step="diffusion"`` by the stationary law
            of the diffusion.
        noise : bool
            See `random_walk`.
        """
        check_is_fitted(self, "network_")
        count, length = integer(n, "n", minimum=1), integer(steps, "steps", minimum=1)
        source = generator(seed)
        if near is None:
            starts, share = self._x, self._rule.start
        else:
            self._check_names(near, "near")
            given = as_tensor(near, "near", allow_empty=False)
            if given.shape == self._x.shape[1:]:
                given = given.unsqueeze(0)
            starts = as_tensor(given, "near", shape=(None, *self._x.shape[1:])).to(self._x)
            share = torch.ones(len(starts), dtype=torch.float64)
        pick = torch.multinomial(share, count, replacement=True, generator=source)
        further = int(torch.randint(2**62, (), generator=source))
        return self.random_walk(starts[pick], length, seed=further, noise=noise)[-1]

    def covariance(self, x: ArrayLike) -> Tensor:
        """C(x) of the step from data (M, *ambient_shape), (M, D, D), in squared units of psi."""
        with torch.no_grad():
            psi = self._coordinates(x)
            return self.network_.step(psi).covariance

    @torch.no_grad()
    def elbo(self, x: ArrayLike, n: int = 1, seed: int | None = None) -> Tensor:
        """E_q[log p(x' | z')] - KL(q || p) of data (M, *ambient_shape), (M,) nats, from n draws.

        x' is the data point of `fit` nearest to z', and the likelihood's noise is `noise_std_`.
        """
        data = self._data(x)
        count, source = integer(n, "n", minimum=1), generator(seed)
        parts = []
        for part in data.split(_PART):
            psi = self._coordinates(part)
            precision, log_det = self._rule.law(part.flatten(1), psi).inverse()
            divergence = self.network_.step(psi).divergence(precision.to(psi), log_det.to(psi))
            fit = psi.new_zeros(len(part))
            for _ in range(count):
                z = self._draw(psi, source)
                target = self._x[nearest_other(z, self._psi)]
                miss = (self._decode(z) - target).flatten(1)
                fit += log_likelihood(miss, self.noise_std_) / count
            parts.append(fit - divergence)
        return torch.cat(parts) if parts else data.new_zeros(0)

    def score(self, x: ArrayLike, y: object = None) -> float:
        """Mean `elbo` in nats from 10 draws with a fixed seed; larger is better."""
        return float(self.elbo(x, 10, seed=0).mean())

    @property
    def immersion_(self) -> DiffusionImmersion:
        """The decoder on the diffusion embedding as a manifold of dimension `dim_`.

        Charts have diffusion coordinates as coordinates, see `DiffusionImmersion`; made when first
        asked for.
        """
        check_is_fitted(self, "network_")
        if self._immersion is None:
            self._immersion = DiffusionImmersion(
                self._psi, self._x, self.network_.decoder, self.dim_
            )
        return self._immersion

    @property
    def dim_(self) -> int:
        """Dimension of `immersion_`: ``dim``, or what the diffusion map sees, at least 1."""
        check_is_fitted(self, "network_")
        if self.dim is not None:
            return int(self.dim)
        seen = round(self.diffusion_.dimension_)
        return min(max(1, seen), self._psi.shape[1], self.n_features_in_)

    def plot(self, n_walkers: int = 5, steps: int = 10, seed: int | None = 0) -> Figure:
        """Random walks over the data, in diffusion space, and the history of the training."""
        from learnedmanifolds.models.diffusion_vae_figures import draw

        check_is_fitted(self, "network_")
        count = integer(n_walkers, "n_walkers", minimum=1)
        source = generator(seed)
        pick = torch.multinomial(self._rule.start, count, replacement=True, generator=source)
        further = int(torch.randint(2**62, (), generator=source))
        walks = self.random_walk(self._x[pick], steps, seed=further)
        psi = self._coordinates(walks.flatten(0, 1)).unflatten(0, walks.shape[:2])
        return draw(
            self._x.flatten(1).numpy(),
            walks.flatten(2).numpy(),
            self._psi.numpy(),
            psi.numpy(),
            self.history_,
        )

    @torch.no_grad()
    def _draw(self, psi: Tensor, source: torch.Generator) -> Tensor:
        """Points z' of q(z' | x) for x with coordinates (M, D)."""
        noise = torch.randn(psi.shape, generator=source, dtype=torch.float32).to(psi)
        return self._rule.mean(psi) + self.network_.step(psi).draw(noise)

    @torch.no_grad()
    def _decode(self, z: Tensor) -> Tensor:
        shape = tuple(self._x.shape[1:])
        parts = [self.network_.decoder(part).reshape(-1, *shape) for part in z.split(_PART)]
        return torch.cat(parts)

    def _data(self, x: ArrayLike, dtype: torch.dtype | None = None) -> Tensor:
        """Checked data in that dtype; in the one of the data of `fit` without."""
        check_is_fitted(self, "network_")
        self._check_names(x)
        data = as_tensor(x, "x", shape=(None, *self._x.shape[1:])).detach()
        return data.to(dtype or self._x.dtype)
