"""An atlas of kernel charts: from points alone, in seconds."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive
from learnedmanifolds._grad import differentiable
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.learning.cells import Cover
from learnedmanifolds.learning.chart_fits import ChartFits, fit_cover
from learnedmanifolds.learning.nodes import make_nodes
from learnedmanifolds.learning.principal import Principal
from learnedmanifolds.models.atlas_estimator import AtlasEstimator
from learnedmanifolds.training.seeds import start_seeds
from learnedmanifolds.training.units import Units

# Nodes that cells are made of, and neighbours of each, by the dimension.
_NODES = {1: 400, 2: 800, 3: 1500}
_NEIGHBORS = {1: 6, 2: 12, 3: 16}
# Components of fewer nodes than this times (d + 2) are left out.
_FEWEST = 2
# How far data may be off, in units of what nearly all are.
_TOLERANCE, _NEARLY_ALL = 1.5, 0.999
_LEAST_NOISE = 1e-6


class KernelAtlas(AtlasEstimator, BaseEstimator):
    """Learn a data manifold of dimension one to three as an atlas of kernel charts, in seconds.

    Data are covered by overlapping cells that are discs along them. Each gets coordinates (Isomap's),
    and a kernel regression from the coordinates to the points, fitted in turn with the coordinates
    while its smoothness goes from strong to what generalised cross-validation chooses. A chart that is
    folded or leaves more than the noise is split.

    Parameters
    ----------
    dim : int
        d, from 1 to 3.
    noise_std : float, optional
        Standard deviation of the data around the manifold, in the units of the data; by default what
        the charts leave.
    random_state : int, optional
        Of the choice of nodes among many points; the same seed gives the same atlas.

    Attributes
    ----------
    atlas_ : Atlas
        The learned manifold, float64.
    quality_ : Quality
        Its figures on (at most 4,096 of) the data.
    dim_, n_charts_ : int
    n_features_in_ : int

    References
    ----------
    Smola, Mika, Schoelkopf, Williamson, JMLR 1, 2001 (regularised principal manifolds); Rasmussen,
    Williams, Gaussian Processes for Machine Learning, 2006.
    """

    def __init__(
        self, dim: int = 1, noise_std: float | None = None, random_state: int | None = None
    ) -> None:
        self.dim = dim
        self.noise_std = noise_std
        self.random_state = random_state

    @differentiable()
    def fit(self, x: ArrayLike, y: object = None) -> Self:
        """Learn the atlas of points x, (N, ...); y is ignored.

        Raises
        ------
        TypeError, ValueError
            If x is not a finite array of points, has too few that lie together, or a parameter is out
            of range.
        """
        data = as_tensor(x, "x", allow_empty=False).detach()
        if data.dim() < 2:
            raise ValueError(f"x must have shape (N, ...), got {tuple(data.shape)}.")
        dim, n_features = integer(self.dim, "dim", minimum=1), data[0].numel()
        if dim > min(max(_NODES), n_features):
            raise ValueError(
                f"dim must be at most {max(_NODES)} and the number of features {n_features}, got {dim}."
            )
        if self.noise_std is not None:
            positive(self.noise_std, "noise_std")
        self._take_names(x)
        (seed,) = start_seeds(self.random_state, 1)
        units = Units.of(data)
        flat = units.remove(data, torch.float64).flatten(1)
        principal = Principal.of(flat, seed)
        noise = None if self.noise_std is None else float(self.noise_std) / units.scale
        fits = self._fits(principal.coordinates(flat), dim, noise, seed)
        self.atlas_ = self._atlas(fits, flat, principal, units)
        self.dim_, self.n_charts_ = dim, self.atlas_.n_charts
        self.n_features_in_ = flat.shape[1]
        self.quality_ = self.atlas_.quality(data[:4096])
        return self

    def _fits(self, x: Tensor, dim: int, noise: float | None, seed: int) -> ChartFits:
        nodes = make_nodes(x.numpy(), _NODES[dim], _NEIGHBORS[dim], seed)
        share = np.bincount(nodes.component)
        kept = np.flatnonzero(share >= _FEWEST * (dim + 2))
        covers = [Cover(nodes, int(component), dim) for component in kept]
        if not covers:
            raise ValueError(
                f"x must have a part of at least {_FEWEST * (dim + 2)} different points that lie "
                f"together, got {len(x)} points."
            )
        return fit_cover(covers, nodes, x, noise)

    def _atlas(self, fits: ChartFits, x: Tensor, principal: Principal, units: Units) -> Atlas:
        weights = fits.whole_weights(x, principal)
        left = fits.left(x, weights)
        made = fits.stacked([units.scale * own for own in weights])
        charts = KernelCharts(
            center=units.center.flatten(), ambient_shape=tuple(units.center.shape), **made
        )
        n, d = x.shape[1], charts.dim
        noise = units.scale * float(left.square().mean() / max(1, n - d)) ** 0.5
        noise = max(noise, _LEAST_NOISE * units.scale)
        if self.noise_std is not None:
            noise = float(self.noise_std)
        far = units.scale * _TOLERANCE * float(left.quantile(_NEARLY_ALL))
        usual = (max(0, n - d) ** 0.5 + 4) * noise
        return Atlas(charts, fits.shares, noise, max(usual, far))
