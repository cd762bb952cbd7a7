"""Atlases of fits: what they leave is the noise and the tolerance, what they differ by the agreement."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.featured import FeatureCharts
from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.geometry.local import Located
from learnedmanifolds.learning.chart_fits import ChartFits, Shared
from learnedmanifolds.learning.kernel_fit import EXACT
from learnedmanifolds.learning.network_fits import NetworkFits
from learnedmanifolds.learning.noise import spacing
from learnedmanifolds.models.sample import Sample

# How far data may be off, in units of what nearly all are.
TOLERANCE, NEARLY_ALL = 1.5, 0.999
# How far most may be off, in units of the noise, where charts are right.
_MOST, TOO_MUCH = 0.95, 2.0
_LEAST_NOISE = 1e-6
# How far charts may be apart, in units of what nearly all overlaps are, and at most, in units of the
# distance between neighbouring points: beyond they part.
_APART, _NEARLY_ALL_SHARED = 6.0, 0.99
LARGEST_APART = 0.5
# Points that tell the density: so many, or numbers in them; points that are looked at together.
_KNOWN, _NUMBERS, _ROWS = 2**14, 2**27, 1024


def of_kernels(fits: ChartFits, sample: Sample, expected: float, noise_std: float | None) -> Atlas:
    """An atlas of kernel charts, which are expected to leave this mean squared distance.

    The noise is what they leave, where that is little more and none is given.
    """
    units, x, principal, coordinates = sample
    weights = fits.whole_weights(x, principal)
    left = units.scale * fits.left(x, weights)
    made = fits.stacked(weights)
    made["weights"] *= units.scale
    charts = KernelCharts(
        center=units.center.flatten(), ambient_shape=tuple(units.center.shape), **made
    )
    if noise_std is None:
        # What principal coordinates leave may be noise too.
        expected += principal.rest(x, coordinates)
    expected = units.scale**2 * max(expected, EXACT)
    found = float(left[left <= left.quantile(_MOST)].square().mean())
    # Charts that leave far more than the noise do not tell what it is.
    good = found <= TOO_MUCH**2 * expected
    square = float(left.square().mean()) if good and noise_std is None else expected
    noise = _per_direction(square, sample, charts)
    tolerance = _usual(noise, charts)
    if good:
        tolerance = max(tolerance, TOLERANCE * float(left.quantile(NEARLY_ALL)))
    most = max(tolerance, LARGEST_APART * units.scale * spacing(coordinates))
    return _atlas(charts, fits, sample, noise, tolerance, most)


def of_networks(fits: NetworkFits, sample: Sample, noise_std: float | None) -> Atlas:
    """An atlas of network charts; the noise is what they leave of points left out, if none is given."""
    units = sample.units
    charts = fits.charts(units.center, units.scale)
    rows, at = fits.located()
    left = torch.cat(
        [
            (charts.decode(at.coords[part], k) - _points(sample, rows[part])).norm(dim=1)
            for k in range(charts.n_charts)
            for part in (at.chart == k).nonzero().squeeze(1).split(_ROWS)
        ]
    )
    square = max(units.scale**2 * fits.error, float(left.square().mean()))
    noise = _per_direction(square, sample, charts) if noise_std is None else float(noise_std)
    tolerance = max(_usual(noise, charts), TOLERANCE * float(left.quantile(NEARLY_ALL)))
    return _atlas(charts, fits, sample, noise, tolerance, tolerance)


def _per_direction(square: float, sample: Sample, charts: FeatureCharts) -> float:
    """Standard deviation in a normal direction of a mean squared distance."""
    noise = (square / max(1, charts.n_ambient - charts.dim)) ** 0.5
    return max(noise, _LEAST_NOISE * sample.units.scale)


def _usual(noise: float, charts: FeatureCharts) -> float:
    """A distance that Gaussian noise rarely exceeds."""
    return (max(0, charts.n_ambient - charts.dim) ** 0.5 + 4) * noise


def _points(sample: Sample, rows: Tensor) -> Tensor:
    """Some of the data, (N, n), float64."""
    units = sample.units
    return units.center.flatten() + units.scale * sample.flat[rows].double()


def _atlas(
    charts: FeatureCharts,
    fits: ChartFits | NetworkFits,
    sample: Sample,
    noise: float,
    tolerance: float,
    most: float,
) -> Atlas:
    """The atlas with its agreement, at most so large, and the density of (some of) the data."""
    apart = disagreement(charts, fits.shared())
    least = _LEAST_NOISE * sample.units.scale
    agreement = None if apart is None else min(max(apart, least), most)
    atlas = Atlas(charts, fits.shares, noise, tolerance, agreement, copy_charts=False)
    rows, at = fits.located()
    count = min(_KNOWN, max(1, _NUMBERS // charts.n_ambient))
    some = slice(None, None, -(-len(rows) // count))
    unseen = fits.unseen[some] if isinstance(fits, NetworkFits) else None
    points = _points(sample, rows[some]).unflatten(1, atlas.ambient_shape)
    return atlas.with_density(points, Located(at.chart[some], at.coords[some]), unseen)


def disagreement(charts: FeatureCharts, shared: Shared) -> float | None:
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
    return agreed(gaps)


def agreed(gaps: Sequence[Tensor]) -> float:
    """Several times what charts that hold the same points differ by at nearly all of them."""
    return _APART * float(torch.cat(list(gaps)).quantile(_NEARLY_ALL_SHARED))
