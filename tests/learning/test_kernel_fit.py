"""Kernel fits against the linear algebra that they shorten, and graphs of curves against polygons."""

import math

import numpy as np
import pytest
import torch
from oracles import draw

from learnedmanifolds.learning.kernel_fit import _ridge, fit_chart, interpolate_chart
from learnedmanifolds.learning.nodes import make_nodes


@pytest.mark.parametrize(("dim", "count"), [(1, 12), (2, 30)])
def test_the_error_is_that_of_generalised_cross_validation(dim, count):
    """|x - H x|^2 / n / (1 - tr H / n)^2 with the hat matrix H of the ridge that was chosen."""
    codes = 0.8 * draw(120, dim, seed=1, low=-1, high=1)
    x = torch.cat([codes, (3 * codes).sin()], 1) + 0.05 * draw(120, 2 * dim, seed=2)
    fit = _ridge(codes, x, count, 2.0, -13.0)
    features, n = fit.features(), len(x)
    products = features.mT @ features / n + fit.ridge * torch.eye(features.shape[1]).double()
    hat = features @ torch.linalg.solve(products, features.mT) / n
    left = (x - hat @ x).square().sum() / n
    expected = left / (1 - hat.trace() / n) ** 2
    assert fit.error == pytest.approx(float(expected), rel=1e-4)
    assert torch.allclose(fit.decode(), hat @ x, rtol=0, atol=1e-6)


def test_shrinking_coordinates_moves_no_point():
    codes = 1.1 * draw(80, 2, seed=3, low=-1, high=1)
    x = torch.cat([codes, codes.square()], 1)
    fit = _ridge(codes, x, 20, 2.0, -9.0)
    before = fit.decode()
    fit.shrink()
    assert float(fit.codes.abs().max()) < 0.94
    assert torch.allclose(fit.decode(), before, rtol=0, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_graphs_of_curves_are_the_polygons_of_their_points(seed):
    """Of a circle, also across wide gaps, and of two strands that come near each other."""
    angle = np.sort(np.random.default_rng(seed).uniform(0, 2 * math.pi, 150))
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    line = np.linspace(0, 3, 60)
    strands = np.stack([np.tile(line, 2), np.repeat([0.0, 0.8], 60)], 1)
    strands[:, 1] += 0.1 * np.sin(strands[:, 0])
    nodes = make_nodes(circle, 400, 10, 0, True)
    assert (np.diff(nodes.graph.indptr) == 2).all() and nodes.component.max() == 0
    # Its edges are the sides: their lengths are those of the neighbouring angles.
    sides = np.linalg.norm(circle - np.roll(circle, 1, 0), axis=1)
    assert nodes.graph.data.sum() / 2 == pytest.approx(sides.sum(), rel=1e-9)
    apart = make_nodes(strands, 400, 10, 0, True)
    assert apart.graph.data.max() < 0.1


def test_rough_curves_are_nearer_than_chords_and_even_steps_change_nothing():
    ratios, t = [], np.linspace(-1, 1, 81)
    waves = np.arange(1, 30)
    for seed in range(8):
        # Steps between every other point differ in length and direction: arc length overshoots.
        size = (
            np.random.default_rng(seed).standard_normal((58, 20))
            / np.repeat(waves, 2)[:, None] ** 2
        )
        angle = np.pi / 1.1 * waves[:, None] * t
        x = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1).reshape(58, -1).T @ size)
        known, between = x[::2], x[1::2]
        arc = torch.nn.functional.pad((known[1:] - known[:-1]).norm(dim=1).cumsum(0), (1, 0))
        fit = interpolate_chart((2 * arc / arc[-1] - 1).unsqueeze(1), known)
        fit.codes = torch.linspace(float(fit.codes.min()), float(fit.codes.max()), 2000).double()[
            :, None
        ]
        chord = ((known[1:] + known[:-1]) / 2 - between).norm(dim=1).mean()
        ratios.append(float(torch.cdist(between, fit.decode()).amin(1).mean() / chord))
    assert np.median(ratios) < 0.9
    angle = torch.linspace(0, 3, 30, dtype=torch.float64)
    even = interpolate_chart(
        (angle / 1.5 - 1).unsqueeze(1), torch.stack([angle.cos(), angle.sin()], 1)
    )
    assert torch.allclose(even.codes.diff(dim=0), even.codes[1] - even.codes[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("half", [0.4, 1.2, 2.0])
def test_an_arc_is_as_straight_as_its_mean_tangent_is_long(half):
    angle = half * torch.linspace(-1, 1, 300, dtype=torch.float64).unsqueeze(1)
    circle = 3.0 * torch.cat([angle.cos(), angle.sin()], 1)
    fit = interpolate_chart(0.9 * angle / half, circle)
    # Of 300 tangents, those at the ends count whole: 0.6 % of the largest arc, where they point backward.
    assert fit.straightness == pytest.approx(math.sin(half) / half, rel=2e-2)


def test_a_plane_is_straight_and_a_cylinder_as_its_bent_direction():
    t = 0.9 * draw(400, 2, seed=4, low=-1, high=1)
    frame = torch.linalg.qr(draw(5, 2, seed=5)).Q
    assert fit_chart(t, t @ frame.T).straightness == pytest.approx(1, abs=1e-6)
    # Bent by 1.5 to both sides along one coordinate: the other one would say that it is straight.
    angle = 1.5 * t[:, :1] / 0.9
    cylinder = torch.cat([angle.cos(), angle.sin(), t[:, 1:]], 1)
    assert fit_chart(t, cylinder).straightness == pytest.approx(math.sin(1.5) / 1.5, rel=0.05)
