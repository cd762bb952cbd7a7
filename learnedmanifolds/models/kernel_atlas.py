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
from learnedmanifolds.charts.featured import FeatureCharts
from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.geometry.local import Located
from learnedmanifolds.geometry.principal import Principal
from learnedmanifolds.learning.cells import Cover, divide
from learnedmanifolds.learning.chart_fits import ChartFits, Shared, fit_cover
from learnedmanifolds.learning.kernel_fit import EXACT
from learnedmanifolds.learning.network_fits import NetworkFits
from learnedmanifolds.learning.nodes import Nodes, make_nodes
from learnedmanifolds.learning.noise import noise_level, spacing
from learnedmanifolds.learning.outliers import groups_apart, outlying
from learnedmanifolds.models.atlas_estimator import AtlasEstimator
from learnedmanifolds.models.auto_dimension import auto_dimension
from learnedmanifolds.training.seeds import start_seeds
from learnedmanifolds.training.shared import threads_for
from learnedmanifolds.training.units import Units

# Nodes that cells are made of, and neighbours of each, by the dimension.
_NODES, _NODES_BEYOND = {1: 400, 2: 800, 3: 1500}, 3000
_NEIGHBORS, _NEIGHBORS_BEYOND = {1: 10, 2: 12, 3: 16}, 20
# The largest dimension of kernel charts, and of charts at all.
_KERNELS, _MOST_DIMENSIONS = 3, 12
# Points that a network chart takes at least, times the dimension.
_POINTS_A_CHART = 40
_FAMILIES = ("auto", "kernel", "network")
# Components of fewer nodes than this times (d + 2) are left out, and parts of the data that are told.
_FEWEST, _TOLD = 2, 0.01
# How far data may be off, in units of what nearly all are.
_TOLERANCE, _NEARLY_ALL = 1.5, 0.999
# How far most may be off, in units of the noise, where charts are right.
_MOST, _TOO_MUCH = 0.95, 2.0
# So many times the nodes are tried while charts leave more.
_MORE = (2, 4)
_LEAST_NOISE = 1e-6
# How far charts may be apart, in units of what nearly all overlaps are.
_APART, _NEARLY_ALL_SHARED = 6.0, 0.99
_LARGEST_APART = 0.5
# Part of the variance that coordinates have which stand out from noise, or there is more than noise.
_CLEAR = 0.9
# Points that are looked at: more make charts hardly better.
_FITTED = 50_000
# Noise in units of the radius of curvature beyond which the shape is not clear, and points that tell: so
# many, or numbers in them.
_UNCLEAR, _BENT, _LEAST_BENT, _IN_BENT = 0.15, 256, 64, 2**19
# Points that tell the density.
_KNOWN = 2**14
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
        chosen = _chosen(len(data), seed)
        data = data if len(chosen) == len(data) else data[chosen]
        # Copies of a point would count as many without noise.
        first, place = _different(data)
        if len(first) < len(data):
            dim = 1 if self.dim == "auto" else int(self.dim)
            if len(first) < _FEWEST * (dim + 2):
                raise _too_few(dim, len(first), len(data))
            data = data[torch.from_numpy(first)]
        whole = _Sample.of(data, seed)
        found = auto_dimension(whole.clear, self._most) if self.dim == "auto" else self.dim
        learned = self._best(data, whole, int(found), seed)
        self.atlas_, self.quality_ = learned.atlas, learned.quality
        self.dim_, self.n_charts_ = int(found), learned.atlas.n_charts
        self.n_features_in_ = learned.atlas.charts.n_ambient
        self.left_out_ = np.zeros(len(given), dtype=bool)
        self.left_out_[chosen.numpy()] = learned.left_out[place]
        self._tell(learned, learned.left_out[place])
        return self

    def _best(self, data: Tensor, whole: _Sample, dim: int, seed: int) -> _Learned:
        """The first atlas without outliers that is enough: of the usual nodes, or more."""
        left_out = outlying(whole.coordinates.numpy(), dim, self._noise(whole, dim))
        sample = _Sample.of(data[torch.from_numpy(~left_out)], seed) if left_out.any() else whole
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
        self, data: Tensor, sample: _Sample, left_out: np.ndarray, dim: int, more: int, seed: int
    ) -> _Learned:
        """An atlas of what of the data (N, ...) is not left out, of so many times the usual nodes."""
        count = more * _NODES.get(dim, _NODES_BEYOND)
        sample, nodes, left_out, groups = _connected(data, sample, left_out, dim, count, seed)
        if self._learns_networks(dim):
            atlas, overfitted = self._of_networks(nodes, sample, dim, seed)
            enough = True
        else:
            noise, overfitted = self._noise(sample, dim), False
            # The products of one chart are too small for several threads.
            with threads_for(0.0):
                fits = self._fits(nodes, sample.coordinates, dim, noise)
            enough = fits.error <= _TOO_MUCH**2 * noise or len(nodes.points) == len(sample.flat)
            atlas = self._atlas(fits, sample, noise)
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

    def _of_networks(
        self, nodes: Nodes, sample: _Sample, dim: int, seed: int
    ) -> tuple[Atlas, bool]:
        """An atlas of network charts, and whether they fit points left out far worse than others."""
        components = range(nodes.component.max() + 1)
        share = len(nodes.points) / len(sample.flat) if self.n_charts == "auto" else 0.0
        least = math.ceil(_POINTS_A_CHART * dim * share)
        covers = [Cover(nodes, component, dim, least) for component in components]
        if self.n_charts == "auto":
            for cover in covers:
                cover.make_discs()
        else:
            self._divide(covers)
        units, x, _, coordinates = sample
        cells = [cell for cover in covers for cell in cover.cells]
        fits = NetworkFits(x, coordinates, nodes, cells, seed)
        charts = fits.charts(units.center, units.scale)
        rows, at = fits.located()
        data = units.center.flatten() + units.scale * x[rows]
        left = torch.cat(
            [
                (charts.decode(at.coords[at.chart == k], k) - data[at.chart == k]).norm(dim=1)
                for k in range(charts.n_charts)
            ]
        )
        freedom = max(1, x.shape[1] - dim)
        if self.noise_std is None:
            square = max(units.scale**2 * fits.error, float(left.square().mean()))
            noise = max((square / freedom) ** 0.5, _LEAST_NOISE * units.scale)
        else:
            noise = float(self.noise_std)
        usual = (freedom**0.5 + 4) * noise
        tolerance = max(usual, _TOLERANCE * float(left.quantile(_NEARLY_ALL)))
        apart = _disagreement(charts, fits.shared())
        agreement = (
            None if apart is None else min(max(apart, _LEAST_NOISE * units.scale), tolerance)
        )
        atlas = Atlas(charts, fits.shares, noise, tolerance, agreement, copy_charts=False)
        return _knowing(atlas, data, at, fits.unseen), fits.overfitted

    def _divide(self, covers: list[Cover]) -> None:
        count = integer(self.n_charts, "n_charts")
        if count < len(covers):
            raise ValueError(
                f"n_charts must be at least the number of components of x, {len(covers)}, "
                f"got {count}."
            )
        divide(covers, count)

    def _noise(self, sample: _Sample, dim: int) -> float:
        """Mean squared distance of points from the manifold, in principal coordinates."""
        if self.noise_std is None:
            return noise_level(sample.coordinates, dim)
        return (float(self.noise_std) / sample.units.scale) ** 2 * max(
            1, sample.flat.shape[1] - dim
        )

    def _atlas(self, fits: ChartFits, sample: _Sample, expected: float) -> Atlas:
        units, x, principal, coordinates = sample
        weights = fits.whole_weights(x, principal)
        left = fits.left(x, weights)
        made = fits.stacked(weights)
        made["weights"] *= units.scale
        charts = KernelCharts(
            center=units.center.flatten(), ambient_shape=tuple(units.center.shape), **made
        )
        n, d = x.shape[1], charts.dim
        if self.noise_std is None:
            # What principal coordinates leave may be noise too.
            expected += principal.rest(x, coordinates)
        expected = max(expected, EXACT)
        found = float(left[left <= left.quantile(_MOST)].square().mean())
        # Charts that leave far more than the noise do not tell what it is.
        good = found <= _TOO_MUCH**2 * expected
        square = float(left.square().mean()) if good and self.noise_std is None else expected
        noise = units.scale * max((square / max(1, n - d)) ** 0.5, _LEAST_NOISE)
        usual = (max(0, n - d) ** 0.5 + 4) * noise
        far = units.scale * _TOLERANCE * float(left.quantile(_NEARLY_ALL))
        tolerance = max(usual, far) if good else usual
        apart = _disagreement(charts, fits.shared())
        # Charts farther from each other than points are do not overlap but part.
        most = max(tolerance, _LARGEST_APART * units.scale * spacing(coordinates))
        agreement = None if apart is None else min(max(apart, _LEAST_NOISE * units.scale), most)
        atlas = Atlas(charts, fits.shares, noise, tolerance, agreement, copy_charts=False)
        rows, at = fits.located()
        return _knowing(atlas, units.center.flatten() + units.scale * x[rows], at)


