"""Kernel fits: ridge regressions from codes to points, and codes that move to the nearest points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds.charts.kernel_features import TREND, KernelFeatures
from learnedmanifolds.geometry.farthest import farthest
from learnedmanifolds.learning.codes import interpolate
from learnedmanifolds.learning.moments import moments

# Bumps of a chart by its dimension, at first.
BUMPS = {1: 40, 2: 100, 3: 200}
# Points by which codes of a chart settle before all have theirs.
ENOUGH = 1000
# Their widths that are tried, in units of the largest distance of a code from the nearest centre.
WIDTHS = {1: (5.5, 2.7, 1.5), 2: (5.0, 3.3, 2.0), 3: (4.0, 2.8, 2.0)}
# Those of bumps at all of few points.
_THROUGH = (1.5, 1.0, 0.7)
# Least width on a curve, in units of the widest gap between codes.
_ACROSS = 0.75
# A narrower width must lower the error to this part.
_BETTER = 0.95
# Of so few points codes may stay where they are.
_FEW = 200
# Bumps are doubled, up to so many, while the error falls to this part.
_MOST_BUMPS, _CLEARLY_BETTER, _FINER_ROUNDS = 400, 0.8, 2
EXACT = 1e-8
"""Mean squared distance, of data of unit scale, below which fits are good enough."""
# Ridges that are tried, as powers of ten, and how the least one is lowered from round to round: smooth
# first, for codes that follow a rough fit stay rough.
_LARGEST, _LEAST, _FIRST, _FALL, _GRID = -1.5, -13.0, -2.0, 1.0, 0.5
# How much worse a smoother fit may be.
_HARDLY = 1e-3
_ROUNDS = 10
# Eigenvalues that are none, relative and at all, and the least share of freedom that is left.
_NOTHING, _TINY, _LEAST_FREE = 1e-15, 1e-300, 1e-6
_STEPS, _LONGEST = 2, 0.2
# So many times as far as nine of ten points are is too far.
_OUTLYING, _USUAL = 6.0, 0.9
# Codes stay inside the box; while they settle they may leave it by a little.
_BOUND, _WITHIN = 1.15, 0.93
_FLATTEST = 1e-6
# Steps of the codes of all points between fits, once few have settled.
_FOLLOWING = (1, 2, 2)


@dataclass(eq=False)
class KernelFit:
    """One chart: its codes and the regression on them.

    Attributes
    ----------
    codes : Tensor, shape (N, d)
    centers : Tensor, shape (m, d)
    reach : float
        Largest distance of a code from the nearest centre; where all are centres, of two of these.
    width : float
    weights : Tensor, shape (F, q)
    basis, size : Tensor, shape (F, F) and (F,)
        Eigenvectors and eigenvalues of the features' mean products.
    ridge : float
    error : float
        Mean squared distance of left-out points, by generalised cross-validation.
    starved : bool
        Whether more bumps than there may be would still lower the error.
    """

    codes: Tensor
    centers: Tensor
    reach: float
    width: float
    weights: Tensor
    basis: Tensor
    size: Tensor
    ridge: float
    error: float
    starved: bool = False

    def features(self) -> Tensor:
        """Features (N, F) of the fit's own codes."""
        return self._features(self.width)(self.codes, 0)

    def decode(self) -> Tensor:
        """Points (N, q) of the fit's own codes."""
        return self.features() @ self.weights

    def regress(self, x: Tensor, rows: Tensor) -> Tensor:
        """Weights (F, n) of the same fit of other values at the codes: rows (N,) of x (M, n)."""
        damped = self.basis / (len(rows) * (self.size + self.ridge))
        return moments(self.features() @ (self.basis @ damped.mT), x, rows)

    def project(self, x: Tensor, steps: int = _STEPS) -> None:
        """Move the codes to those of the nearest points of the chart to points (N, q)."""
        for _ in range(steps):
            value, slope = self._jet()
            gap = x - value
            metric = slope @ slope.mT
            floor = _FLATTEST * metric.diagonal(dim1=1, dim2=2).mean(1)
            metric.diagonal(dim1=1, dim2=2).add_(floor.unsqueeze(1))
            step = torch.linalg.solve(metric, slope @ gap.unsqueeze(-1)).squeeze(-1)
            step = step.clamp(-_LONGEST, _LONGEST)
            self.codes = (self.codes + step).clamp(-_BOUND, _BOUND)

    @property
    def straightness(self) -> float:
        """The length of the mean of unit tangents, the least over directions of the coordinates.

        One of a plane, sin(a) / a of an arc that turns by an angle 2 a. Tangents are the nearest
        orthonormal ones.
        """
        slope = self._jet()[1]
        left, _, right = torch.linalg.svd(slope, full_matrices=False)
        return float(torch.linalg.svdvals((left @ right).mean(0)).min())

    def near(self, x: Tensor) -> Tensor:
        """Which of points (N, q) are not much farther from their codes than most, (N,).

        Outliers, and points whose codes lead elsewhere, say nothing about where the chart is.
        """
        gap = (x - self.decode()).norm(dim=1)
        return gap <= _OUTLYING * gap.quantile(_USUAL)

    def follow(self, y: Tensor) -> None:
        """Change the weights, as smoothly as the fit is, toward points (N, q) of the codes."""
        features = self.features()
        size, basis = _spectrum(features)
        moment = basis.mT @ (features.mT @ (y - features @ self.weights) / len(y))
        self.weights = self.weights + basis @ (moment / (size + self.ridge).unsqueeze(1))

    def shrink(self) -> None:
        """Scale the coordinates so that all codes are well inside the box; the points stay."""
        scale = _WITHIN / float(self.codes.abs().max().clamp(min=_WITHIN))
        self.codes, self.centers = scale * self.codes, scale * self.centers
        self.width, self.reach = scale * self.width, scale * self.reach
        self.weights = self.weights.clone()
        self.weights[1 : 1 + self.codes.shape[1]] /= scale

    def settle(self) -> None:
        """Take the products of the features at the codes where they are now."""
        self.size, self.basis = _spectrum(self.features())

    def _features(self, width: float) -> KernelFeatures:
        return KernelFeatures(
            self.centers.unsqueeze(0), torch.tensor([width], dtype=self.codes.dtype)
        )

    def _jet(self) -> tuple[Tensor, Tensor]:
        """Points (N, q) of the codes and their derivatives (N, d, q)."""
        n, d = self.codes.shape
        bump, _, square = self._features(self.width).bumps(self.codes, 0)
        trend, heights = TREND * self.weights[1 : 1 + d], self.weights[1 + d :]
        # A bump's slope is itself times where its centre is from the code: all by one product.
        moved = (self.centers.unsqueeze(2) * heights.unsqueeze(1)).flatten(1)
        sums = (bump @ torch.cat([heights, moved], 1)).view(n, 1 + d, -1)
        value = sums[:, 0] + self.codes @ trend + TREND * self.weights[0]
        return value, (sums[:, 1:] - self.codes.unsqueeze(2) * sums[:, :1]) / square + trend


