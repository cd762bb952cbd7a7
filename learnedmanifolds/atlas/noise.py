"""Noise around a manifold: Gaussian in the normal spaces, as much in each direction as data show."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from learnedmanifolds.geometry.principal import Principal

# Numbers of directions that have variances of their own; each takes so many points, but where regions
# have the noise of all as their prior.
_COUNTS, _POINTS_EACH = (0, 1, 2, 4, 8, 16, 32, 64), 10
# Points of a region, the weight of the noise of all in it, in points, and numbers in all directions.
_POINTS_A_REGION, _WEIGHTS, _NUMBERS = 16, (10.0, 30.0, 100.0), 2**16
# One of so many points is left out, and what they must gain, in nats a point.
_LEFT_OUT, _GAIN = 4, 0.02
# Doublings of the number of regions that gain nothing, after which no more are tried: few need not tell
# parts that lie within each other apart.
_PATIENCE = 4


@dataclass(frozen=True, eq=False)
class NormalNoise:
    """For every region a covariance s^2 I + U U' of the space, restricted to the normal spaces.

    Attributes
    ----------
    centers : Tensor, shape (R, n)
        A region is where one of these is nearest.
    std : Tensor, shape (R,)
        s, in the units of the data.
    directions : Tensor, shape (R, n, r)
        U; columns of zeros where a region has fewer, with too few points or noise that is the same all
        around.

    References
    ----------
    Tipping, Bishop, Journal of the Royal Statistical Society B 61, 1999 (probabilistic principal
    components; here in normal spaces).
    """

    centers: Tensor
    std: Tensor
    directions: Tensor

    @classmethod
    def of(cls, points: Tensor, residuals: Tensor, basis: Tensor, floor: float) -> Self:
        """Of residuals (N, n) about points (N, n) with bases (N, n, d) of the tangent spaces.

        Of as many regions, and in each with as many directions, as raise the likelihood of points left
        out; regions have the noise of all as their prior. No s is below the floor.
        """
        left = torch.arange(len(points), device=points.device) % _LEFT_OUT == 0
        away = (points - points.mean(0)).double().cpu()
        places = Principal.of(away, seed=0).coordinates(away)
        every = _Spectrum.of(residuals[~left])
        chosen = owner = torch.zeros_like(left, dtype=torch.int64)
        best, highest = _best(residuals, basis, owner, left, every, floor)
        regions, failures = 2, 0
        while failures < _PATIENCE and regions * _POINTS_A_REGION <= len(points):
            owner = _regions(places, regions).to(owner)
            kind, told = _best(residuals, basis, owner, left, every, floor)
            failures += 1
            if told > highest + _GAIN:
                chosen, best, highest, failures = owner, kind, told, 0
            regions *= 2
        count = int(chosen.max()) + 1
        made = _spectra(residuals, chosen, count, best.weight, _Spectrum.of(residuals))
        centers = torch.stack([points[chosen == k].mean(0) for k in range(count)])
        return cls(centers, *_stacked(made, best.directions, _freedom(basis), floor))

    def region(self, points: Tensor) -> Tensor:
        """Regions (N,) of points (N, n) of the manifold."""
        return torch.cdist(points, self.centers.to(points)).argmin(1)

    def variance(self, points: Tensor, dim: int) -> Tensor:
        """Mean variance (N,) of a normal direction at points (N, n) of the manifold of dimension d."""
        own = self.directions.square().sum((1, 2)) / max(1, self.directions.shape[1] - dim)
        return (self.std.square() + own)[self.region(points)].to(points)

    def log_prob(self, normal: Tensor, basis: Tensor, points: Tensor) -> Tensor:
        """Log density (N,) in nats of normal vectors (N, n) at points (N, n) of the manifold.

        In the spaces normal to orthonormal bases (N, n, d).
        """
        owner = self.region(points)
        return _log_prob(normal, basis, self.std[owner], self.directions[owner])

    def to(self, target: torch.dtype | torch.device) -> NormalNoise:
        """A copy in another dtype or on another device."""
        return NormalNoise(self.centers.to(target), self.std.to(target), self.directions.to(target))


class _Kind(NamedTuple):
    """How many directions regions have, and the weight of the noise of all in them, in points."""

    directions: int
    weight: float


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """Principal directions (n, r) of residuals with their variances (r,), and the whole variance."""

    axes: Tensor
    variances: Tensor
    whole: float

    @classmethod
    def of(cls, residuals: Tensor, weight: float = 0.0, prior: _Spectrum | None = None) -> Self:
        """Of residuals (N, n) and a prior of so much weight, in points."""
        count = len(residuals) + weight
        rows, whole = residuals, float(residuals.square().sum())
        if prior is not None:
            rows = torch.cat([rows, ((weight * prior.variances).sqrt() * prior.axes).mT])
            whole += weight * prior.whole
        _, size, axes = torch.linalg.svd(rows, full_matrices=False)
        most = _COUNTS[-1] if prior is not None else min(_COUNTS[-1], int(count / _POINTS_EACH))
        return cls(axes[:most].mT, size[:most].square() / count, whole / count)

    def covariance(self, directions: int, freedom: int, floor: float) -> tuple[float, Tensor]:
        """S and U (n, r), of at most so many directions; s is what these leave."""
        count = max(0, min(directions, freedom - 1))
        variances = self.variances[:count]
        rest = max(0.0, self.whole - float(variances.sum())) / max(1, freedom - len(variances))
        std = max(floor, math.sqrt(rest))
        return std, (variances - std**2).clamp(min=0).sqrt() * self.axes[:, :count]


def _freedom(basis: Tensor) -> int:
    """Dimension of the normal spaces to bases (N, n, d)."""
    return basis.shape[1] - basis.shape[2]


def _regions(places: Tensor, count: int) -> Tensor:
    """Which of so many regions, or of fewer, places (N, q) are in, (N,)."""
    with warnings.catch_warnings():
        # Where places are the same there are fewer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(count, n_init=1, random_state=0).fit_predict(places.numpy())
    return torch.from_numpy(found).unique(return_inverse=True)[1]


def _spectra(
    residuals: Tensor, owner: Tensor, count: int, weight: float, every: _Spectrum
) -> list[_Spectrum]:
    """Of the residuals (N, n) in each of so many regions, (N,), given that of all."""
    if count == 1:
        return [every]
    return [_Spectrum.of(residuals[owner == k], weight, every) for k in range(count)]


def _stacked(
    spectra: Sequence[_Spectrum], directions: int, freedom: int, floor: float
) -> tuple[Tensor, Tensor]:
    """S (R,) and U (R, n, r), with columns of zeros where a region has fewer directions."""
    made = [spectrum.covariance(directions, freedom, floor) for spectrum in spectra]
    r = max(own.shape[1] for _, own in made)
    padded = [torch.nn.functional.pad(own, (0, r - own.shape[1])) for _, own in made]
    return made[0][1].new_tensor([std for std, _ in made]), torch.stack(padded)


def _best(
    residuals: Tensor,
    basis: Tensor,
    owner: Tensor,
    left: Tensor,
    every: _Spectrum,
    floor: float,
) -> tuple[_Kind, float]:
    """The kind of covariances that points left out ask for, and their mean log density.

    Given the spectrum of all of the others.
    """
    chosen, highest, count = _Kind(0, 0.0), -math.inf, int(owner.max()) + 1
    n, freedom = basis.shape[1], _freedom(basis)
    for weight in _WEIGHTS if count > 1 else (0.0,):
        spectra = _spectra(residuals[~left], owner[~left], count, weight, every)
        for directions in _COUNTS:
            most = min(directions, freedom - 1, *(len(one.variances) for one in spectra))
            if directions and 2 * most <= directions or count * n * directions > _NUMBERS:
                break
            std, own = _stacked(spectra, directions, freedom, floor)
            told = _log_prob(residuals[left], basis[left], std[owner[left]], own[owner[left]])
            if float(told.mean()) > highest + _GAIN:
                chosen, highest = _Kind(directions, weight), float(told.mean())
    return chosen, highest


def _log_prob(normal: Tensor, basis: Tensor, std: Tensor, directions: Tensor) -> Tensor:
    """Log density (N,) of vectors (N, n) with the noise of s (N,) and U (N, n, r) or (n, r)."""
    n, d = basis.shape[1:]
    # Beyond a boundary vectors have tangential parts, which count as noise: no density is lower there.
    square = normal.square().sum(1) / std.square()
    normal = normal - (basis @ (basis.mT @ normal.unsqueeze(-1))).squeeze(-1)
    log_det = 2 * (n - d) * std.log()
    if directions.shape[-1]:
        # Woodbury's identity, in the directions without their tangential parts.
        inside = (directions - basis @ (basis.mT @ directions)) / std.view(-1, 1, 1)
        matrix = inside.mT @ inside
        matrix = matrix + torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        load = (inside.mT @ normal.unsqueeze(-1)) / std.view(-1, 1, 1)
        square = square - (load * torch.linalg.solve(matrix, load)).sum((1, 2))
        log_det = log_det + torch.linalg.slogdet(matrix).logabsdet
    return -0.5 * (square + log_det + (n - d) * math.log(2 * math.pi))