def _knowing(atlas: Atlas, data: Tensor, at: Located, unseen: Tensor | None = None) -> Atlas:
    """The atlas with the density of data (N, n) at places, if many, of some; see `with_density`."""
    some = slice(None, None, -(-len(data) // _KNOWN))
    points = data[some].unflatten(1, atlas.ambient_shape)
    told = None if unseen is None else unseen[some]
    return atlas.with_density(points, Located(at.chart[some], at.coords[some]), told)


def _disagreement(charts: FeatureCharts, shared: Shared) -> float | None:
    """How far charts may be from each other's points, `Atlas.agreement`; None where none overlap.

    Several times what they differ by where nearly all of the data say that both are.
    """
    (one, other), (at, start) = shared
    if not len(one):
        return None
    gaps = []
    for k in range(charts.n_charts):
        rows = (other == k).nonzero().squeeze(1)
        for own in one[rows].unique().tolist():
            here = rows[one[rows] == own]
            point = charts.decode(at[here], own)
            seen = charts.seen_from(point, k)
            found = charts.refined(seen, torch.full_like(here, k), start[here])
            gaps.append((charts.decode(found, k) - point).norm(dim=1))
    return _APART * float(torch.cat(gaps).quantile(_NEARLY_ALL_SHARED))


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


class _Sample(NamedTuple):
    """Units of data, the data (N, n) in them, and their principal coordinates (N, q).

    References
    ----------
    Gavish, Donoho, IEEE Transactions on Information Theory 60(8), 2014 (which of them are noise).
    """

    units: Units
    flat: Tensor
    principal: Principal
    coordinates: Tensor

    @classmethod
    def of(cls, data: Tensor, seed: int) -> Self:
        units = Units.of(data)
        flat = units.remove(data, torch.float64).flatten(1)
        principal = Principal.of(flat, seed)
        return cls(units, flat, principal, principal.coordinates(flat))

    @property
    def clear(self) -> Tensor:
        """Principal coordinates (N, r) that stand out from noise as large as what all of them leave.

        All of them where these are not nearly all of the data: the rest is more than noise.
        """
        count, n = self.flat.shape
        left = min(count, n) - self.coordinates.shape[1]
        if left <= 0:
            return self.coordinates
        rest = self.principal.rest(self.flat, self.coordinates)
        noise = rest / left * min(count, n) / n
        beta = min(count, n) / max(count, n)
        factor = 2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1))
        sizes = self.coordinates.square().mean(0)
        kept = sizes > factor * noise * max(count, n) / count
        if float(sizes[kept].sum()) < _CLEAR * (float(sizes.sum()) + rest):
            return self.coordinates
        return self.coordinates[:, kept]


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


