"""Prior laws of one step in diffusion space: from neighbourhoods, or from the diffusion itself."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from learnedmanifolds.diffusion.graph import KernelGraph

# Entries of a block of neighbours' coordinates: tens of megabytes.
_BLOCK = 2**22
# Of the mean variance over all data: where duplicates have none of their own.
_LEAST = 1e-3


@dataclass(frozen=True, eq=False)
class StepLaw:
    """Gaussian laws N(mean, covariance) of the next point in diffusion space, float64.

    Attributes
    ----------
    mean : Tensor, shape (N, D)
    covariance : Tensor, shape (N, D, D)
        Positive definite.
    """

    mean: Tensor
    covariance: Tensor

    def inverse(self) -> tuple[Tensor, Tensor]:
        """Inverses (N, D, D) of the covariances, and logarithms (N,) of their determinants."""
        factor = torch.linalg.cholesky(self.covariance)
        log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return torch.cholesky_inverse(factor), log_det


class StepRule(abc.ABC):
    """Laws of the step from any point, a law to start from, and what they share.

    A covariance of less than full rank, such as that of neighbours on a manifold, has no density; a
    multiple of the identity is added to each, `_regularization` times the mean of its own diagonal, and
    a little of that of all.
    """

    _regularization: float
    _data: Tensor

    @property
    @abc.abstractmethod
    def start(self) -> Tensor:
        """Probabilities (N,) of the data as starts of walks."""

    @abc.abstractmethod
    def mean(self, psi: Tensor) -> Tensor:
        """Where the step from points with coordinates (M, D) leads on average, (M, D)."""

    @abc.abstractmethod
    def spread(self, x: Tensor | None, psi: Tensor) -> Tensor:
        """Covariances (M, D, D) without the floor, of new data (M, n), or of the data of fit."""

    def law(self, x: Tensor | None, psi: Tensor) -> StepLaw:
        """Laws from data (M, n) with coordinates psi (M, D); from the data of fit for x None."""
        spread = self.spread(x, psi)
        own = spread.diagonal(dim1=-2, dim2=-1).mean(-1)
        floor = self._regularization * (own + _LEAST * mean_variance(self._data))
        eye = torch.eye(psi.shape[1], dtype=spread.dtype)
        return StepLaw(self.mean(psi).double(), spread + floor.view(-1, 1, 1) * eye)


class NeighbourSteps(StepRule):
    """Steps N(psi(x), alpha Sigma*), Sigma* the covariance of the k nearest points.

    Sigma* is centred and divided by k; a data point is not its own neighbour. As the number of
    neighbours is fixed, steps are short where the data are dense: on a manifold of dimension d with
    density q, a walk of such steps has the stationary density q^(2/d).

    Parameters
    ----------
    psi : Tensor, shape (N, D)
    count : int
        k, less than N.
    alpha : float
    regularization : float
        What is added to the diagonal of a covariance, over its mean.

    References
    ----------
    Li, Lindenbaum, Cheng, Cloninger, ECCV 2020, section 4.
    """

    def __init__(self, psi: Tensor, count: int, alpha: float, regularization: float) -> None:
        self._psi, self._count, self._alpha = psi.double(), count, alpha
        self._search = NearestNeighbors().fit(self._psi.numpy())
        self._data = self._covariances(self._search.kneighbors(None, count)[1])
        self._regularization = regularization

    @property
    def start(self) -> Tensor:
        """See `StepRule.start`; all the same."""
        return torch.full((len(self._psi),), 1 / len(self._psi), dtype=torch.float64)

    def mean(self, psi: Tensor) -> Tensor:
        """See `StepRule.mean`."""
        return psi

    def spread(self, x: Tensor | None, psi: Tensor) -> Tensor:
        """See `StepRule.spread`."""
        if x is None:
            return self._data
        return self._covariances(self._search.kneighbors(psi.double().numpy(), self._count)[1])

    def _covariances(self, near: np.ndarray) -> Tensor:
        step = max(1, _BLOCK // (near.shape[1] * self._psi.shape[1]))
        parts = []
        for index in torch.from_numpy(near).split(step):
            centred = self._psi[index] - self._psi[index].mean(1, keepdim=True)
            parts.append(centred.mT @ centred / near.shape[1])
        return self._alpha * torch.cat(parts)


class DiffusionSteps(StepRule):
    """Steps with the mean and the covariance of psi after some steps of the walk P on the data.

    The mean is Lambda^steps psi(x), the coordinates being eigenfunctions of P, and it matters: short
    steps of mean psi(x) and the right covariance, carried back to the manifold, follow the
    connection of its image in diffusion space; Lambda psi(x) - psi(x) is the drift between that and the
    data's own. With both the walk's generator is that of P: for a diffusion map of alpha = 1 the
    Laplace-Beltrami operator, whatever the density of the data, and the stationary law is uniform.

    Parameters
    ----------
    graph : KernelGraph
        Of the N data points.
    center : ndarray, shape (n,)
        What is subtracted from data before they are compared with the graph's points.
    psi : Tensor, shape (N, D)
    eigenvalues : Tensor, shape (D,)
    steps : int
    regularization : float
        What is added to the diagonal of a covariance, over its mean.
    """

    def __init__(
        self,
        graph: KernelGraph,
        center: np.ndarray,
        psi: Tensor,
        eigenvalues: Tensor,
        steps: int,
        regularization: float,
    ) -> None:
        self._graph, self._center = graph, center
        self._decay = eigenvalues.double() ** steps
        values = psi.double().numpy()
        self._pairs = np.triu_indices(values.shape[1])
        row, column = self._pairs
        moments = np.hstack([values, values[:, row] * values[:, column]])
        for _ in range(steps):
            self._before = moments
            moments = (graph.weights @ moments) / graph.degree[:, None]
        self._data = self._covariances(moments)
        self._regularization = regularization

    @property
    def start(self) -> Tensor:
        """See `StepRule.start`; the stationary law of P."""
        return torch.from_numpy(self._graph.stationary)

    def mean(self, psi: Tensor) -> Tensor:
        """See `StepRule.mean`."""
        return psi * self._decay.to(psi)

    def spread(self, x: Tensor | None, psi: Tensor) -> Tensor:
        """See `StepRule.spread`."""
        if x is None:
            return self._data
        walk = self._graph.transition(x.double().numpy() - self._center)
        return self._covariances(walk @ self._before)

    def _covariances(self, moments: np.ndarray) -> Tensor:
        """Covariances (M, D, D) from first and second moments (M, D + D (D + 1) / 2)."""
        d = len(self._decay)
        first, second = torch.from_numpy(moments).split([d, moments.shape[1] - d], 1)
        row, column = self._pairs
        out = first.new_empty(len(first), d, d)
        out[:, row, column] = out[:, column, row] = second - first[:, row] * first[:, column]
        return out


def mean_variance(covariances: Tensor) -> float:
    """Mean of the diagonals of (N, D, D)."""
    return float(covariances.diagonal(dim1=-2, dim2=-1).mean())


def nearest_other(z: Tensor, psi: Tensor, own: Tensor | None = None) -> Tensor:
    """Indices (M,) of the points psi (N, D) nearest to z (M, D), but not a row's own index."""
    # Squared distances less |z|^2, by one product.
    gap = torch.addmm(psi.square().sum(-1), z, psi.T, alpha=-2)
    if own is not None:
        gap[torch.arange(len(z), device=z.device), own] = torch.inf
    return gap.argmin(-1)


def log_likelihood(miss: Tensor, noise_std: float) -> Tensor:
    """Log density (M,), in nats, of differences (M, n) under N(0, noise_std^2 I)."""
    constant = miss.shape[-1] * (math.log(noise_std) + 0.5 * math.log(2 * math.pi))
    return -0.5 * (miss / noise_std).square().sum(-1) - constant