def interpolate_chart(codes: Tensor, x: Tensor) -> KernelFit:
    """Fit a chart that goes through points (N, q) at their codes (N, d), which stay.

    The width of the bumps, one at each code, is the one of least error at points left out; so is, on a
    curve, the power of the lengths of its steps that codes are apart.

    References
    ----------
    Lee, Computer-Aided Design 21, 1989 (square roots of the lengths, where curves bend between points).
    """
    codes = _inside(codes)
    tried = [codes, _evened(codes)] if codes.shape[1] == 1 else [codes]
    fits = [_ridge(c, x, len(c), width, _LEAST, _LEAST, 0.0) for c in tried for width in _THROUGH]
    fit = min(fits, key=lambda fit: fit.error)
    # Not what is left out tells whether the chart is one, but what it leaves.
    fit.error = float((x - fit.decode()).square().sum(1).mean())
    return fit


def _evened(codes: Tensor) -> Tensor:
    """Codes (N, 1) in the same order and between the same ends, apart by the roots of what they were."""
    values, order = codes.squeeze(1).sort()
    steps = values.diff().sqrt().cumsum(0)
    moved = torch.zeros_like(values)
    moved[order[1:]] = steps
    return (values[0] + (values[-1] - values[0]) * moved / steps[-1]).unsqueeze(1)


