"""Several charts, one manifold."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import math
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, generator, integer, positive
from learnedmanifolds._grad import differentiable
from learnedmanifolds._half import halved, is_large, smaller
from learnedmanifolds._record import Record, write
from learnedmanifolds.atlas.batches import PIECE, by_chart, in_pieces, single
from learnedmanifolds.atlas.distribution import DataDistribution
from learnedmanifolds.atlas.nearest import anchors, followed, nearest
from learnedmanifolds.atlas.quality import Quality, measure_quality
from learnedmanifolds.atlas.transition import deepest_other, move, on_sheet
from learnedmanifolds.charts.anchors import Anchors, is_huge
from learnedmanifolds.charts.base import Charts
from learnedmanifolds.charts.jet import Jet, Pairs
from learnedmanifolds.geometry import LocalGeometry, Located
from learnedmanifolds.geometry.graph import sample_graph

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "learnedmanifolds atlas 1"
"""Of saved files."""

# What rounding of a point and back leaves, in units of eps^(3/4): deep networks amplify it.
_ROUNDING = 30
# Points of a chart at which it is compared with itself rounded.
_COMPARED = 256


class Atlas:
    """A manifold made of the images of K charts, each trusted on its domain in [-1, 1]^d.

    Points are given with their chart wherever a result depends on it. Points in one call may be in
    different charts: they are evaluated in one batched call. dtype and device are those of the
    charts' parameters.

    Parameters
    ----------
    charts : Charts
    weights : array, shape (K,), optional
        Mixing weights alpha; equal ones by default.
    noise_std : float
        Standard deviation sigma_x of the data around the manifold, in the units of the data.
    tolerance : float, optional
        How far a chart's reconstruction of a point may be off for the chart to hold the point; by
        default (sqrt(n - d) + 4) `noise_std`, which Gaussian noise of that size rarely exceeds.
    agreement : float, optional
        How far charts may be from a point of the manifold itself that they hold, so that paths go on in
        them: several times what overlapping charts disagree by; by default `tolerance`.
    copy_charts : bool
        Whether to copy the charts. Otherwise the atlas freezes them, and nobody else may change them.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, shape or range.
    """

    # Of the class: pickles of older versions are without.
    _data: DataDistribution | None = None

    # Parameters made in inference mode could not be differentiated through later.
    @differentiable()
    def __init__(
        self,
        charts: Charts,
        weights: ArrayLike | None = None,
        noise_std: float = 0.01,
        tolerance: float | None = None,
        agreement: float | None = None,
        copy_charts: bool = True,
    ) -> None:
        if not isinstance(charts, Charts):
            raise TypeError(f"charts must be a Charts object, got {type(charts).__name__}.")
        charts = copy.deepcopy(charts) if copy_charts else charts
        self.charts = charts.requires_grad_(False).eval()
        self.noise_std = positive(noise_std, "noise_std")
        usual = (math.sqrt(max(0, charts.n_ambient - charts.dim)) + 4) * self.noise_std
        self.tolerance = positive(usual if tolerance is None else tolerance, "tolerance")
        self.agreement = self.tolerance if agreement is None else positive(agreement, "agreement")
        self.charts.overlap_within(self.agreement)
        shares = torch.ones(charts.n_charts) if weights is None else as_tensor(weights, "weights")
        shares = as_tensor(shares, "weights", shape=(charts.n_charts,))
        if bool((shares < 0).any()) or float(shares.sum()) <= 0:
            raise ValueError(f"weights must be non-negative with a positive sum, got {shares}.")
        shares = shares.double()
        self.weights = (shares / shares.sum()).to(dtype=self.dtype, device=self.device)

    @property
    def n_charts(self) -> int:
        """Number K of charts."""
        return self.charts.n_charts

    @property
    def dim(self) -> int:
        """Dimension d of the manifold."""
        return self.charts.dim

    @property
    def ambient_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self.charts.ambient_shape

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parameters; points are computed in it."""
        return self.charts.dtype

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        # A state dict of all of them is slow to make.
        held = itertools.chain(self.charts.parameters(), self.charts.buffers())
        return next((tensor.device for tensor in held), torch.device("cpu"))

    @differentiable()
    def to(self, target: torch.dtype | torch.device | str) -> Self:
        """A copy in another dtype or on another device.

        Parameters
        ----------
        target : torch.dtype, torch.device or str
            float32 or float64, also by name; or a device.

        Raises
        ------
        TypeError
            If it is none of these.
        ValueError
            If it is another dtype, in which the geometry cannot be computed, or names no device.
        """
        target = _target(target)
        other = copy.copy(self)
        for cached in ("half_diagonal", "anchors"):
            vars(other).pop(cached, None)
        other.charts = copy.deepcopy(self.charts).to(target)
        other.weights = self.weights.to(target)
        if self._data is not None:
            other._data = self._data.to(target, other)
        return other

    def __getstate__(self) -> dict[str, Any]:
        # Anchors take more room than the charts, and are made again when they are needed.
        return {name: value for name, value in vars(self).items() if name != "anchors"}

    def __repr__(self) -> str:
        return (
            f"Atlas(n_charts={self.n_charts}, dim={self.dim}, "
            f"ambient_shape={self.ambient_shape}, dtype={self.dtype})"
        )

    def decode(self, coords: ArrayLike, chart: ArrayLike | int) -> Tensor:
        """Points (N, *ambient_shape) of coordinates (N, d) in their charts, int or (N,)."""
        z = self._coords(coords)
        charts = self._chart(chart, len(z))
        points = by_chart(self.n_charts, charts, (z,), lambda k, t: self.charts.decode(t, k))
        return points.unflatten(-1, self.ambient_shape)

    def encode(self, x: ArrayLike, chart: ArrayLike | int) -> Tensor:
        """Coordinates (N, d) of points (N, *ambient_shape) in the given charts, int or (N,)."""
        flat = self.flat(x)
        charts = self._chart(chart, len(flat))
        return by_chart(self.n_charts, charts, (flat,), lambda k, y: self.charts.encode(y, k))

    def jet(self, coords: Tensor, chart: Tensor | int, tangents: Tensor, pairs: Pairs = ()) -> Jet:
        """Derivatives of the decoder, see `Charts.jet`; points may be in different charts."""
        n_first, on_cpu = len(tangents), coords.device.type == "cpu"
        only = None if on_cpu and len(coords) > PIECE else single(chart)
        if only is not None:
            return self.charts.jet(coords, only, tangents, pairs)

        def rows(k: int | None, t: Tensor, directions: Tensor) -> Tensor:
            jet = self.charts.jet(t, k, directions.movedim(-2, -3), pairs)
            value = jet.value.unsqueeze(-3)
            return torch.cat([value, jet.first, jet.second], -3).movedim(-3, -2)

        evaluate = in_pieces if on_cpu else by_chart
        stacked = evaluate(self.n_charts, chart, (coords, tangents.movedim(0, 1)), rows)
        stacked = stacked.movedim(-2, 0)
        return Jet(stacked[0], stacked[1 : 1 + n_first], stacked[1 + n_first :])

    def geometry(self, coords: ArrayLike, chart: ArrayLike | int) -> LocalGeometry:
        """First- and second-order geometry at points given by chart and coordinates."""
        z = self._coords(coords)
        return LocalGeometry(self, z, self._chart(chart, len(z)))

    def claims(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (K, N, d) of flat points in all charts and the distance that each misses (K, N).

        For inner loops: ``x`` (N, n) is in the atlas' dtype and on its device, as from `flat`; values
        are not looked at, and what is NaN gives NaN.

        Raises
        ------
        TypeError, ValueError
            If ``x`` is not a floating point tensor of that shape.
        """
        if not isinstance(x, Tensor) or not x.is_floating_point():
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"x must be a tensor of floats, as from atlas.flat, got {got}.")
        if x.ndim != 2 or x.shape[1] != self.charts.n_ambient:
            expected = f"(any, {self.charts.n_ambient})"
            raise ValueError(
                f"x must have shape {expected}, as of atlas.flat, got {tuple(x.shape)}."
            )
        near = self.anchors[0].drawn_in(x) if bool(is_huge(x).any()) else x
        coords = self.charts.encode(near)
        return coords, (self.charts.decode(coords) - x).norm(dim=-1)

    def enter(self, x: Tensor, chart: Tensor, depth: float = 0.0) -> tuple[Tensor, Located]:
        """Whether a chart other than the given ones (N,) holds each flat point, which, and where.

        At a depth in its domain of at least the given one; a negative one lets the domain end before.
        """
        return deepest_other(self, x, chart, depth)

    def move(self, located: Located, step: Tensor) -> Located:
        """End of a step in coordinates (N, d) through the charts that it crosses."""
        return move(self, located, step)

    def _log_claims(self, x: Tensor, prior: bool) -> Tensor:
        """Log of what each chart makes of points (N, n), up to a constant, (K, N)."""
        coords = self.charts.encode(x)
        made = self.charts.decode(coords)
        # Squares, not squared norms: a norm has no second derivative on the manifold itself.
        square = (made - x).square().sum(-1)
        if self._data is None:
            return self._log_weighted(coords, square, prior)
        points = made.flatten(0, 1)
        along = self._data.density.log_prob(points).view_as(square)
        variance = self._data.noise.variance(points, self.dim).view_as(square)
        around = square / variance + (self.charts.n_ambient - self.dim) * variance.log()
        return along + self.charts.log_latent(coords) - around / 2

    def _log_weighted(self, coords: Tensor, square: Tensor, prior: bool) -> Tensor:
        """The same of coordinates (K, N, d) and squared distances from the points there (K, N)."""
        density = self.charts.log_prior(coords) if prior else self.charts.log_latent(coords)
        log_weights = self.weights.log().unsqueeze(-1)
        return log_weights + density - square / (2 * self.noise_std**2)

    def responsibilities(self, x: ArrayLike) -> Tensor:
        """Posterior probabilities (N, K) of the charts of points (N, *ambient_shape); no noise.

        Softmax of ELBO + log alpha; where the atlas knows data, their density and noise at what each
        chart makes of the point are instead of alpha, the prior of its coordinates and `noise_std`.
        """
        return torch.softmax(self._log_claims(self.flat(x), prior=True), dim=0).T

    def with_density(
        self, x: ArrayLike, at: Located | None = None, unseen: ArrayLike | None = None
    ) -> Self:
        """The atlas with the density of data along it and their noise around it.

        `KernelAtlas` gives its atlas those of the points that it fits. The density is learned when it is
        first asked for.

        Parameters
        ----------
        x : array, shape (N, *ambient_shape)
            Points farther than the tolerance do not count.
        at : Located, optional
            The places nearest to them, if they are known.
        unseen : array of bool, shape (N,), optional
            Those that charts were not fitted to, which alone tell the noise; by default all are.

        Returns
        -------
        Atlas
            A copy that shares the charts.

        Raises
        ------
        TypeError, ValueError
            If x is no finite array of such points, or fewer than 2 (d + 2) are within the tolerance.
        """
        flat = self.flat(x)
        with torch.no_grad():
            places = self.locate(x) if at is None else self._places(at, len(flat))
            gap = (self.decode(places.coords, places.chart).flatten(1) - flat).norm(dim=1)
            near = gap <= self.tolerance
            if int(near.sum()) < 2 * (self.dim + 2):
                raise ValueError(
                    f"x must have at least {2 * (self.dim + 2)} points within the tolerance "
                    f"{self.tolerance:.3g} of the manifold, got {int(near.sum())} of {len(flat)}."
                )
            held = Located(places.chart[near], places.coords[near])
            tell = torch.ones_like(near)
            if unseen is not None:
                tell = as_tensor(unseen, "unseen", dtype=torch.bool, shape=(len(flat),)).to(near)
            other = copy.copy(self)
            other._data = DataDistribution.of(other, flat[near], held, tell[near])
        return other

    def restore_density(self, tensors: Mapping[str, Tensor]) -> None:
        """Take density and noise from what `record` holds of them; `ValueError` if they do not fit."""
        self._data = DataDistribution.restored(self, tensors)

    @property
    def has_density(self) -> bool:
        """Whether data are known, from which `log_prob` and `log_likelihood` are."""
        return self._data is not None

    @property
    def distribution(self) -> DataDistribution:
        """Density and noise of the data that the atlas was learned from, or `with_density` was given.

        Raises
        ------
        ValueError
            If there are no data.
        """
        if self._data is None:
            raise ValueError(
                "atlas must know data to have a density, this one was made without; "
                "atlas.with_density(x) learns it."
            )
        return self._data

    def log_prob(self, x: ArrayLike) -> Tensor:
        """Log density (N,), in nats, of the data along the manifold at the points nearest to x.

        With respect to the Riemannian volume: its exponential has the integral one over the manifold, and
        is the same from every chart. See `atlas.density.Density`.

        Parameters
        ----------
        x : array, shape (N, *ambient_shape)

        Raises
        ------
        TypeError, ValueError
            If x is no finite array of such points, or the atlas has no data.
        """
        density, at = self.distribution.density, self.locate(x)
        return density.log_prob(self.decode(at.coords, at.chart).flatten(1))

    def log_likelihood(self, x: ArrayLike) -> Tensor:
        """Log density (N,), in nats, of noisy data at points (N, *ambient_shape) of the space.

        That along the manifold times that of the noise in the normal space, as the data show it, over the
        volume by which normal spaces spread out. With respect to volume in the units of the data.

        Raises
        ------
        TypeError, ValueError
            If x is no finite array of such points, or the atlas has no data.
        """
        flat = self.flat(x)
        with torch.no_grad():
            return self.distribution.log_likelihood(flat, self.locate(x))

    def log_density(self, x: ArrayLike) -> Tensor:
        """The prior of inverse problems, as a function of points (N, *ambient_shape): (N,), in nats.

        Up to a constant `log_prob` where the atlas has data. Otherwise the log of
        sum_k alpha_k q(E_k x) exp(-|x - D_k E_k x|^2 / (2 sigma_x^2)), the latent density, which falls
        toward the boundary of the manifold. The same from every chart; differentiable in x.
        """
        return self.log_density_flat(self.flat(x))

    def log_density_flat(self, x: Tensor) -> Tensor:
        """See `log_density`; of unchecked flat points (N, n), also inside `torch.func`."""
        if self._data is not None:
            return self._data.density.log_prob(x)
        return torch.logsumexp(self._log_claims(x, prior=False), dim=0)

    def locate(self, x: ArrayLike) -> Located:
        """The chart that holds each point most deeply, and the coordinates in it.

        Among the charts in whose domain the point lies and that reproduce it within the tolerance, and
        none of them much better, the deepest; where there is none, `nearest`.
        """
        flat = self.flat(x)
        coords, error = self.claims(flat)
        depth = self.charts.domain.depth(coords)
        holds = on_sheet(self, error, depth, self.tolerance)
        chart = torch.where(holds, depth, -torch.inf).argmax(0)
        found = coords[chart, torch.arange(len(flat), device=flat.device)]
        other = ~holds.any(0)
        if bool(other.any()):
            chart[other], found[other] = self.nearest_flat(flat[other])
        return Located(chart, found)

    def find(self, x: ArrayLike, name: str = "x") -> Located:
        """Where points of the manifold (N, *ambient_shape) are.

        Among the charts that reproduce a point up to rounding the one that holds it most deeply, so
        that points that the atlas made keep their coordinates; where there is none, `nearest`, whose
        derivative by x coordinates have in any case.

        Raises
        ------
        ValueError
            If a point is farther from the manifold than the tolerance.
        """
        flat = self.flat(x, name)
        with torch.no_grad():
            found = self._find(flat.detach(), name)
        return followed(self, found, flat)

    def _find(self, flat: Tensor, name: str) -> Located:
        coords, error = self.claims(flat)
        depth = self.charts.domain.depth(coords)
        rounding = _ROUNDING * torch.finfo(flat.dtype).eps ** 0.75
        # In small units the tolerance is less than the rounding of far points.
        size = self.half_diagonal + flat.norm(dim=-1)
        same = error <= (rounding * size).clamp(max=self.tolerance)
        score = torch.where(same & (depth >= -rounding), depth, -torch.inf)
        chart = score.argmax(0)
        found = coords[chart, torch.arange(len(flat), device=flat.device)]
        found = self.charts.domain.confine(found, chart)
        other = score.amax(0).isinf()
        if bool(other.any()):
            near = self.nearest_flat(flat[other])
            chart[other], found[other] = near
            gap = (self.decode(*reversed(near)).flatten(1) - flat[other]).norm(dim=-1)
            if float(gap.max()) > self.tolerance:
                raise ValueError(
                    f"{name} must be on the manifold: it is {float(gap.max()):.3g} away from the "
                    f"nearest point, the tolerance is {self.tolerance:.3g}; atlas.project gives it."
                )
        return Located(chart, found)

    def project(self, x: ArrayLike) -> Tensor:
        """Nearest points of the manifold, (N, *ambient_shape); differentiable, once."""
        located = self.nearest(x)
        return self.decode(located.coords, located.chart)

    def nearest(self, x: ArrayLike) -> Located:
        """Chart and coordinates of the nearest point, at any distance; see `atlas.nearest`."""
        return self.nearest_flat(self.flat(x))

    def nearest_flat(self, x: Tensor) -> Located:
        """See `nearest`; of unchecked flat points (N, n)."""
        return nearest(self, x)

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        """Points (n, *ambient_shape) by the density of the data; see `sample_coords`."""
        located = self.sample_coords(n, seed)
        return self.decode(located.coords, located.chart)

    def sample_coords(self, n: int, seed: int | None = None) -> Located:
        """Charts and coordinates of `sample`.

        Of an atlas without data: a chart by its weight, coordinates by its latent density, without its
        tails outside the domain.
        """
        count, source = integer(n, "n", minimum=1), generator(seed)
        return (
            self.draw(count, source)
            if self._data is None
            else self._data.density.draw(count, source)
        )

    def draw(self, count: int, source: torch.Generator | None) -> Located:
        """Places of so many points by the charts' latent densities, whether or not there are data."""
        chart = torch.multinomial(self.weights.cpu().double(), count, True, generator=source)
        coords = self.charts.draw(chart, source)
        return Located(chart.to(self.device), coords.to(dtype=self.dtype, device=self.device))

    @functools.cached_property
    def anchors(self) -> tuple[Anchors, Located]:
        """Points all over the domains of all charts, and where they are: starts of `nearest`."""
        return anchors(self)

    @property
    def components(self) -> Tensor:
        """Number of the connected component of each chart, from 0 on, (K,)."""
        return sample_graph(self).components

    @functools.cached_property
    def half_diagonal(self) -> float:
        """Half the diagonal of the cube that holds a sample of 128 points, in units of the data."""
        at = self.draw(128, generator(0))
        points = self.decode(at.coords, at.chart).flatten(1)
        return 0.5 * float((points.amax(0) - points.amin(0)).norm())

    def quality(self, x: ArrayLike) -> Quality:
        """Figures of how well the atlas covers and reproduces the points, see `Quality`."""
        return measure_quality(
            self, self.flat(x), functools.partial(self._log_weighted, prior=True)
        )

    def plot(self, x: ArrayLike | None = None, *, seed: int | None = 0) -> Figure:
        """Draw the manifold in the colours of its charts, with its border, density and geodesics.

        Over the ambient coordinates where these are at most three, else over two or three principal
        coordinates of samples, with the share of the variance that each explains. Points that several
        charts hold have the colour of the one in whose middle they are most. Curves are as wide as
        samples are dense, surfaces (d = 2) and solids are covered with them. The border is where domains
        end and no other chart goes on (d up to 3); geodesics of equal length leave one point (d = 2, 3).
        Points that are images of at least 8 x 8 pixels, (H, W), (1, H, W) or (3, H, W), stand beside a
        curve, or on what has more dimensions.

        Parameters
        ----------
        x : array, shape (N, *ambient_shape), optional
            Data, drawn in place of samples: at most 1,500 of them.
        seed : int, optional
            Of the samples, and of the choice among data.

        Returns
        -------
        matplotlib Figure
            At most 7 inches wide.

        Raises
        ------
        TypeError, ValueError
            If x is no finite array of at least one point, or the seed no integer.
        """
        from learnedmanifolds.atlas.figures import draw

        data = None if x is None else as_tensor(x, "x", allow_empty=False)
        return draw(self, None if data is None else self.flat(data), seed)

    def save(self, path: str | Path, *, half: bool = False) -> None:
        """Write the atlas as safetensors with a JSON header; beside first, then renamed.

        Parameters
        ----------
        path : str or Path
        half : bool
            Whether large tensors of the charts are in half precision: to a quarter of the room or more,
            exact to about 1/2000 of their numbers. The tolerance and the agreement of the charts grow by
            what points are moved. Otherwise the atlas comes back bit by bit.

        Raises
        ------
        TypeError
            If the path is none, or half no truth value.
        ValueError
            If the charts have no weights to save, such as analytic ones, or half precision keeps too
            little of their numbers.
        OSError
            If the folder cannot be written.
        """
        write(self.record(half), path)

    def record(self, half: bool = False) -> Record:
        """What a file of the atlas holds, see `save`.

        Raises
        ------
        ValueError
            If the charts have no weights to save, such as analytic ones, or ones that half precision has
            no numbers for.
        """
        if not isinstance(half, bool):
            raise TypeError(f"half must be True or False, got {half!r}.")
        try:
            config = self.charts.config()
        except NotImplementedError as error:
            family = type(self.charts).__name__
            raise ValueError(
                f"atlas must have learned charts to be saved, got {family}."
            ) from error
        charts = self.charts.rounded() if half else self.charts
        moved = self._moved(charts) if half else 0.0
        header = {
            "format": FORMAT,
            "charts": type(self.charts).__name__,
            "config": json.dumps(config),
            "noise_std": repr(self.noise_std),
            "tolerance": repr(self.tolerance + moved),
            "agreement": repr(self.agreement + moved),
        }
        tensors, known = charts.state_dict(), {} if self._data is None else self._data.tensors()
        if half:
            tensors = {n: halved(t, n) if is_large(t) else t for n, t in tensors.items()}
            known = {n: smaller(t, n) if is_large(t) else t for n, t in known.items()}
        named = {f"charts.{name}": tensor for name, tensor in tensors.items()}
        return Record(header, {**named, **known, "weights": self.weights})

    @torch.no_grad()
    def _moved(self, charts: Charts) -> float:
        """Twice the farthest that points are from those of other charts at the same coordinates."""
        source, index = torch.Generator().manual_seed(0), torch.zeros(_COMPARED, dtype=torch.int64)
        gaps = []
        for k in range(self.n_charts):
            coords = self.charts.draw(index + k, source).to(self.weights)
            gap = (charts.decode(coords, k) - self.charts.decode(coords, k)).flatten(1)
            gaps.append(gap.norm(dim=1).max())
        return 2 * float(torch.stack(gaps).max())

    def flat(self, x: ArrayLike, name: str = "x") -> Tensor:
        """Checked points as a tensor (N, n) of the atlas' dtype and device."""
        points = as_tensor(x, name, shape=(None, *self.ambient_shape))
        return points.to(dtype=self.dtype, device=self.device).flatten(1)

    def _coords(self, coords: ArrayLike) -> Tensor:
        checked = as_tensor(coords, "coords", shape=(None, self.dim))
        return checked.to(dtype=self.dtype, device=self.device)

    def _places(self, at: Located, count: int) -> Located:
        coords = self._coords(at.coords)
        if len(coords) != count:
            raise ValueError(f"at must have a place for each of {count} points, got {len(coords)}.")
        chart = self._chart(at.chart, count)
        return Located(torch.as_tensor(chart, device=self.device).expand(count), coords)

    def _chart(self, chart: ArrayLike | int, count: int) -> Tensor | int:
        if isinstance(chart, numbers.Integral | bool):
            single = integer(chart, "chart")
            if not 0 <= single < self.n_charts:
                raise ValueError(f"chart must be in 0..{self.n_charts - 1}, got {single}.")
            return single
        index = as_tensor(chart, "chart", dtype=torch.int64, shape=(count,))
        if index.numel() and not 0 <= int(index.min()) <= int(index.max()) < self.n_charts:
            raise ValueError(f"chart must be in 0..{self.n_charts - 1}, got {index.tolist()[:10]}.")
        return index.to(self.device)


def _target(value: object) -> torch.dtype | torch.device:
    """The dtype or device that is meant."""
    if isinstance(value, str):
        named = getattr(torch, value.removeprefix("torch."), None)
        value = named if isinstance(named, torch.dtype) else _device(value)
    if isinstance(value, torch.dtype) and value not in (torch.float32, torch.float64):
        raise ValueError(f"target must be torch.float32, torch.float64 or a device, got {value}.")
    if not isinstance(value, torch.dtype | torch.device):
        raise TypeError(f"target must be a torch.dtype or a device, got {type(value).__name__}.")
    return value


def _device(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"target must be torch.float32, torch.float64 or a device such as 'cpu', got {name!r}."
        ) from error
