"""An atlas of kernel charts: from points alone, in seconds."""

from __future__ import annotations

import math
import warnings
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, one_of, positive
from learnedmanifolds._convert import to_tensor
from learnedmanifolds._grad import differentiable
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.atlas.quality import Quality
from learnedmanifolds.learning.cells import Cover, divide
from learnedmanifolds.learning.chart_fits import ChartFits, fit_cover
from learnedmanifolds.learning.network_fits import NetworkFits
from learnedmanifolds.learning.nodes import Nodes
from learnedmanifolds.learning.noise import noise_level
from learnedmanifolds.learning.outliers import outlying
from learnedmanifolds.models.atlas_estimator import AtlasEstimator
from learnedmanifolds.models.auto_dimension import auto_dimension
from learnedmanifolds.models.of_fits import TOO_MUCH, of_kernels, of_networks
from learnedmanifolds.models.sample import FEWEST, Sample, chosen, connected, different, too_few
from learnedmanifolds.training.seeds import start_seeds
from learnedmanifolds.training.shared import threads_for

# Nodes that cells are made of, by the dimension.
_NODES, _NODES_BEYOND = {1: 400, 2: 800, 3: 1500}, 3000
# The largest dimension of kernel charts, and of charts at all.
_KERNELS, _MOST_DIMENSIONS = 3, 12
# Points that a network chart takes at least, times the dimension.
_POINTS_A_CHART = 40
_FAMILIES = ("auto", "kernel", "network")
# Part of the data that, left out, is told.
_TOLD = 0.01
# So many times the nodes are tried while charts leave more.
_MORE = (2, 4)
# Noise in units of the radius of curvature beyond which the shape is not clear, and points that tell: so
# many, or numbers in them.
_UNCLEAR, _BENT, _LEAST_BENT, _IN_BENT = 0.15, 256, 64, 2**19
# Points that the quality is measured on: so many, or numbers in them.
_JUDGED, _LEAST_JUDGED, _NUMBERS = 2048, 256, 2**22


