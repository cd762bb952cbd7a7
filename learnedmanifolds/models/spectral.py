"""Where to begin: latent points of data from the eigenfunctions of their neighbour graph."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components, laplacian
from scipy.sparse.linalg import eigsh
from sklearn.neighbors import kneighbors_graph
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds._random import seeded
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.training.units import Units

_MOST_POINTS = 10_000
_FEWEST_NEIGHBOURS, _NEIGHBOURS = 3, 8
_PRIOR_DRAWS = 4096

# Functions beyond the m coordinates of Z: on a space with an uneven metric others come in between.
_MORE = (0, 1 / 3, 2 / 3)
# What a mean energy of the first eigenfunction's counts against a misfit of the whole spread of Z: a
# circle is not to be wound around twice where once is nearly as good.
_ROUGHNESS = 0.02

# Maps that are tried on a few points, and those that are refined on more.
_STARTS, _FEW = 8, 400
_REFINED, _MANY = 2, 2000
_ITERATIONS = 100
_SHIFT = -1e-5


def spectral_points(x: ArrayLike, latent: LatentSpace, random_state: int = 0) -> Tensor:
    """Points of a latent space Z for data, unsupervised: neighbours in the data are neighbours in Z.

    Where the data are a manifold like Z, the coordinates of Z, as functions on the data, are nearly
    combinations of the first eigenfunctions of the Laplacian of the graph of nearest neighbours. The
    combination is the one whose values lie nearest to Z among those that have the covariance of its
    prior, found by alternating projections from several random starts; smooth ones are preferred. On a
    Euclidean space it is the Laplacian eigenmap itself. Z is found up to its symmetries; where the
    data are no such manifold, the points are only some map to Z. Where two sheets of the data come closer
    than neighbours in one, they are taken as one: a body that looks the same from behind goes twice
    around a circle.

    Parameters
    ----------
    x : array, shape (N, *ambient_shape)
        At most 10,000 of them, drawn at random, are used.
    latent : LatentSpace
        Of m coordinates.
    random_state : int

    Returns
    -------
    Tensor, shape (N, *latent.shape), float32
        Rows of NaN for data that were not used.

    Raises
    ------
    TypeError, ValueError
        If there are not more data than 2 m + 2, or an argument has the wrong type.

    References
    ----------
    Belkin, Niyogi, Laplacian eigenmaps, 2003. Giannakis, Schwander, Ourmazd, The symmetries of image
    formation by scattering, 2012 (rotations from the first nine eigenfunctions of pictures).
    """
    if not isinstance(latent, LatentSpace):
        raise TypeError(f"latent must be a LatentSpace, got {type(latent).__name__}.")
    data = as_tensor(x, "x", allow_empty=False).detach()
    # Some searches for neighbours square distances from the origin.
    data = Units.of(data).remove(data, torch.float64).flatten(1)
    seed = integer(random_state, "random_state", minimum=0)
    counts = [latent.n_ambient + math.ceil(more * latent.n_ambient) for more in _MORE]
    if len(data) <= counts[-1] + 2:
        raise ValueError(
            f"x must hold more than {counts[-1] + 2} points for {latent!r}, got {len(data)}."
        )
    with seeded(seed):
        used = torch.randperm(len(data))[:_MOST_POINTS]
        functions, energies = _eigenfunctions(data[used].cpu().numpy(), counts[-1])
        target = _Target(latent)
        tried = [target.fit(functions[:, :k], energies[:k]) for k in counts]
    _, best = min(tried, key=lambda pair: pair[0])
    points = torch.full((len(data), *latent.shape), torch.nan, dtype=torch.float32)
    z = target.nearest(best, functions[:, : len(best)])
    points[used] = z.float().unflatten(-1, latent.shape)
    return points


def _eigenfunctions(x: np.ndarray, count: int) -> tuple[Tensor, Tensor]:
    """First functions of the graph's Laplacian (N, count), of mean 0 and mean square 1; eigenvalues."""
    near = min(_NEIGHBOURS, max(_FEWEST_NEIGHBOURS, len(x) // 20))
    while True:
        graph = kneighbors_graph(x, near)
        graph = 0.5 * (graph + graph.T)
        if connected_components(graph, directed=False)[0] == 1:
            break
        near = min(2 * near, len(x) - 1)
    matrix, root = laplacian(graph, normed=True, return_diag=True)
    start = np.random.default_rng(0).standard_normal(len(x))
    values, vectors = eigsh(matrix.tocsc(), count + 1, sigma=_SHIFT, v0=start)
    order = values.argsort()[1:]
    functions = vectors[:, order] / root[:, None]
    functions -= functions.mean(0)
    basis, upper = np.linalg.qr(functions)
    basis *= np.sign(np.diagonal(upper))
    return torch.from_numpy(math.sqrt(len(x)) * basis), torch.from_numpy(values[order])


class _Target:
    """Z as the target of linear maps A (..., K, m) of eigenfunctions phi (N, K)."""

    def __init__(self, latent: LatentSpace) -> None:
        z = latent.prior().sample((_PRIOR_DRAWS,)).flatten(1).double()
        self.latent, self.m = latent, z.shape[1]
        self.mean, self.spread = z.mean(0), float(z.var(0).sum())
        values, vectors = torch.linalg.eigh(torch.cov(z.mT).reshape(self.m, self.m))
        self._root = (vectors * values.clamp(min=0).sqrt()) @ vectors.mT

    def _whitened(self, maps: Tensor) -> Tensor:
        """The nearest maps for which phi A has the covariance of the prior."""
        left, _, right = torch.linalg.svd(maps, full_matrices=False)
        return left @ right @ self._root

    def nearest(self, maps: Tensor, phi: Tensor) -> Tensor:
        """Points (..., N, m) of Z nearest to the mapped functions."""
        y = phi @ maps + self.mean
        return self.latent.project(y.unflatten(-1, self.latent.shape)).flatten(y.dim() - 1)

    def fit(self, phi: Tensor, energies: Tensor) -> tuple[float, Tensor]:
        """Score and map of the best of several starts, the first of them the identity."""
        count = phi.shape[1]
        few, many = (phi[torch.randperm(len(phi))[:size]] for size in (_FEW, _MANY))
        first = torch.eye(count, self.m, dtype=torch.float64).expand(1, count, self.m)
        drawn = torch.randn(_STARTS - 1, count, self.m, dtype=torch.float64)
        maps = self._improved(self._whitened(torch.cat([first, drawn])), few)
        maps = self._improved(maps[self._score(maps, few, energies).argsort()[:_REFINED]], many)
        scores = self._score(maps, many, energies)
        return float(scores.min()), maps[scores.argmin()]

    def _improved(self, maps: Tensor, phi: Tensor) -> Tensor:
        """Alternating projections onto Z and onto maps of the prior's covariance."""
        for _ in range(_ITERATIONS):
            maps = self._whitened(phi.mT @ (self.nearest(maps, phi) - self.mean) @ self._root)
        return maps

    def _score(self, maps: Tensor, phi: Tensor, energies: Tensor) -> Tensor:
        """Mean squared distance to Z and roughness, in shares of the spread of Z."""
        gap = phi @ maps + self.mean - self.nearest(maps, phi)
        roughness = (energies / energies[0]) @ maps.square().sum(-1).unsqueeze(-1)
        misfit = gap.square().sum(-1).mean(-1)
        return (misfit + _ROUGHNESS * roughness.squeeze(-1)) / self.spread