def _chosen(count: int, seed: int) -> Tensor:
    """Indices of so many points, or of enough of them drawn at random."""
    if count <= _FITTED:
        return torch.arange(count)
    draw = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return draw[:_FITTED].sort().values


def _different(data: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the different ones of points (N, ...), and which of these each one is, (N,)."""
    found: dict[bytes, int] = {}
    rows = data.flatten(1).contiguous().view(torch.uint8).cpu().numpy()
    place = [found.setdefault(row.tobytes(), len(found)) for row in rows]
    return np.unique(place, return_index=True)[1], np.array(place)


def _connected(
    data: Tensor, sample: _Sample, left_out: np.ndarray, dim: int, count: int, seed: int
) -> tuple[_Sample, Nodes, np.ndarray, bool]:
    """A sample of what of the data (N, ...) is not left out, at most so many nodes of it, and what is.

    Points in components too small for a chart, and in small ones of another dimension, are left out
    too; units and nodes are those of what is learned, not of outliers. Last, whether the latter are.
    """
    left_out, groups = left_out.copy(), False
    while True:
        x = sample.coordinates.numpy()
        nodes = make_nodes(x, count, _NEIGHBORS.get(dim, _NEIGHBORS_BEYOND), seed, dim == 1)
        component = nodes.component[nodes.owners(x)]
        large = np.bincount(nodes.component) >= _FEWEST * (dim + 2)
        if not large.any():
            raise _too_few(dim, len(np.unique(x, axis=0)), len(x))
        apart = groups_apart(x, component, dim)
        held = large[component] & ~apart
        if held.all():
            return sample, nodes, left_out, groups
        groups |= bool(apart.any())
        left_out[~left_out] = ~held
        sample = _Sample.of(data[torch.from_numpy(~left_out)], seed)


def _too_few(dim: int, different: int, count: int) -> ValueError:
    return ValueError(
        f"x must have a part of at least {_FEWEST * (dim + 2)} different points that lie together, "
        f"got {different} different ones of {count}."
    )
