"""Intrinsic dimension of a point cloud, with its interval and against scale."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform
from scipy.stats import binom
from sklearn.neighbors import NearestNeighbors

from learnedmanifolds._check import ArrayLike, as_tensor, integer
from learnedmanifolds._convert import to_tensor
from learnedmanifolds.learning.nodes import make_nodes
from learnedmanifolds.learning.scales import (
    CENTRES,
    NEIGHBOURS,
    Scale,
    angles,
    at_scales,
    neighbours,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEWEST = 10
# Spread that is rounding, in units of the largest number.
_ROUNDING = 1e-14
# Noise is left behind where the dimension has a local minimum this part below that at the finest scale.
_DROP, _LEVEL, _SLOWER = 0.1, 0.02, 0.5
# Squares of the finest scales that spread by this factor are extrapolated to 0: up to dimension 7 or so.
_SPREAD = 1.75
# Changes from the finest scale to the next beyond which a dimension is not clear, and interval widths.
_FALL, _RISE, _WIDE = 0.08, 0.3, 0.25
# A dimension that falls to this part from the finest scale to the coarsest was noise's; up to three,
# where it is known better, by such a part of the step to the next lower one. So far below a dimension
# there is noise too.
_FALLEN, _STEP, _BELOW = 0.7, 0.4, 0.15
# Neighbourhoods are flat where a principal value is this part of the one before it, and by this factor
# less so than of all points; centres of these, and numbers in them.
_FLAT, _FLATTER, _FLAT_CENTRES, _NUMBERS = 0.05, 0.2, (50, 500), 2**23
# Of fewer points neighbourhoods are no small parts: no higher dimension than this is clear.
FEW, _FEW_DIMENSIONS = 4 * NEIGHBOURS[-1], 3
# Relative error of what is fitted to the finest scales: a straight line, or one value.
_MODEL = 0.01
# Estimates around single points differ by this factor, between such quantiles, if parts do.
_DIFFERENT, _TAIL = 2.0, 0.1
_DRAWS, _NORMAL = 400, 1.96
# Share of leaves in the minimum spanning tree of random points of a surface; there are none on a curve.
_LEAVES, _TREE, _UNLIKELY = 0.2211, 512, 0.01
# Of so many features noise is removed if so far fewer principal values stand out, and so far, from it.
_MANY, _FAR_FEWER, _GAP, _ROWS = 10, 4, 10.0, 4096
# Part of the variance that must stand out, for the rest to be noise.
_NEARLY_ALL = 0.9
_NODES, _NODE_NEIGHBOURS, _SHARE = 500, 10, 0.01


@dataclass(frozen=True, eq=False)
class Dimension:
    """Intrinsic dimension of points.

    Attributes
    ----------
    value : int or None
        The dimension; None where there is no clear one, see `reason`.
    estimate : float
        Before rounding; NaN where there are too few different points. The dimension of planes, a whole
        number, where it is read from them.
    interval : (float, float)
        95 % interval of the estimate: normal, with the standard deviation of a bootstrap over
        neighbourhoods and 1 % for what is fitted. It holds what chance adds, not what noise, borders
        and curvature do: with noise it is around an estimate that is too high.
    scale : float
        Median radius of the neighbourhoods that the estimate is from, in the units of the data; where
        it is an extrapolation to 0, the smallest.
    scales, estimates : ndarray, shape (S,)
        Radii, increasing, in the units of the data, and the estimate at each.
    reason : str
        Why there is no clear dimension; empty where there is one.
    per_point : ndarray, shape (N,), or None
        Estimate around each point at `scale`.
    components : tuple of Dimension
        Those of the connected components, the largest first; empty if not asked for.
    labels : ndarray of int, shape (N,), or None
        Component of each point; -1 in components of less than ten points or 1 % of them.
    """

    value: int | None
    estimate: float
    interval: tuple[float, float]
    scale: float
    scales: np.ndarray
    estimates: np.ndarray
    reason: str = ""
    per_point: np.ndarray | None = None
    components: tuple[Dimension, ...] = ()
    labels: np.ndarray | None = None

    def __repr__(self) -> str:
        low, high = self.interval
        why = f", reason={self.reason!r}" if self.reason else ""
        return (
            f"Dimension({self.value}, estimate={self.estimate:.3g}, "
            f"interval=({low:.3g}, {high:.3g}), scale={self.scale:.3g}{why})"
        )

    def plot(self) -> Figure:
        """The estimate against scale, with its interval at the scale that it was read from."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(
            self.scales, self.estimates, "o-", color="0.45", markersize=4, label="at this scale"
        )
        error = np.array([[self.estimate - self.interval[0]], [self.interval[1] - self.estimate]])
        label = f"{self.estimate:.3g}, 95 %: {self.interval[0]:.3g} to {self.interval[1]:.3g}"
        axes.errorbar(
            [self.scale],
            [self.estimate],
            error,
            fmt="s",
            color="C0",
            capsize=3,
            label=label,
            zorder=3,
        )
        if self.value is not None:
            axes.axhline(self.value, color="C0", linewidth=0.8, linestyle=":", zorder=1)
        if len(self.scales) and self.scales[-1] > 10 * self.scales[0] > 0:
            axes.set_xscale("log")
        axes.set(xlabel="radius of neighbourhoods (units of the data)", ylabel="dimension")
        axes.set_ylim(0, 1.15 * float(np.nanmax([1.0, *self.estimates, self.interval[1]])))
        axes.legend(frameon=False)
        return figure