class KernelAtlas(AtlasEstimator, BaseEstimator):
    """Learn a data manifold as an atlas: of kernel charts up to dimension three, in seconds.

    Beyond, of network charts, in minutes. No argument is needed. Data are covered by overlapping cells
    that are discs along them. Each gets coordinates (Isomap's), and a kernel regression from the
    coordinates to the points, fitted in turn with the coordinates while its smoothness goes from strong
    to what generalised cross-validation chooses. A chart that is folded or leaves more than the noise is
    split. Equal points count once. Networks descend together with the same coordinates, and the one that
    is best at points left out is kept.

    Parameters
    ----------
    n_charts : int or "auto"
        K; by default as few as are discs and leave the noise only.
    dim : int or "auto"
        d, from 1 to 12; by default what `learnedmanifolds.dimension` finds.
    noise_std : float, optional
        Standard deviation of the data around the manifold, in the units of the data, that charts are
        held to; by default what they leave, unless that is more than twice what the data show at
        several scales.
    random_state : int, optional
        Of the choice of nodes among many points, and of networks; the same seed gives the same atlas.
    charts : "auto", "kernel" or "network"
        Family of the charts; by default kernels up to dimension three, networks beyond.

    Attributes
    ----------
    atlas_ : Atlas
        The learned manifold, float64.
    quality_ : Quality
        Its figures on at most 2,048 of the data. Where d is the number of features every point is on
        the manifold, and errors say nothing.
    dim_, n_charts_ : int
    left_out_ : ndarray of bool, shape (N,)
        Points that the atlas does not know: in components too small for a chart; outliers, sparser
        than their neighbours and off the plane of these; groups of another or no clear dimension apart
        from the rest, a blob, say, if they are together less than a twentieth. Of more than 50,000
        points so many, drawn at random, are looked at; the others count as known.
    n_features_in_ : int

    References
    ----------
    Smola, Mika, Schoelkopf, Williamson, JMLR 1, 2001 (regularised principal manifolds); Rasmussen,
    Williams, Gaussian Processes for Machine Learning, 2006.
    """

    # The least straightness of charts; models whose charts bend less ask for more.
    _straight = 0.0

    def __init__(
        self,
        n_charts: int | Literal["auto"] = "auto",
        dim: int | Literal["auto"] = "auto",
        noise_std: float | None = None,
        random_state: int | None = None,
        charts: Literal["auto", "kernel", "network"] = "auto",
    ) -> None:
        self.charts = charts
        self.n_charts = n_charts
        self.dim = dim
        self.noise_std = noise_std
        self.random_state = random_state

    @differentiable()
    def fit(self, x: ArrayLike, y: object = None) -> Self:
        """Learn the atlas of points x, (N, ...); y is ignored.

        Raises
        ------
        TypeError, ValueError
            If x is not a finite array of points, has too few that lie together, has components of
            different dimension, of a twentieth of the points or 128, or one above twelve, or a parameter
            is out of range.

        Warns
        -----
        UserWarning
            If x has no clear dimension, more than a hundredth of it is left out, or a group of another
            dimension, its noise is no small part of the radius of curvature, the atlas is not healthy, or
            a network would need more data.
        """
        given = to_tensor(x, "x")
        given = given.to(torch.uint8) if given.dtype == torch.bool else given
        data = as_tensor(given, "x", allow_empty=False).detach()
        if data.dim() < 2:
            raise ValueError(f"x must have shape (N, ...), got {tuple(data.shape)}.")
        self._check(data[0].numel())
        self._take_names(x)
        (seed,) = start_seeds(self.random_state, 1)
        looked_at = chosen(len(data), seed)
        data = data if len(looked_at) == len(data) else data[looked_at]
        # Copies of a point would count as many without noise.
        first, place = different(data)
        if len(first) < len(data):
            dim = 1 if self.dim == "auto" else int(self.dim)
            if len(first) < FEWEST * (dim + 2):
                raise too_few(dim, len(first), len(data))
            data = data[torch.from_numpy(first)]
        whole = Sample.of(data, seed)
        found = auto_dimension(whole.clear, self._most) if self.dim == "auto" else self.dim
        learned = self._best(data, whole, int(found), seed)
        self.atlas_, self.quality_ = learned.atlas, learned.quality
        self.dim_, self.n_charts_ = int(found), learned.atlas.n_charts
        self.n_features_in_ = learned.atlas.charts.n_ambient
        self.left_out_ = np.zeros(len(given), dtype=bool)
        self.left_out_[looked_at.numpy()] = learned.left_out[place]
        self._tell(learned, learned.left_out[place])
        return self

    def _best(self, data: Tensor, whole: Sample, dim: int, seed: int) -> _Learned:
        """The first atlas without outliers that is enough: of the usual nodes, or more."""
        left_out = outlying(whole.coordinates.numpy(), dim, self._noise(whole, dim))
        sample = Sample.of(data[torch.from_numpy(~left_out)], seed) if left_out.any() else whole
        learned = self._learned(data, sample, left_out, dim, 1, seed)
        for more in _MORE:
            if (
                learned.enough
                or self._learns_networks(dim)
                or self.n_charts != "auto"
                or self.noise_std is not None
            ):
                break
            learned = self._learned(data, sample, left_out, dim, more, seed)
        return learned

    def _learned(
        self, data: Tensor, sample: Sample, left_out: np.ndarray, dim: int, more: int, seed: int
    ) -> _Learned:
        """An atlas of what of the data (N, ...) is not left out, of so many times the usual nodes."""
        count = more * _NODES.get(dim, _NODES_BEYOND)
        sample, nodes, left_out, groups = connected(data, sample, left_out, dim, count, seed)
        if self._learns_networks(dim):
            networks = self._network_fits(nodes, sample, dim, seed)
            overfitted, enough = networks.overfitted, True
            atlas = of_networks(networks, sample, self.noise_std)
        else:
            noise, overfitted = self._noise(sample, dim), False
            # The products of one chart are too small for several threads.
            with threads_for(0.0):
                fits = self._fits(nodes, sample.coordinates, dim, noise)
            enough = fits.error <= TOO_MUCH**2 * noise or len(nodes.points) == len(sample.flat)
            atlas = of_kernels(fits, sample, noise, self.noise_std)
        known = torch.from_numpy(~left_out).nonzero().squeeze(1)
        most = min(_JUDGED, max(_LEAST_JUDGED, _NUMBERS // sample.flat.shape[1]))
        quality = atlas.quality(data[known[:: -(-len(known) // most)]])
        return _Learned(atlas, quality, left_out, enough, groups, overfitted)

    def _tell(self, learned: _Learned, left_out: np.ndarray) -> None:
        """Warn of what is doubtful."""
        atlas, quality = learned.atlas, learned.quality
        if left_out.mean() > _TOLD or learned.groups:
            warnings.warn(
                f"{left_out.sum()} of {len(left_out)} points are left out: they are off what the others "
                "lie on, or apart in groups too small for a chart or of another dimension; see "
                "left_out_.",
                stacklevel=4,
            )
        if learned.overfitted:
            error = atlas.noise_std * math.sqrt(max(1, atlas.charts.n_ambient - atlas.dim))
            warnings.warn(
                "More data are needed: points left out of the training are about "
                f"{error:.3g} from the charts, far farther than the others, with {len(left_out)} points "
                f"in dimension {atlas.dim}.",
                stacklevel=4,
            )
        if (bent := _bent(atlas)) > _UNCLEAR:
            warnings.warn(
                f"The noise of x, {atlas.noise_std:.3g}, is {bent:.2g} times the radius of "
                "curvature, or the size, of what was learned: it is not clear that x has such a shape.",
                stacklevel=4,
            )
        if quality.faults:
            warnings.warn(
                f"The atlas does not hold the data: {'; '.join(quality.faults)}, within a tolerance of "
                f"{atlas.tolerance:.3g}; see quality_.",
                stacklevel=4,
            )

    @property
    def _most(self) -> int:
        """The largest dimension that the charts know."""
        return _KERNELS if self.charts == "kernel" else _MOST_DIMENSIONS

    def _learns_networks(self, dim: int) -> bool:
        return self.charts == "network" or dim > _KERNELS

    def _check(self, n_features: int) -> None:
        one_of(self.charts, "charts", _FAMILIES)
        if self.dim != "auto":
            dim = integer(self.dim, "dim (if not 'auto')", minimum=1)
            if dim > min(self._most, n_features):
                raise ValueError(
                    f"dim must be at most {self._most} and the number of features {n_features}, "
                    f"got {dim}."
                )
        if self.n_charts != "auto":
            integer(self.n_charts, "n_charts (if not 'auto')", minimum=1)
        if self.noise_std is not None:
            positive(self.noise_std, "noise_std")

    def _fits(self, nodes: Nodes, x: Tensor, dim: int, noise: float) -> ChartFits:
        components = range(nodes.component.max() + 1)
        if self.n_charts == "auto":
            covers = [Cover(nodes, component, dim) for component in components]
            for cover in covers:
                cover.make_discs()
            return fit_cover(covers, nodes, x, noise, straight=self._straight)
        covers = [Cover(nodes, component, dim) for component in components]
        self._divide(covers)
        return fit_cover(covers, nodes, x, noise, split=False)

    def _network_fits(self, nodes: Nodes, sample: Sample, dim: int, seed: int) -> NetworkFits:
        components = range(nodes.component.max() + 1)
        share = len(nodes.points) / len(sample.flat) if self.n_charts == "auto" else 0.0
        least = math.ceil(_POINTS_A_CHART * dim * share)
        covers = [Cover(nodes, component, dim, least) for component in components]
        if self.n_charts == "auto":
            for cover in covers:
                cover.make_discs()
        else:
            self._divide(covers)
        cells = [cell for cover in covers for cell in cover.cells]
        return NetworkFits(sample.flat, sample.coordinates, nodes, cells, seed)

    def _divide(self, covers: list[Cover]) -> None:
        count = integer(self.n_charts, "n_charts")
        if count < len(covers):
            raise ValueError(
                f"n_charts must be at least the number of components of x, {len(covers)}, "
                f"got {count}."
            )
        divide(covers, count)

    def _noise(self, sample: Sample, dim: int) -> float:
        """Mean squared distance of points from the manifold, in principal coordinates."""
        if self.noise_std is None:
            return noise_level(sample.coordinates, dim)
        return (float(self.noise_std) / sample.units.scale) ** 2 * max(
            1, sample.flat.shape[1] - dim
        )


def _bent(atlas: Atlas) -> float:
    """Noise in units of the radius of curvature, or of the spread where that is less.

    The radius is the median over random points and directions.
    """
    n = atlas.charts.n_ambient
    count = min(_BENT, max(_LEAST_BENT, _IN_BENT // n))
    at = atlas.draw(count, torch.Generator().manual_seed(0))
    local = atlas.geometry(at.coords, at.chart)
    source = torch.Generator().manual_seed(0)
    along = torch.randn(count, n, generator=source, dtype=torch.float64)
    along = local.project(along)
    along = local.coordinates(along / along.norm(dim=1, keepdim=True))
    curvature = float(local.second_fundamental_form(along, along).norm(dim=1).median())
    points = atlas.decode(at.coords, at.chart).flatten(1)
    spread = float((points - points.mean(0)).square().sum(1).mean().sqrt())
    return atlas.noise_std * max(curvature, 1 / spread)


class _Learned(NamedTuple):
    """An atlas, its quality on the points that were not left out, those that were, (N,).

    And whether charts leave little, or more nodes are none, whether groups of points of another dimension
    are among those left out, and whether networks fit points left out of their training far worse.
    """

    atlas: Atlas
    quality: Quality
    left_out: np.ndarray
    enough: bool
    groups: bool
    overfitted: bool
