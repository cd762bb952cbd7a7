"""Local coordinates on an embedding that is known at points only: boxes, and maps from them back."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import KDTree

from learnedmanifolds.charts.anchored import BOUND
from learnedmanifolds.charts.jet import jet_rule
from learnedmanifolds.charts.monomials import Monomials

# Ways go over this many neighbours; distances in a patch are measured from this many points, times d.
_NEIGHBOURS, _LANDMARKS = 10, 12
# Centres that charts are chosen from; patches that are tried at each, and how they shrink.
_CENTERS, _TRIES, _SHRINK = 50, 14, 0.75
# A patch is taken at once where it has this error over the spread of its points, and not beyond.
_FINE, _COARSE = 0.01, 0.03
# Slopes of a chart, the largest over the smallest; half widths of a box before it is made a cube.
_BEND, _ASPECT = 6.0, 4.0
# A hole in a box may be this many times as wide as gaps between neighbours, or the lesser part of
# the box, never the larger part.
_HOLE, _LITTLE, _MOST = 4.0, 0.25, 0.6
# Polynomials swing out where they are not held: the largest variance of their values in the box, over
# that of the points they are fitted to, if each of these were off by chance.
_SWING = 1.0
# Depths in a box from which a point counts as held, and as well held; for the latter see
# `learnedmanifolds.atlas.transition.SHELL`.
_HELD, _DEEP = 0.12, 0.2
# Shares of all points for which a chart is worth it that makes points better held; that holds them
# at all.
_WORTH, _TAIL = 0.01, 0.001
# Points a coefficient of a polynomial; a chart has enough for one of the second degree.
_PER_COEFFICIENT = 3
# Degree and number of the fits by which coordinates from distances are made smooth.
_SMOOTH, _STEPS = 4, 2

_monomials = functools.cache(Monomials)


class LocalChart(NamedTuple):
    """A box of local coordinates t around a point, and the points in it.

    Attributes
    ----------
    points : ndarray of int, shape (M,)
        Those with coordinates up to `BOUND`, on the sheet of the centre.
    coords : ndarray, shape (M, d)
    coefficients : ndarray, shape (F, D)
        Of the polynomial from t to the embedding, in the order of `Monomials`.
    error : float
        Root mean square distance by which the polynomial misses a point that it is fitted without.
    """

    points: np.ndarray
    coords: np.ndarray
    coefficients: np.ndarray
    error: float

    @property
    def held(self) -> np.ndarray:
        """The points in the box."""
        return self.points[np.abs(self.coords).max(1) <= 1]


def local_charts(psi: np.ndarray, dim: int, degree: int) -> list[LocalChart]:
    """Few charts that hold every point of an embedding, most at some depth, where any can be made.

    A patch is a ball of the neighbourhood graph. Distances along the graph unroll it into R^d
    (landmark multidimensional scaling); the embedding is fitted by a polynomial of these coordinates,
    every point takes those of the nearest point of the fit, and so again, which makes them as smooth
    as the embedding. In the largest box without holes the embedding is then a polynomial of t, by
    least squares, of the degree that predicts left-out points best. A patch that predicts badly,
    or whose slopes differ too much, shrinks. Charts are chosen greedily from many.

    Jones, Maggioni and Schul take d single eigenfunctions with large gradients as coordinates of a
    patch. At points that are known with errors these are a poor choice, for they fold soon where they
    are of low frequency and are noisy where they are not: of 3,000 points of a torus charts like
    theirs held a sixth, where 17 of these hold all. All coordinates together, as distances, are used
    instead, and their theorem says that there are such patches.

    Parameters
    ----------
    psi : ndarray, shape (N, D)
    dim : int
        d.
    degree : int
        The largest.

    References
    ----------
    Jones, Maggioni, Schul, Manifold parametrizations by eigenfunctions of the Laplacian and heat
    kernels, PNAS 105 (2008); de Silva, Tenenbaum, Sparse multidimensional scaling using landmark points
    (2004), for the unrolling.
    """
    maker = _Maker(psi, dim, degree)
    found = (maker.grow(center) for center in _farthest(psi, min(_CENTERS, len(psi))))
    pool = [chart for chart in found if chart is not None]
    values = np.zeros((len(pool), len(psi)))
    for row, chart in zip(values, pool, strict=True):
        row[chart.points] = _value(chart)
    chosen: list[LocalChart] = []
    best = np.zeros(len(psi))
    while pool:
        gains = (values - best).clip(0).sum(1)
        k = int(gains.argmax())
        if gains[k] < _WORTH * len(psi):
            break
        chosen.append(pool[k])
        best = np.maximum(best, values[k])
    # The rest only where no chart holds points at all; first from the same, then around them.
    missing, tries = best == 0, _CENTERS
    while missing.any() and tries:
        news = [int(missing[_held(chart)].sum()) for chart in pool]
        if pool and max(news) > _TAIL * len(psi):
            chart = pool.pop(int(np.argmax(news)))
            chosen.append(chart)
            missing[_held(chart)] = False
            continue
        center = int(missing.argmax())
        extra = maker.grow(center)
        pool = [] if extra is None else [extra]
        if extra is None or missing[_held(extra)].sum() <= _TAIL * len(psi):
            missing[center] = False
            pool = []
        tries -= 1
    return chosen


def _held(chart: LocalChart) -> np.ndarray:
    return chart.points[_value(chart) > 0]


def _value(chart: LocalChart) -> np.ndarray:
    """How well the chart holds its points, (M,), in [0, 1]."""
    depth = 1 - np.abs(chart.coords).max(1)
    return np.where(depth < _HELD, 0.0, 0.5 + 0.5 * np.minimum(1, depth / _DEEP))


def _farthest(psi: np.ndarray, count: int) -> list[int]:
    """Points each of which is farthest from those before it; the first farthest from the mean."""
    centers: list[int] = []
    away = np.linalg.norm(psi - psi.mean(0), axis=1)
    for _ in range(count):
        centers.append(int(away.argmax()))
        gap = np.linalg.norm(psi - psi[centers[-1]], axis=1)
        away = gap if len(centers) == 1 else np.minimum(away, gap)
    return centers


class _Maker:
    """Makes charts around points of one embedding."""

    def __init__(self, psi: np.ndarray, dim: int, degree: int) -> None:
        self._psi, self._dim = psi, dim
        self._degrees = [q for q in range(1, degree + 1) if self._enough(q, len(psi))]
        self._monomials = _monomials(dim, self._degrees[-1])
        self._probe = _jets(self._monomials, _grid(dim))
        self._least = _PER_COEFFICIENT * (dim + 1) * (dim + 2) // 2
        self._largest = np.inf
        far, near = KDTree(psi).query(psi, min(_NEIGHBOURS, len(psi) - 1) + 1)
        row = np.repeat(np.arange(len(psi)), near.shape[1] - 1)
        # Coinciding points are neighbours too; a stored zero would count as no way.
        lengths = far[:, 1:].ravel().clip(1e-12 * max(1e-300, float(far.max())))
        joined = coo_array((lengths, (row, near[:, 1:].ravel())), shape=(len(psi),) * 2).tocsr()
        self._graph = csr_array(joined.maximum(joined.T))

    def _enough(self, degree: int, count: int) -> bool:
        if degree == 1:
            return True
        return _PER_COEFFICIENT * math.comb(self._dim + degree, degree) <= count

    def grow(self, center: int) -> LocalChart | None:
        """The chart of the largest good patch around a point; else that of the least error, if any."""
        away = dijkstra(self._graph, indices=center)
        radius = min(float(away[np.isfinite(away)].max()), self._largest)
        best, least = None, _COARSE
        for _ in range(_TRIES):
            inside = np.flatnonzero(away <= radius)
            if len(inside) < self._least:
                break
            chart = self._chart(inside, int(np.searchsorted(inside, center)))
            if chart is not None and center in chart.held:
                spread = float(np.sqrt(self._psi[chart.points].var(0).sum()))
                if chart.error <= _FINE * spread:
                    # No patch elsewhere will be much larger.
                    if self._largest == np.inf:
                        self._largest = 2 * radius
                    self._largest = max(self._largest, 2 * radius)
                    return chart
                if chart.error <= least * spread:
                    best, least = chart, chart.error / spread
            radius *= _SHRINK
        return best

    def _chart(self, inside: np.ndarray, center: int) -> LocalChart | None:
        values = self._psi[inside]
        y = _unrolled(csr_array(self._graph[inside][:, inside]), center, self._dim)
        if y is None:
            return None
        # Beside a boundary the middle of a patch is not its centre.
        y = self._smoothed(y, values)
        y = y - y.mean(0)
        lower, upper = _box(y)
        t = BOUND * (2 * y - lower - upper) / (upper - lower)
        held = np.abs(t).max(1) <= BOUND
        if held.sum() < self._least:
            return None
        return self._fit(inside[held], t[held])

    def _smoothed(self, y: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Coordinates of the nearest points of a polynomial that is fitted to them, twice."""
        degree = max(q for q in self._degrees if q <= _SMOOTH and self._enough(q, len(y)))
        for _ in range(_STEPS):
            scale = np.abs(y).max()
            basis = _jets(_monomials(self._dim, degree), y / scale)
            made = basis @ np.linalg.lstsq(basis[0], values, rcond=None)[0]
            slopes = made[1:].transpose(1, 0, 2)
            metric = slopes @ slopes.transpose(0, 2, 1)
            floor = 1e-6 * float(np.trace(metric, axis1=1, axis2=2).mean())
            pull = slopes @ (values - made[0])[..., None]
            step = np.linalg.solve(metric + floor * np.eye(self._dim), pull)[..., 0]
            y = y + scale * step.clip(-0.3, 0.3)
        return y

    def _fit(self, points: np.ndarray, coords: np.ndarray) -> LocalChart | None:
        """The polynomial that predicts left-out points best, of those that are immersions."""
        degrees, values = np.array(self._monomials.degrees), self._psi[points]
        tried = [q for q in self._degrees if self._enough(q, len(points))]
        # Of lower degrees the factors are the first columns and rows.
        basis = self._monomials(torch.from_numpy(coords)).numpy()[:, degrees <= tried[-1]]
        full_left, full_right = np.linalg.qr(basis)
        best = None
        for q in tried:
            used = int((degrees <= q).sum())
            left, right, probe = (
                full_left[:, :used],
                full_right[:used, :used],
                self._probe[..., :used],
            )
            onto = left.T @ values
            missed = (values - left @ onto) / (1 - np.square(left).sum(1)).clip(1e-3)[:, None]
            error = float(np.sqrt(np.square(missed).sum(1).mean()))
            if best is not None and error >= best.error:
                continue
            solution = np.linalg.solve(right, onto)
            slopes = (probe[1:] @ solution).transpose(1, 0, 2)
            stretch = np.linalg.eigvalsh(slopes @ slopes.transpose(0, 2, 1))
            swing = np.square(np.linalg.solve(right.T, probe[0].T)).sum(0).max()
            if stretch.max() <= _BEND**2 * stretch.min() and swing <= _SWING:
                coefficients = np.zeros((len(degrees), values.shape[1]))
                coefficients[:used] = solution
                best = LocalChart(points, coords, coefficients, error)
        return best


