"""The latent-space protocol: a manifold with a uniform prior and a family of posteriors."""

from __future__ import annotations

import abc
import math
from typing import Any

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from learnedmanifolds.charts.base import Charts


class LatentSpace(abc.ABC):
    """A manifold Z in R^m whose points are the latent variables of a `ManifoldVAE`.

    A subclass gives the prior, the posterior of an encoder's raw outputs, geodesics and, where its
    geometry is to be used, `charts`. Points are tensors (..., *shape).

    Parameters
    ----------
    dim : int
        Dimension d of Z.
    shape : tuple of int
        Shape of one point; m is the product.
    n_parameters : int
        Real numbers that an encoder gives for one posterior, unconstrained.
    """

    def __init__(self, dim: int, shape: tuple[int, ...], n_parameters: int) -> None:
        self.dim, self.shape, self.n_parameters = dim, shape, n_parameters

    @property
    def n_ambient(self) -> int:
        """Number m of entries of one point."""
        return math.prod(self.shape)

    @property
    @abc.abstractmethod
    def space(self) -> Any:
        """The same manifold in geomstats (imported when asked for)."""

    @abc.abstractmethod
    def prior(self) -> Distribution:
        """The prior, of event shape `shape` and empty batch shape.

        It may draw in torch's default dtype: seeded methods of the library draw in float32 from it.
        """

    @abc.abstractmethod
    def posterior(self, parameters: Tensor) -> Distribution:
        """The posterior of an encoder's outputs (..., n_parameters): batch shape (...).

        Its `mode` is a point of Z, (..., *shape), and depends smoothly on the outputs where the
        topology of Z allows it.
        """

    @abc.abstractmethod
    def project(self, z: Tensor) -> Tensor:
        """Nearest points of Z of ambient points (..., *shape)."""

    @abc.abstractmethod
    def geodesic(self, start: Tensor, end: Tensor, t: Tensor) -> Tensor:
        """Points (T, ..., *shape) at times t (T,) of shortest curves between points (..., *shape)."""

    def charts(self) -> Charts:
        """Charts of Z whose boxes cover it, with points flattened to R^m.

        Raises
        ------
        TypeError
            If the latent space has no local parametrization.
        """
        raise TypeError(
            f"{type(self).__name__} has no local parametrization, so there is no geometry on it; "
            f"a latent space with charts() is needed."
        )

    def divergence(self, posterior: Distribution, z: Tensor) -> Tensor:
        """KL(posterior | prior) in nats, (...): exact where it is known, else at the draws z."""
        try:
            return kl_divergence(posterior, self.prior())
        except NotImplementedError:
            return posterior.log_prob(z) - self.prior().log_prob(z)

    def log_ratio(self, posterior: Distribution, z: Tensor) -> Tensor:
        """Log p(z) - log q(z) in nats, (...), at draws z of a posterior: importance weights."""
        return self.prior().log_prob(z) - posterior.log_prob(z)