def fit_chart(codes: Tensor, x: Tensor) -> KernelFit:
    """Fit a chart to points (N, q) from rough codes (M, d) of every so-many-th of them.

    Fits and projections in turn, the smoothness annealed from strong to what generalised
    cross-validation chooses: rough codes would stay rough. The other points follow in the end.

    References
    ----------
    Golub, Heath, Wahba, Technometrics 21, 1979 (generalised cross-validation); Smola, Mika, Schoelkopf,
    Williamson, JMLR 1, 2001 (regularised principal manifolds).
    """
    stride = -(-len(x) // len(codes))
    some = x[::stride]
    count = min(BUMPS[codes.shape[1]], len(codes))
    width, *narrower = WIDTHS[codes.shape[1]]
    fit = _annealed(codes, some, count, width)
    for next_width in narrower:
        # Codes follow their fit, so wide bumps, which leave least freedom, stay unless others are
        # clearly better.
        if _ridge(fit.codes, some, count, next_width, _LEAST).error > _BETTER * fit.error:
            break
        width, fit = next_width, _annealed(codes, some, count, next_width)
    if len(codes) <= _FEW:
        for other_width in WIDTHS[codes.shape[1]]:
            # Few exact points need not settle: they would only lose their order.
            kept = _ridge(_inside(codes), some, count, other_width, _LEAST)
            if kept.error < _CLEARLY_BETTER * fit.error:
                width, fit = other_width, kept
    finer_widths = {width, WIDTHS[codes.shape[1]][1]}
    starved = False
    while fit.error > EXACT and 2 * count <= len(x) // 2:
        starved = 2 * count > min(_MOST_BUMPS, len(codes) // 2)
        if starved:
            break
        inside = _inside(fit.codes)
        tried = {w: _ridge(inside, some, 2 * count, w, _LEAST) for w in sorted(finer_widths)}
        finer_width, finer = min(tried.items(), key=lambda one: one[1].error)
        if finer.error > _CLEARLY_BETTER * fit.error:
            break
        fit, count, width = _settled(finer, some, 2 * count), 2 * count, finer_width
    fit.starved = starved
    if stride == 1:
        return fit
    fit.codes = interpolate(x, some.numpy(), fit.codes.numpy())
    for steps in _FOLLOWING:
        fit.project(x, steps)
        near = fit.near(x)
        # Codes that lead elsewhere start again between the others.
        fit.codes[~near] = interpolate(x[~near], x[near].numpy(), fit.codes[near].numpy())
        fit = _ridge(_inside(fit.codes), x, count, width, _LEAST)
    fit.starved = starved
    return fit


def _settled(fit: KernelFit, x: Tensor, count: int) -> KernelFit:
    """The same kind of fit from codes that are those of the nearest points."""
    for _ in range(_FINER_ROUNDS):
        fit.project(x)
        fit = _ridge(_inside(fit.codes), x, count, fit.width / fit.reach, _LEAST)
    return fit


def _spectrum(features: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (F,) and eigenvectors (F, F) of the mean products of features (N, F)."""
    size, basis = torch.linalg.eigh(features.mT @ features / len(features))
    return size.clamp(min=0), basis


def _inside(codes: Tensor) -> Tensor:
    return codes * (_WITHIN / codes.abs().max().clamp(min=_WITHIN))


def _annealed(codes: Tensor, x: Tensor, count: int, width: float) -> KernelFit:
    pick = farthest(_inside(codes), count)
    for step in range(_ROUNDS):
        fit = _ridge(_inside(codes), x, pick, width, max(_LEAST, _FIRST - _FALL * step))
        if step < _ROUNDS - 1:
            fit.project(x)
            codes = fit.codes
    return fit


def _ridge(
    codes: Tensor,
    x: Tensor,
    bumps: int | Tensor,
    width: float,
    least: float,
    largest: float = _LARGEST,
    across: float = _ACROSS,
) -> KernelFit:
    """The smoothest fit that is hardly worse than the best; so many bumps, or at the codes given."""
    pick = farthest(codes, bumps) if isinstance(bumps, int) else bumps
    centers = codes[pick]
    gaps = torch.cdist(codes, centers)
    if len(pick) == len(codes):
        gaps.masked_fill_(gaps == 0, torch.inf)
    reach = max(float(gaps.amin(1).max().clamp(max=1)), 1e-3)
    wide = width * reach
    if codes.shape[1] == 1:
        # Narrower bumps say nothing of a gap between codes.
        wide = max(wide, across * float(codes.flatten().sort().values.diff().max()))
    fit = KernelFit(codes, centers, reach, wide, x[:0], x[:0], x[:0], 0.0, torch.inf)
    features, n = fit.features(), len(x)
    fit.size, fit.basis = _spectrum(features)
    moment = fit.basis.mT @ (features.mT @ x / n)
    # What no weights explain, and what those of each eigenvector do; sums that do not cancel.
    if len(fit.size) < n:
        size, load = fit.size, moment.square().sum(1)
        told = torch.where(size > _NOTHING * size.max(), load / size.clamp(min=_TINY), 0.0)
        rest = max(0.0, float(x.square().sum()) / n - float(told.sum()))
    else:
        # So many features explain all, by eigenvalues that only these decompositions know.
        axes, values, _ = torch.linalg.svd(features / n**0.5, full_matrices=False)
        size, told, rest = values.square(), (axes.mT @ x).square().sum(1) / n, 0.0
    ridges = 10 ** torch.arange(least, largest + _GRID / 2, _GRID, dtype=x.dtype)
    damping = ridges.unsqueeze(1) / (size + ridges.unsqueeze(1))
    free = (n - len(size) + damping.sum(1)) / n
    errors = (rest + damping.square() @ told) / free.square()
    if len(size) < n:
        errors[free < _LEAST_FREE] = torch.inf
    chosen = int((errors <= (1 + _HARDLY) * errors.cummin(0).values).nonzero()[-1])
    fit.ridge, fit.error = float(ridges[chosen]), float(errors[chosen])
    fit.weights = fit.basis @ (moment / (fit.size + fit.ridge).unsqueeze(1))
    return fit
