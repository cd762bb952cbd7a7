"""The image of a diffusion embedding under a decoder, as a manifold like any atlas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.charts.diffusion_charts import DiffusionCharts
from learnedmanifolds.charts.local_coordinates import LocalChart, local_charts

# Points from which charts are made, and at which the atlas is measured.
_POINTS, _PROBES = 4000, 512
# Points that are closer than this share of the largest coordinate are the same.
_SAME = 1e-6
_ANCHORS = {1: 32, 2: 64}
_DEGREE = {1: 10, 2: 8, 3: 5}


class DiffusionImmersion(Atlas):
    """The manifold D(psi(M)): an embedding of the data in diffusion space, carried back by a decoder D.

    It is an `Atlas` of charts with diffusion coordinates (`local_charts`), so that everything that
    takes an atlas takes it: the three manifold wrappers, `solve`, `compare`, `solve_batch`.

    Parameters
    ----------
    psi : Tensor, shape (N, D)
        Diffusion coordinates of the data, in order of frequency.
    x : Tensor, shape (N, *ambient_shape)
    decoder : nn.Module
        D, (N, D) -> (N, *ambient_shape); C2 where second-order geometry is asked for.
    dim : int
        Dimension d of the manifold.

    Attributes
    ----------
    fit_error : Tensor, shape (K,)
        Error of each chart's polynomials from local to diffusion coordinates, a root mean square over
        points left out of the fit, in units of psi. Times the decoder's slope it is by how much charts
        disagree.
    embedded : float
        Share of the points that the charts hold, in [0, 1]. Less than 1 where points are too
        few for a chart, near a boundary, or not of dimension d.

    Raises
    ------
    ValueError
        If no chart can be made: the points are too few, or do not look like a manifold of that
        dimension.
    """

    charts: DiffusionCharts

    def __init__(self, psi: Tensor, x: Tensor, decoder: nn.Module, dim: int) -> None:
        points = _distinct(psi.double().cpu().numpy())
        points = points[:: max(1, -(-len(points) // _POINTS))]
        degree = _DEGREE.get(dim, 3)
        found = local_charts(points, dim, degree) if len(points) > 4 * dim + 4 else []
        if not found:
            raise ValueError(
                f"the diffusion coordinates of {len(points)} points have no chart of dimension "
                f"dim={dim}; give dim, more components or more data."
            )
        holders = np.zeros(len(points))
        for chart in found:
            holders[chart.held] += 1
        charts = DiffusionCharts(
            torch.from_numpy(np.stack([chart.coefficients for chart in found])).to(psi),
            decoder,
            torch.from_numpy(np.stack([_anchors(chart) for chart in found])).to(psi),
            degree,
            tuple(x.shape[1:]),
        )
        shares = [(1 / holders[chart.held]).sum() for chart in found]
        # The noise is measured with the charts themselves.
        super().__init__(charts, shares, noise_std=1.0)
        least = 1e-9 * float((x - x.mean(0)).square().mean().sqrt()) or 1e-9
        few = x[:: max(1, len(x) // _PROBES)][:_PROBES]
        miss = (self.project(few) - few).flatten(1).square().sum(-1).mean()
        noise = float((miss / max(1, charts.n_ambient - dim)).sqrt())
        super().__init__(charts, shares, noise_std=max(least, noise))
        self.fit_error = torch.tensor([chart.error for chart in found], dtype=torch.float32)
        self.embedded = float((holders > 0).mean())


def _distinct(points: np.ndarray) -> np.ndarray:
    """Points (M, D) without repetitions, in their order: among copies no neighbours are found."""
    unit = max(np.finfo(float).tiny, _SAME * float(np.abs(points).max()))
    first = np.unique(np.round(points / unit), axis=0, return_index=True)[1]
    return points[np.sort(first)]


def _anchors(chart: LocalChart) -> np.ndarray:
    """Coordinates (A, d) of points in the box; some twice where there are few."""
    inside = chart.coords[np.abs(chart.coords).max(1) <= 1]
    count = _ANCHORS.get(inside.shape[1], 128)
    order = np.random.default_rng(0).permutation(len(inside))
    return inside[order[np.arange(count) % len(inside)]]
