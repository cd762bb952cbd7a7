"""How well an atlas covers and reproduces data: the figures that every atlas reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from learnedmanifolds.atlas.crossing import across, crossing
from learnedmanifolds.geometry import ChartedManifold, LocalGeometry

_PROBES, _ON_CURVES = 512, 4
# Fewer probes of boxes where points have many features: numbers in all.
_FEWEST_PROBES, _PROBED = 128, 2**21
_FOLD_GAP = 0.5
# Share of the points that no chart holds that must be side by side to make gaps.
_PAIRED = 0.25
# Neighbours among which fewer than this part lie farther out than a point beyond a border.
_AROUND, _AHEAD = 16, 0.34
# Tolerance in units of the spread beyond which crossings are not told.
_THICK = 0.35
# Distances that are held at a time.
_AT_ONCE = 2**24
# Points that are measured at a time, and numbers in what all charts make of them.
_ROWS, _MOST_ROWS, _NUMBERS = 32, 1024, 2**21
# A chart with less than this part of an equal share counts as dead, if it is of fewer points than this
# times (d + 2), of which a chart can be made.
_DEAD_SHARE, _DEAD = 0.1, 2
# Share of the points, and number of them, from which on sheets cross.
_CROSSED, _CROSSINGS = 0.001, 3


@dataclass(frozen=True)
class Quality:
    """Figures of an atlas on given points; lengths in the units of the data.

    A chart *holds* a point when the point's coordinates are in its box and its reconstruction is
    within the atlas' tolerance.

    Attributes
    ----------
    n_points : int
    reconstruction_error, reconstruction_error_max : float
        Mean and largest distance to the reconstruction by the best chart.
    coverage, covered_twice : float
        Shares of the points that at least one, at least two charts hold.
    border_depth : float
        Smallest depth (of boxes 1 - largest coordinate) of a point in the chart that holds it deepest.
    disagreement, disagreement_95 : float
        Median and 95th percentile of the largest distance between the reconstructions of the
        charts that hold a point, over the points held twice; NaN where there are none.
    shares : tuple of float
        Mean responsibility of each chart.
    condition_number, condition_number_max : float
        Median and largest condition number of the Jacobian over the charts' domains.
    dead_charts : tuple of int
        Charts with less than a tenth of an equal share and than 2 (d + 2) points.
    folded : tuple of float
        For each chart the share of its domain that lies, in space, within twice the noise of a part of
        the same domain more than 0.5 away in a coordinate: sheets that the data cannot tell apart.
    in_gaps : float
        Share of the points that are in gaps between charts: no chart holds them, nor the point nearest
        to them, which is as near as those of the points held are, and other points are on all sides of
        them: beyond the border of the manifold there are few. Outliers of the noise are apart, points in
        a gap side by side: where less than a quarter of those that no chart holds are so, or a single
        one, it is 0.
    crossing : float
        Share of the points where sheets cross, as in a figure-eight, or are joined because they come
        near each other, as strands of a curve within some ten times the noise: two charts that hold
        the point have tangent spaces over 45 degrees apart, and four tolerances farther along one of
        them the other does not hold its points; or two places of one chart that `folded` counts have
        such tangent spaces. NaN where the tolerance is more than 0.35 of the spread of the points:
        sheets turn within it.
    full_dimension : bool
        Whether the manifold has as many dimensions as the points have coordinates. It is a region of
        their space then: every point in it is its own reconstruction, so that errors, folds and
        crossings say nothing; coverage and gaps tell how well the region holds the points.
    """

    n_points: int
    reconstruction_error: float
    reconstruction_error_max: float
    coverage: float
    covered_twice: float
    border_depth: float
    disagreement: float
    disagreement_95: float
    shares: tuple[float, ...]
    condition_number: float
    condition_number_max: float
    dead_charts: tuple[int, ...]
    folded: tuple[float, ...]
    in_gaps: float = 0.0
    crossing: float = 0.0
    full_dimension: bool = False

    def __str__(self) -> str:
        """The figures, and below them what keeps them from being healthy and `notes`, in words."""
        faults = [f"Not healthy: {'; '.join(self.faults)}."] if self.faults else []
        return "\n".join([repr(self), *faults, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON."""
        return asdict(self)

    @property
    def healthy(self) -> bool:
        """Whether there are no `faults`."""
        return not self.faults

    @property
    def notes(self) -> tuple[str, ...]:
        """What to bear in mind when reading the figures, in words; no fault."""
        if not self.full_dimension:
            return ()
        return (
            "The manifold has as many dimensions as the points have coordinates: it is the region that "
            "they fill, and errors say nothing. Give a lower dim if they lie on a curve or surface.",
        )

    @property
    def faults(self) -> tuple[str, ...]:
        """What keeps it from being healthy, in words.

        Dead charts, gaps, crossings of at least three points and 0.1 %, a chart that is folded over a
        quarter of its domain, more than one and than 2 % of the points that no chart holds.
        """
        found = []
        missed = round((1 - self.coverage) * self.n_points)
        if missed > 1 and 50 * missed > self.n_points:
            found.append(
                f"coverage {self.coverage:.3f}, mean error {self.reconstruction_error:.3g}"
            )
        if self.in_gaps > 0:
            found.append(f"a share of {self.in_gaps:.3g} in gaps between charts")
        # Half a point for rounding.
        if self.crossing >= max(_CROSSED, (_CROSSINGS - 0.5) / self.n_points):
            found.append(
                "sheets that cross or come too near each other to be told apart, at a share of "
                f"{self.crossing:.3g}: paths may lead from one to the other, unless each is fitted alone"
            )
        if max(self.folded) >= 0.25:
            found.append(f"folded charts, by up to {max(self.folded):.3g}")
        if self.dead_charts:
            found.append(f"charts with hardly any data, {list(self.dead_charts)}")
        return tuple(found)