def dimension(
    x: ArrayLike, *, per_point: bool = False, per_component: bool = False, seed: int = 0
) -> Dimension:
    """Intrinsic dimension of points, without unit, an integer of at least 0.

    Differences u, v of disjoint pairs of neighbours have E[cos^2(u, v)] = 1 / d where they are spread
    evenly in d dimensions, whatever the number of neighbours. This angle is averaged over many
    neighbourhoods of 4, 8, 16, 32 points, then of 32 in random halves, quarters, ... of the points: the
    dimension against scale. It is read

    - at a local minimum well below the finest scale, if there is one: below it is noise, in more
      dimensions, beyond it curvature;
    - otherwise at the finest scales: extrapolated linearly in the squared radius to 0 where the radii
      differ enough, as they do in few dimensions, else averaged.

    Points whose minimum spanning tree has hardly a leaf are a curve, however it bends; on surfaces a
    share of 0.22 are leaves. Noise in many features is removed first where the leading principal
    values stand out. Equal points have dimension 0, and count once. A ribbon thinner than the scales at
    which it is seen is a curve with noise.

    There is no clear dimension where the estimate changes quickly at the finest scales and never
    settles, falls to less than 0.7 of itself from there to the coarsest (from two or three by more than
    0.4), or rests between two dimensions, as on a curve with noise of a tenth of its radius of
    curvature; where parts of the points differ much; where its interval is wide, or where less than 128
    points seem to have more than three: they may as well be of a curve that bends between them. A fall
    is not noise's where neighbourhoods are near planes and all points are not, for noise would be off
    the planes: then the dimension is that of these, as of points that are spread very unevenly.

    Parameters
    ----------
    x : array, shape (N, ...)
        At least ten points.
    per_point : bool
        Whether to estimate around each point too.
    per_component : bool
        Whether to estimate for each connected component too.
    seed : int
        Of the random parts, centres, pairs and the bootstrap.

    Returns
    -------
    Dimension

    Raises
    ------
    TypeError, ValueError
        If x holds fewer than ten finite points, or a setting is out of range.

    References
    ----------
    Johnsson, Soneson, Fontes, IEEE TPAMI 37(1), 2015 (angles between neighbours).
    Little, Maggioni, Rosasco, Applied and Computational Harmonic Analysis 43(3), 2017 (scales).
    Steele, Shepp, Eddy, Journal of Applied Probability 24(4), 1987 (leaves of spanning trees).
    """
    tensor = to_tensor(x, "x")
    if tensor.dtype == torch.bool:
        tensor = tensor.to(torch.uint8)
    tensor = as_tensor(tensor, "x", allow_empty=False).detach().cpu()
    if tensor.ndim < 2:
        raise ValueError(f"x must have shape (N, ...), one row a point, got {tuple(tensor.shape)}")
    if len(tensor) < _FEWEST:
        raise ValueError(f"x must hold at least {_FEWEST} points, got {len(tensor)}")
    if tensor.is_complex():
        raise TypeError(f"x must be real, got {tensor.dtype}")
    for name, flag in (("per_point", per_point), ("per_component", per_component)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False, got {flag!r}")
    seed = integer(seed, "seed", minimum=0)
    points, unit, place = _different(tensor.double().flatten(1).numpy())
    n_features = points.shape[1]
    if len(points) < n_features:
        # As many coordinates as points keep all distances.
        points = np.asarray(np.linalg.qr(points.T, mode="r")).T
    found = _of(points, n_features, seed, per_point)
    if found.per_point is not None:
        found = replace(found, per_point=found.per_point[place])
    if per_component:
        labels = _labels(points, seed)
        parts = [replace(found, per_point=None)]
        if not (labels == 0).all():
            parts = [
                _of(points[labels == c], n_features, seed, False) for c in range(labels.max() + 1)
            ]
        components = tuple(_scaled(part, unit) for part in parts)
        found = replace(found, components=components, labels=labels[place])
    return _scaled(found, unit)


def _different(x: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Different points about their median, the length of a unit of them, and the place of each point."""
    size = float(np.abs(x).max()) or 1.0
    rows = x / size
    rows -= np.median(rows, 0)
    # Equal rows have the same sum of random multiples, others do not, up to rounding.
    multiples = np.random.default_rng(0).standard_normal(x.shape[1])
    keys = (rows * multiples).sum(1)
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    # In the order in which they come, so that rotated data meet the same chance.
    order = first.argsort()
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    rows = rows[first[order]]
    spread = float(np.median(np.abs(rows).max(1)))
    if spread <= _ROUNDING:
        return np.zeros((1, x.shape[1])), 1.0, np.zeros(len(x), dtype=int)
    return rows / spread, size * spread, rank[place]


def _scaled(found: Dimension, unit: float) -> Dimension:
    return replace(found, scale=found.scale * unit, scales=found.scales * unit)


def _of(x: np.ndarray, n_features: int, seed: int, per_point: bool) -> Dimension:
    """Of different points with so many features, in as many coordinates or fewer; in their units."""
    none = np.zeros(0)
    if len(x) == 1:
        local = np.zeros(1) if per_point else None
        return Dimension(0, 0.0, (0.0, 0.0), 0.0, none, none, per_point=local)
    if len(x) < _FEWEST:
        local = np.full(len(x), np.nan) if per_point else None
        reason = f"there are only {len(x)} different points"
        return Dimension(None, math.nan, (math.nan, math.nan), 0.0, none, none, reason, local)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    x = x[order]
    x, n_features = _without_noise(x, n_features, rng)
    profile = at_scales(x, rng, n_features)
    found = _read(profile, x, n_features, rng)
    if per_point:
        local = np.empty(len(x))
        local[order] = _around(x, profile, found.scale, rng)
        found = replace(found, per_point=local)
    return found


def _without_noise(
    x: np.ndarray, n_features: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """The leading principal coordinates, if the rest are noise, with their number; else the points.

    They are where nearly all of the variance is in those that stand out from the median singular value,
    as those of noise do not; or the rest are no wider than the finest neighbourhoods, and these of far
    greater dimension than the number of coordinates that stand out from such noise.

    References
    ----------
    Gavish, Donoho, IEEE Transactions on Information Theory 60(8), 2014 (the threshold).
    Marchenko, Pastur, Mathematics of the USSR-Sbornik 1, 1967 (the largest eigenvalue of noise).
    """
    if n_features < _MANY:
        return x, n_features
    rows = x[:_ROWS] - x[:_ROWS].mean(0)
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    values, axes = values[::-1].clip(0), axes[:, ::-1]
    # Features that are only a frame around fewer say nothing.
    small, large = sorted((len(rows), int((values > _ROUNDING * values[0]).sum())))
    beta = small / large
    factor = 0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43
    count = int((values > factor**2 * np.median(values[:small])).sum())
    if count < n_features and values[:count].sum() >= _NEARLY_ALL * values.sum():
        return np.asarray(x @ axes[:, :count]), count
    index = neighbours(x, min(len(x), CENTRES[0]), NEIGHBOURS[0], len(x))
    (finest,) = angles(x, index, NEIGHBOURS[:1], len(x), rng)
    edge = (1 + math.sqrt(n_features / len(rows))) ** 2
    count = int((values > edge * finest.variance / finest.dim).sum())
    if not 1 <= count <= finest.dim / _FAR_FEWER or values[0] < _GAP * values[count]:
        return x, n_features
    return np.asarray(x @ axes[:, :count]), count


def _read(
    profile: list[Scale], x: np.ndarray, n_features: int, rng: np.random.Generator
) -> Dimension:
    dims = np.array([scale.dim for scale in profile])
    sizes = np.maximum.accumulate([scale.size for scale in profile])
    n_finest = sum(scale.part == len(x) for scale in profile)
    settled = _settled(dims)
    noisy = reason = ""
    if settled and dims[settled] < (1 - _DROP) * dims[0]:
        at = settled
        estimate, error = _zero(profile[at : at + 1], rng)
        if estimate + _NORMAL * error < min(round(estimate) - _BELOW, _FEW_DIMENSIONS):
            noisy = (
                f"the estimate falls from {dims[0]:.3g} to {estimate:.3g} with scale, between two "
                "dimensions, as where noise is a large part of the bends, or of the way to other parts"
            )
    else:
        finest = profile[:n_finest]
        # The nearest few points of a grid lie along its axes.
        change = np.diff(dims[:n_finest]) / dims[: n_finest - 1]
        skip = int(
            len(change) > 2 and change[0] > _RISE and bool((np.abs(change[1:]) < _FALL).all())
        )
        finest, change = finest[skip:], change[skip:]
        at = skip if _resolved(finest) else n_finest - 1
        estimate, error = _zero(finest, rng)
        low = round(dims[0]) <= _FEW_DIMENSIONS
        first = float(dims[:n_finest].max()) if low else float(dims[0])
        if dims[-1] < (1 - _STEP / round(dims[0]) if low else _FALLEN) * first:
            at = len(profile) - 1
            estimate, error = _zero(profile[at:], rng)
            noisy = (
                f"the estimate falls from {first:.3g} to {estimate:.3g} with scale and does not "
                "settle, as where noise is as large as the bends"
            )
        elif change[0] < -_FALL:
            reason = "the estimate falls with scale and does not settle, as in noise"
        elif change[0] > _RISE:
            at, estimate = 0, float(dims[0])
            reason = (
                "the estimate rises from the finest scale on, as where curvature is not resolved"
            )
    # Where the estimate rises again points bend, and planes that they bend in are more than it.
    flat = _flat(x) if noisy else 0
    if 0 < flat < estimate or (flat and dims[-1] <= estimate):
        at, estimate, error, noisy = n_finest - 1, float(flat), _MODEL * flat, ""
    reason = reason or noisy
    local = 1 / profile[max(at, n_finest - 1)].square
    low, high = np.quantile(local, (_TAIL, 1 - _TAIL))
    if not reason and high > _DIFFERENT * low:
        reason = f"parts of the points differ, from {low:.2g} to {high:.2g}; see per_component, per_point"
    value = max(1, min(round(estimate), n_features))
    size = float(sizes[at])
    if value > 1 or reason:
        leaves, edge = _leaves(x)
        count = min(len(x), _TREE)
        if leaves * count <= min(binom.ppf(_UNLIKELY, count, _LEAVES), _LEAVES / 2 * count):
            value, reason, size = 1, "", edge
            estimate = 1 + leaves / _LEAVES
            error = math.sqrt(leaves * (1 - leaves) / count) / _LEAVES
    interval = (estimate - _NORMAL * error, estimate + _NORMAL * error)
    if not reason and value > _FEW_DIMENSIONS and len(x) < FEW:
        reason = (
            f"{len(x)} points are too few to tell dimensions above {_FEW_DIMENSIONS} from bends"
        )
    if not reason and _NORMAL * error > max(0.5, _WIDE * estimate):
        reason = f"the interval {interval[0]:.3g} to {interval[1]:.3g} is wide"
    return Dimension(None if reason else value, estimate, interval, size, sizes, dims, reason)


def _flat(x: np.ndarray) -> int:
    """Dimension of planes near which neighbourhoods are but not all points, 0 where there are none.

    Noise in the directions that all points have would be off such planes.
    """
    k = min(NEIGHBOURS[-1], len(x) - 1)
    count = int(np.clip(_NUMBERS // (k * x.shape[1]), *_FLAT_CENTRES))
    around = x[neighbours(x, min(count, len(x)), k, len(x))]
    around = around - around.mean(1, keepdims=True)
    # Of the products of points, as many values as there are points; of these all but the last.
    local = np.linalg.eigvalsh(around @ around.transpose(0, 2, 1))[:, :0:-1].clip(0)
    local = np.median(local / local.sum(1, keepdims=True), 0)
    rows = x[:_TREE] - x[:_TREE].mean(0)
    whole = np.linalg.eigvalsh(rows @ rows.T)[:0:-1].clip(0)
    count = min(len(local), len(whole), x.shape[1]) - 1
    bend, steep = (v[1 : count + 1] / v[:count].clip(1e-300) for v in (local, whole))
    flat = np.flatnonzero((bend < _FLAT) & (bend < _FLATTER * steep) & (local[:count] > _ROUNDING))
    return int(flat[0]) + 1 if len(flat) else 0


def _settled(dims: np.ndarray) -> int:
    """Index of the least estimate at which a fall has come to rest, 0 if there is none."""
    fall = -np.diff(np.log(dims))
    steepest = np.maximum.accumulate(fall)
    rests = fall <= np.clip(_SLOWER * steepest, _LEVEL, _FALL)
    # Between two estimates the lesser is taken; a rest before any fall is the finest scale itself.
    found = [j + int(fall[j] > 0) for j in np.flatnonzero(rests)]
    return min(found, key=lambda j: dims[j], default=0)


def _resolved(scales: list[Scale]) -> bool:
    return len(scales) > 1 and scales[-1].size ** 2 >= _SPREAD * scales[0].size ** 2


def _zero(scales: list[Scale], rng: np.random.Generator) -> tuple[float, float]:
    """The estimate and its standard deviation: extrapolated to scale 0, or the weighted mean."""
    square = np.stack([scale.square for scale in scales])
    count = square.shape[1]
    weights = rng.multinomial(count, np.full(count, 1 / count), _DRAWS) / count
    dims = 1 / np.column_stack([square.mean(1), square @ weights.T]).T
    trust = 1 / np.sqrt(dims[1:].var(0) + (_MODEL * dims[0]) ** 2)
    model = np.ones((len(scales), 1))
    if _resolved(scales):
        model = np.column_stack([model, [scale.size**2 for scale in scales]])
    combine = np.linalg.pinv(trust[:, None] * model)[0] * trust
    found = dims @ combine
    return float(found[0]), math.hypot(float(found[1:].std()), _MODEL * float(found[0]))


def _leaves(x: np.ndarray) -> tuple[float, float]:
    """Share of leaves in the minimum spanning tree of some points, and its usual edge."""
    tree = minimum_spanning_tree(squareform(pdist(x[:_TREE]))).tocoo()
    degree = np.bincount(np.concatenate([tree.row, tree.col]))
    return float((degree == 1).mean()), float(np.median(tree.data))


def _around(
    x: np.ndarray, profile: list[Scale], size: float, rng: np.random.Generator
) -> np.ndarray:
    """Estimates around all points at a scale, each of the neighbourhoods of its neighbours."""
    scale = min(profile[len(NEIGHBOURS) - 1 :] or profile[-1:], key=lambda s: abs(s.size - size))
    index = neighbours(x, len(x), scale.k, scale.part)
    (around,) = angles(x, index, (scale.k,), scale.part, rng)
    square = around.square
    return np.asarray(1 / (square[index].mean(1) / 2 + square / 2))


def _labels(x: np.ndarray, seed: int) -> np.ndarray:
    """Connected component of each point, by size, equal ones as they come; -1 in small ones."""
    nodes = make_nodes(x, _NODES, _NODE_NEIGHBOURS, seed, False)
    search = NearestNeighbors(n_neighbors=1).fit(nodes.points)
    labels = nodes.component[search.kneighbors(x, return_distance=False)[:, 0]]
    share = np.bincount(labels)
    rank = np.empty(len(share), dtype=int)
    first = np.full(len(share), len(x))
    np.minimum.at(first, labels, np.arange(len(x)))
    rank[np.lexsort([first, -share])] = np.arange(len(share))
    small = share < max(_FEWEST, _SHARE * len(x))
    return np.where(small, -1, rank)[labels]
