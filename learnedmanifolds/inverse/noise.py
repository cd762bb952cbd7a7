"""Noise of observations: samples, likelihoods and information."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, generator, positive

__all__ = ["GaussianNoise", "NoiseModel", "PoissonNoise"]


class NoiseModel(abc.ABC):
    """Distribution of an observation y around the prediction F(x), independent in every entry."""

    @abc.abstractmethod
    def sample(self, clean: ArrayLike, seed: int | None = None) -> Tensor:
        """A noisy observation, of the shape and dtype of the clean one.

        Raises
        ------
        TypeError, ValueError
            If ``clean`` is not an array of what this noise allows, or the seed no seed.
        """

    @abc.abstractmethod
    def negative_log_likelihood(self, predicted: Tensor, observed: Tensor) -> Tensor:
        """-log p(y | F(x)) in nats, up to a constant that does not depend on F(x), (N,).

        It is 0 where prediction and observation are equal, and its minimum in F(x).

        Parameters
        ----------
        predicted : Tensor, shape (N, *observation shape)
        observed : Tensor, shape (N, *observation shape) or (*observation shape)
        """

    @abc.abstractmethod
    def root_information(self, predicted: Tensor) -> Tensor:
        """Square roots of Fisher's information of the prediction, which is diagonal.

        With W for their squares, J^T W J is the Gauss-Newton part of the Hessian of
        `negative_log_likelihood`, J the derivative of F.

        Parameters
        ----------
        predicted : Tensor, of any shape
        """

    @abc.abstractmethod
    def check(self, observed: Tensor) -> None:
        """Raise `ValueError` if this noise cannot give the observation."""


@dataclass(frozen=True)
class GaussianNoise(NoiseModel):
    """y = F(x) + std * n, n standard normal.

    The negative log-likelihood is |F(x) - y|^2 / (2 std^2), plus log(std sqrt(2 pi)) for every
    entry of y, which is left out.

    Parameters
    ----------
    std : float
        In the units of the observation.

    Raises
    ------
    TypeError, ValueError
        If it is not a positive number.
    """

    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", positive(self.std, "std"))

    def sample(self, clean: ArrayLike, seed: int | None = None) -> Tensor:
        """See `NoiseModel.sample`."""
        mean = _floating(clean)
        source = generator(seed, device=mean.device)
        noise = torch.randn(mean.shape, generator=source, dtype=mean.dtype, device=mean.device)
        return mean + self.std * noise

    def negative_log_likelihood(self, predicted: Tensor, observed: Tensor) -> Tensor:
        """See `NoiseModel.negative_log_likelihood`."""
        return 0.5 * _sum((predicted - observed).square()) / self.std**2

    def root_information(self, predicted: Tensor) -> Tensor:
        """1 / std."""
        return torch.full_like(predicted, 1 / self.std)

    def check(self, observed: Tensor) -> None:
        """Any observation is possible."""


@dataclass(frozen=True)
class PoissonNoise(NoiseModel):
    """gain * y is a Poisson number of mean gain * F(x): counted photons, in the units of F.

    y has mean F(x) and variance F(x) / gain. With k = gain * y and m = gain * F(x) the negative
    log-likelihood is k log(k / m) + m - k, half the deviance, plus log(k!) - k log(k) + k for
    every entry, which is left out. It is infinite where the prediction is negative, or zero under
    a positive observation.

    Parameters
    ----------
    gain : float
        Counts per unit of the observation.

    Raises
    ------
    TypeError, ValueError
        If it is not a positive number.
    """

    gain: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", positive(self.gain, "gain"))

    def sample(self, clean: ArrayLike, seed: int | None = None) -> Tensor:
        """See `NoiseModel.sample`."""
        mean = _floating(clean)
        _require_non_negative(mean, "clean")
        source = generator(seed, device=mean.device)
        return torch.poisson(self.gain * mean, generator=source) / self.gain

    def negative_log_likelihood(self, predicted: Tensor, observed: Tensor) -> Tensor:
        """See `NoiseModel.negative_log_likelihood`."""
        # Logarithms are taken of 1 where the formula has no use for them, so that the derivatives
        # there are numbers.
        counted, impossible = observed > 0, predicted <= 0
        y = torch.where(counted, observed, 1.0)
        mean = torch.where(impossible, 1.0, predicted)
        terms = predicted - torch.where(counted, y + y * (mean.log() - y.log()), 0.0)
        excluded = (predicted < 0) | (counted & impossible)
        return self.gain * _sum(torch.where(excluded, torch.inf, terms))

    def root_information(self, predicted: Tensor) -> Tensor:
        """(gain / F(x))^(1/2); 0 where nothing is predicted, and the cost has no curvature."""
        impossible = predicted <= 0
        mean = torch.where(impossible, 1.0, predicted)
        return torch.where(impossible, 0.0, (self.gain / mean).sqrt())

    def check(self, observed: Tensor) -> None:
        """Counts are not negative."""
        _require_non_negative(observed, "observation")


def _floating(clean: ArrayLike) -> Tensor:
    values = as_tensor(clean, "clean").detach()
    return values if values.is_floating_point() else values.to(torch.float64)


def _require_non_negative(values: Tensor, name: str) -> None:
    if values.numel() and float(values.min()) < 0:
        raise ValueError(
            f"{name} must be non-negative under Poisson noise, got values down to "
            f"{float(values.min()):g}."
        )


def _sum(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(1) if terms.ndim > 1 else terms
