"""Betti numbers of samples, read from their persistent homology."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, generator, integer, non_negative, positive
from learnedmanifolds.metrics._points import as_points, distances, optional, subset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Balls of the covering radius around the landmarks meet at twice that distance.
_FINEST = 2.0
# Landmarks denser than this part of the finest scale only cost time.
_FINENESS = 4
# In units of the finest scale: the complex grows steeply, and most spaces are settled there.
_FIRST_THRESHOLD, _GROWTH = 1.5, 1.25
# Landmarks are to be sparse among the points, so that gaps between points do not count as holes.
_POINTS_PER_LANDMARK = 3
_FEWEST_POINTS = 12
# Points closer than this part of the diameter are copies of one, up to rounding.
_COPY = 1e-6
# The distance matrix of so many points has 128 MB.
_MOST_POINTS = 4000
# A stray point: the density of points at it, from its tenth neighbour, is less than a fifth of the
# median. The estimate at one of 4,000 points of a uniform law rarely falls below a third.
_NEIGHBOURS = (5, 10)
_STRAY_DENSITY = 0.2
# Halvings of the points from which their largest gap is estimated.
_SPLITS = 8
# Among so many neighbours there is one in the other half, but for one point in 2^32.
_NEAR = 32


@dataclass(frozen=True, eq=False)
class BettiNumbers:
    """Numbers of components, loops, voids, ... of the space that points were drawn from.

    Attributes
    ----------
    numbers : tuple of int
        Betti numbers in dimensions 0, 1, ..., non-negative.
    scale : (float, float)
        The distances, in the units of the data, between which they hold; the second infinite where
        nothing changes any more, and at least the threshold where it was not looked further.
    covering_radius : float
        Largest distance of a point to the nearest landmark: finer features cannot be seen.
    threshold : float
        Largest scale looked at; infinite where the whole diagram is there.
    diagrams : tuple of Tensor, shape (M_i, 2)
        Birth and death of every class in each dimension, distances; infinite if it lives on.
    n_landmarks : int
    """

    numbers: tuple[int, ...]
    scale: tuple[float, float]
    covering_radius: float
    threshold: float
    diagrams: tuple[Tensor, ...]
    n_landmarks: int

    def __repr__(self) -> str:
        low, high = self.scale
        return (
            f"BettiNumbers({self.numbers}, scale=({low:.3g}, {high:.3g}), "
            f"covering_radius={self.covering_radius:.3g}, n_landmarks={self.n_landmarks})"
        )

    def plot(self) -> Figure:
        """The persistence diagram, and the scale at which the numbers were read.

        Classes in the shaded corner, born before and alive after it, are those counted. Triangles
        live on beyond the largest scale looked at.
        """
        from matplotlib.figure import Figure

        finite = torch.cat([d.flatten() for d in self.diagrams])
        finite = finite[finite.isfinite()]
        far = [s for s in (*self.scale, self.threshold) if math.isfinite(s)]
        top = 1.1 * max([float(finite.max()) if len(finite) else 0.0, *far, 1e-300])
        figure = Figure(figsize=(4.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        low, high = self.scale[0], min(self.scale[1], top)
        axes.fill_between([0, low], high, 1.06 * top, color="0.9", linewidth=0, zorder=0)
        axes.plot([0, top], [0, top], color="0.6", linewidth=0.8, zorder=1)
        axes.axhline(top, color="0.6", linewidth=0.8, linestyle=":", zorder=1)
        for dim, diagram in enumerate(self.diagrams):
            born, died = diagram.unbind(1)
            lives = died.isinf()
            label = f"dimension {dim}: {self.numbers[dim]}"
            axes.scatter(born[~lives], died[~lives], s=14, color=f"C{dim}", label=label, zorder=2)
            high_up = torch.full((int(lives.sum()),), top)
            axes.scatter(born[lives], high_up, s=30, color=f"C{dim}", marker="^", zorder=2)
        axes.set(xlim=(-0.03 * top, 1.06 * top), ylim=(-0.03 * top, 1.06 * top), aspect="equal")
        axes.set(xlabel="birth (distance)", ylabel="death (distance)")
        axes.legend(loc="lower right", title="Betti number in", frameon=False)
        return figure


def betti_numbers(
    x: ArrayLike,
    max_dim: int = 2,
    *,
    n_landmarks: int = 300,
    outliers: float = 0.01,
    stability: float = 1.25,
    field: int = 2,
    seed: int | None = 0,
) -> BettiNumbers:
    """Betti numbers of the space that points lie near, without unit: integers of at least 0.

    Persistent homology of the Vietoris-Rips complex on landmarks, each the point farthest from those
    before. The numbers are those at the finest stable scale: the first interval [a, s a] of distances
    in which no class is born or dies, with s the stability asked for. Coarser scales see less: a thin
    torus is a circle from afar, everything is a point. Finer ones see the sampling, so a is at least

    - twice the covering radius of the landmarks, where balls of this radius around them meet;
    - (1 + 1/d) times the largest distance of a point to the other half of the points, over eight
      random halvings, with d the local dimension: the size of gaps by chance. (Along a curve a gap
      must be bridged, a hole in a surface closes at root 3 times its radius.)

    Smaller features, such as sheets closer than that, are not seen; more points and landmarks see
    smaller ones. Both lengths fall like n^(-1/d), so that beyond d = 3 or so the numbers tell little.

    Parameters
    ----------
    x : array, shape (N, ...)
        At least twelve points; of more than 4,000 a random subset is taken. Repeated points count once,
        unless there are fewer than twelve different ones: those are the space.
    max_dim : int
        Largest dimension in which classes are counted.
    n_landmarks : int
        At most; not more than a third of the points are taken, nor more than the scale asks for.
    outliers : float
        Largest share of the points, in [0, 1), that is left out first: points where the density,
        from the tenth neighbour, is less than a fifth of the median. Each of a few stray points may
        count as a component or fill a hole.
    stability : float
        s, greater than 1.
    field : int
        Prime p; classes are counted over the integers modulo p.
    seed : int, optional
        Of the subset, the halvings and the point that the landmarks begin with.

    Returns
    -------
    BettiNumbers

    Raises
    ------
    ImportError
        If ripser is not installed.
    TypeError, ValueError
        If x holds fewer than twelve finite points, or a setting is out of range.

    References
    ----------
    Chazal, Oudot, Towards persistence-based reconstruction in Euclidean spaces, SoCG 2008.
    Tralie, Saul, Bar-On, Ripser.py, JOSS 3(29), 2018; Bauer, Ripser, 2021.
    """
    optional("ripser")
    points = as_points(x, "x", _FEWEST_POINTS).cpu()
    top = integer(max_dim, "max_dim", minimum=0)
    wanted = integer(n_landmarks, "n_landmarks", minimum=4)
    share = non_negative(outliers, "outliers")
    if share >= 1:
        raise ValueError(f"outliers must be a share in [0, 1), got {outliers}")
    factor = positive(stability, "stability")
    if factor <= 1:
        raise ValueError(f"stability must be greater than 1, got {stability}")
    modulus = integer(field, "field", minimum=2)
    if any(modulus % d == 0 for d in range(2, math.isqrt(modulus) + 1)):
        raise ValueError(f"field must be a prime, got {field}")

    source = generator(seed)
    points = subset(points, _MOST_POINTS, source)
    gap = _without_copies(distances(points, points))
    dim, kept = _without_stray(gap, share)
    gap = gap[kept][:, kept]
    finest = (1 + 1 / dim) * _largest_gap(gap, source)
    count = min(wanted, max(4, len(gap) // _POINTS_PER_LANDMARK))
    first = int(torch.randint(len(gap), (), generator=source))
    chosen, radius = _farthest(gap, count, first, finest / _FINENESS)
    numbers, scale, threshold, diagrams = _read(
        gap[chosen][:, chosen].numpy(), max(_FINEST * radius, finest), top, factor, modulus
    )
    return BettiNumbers(
        numbers,
        scale,
        radius,
        threshold,
        tuple(torch.from_numpy(d).double() for d in diagrams),
        len(chosen),
    )


def _without_copies(gap: Tensor) -> Tensor:
    """Distances between the different points: a copy says nothing of how densely a space is drawn.

    All of them where there are too few different ones to be a sample of anything but themselves.
    """
    kept = ~(gap <= _COPY * gap.max()).tril(-1).any(1)
    return gap[kept][:, kept] if int(kept.sum()) >= _FEWEST_POINTS else gap


def _without_stray(gap: Tensor, share: float) -> tuple[float, Tensor]:
    """The local dimension, and the indices of the points without the stray ones."""
    near, far = (min(k, len(gap) - 1) for k in _NEIGHBOURS)
    ordered = gap.topk(far + 1, largest=False).values
    radius, ratio = ordered[:, far], ordered[:, far] / ordered[:, near]
    growth = float(ratio[ratio.isfinite()].log().mean()) if far > near else math.nan
    # The mean of log(r_10 / r_5) in dimension d is (1/5 + ... + 1/9) / d.
    dim = sum(1 / i for i in range(near, far)) / growth if growth > 0 else 1.0
    dim = max(1.0, dim)
    density = (radius.median() / radius) ** dim
    n_stray = min(int((density < _STRAY_DENSITY).sum()), round(share * len(gap)))
    order = radius.argsort(stable=True)
    return dim, order[: len(gap) - n_stray].sort().values


def _largest_gap(gap: Tensor, source: torch.Generator) -> float:
    """Largest distance of a point to the other half of the points, over some random halvings."""
    near = gap.topk(min(_NEAR, len(gap)), largest=False)
    largest = 0.0
    for _ in range(_SPLITS):
        half = torch.randperm(len(gap), generator=source) < len(gap) // 2
        other = half[near.indices] != half.unsqueeze(1)
        nearest = near.values.gather(1, other.int().argmax(1, keepdim=True)).squeeze(1)
        for row in (~other.any(1)).nonzero().flatten().tolist():
            nearest[row] = gap[row, half != half[row]].min()
        largest = max(largest, float(nearest.max()))
    return largest


def _farthest(gap: Tensor, count: int, first: int, enough: float) -> tuple[Tensor, float]:
    """Indices of landmarks, each farthest from those before, and their covering radius."""
    chosen, reach = [first], gap[first]
    while len(chosen) < count and float(reach.max()) > enough:
        chosen.append(int(reach.argmax()))
        reach = torch.minimum(reach, gap[chosen[-1]])
    return torch.tensor(chosen), float(reach.max())


def _read(
    gap: np.ndarray, finest: float, top: int, factor: float, modulus: int
) -> tuple[tuple[int, ...], tuple[float, float], float, list[np.ndarray]]:
    # Beyond the smallest ball around a landmark that holds all others the complex is a cone.
    enclosing = float(gap.max(axis=1).min())
    threshold = _FIRST_THRESHOLD * finest
    while True:
        whole = threshold == 0 or threshold >= enclosing
        diagrams = optional("ripser").ripser(
            gap,
            distance_matrix=True,
            maxdim=top,
            thresh=np.inf if whole else threshold,
            coeff=modulus,
        )["dgms"]
        limit = math.inf if whole else threshold
        low, high = _first_stable(diagrams, finest, limit, factor)
        if high >= factor * low or whole:
            numbers = tuple(int(((d[:, 0] <= low) & (d[:, 1] > low)).sum()) for d in diagrams)
            return numbers, (low, high), limit, diagrams
        threshold *= _GROWTH


def _first_stable(
    diagrams: list[np.ndarray], lowest: float, limit: float, factor: float
) -> tuple[float, float]:
    """The first interval from `lowest` on without birth or death, of that ratio; else the last."""
    events = np.unique(np.concatenate([d.ravel() for d in diagrams]))
    events = events[(events > lowest) & (events < limit)]
    ends = np.concatenate([[lowest], events, [limit]])
    for low, high in zip(ends[:-1], ends[1:], strict=True):
        if high >= factor * low:
            return float(low), float(high)
    return float(ends[-2]), float(ends[-1])