def _unrolled(graph: csr_array, center: int, dim: int) -> np.ndarray | None:
    """Coordinates (M, d) by landmark multidimensional scaling; None where distances have fewer."""
    size = graph.shape[0]
    draw = np.random.default_rng(center).choice(size, min(size, _LANDMARKS * dim), replace=False)
    square = np.square(dijkstra(graph, indices=np.append(center, draw)))
    if not np.isfinite(square).all():
        return None
    own = square[:, np.append(center, draw)]
    gram = own - own.mean(0)
    values, vectors = np.linalg.eigh(-0.5 * (gram - gram.mean(1, keepdims=True)))
    if values[-dim] <= 1e-9 * values[-1]:
        return None
    directions = vectors[:, -dim:] / np.sqrt(values[-dim:])
    return np.asarray(-0.5 * (square - own.mean(1, keepdims=True)).T @ directions)


def _box(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (d,) of a box about the origin in which points (M, d) leave no hole."""
    dim = y.shape[1]
    tree, grid = KDTree(y), _grid(dim)
    corners = grid[(np.abs(grid) == 1).all(1)]
    gap = _HOLE * float(np.median(tree.query(y, dim + 1)[0][:, -1]))

    def allowed(lower: np.ndarray, upper: np.ndarray) -> float:
        half = float((upper - lower).min()) / 2
        return min(max(gap, _LITTLE * half), _MOST * half)

    def filled(lower: np.ndarray, upper: np.ndarray) -> bool:
        hole = allowed(lower, upper)
        # Corners first: it is there that most boxes are too large.
        for part in (corners, grid):
            probe = (lower + upper) / 2 + (upper - lower) / 2 * part
            if not np.isfinite(tree.query(probe, distance_upper_bound=hole)[0]).all():
                return False
        return True

    size = float(np.abs(y).max())
    for _ in range(20):
        if filled(np.full(dim, -size), np.full(dim, size)):
            break
        size *= 0.85
    lower, upper = np.full(dim, -size), np.full(dim, size)
    # Each face moves outward while it can: boxes reach to boundaries that are near on one side.
    movable = [(end, i) for end in (0, 1) for i in range(dim)]
    while movable:
        for end, i in list(movable):
            trial = [lower.copy(), upper.copy()]
            trial[end][i] += (2 * end - 1) * 0.1 * (upper - lower).max()
            width = trial[1] - trial[0]
            if width.max() <= _ASPECT * width.min() and filled(*trial):
                lower, upper = trial
            else:
                movable.remove((end, i))
    return lower, upper


def _jets(monomials: Monomials, coords: np.ndarray) -> np.ndarray:
    """Values and derivatives (1 + d, N, F) of monomials."""
    at = torch.from_numpy(coords)
    dim = at.shape[1]
    rule = jet_rule(dim, ())
    eye = torch.eye(dim, dtype=at.dtype).unsqueeze(1).expand(dim, *at.shape)
    return monomials.push(rule.pack(at, eye), rule).numpy()


def _grid(dim: int) -> np.ndarray:
    """Points (P, d) all over the box."""
    line = np.linspace(-1, 1, {1: 65, 2: 17, 3: 9}.get(dim, 5))
    return np.stack(np.meshgrid(*[line] * dim), -1).reshape(-1, dim)