@torch.no_grad()
def measure_quality(
    manifold: ChartedManifold, x: Tensor, log_claims: Callable[[Tensor, Tensor], Tensor]
) -> Quality:
    """Measure charts on flat points (N, n); no random draw but a fixed probe of the boxes.

    ``log_claims(coords, square)`` are logarithms (K, N) of the charts' probabilities, up to a constant,
    given the points' coordinates (K, N, d) in them and squared distances (K, N) from what is there.
    """
    if not len(x):
        raise ValueError("x must not be empty, got shape (0, ...).")
    # Few points of many features: memory that is not new each time is fast.
    rows = max(_ROWS, min(_MOST_ROWS, _NUMBERS // (manifold.n_charts * x.shape[1])))
    parts = zip(*(_measure(manifold, part, log_claims) for part in x.split(rows)), strict=True)
    error, depth, held, gap, outward, shares = (torch.cat(part) for part in parts)
    holders = held.sum(1)
    twice = holders >= 2
    share = shares.mean(0)
    least = min(_DEAD_SHARE / manifold.n_charts, _DEAD * (manifold.dim + 2) / len(x))
    condition, folded, crossed = _probe_boxes(manifold)
    crossed_share = torch.nan
    if manifold.tolerance <= _THICK * float((x - x.mean(0)).square().sum(1).mean().sqrt()):
        crossed_share = crossing(manifold, x, held) + float(share @ crossed)
    nan = torch.tensor([float("nan")])
    gaps = gap[twice] if bool(twice.any()) else nan
    return Quality(
        n_points=len(x),
        reconstruction_error=float(error.mean()),
        reconstruction_error_max=float(error.max()),
        coverage=float((holders >= 1).double().mean()),
        covered_twice=float(twice.double().mean()),
        in_gaps=_in_gaps(x, holders == 0, _beyond(x, outward)),
        border_depth=float(depth.min()),
        disagreement=float(gaps.median()),
        disagreement_95=float(gaps.double().quantile(0.95)),
        shares=tuple(share.tolist()),
        condition_number=float(condition.median()),
        condition_number_max=float(condition.max()),
        dead_charts=tuple((share < least).nonzero().flatten().tolist()),
        folded=folded,
        crossing=crossed_share,
        full_dimension=manifold.dim == manifold.charts.n_ambient,
    )


def _measure(
    manifold: ChartedManifold, x: Tensor, log_claims: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    coords = manifold.charts.encode(x)
    again = manifold.charts.decode(coords)
    error = (again - x).norm(dim=-1)
    shares = torch.softmax(log_claims(coords, error.square()), dim=0).T
    depth = manifold.charts.domain.depth(coords)
    holds = (depth >= 0) & (error <= manifold.tolerance)
    inside = torch.where(depth >= 0, error, torch.inf).amin(0)
    best = torch.where(inside.isfinite(), inside, error.amin(0))
    deepest = torch.where(holds, depth, -1.0).amax(0)
    gap = torch.zeros_like(best)
    for k in range(manifold.n_charts):
        for j in range(k):
            both = (holds[k] & holds[j]).nonzero().squeeze(-1)
            gap[both] = gap[both].maximum((again[k, both] - again[j, both]).norm(dim=-1))
    # Which way points that no domain holds are from the nearest border.
    outward = torch.zeros_like(x)
    out = (depth < 0).all(0).nonzero().squeeze(-1)
    if len(out):
        border = manifold.charts.decode(manifold.charts.domain.confine(coords[:, out]))
        near = (border - x[out]).norm(dim=-1).argmin(0)
        row = torch.arange(len(out), device=x.device)
        outward[out] = again[near, out] - border[near, row]
    return best, deepest, holds.T, gap, outward, shares


def _beyond(x: Tensor, outward: Tensor) -> Tensor:
    """Which of points (N, n) have few others farther out, in their directions outward, 0 inside."""
    found = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    index = (outward != 0).any(-1).nonzero().squeeze(-1)
    for part in index.split(max(1, _AT_ONCE // len(x))):
        near = torch.cdist(x[part], x).topk(min(_AROUND, len(x)), largest=False).indices[:, 1:]
        ahead = ((x[near] - x[part].unsqueeze(1)) * outward[part].unsqueeze(1)).sum(-1) > 0
        found[part] = ahead.double().mean(-1) < _AHEAD
    return found


def _in_gaps(x: Tensor, missed: Tensor, beyond: Tensor) -> float:
    """See `Quality.in_gaps`; of points (N, n), which no chart holds, and which are beyond a border."""
    index, held = missed.nonzero().squeeze(-1), (~missed).nonzero().squeeze(-1)
    if len(index) < 2 or not len(held):
        return float(len(index) >= 2)
    usual = _neighbours(x, held[:: max(1, len(held) // _PROBES)])[0].quantile(0.99)
    index = index[~beyond[index]]
    if not len(index):
        return 0.0
    apart, near = _neighbours(x, index)
    paired = int((missed[near] & (apart <= usual)).sum())
    return paired / len(x) if paired >= max(2, _PAIRED * len(index)) else 0.0


def _neighbours(x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Distances (M,) to the nearest other points of x (N, n), and which those are."""
    found, x = [], x - x.mean(0)
    for part in index.split(max(1, _AT_ONCE // len(x))):
        gap = torch.cdist(x[part], x)
        gap[torch.arange(len(part), device=x.device), part] = torch.inf
        found.append(gap.min(-1))
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _probe_boxes(manifold: ChartedManifold) -> tuple[Tensor, tuple[float, ...], Tensor]:
    """Condition numbers in the domains, and of each chart what is folded and what crosses itself."""
    generator = torch.Generator().manual_seed(0)
    many = _PROBED // manifold.charts.n_ambient
    if manifold.dim == 1:
        # More, and evenly, for curves cross at single points.
        count = max(_PROBES, min(_ON_CURVES * _PROBES, many // _ON_CURVES))
        t = torch.linspace(-1, 1, min(count, max(_FEWEST_PROBES, many)), dtype=torch.float64)
        t = t.unsqueeze(1)
    else:
        count = max(_FEWEST_PROBES, min(_PROBES, many))
        t = 2 * torch.rand(count, manifold.dim, generator=generator, dtype=torch.float64) - 1
    box = t.to(dtype=manifold.dtype, device=manifold.device)
    conditions, folded, crossed = [], [], []
    for k in range(manifold.n_charts):
        t = box[manifold.charts.domain.depth(box, k) >= 0]
        far = torch.cdist(t, t, p=torch.inf) > _FOLD_GAP
        local = LocalGeometry(manifold, t, k, first_order=True)
        conditions.append(local.condition_number)
        # Distances are differences of squares, which lose digits far from the origin.
        points = local.point - local.point.mean(0)
        near = torch.cdist(points, points) < 2 * manifold.noise_std
        folded.append(float((near & far).any(-1).double().mean()) if len(t) else 0.0)
        first, second = (near & far).nonzero().T
        if manifold.dim < manifold.charts.n_ambient:
            # Of all pairs at once: bases of many features, once for each pair, would take much room.
            basis = torch.linalg.qr(local.jacobian).Q
            products = torch.einsum("pni,qnj->pqij", basis, basis)
            first = first[across(products[first, second])]
        else:
            first = first[:0]
        crossed.append(len(first.unique()) / max(1, len(t)))
    found = torch.cat(conditions)
    found = found if len(found) else found.new_tensor([torch.nan])
    return found, tuple(folded), found.new_tensor(crossed)
