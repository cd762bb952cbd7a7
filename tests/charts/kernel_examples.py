"""Kernel charts that are fitted to functions."""

import math

import torch
from oracles import draw

from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.learning.kernel_fit import fit_chart
from learnedmanifolds.learning.region import Region


def charts_of(codes, points, n_codes=64):
    """Charts fitted to sets of points (N, n) from codes (N, d), one a set."""
    fits = [fit_chart(t, x) for t, x in zip(codes, points, strict=True)]
    regions = [Region.of(fit.codes) for fit in fits]
    return KernelCharts(
        center=torch.zeros_like(points[0][0]),
        weights=torch.stack([fit.weights for fit in fits]),
        centers=torch.stack([fit.centers for fit in fits]),
        width=torch.tensor([fit.width for fit in fits], dtype=torch.float64),
        border_low=torch.stack([region.low for region in regions]),
        border_step=torch.stack([region.step for region in regions]),
        border=torch.stack([region.values for region in regions]),
        codes=torch.stack(
            [fit.codes[fit.codes.norm(dim=1).sort().indices[:n_codes]] for fit in fits]
        ),
        ambient_shape=tuple(points[0].shape[1:]),
    )


def disc(seed, n=600):
    """Codes evenly all over the disc of radius 0.8, turned by a random angle."""
    turn = draw(1, seed=seed, low=0, high=2 * math.pi)
    index = torch.arange(n, dtype=torch.float64) + 0.5
    angle = turn + math.pi * (1 + 5**0.5) * index
    return 0.8 * (index / n).sqrt().unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], 1)


def graph(t):
    """Points (N, 3) of a curved graph."""
    return torch.cat([t, 0.3 * (t[:, :1] ** 2 - t[:, 1:] ** 2) + 0.1 * t[:, :1]], 1)


def disc_charts():
    """Two charts of graphs over discs."""
    codes = [disc(0), disc(10)]
    return charts_of(codes, [graph(t) for t in codes])


def wide_charts():
    """The same in more dimensions than there are features."""
    codes = [disc(0), disc(10)]
    frame = torch.linalg.qr(draw(300, 3, seed=5)).Q
    return charts_of(codes, [graph(t) @ frame.mT for t in codes])
