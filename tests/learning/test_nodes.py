"""Nodes of curves that are known only through noise, or only at few points, and codes at nodes."""

import math

import numpy as np
import pytest
import torch

import learnedmanifolds as lm
from learnedmanifolds.learning.codes import interpolate
from learnedmanifolds.learning.kernel_fit import fit_chart, interpolate_chart
from learnedmanifolds.learning.nodes import make_nodes
from learnedmanifolds.models.kernel_atlas import KernelAtlas


def circle(count, n_features, noise, seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * math.pi, count)
    x = np.zeros((count, n_features))
    x[:, 0], x[:, 1] = np.cos(angle), np.sin(angle)
    return x + noise * rng.standard_normal(x.shape)


def waves(angle, most=12):
    """A closed curve that is hardly resolved by steps of more than 1 / most."""
    return np.concatenate([[np.cos(k * angle), np.sin(k * angle)] for k in range(1, most)]).T


@pytest.mark.parametrize("n_features", [2, 10])
def test_a_circle_with_noise_of_a_tenth_of_its_radius_is_one_of_few_charts(n_features):
    model = KernelAtlas(dim=1, random_state=0).fit(circle(5000, n_features, 0.1, 0))
    clean = torch.from_numpy(circle(300, n_features, 0.0, 1))
    off = (model.atlas_.project(clean) - clean).norm(dim=1).mean()
    assert float(off) < 0.1 / 4
    assert model.n_charts_ <= 4
    assert model.atlas_.noise_std == pytest.approx(0.1, rel=0.1)


def test_few_points_of_a_curve_that_bends_between_them_are_joined_in_its_order():
    rng = np.random.default_rng(0)
    order = rng.permutation(54)
    x = waves(2 * math.pi * np.arange(72)[np.arange(72) % 4 > 0] / 72)[order]
    nodes = make_nodes(x, 400, 10, 0, True)
    assert nodes.exact and len(nodes.points) == 54
    place = order[np.square(nodes.points[:, None] - x).sum(-1).argmin(1)]
    row, column = nodes.graph.nonzero()
    assert set((place[row] - place[column]) % 54) == {1, 53}
    assert (np.diff(nodes.graph.indptr) == 2).all()


def test_an_atlas_of_few_views_beats_the_mean_of_the_true_neighbours():
    angle = 2 * math.pi * np.arange(72) / 72
    x = torch.from_numpy(waves(angle))
    held = torch.arange(72) % 4 == 0
    atlas = KernelAtlas(dim=1, random_state=0).fit(x[~held]).atlas_
    off = (atlas.project(x[held]) - x[held]).norm(dim=1).mean()
    middle = (x.roll(1, 0) + x.roll(-1, 0))[held] / 2
    assert float(off) < 0.5 * float((middle - x[held]).norm(dim=1).mean())


def test_points_that_are_nodes_have_their_codes():
    rng = np.random.default_rng(0)
    nodes, codes = 100 + rng.standard_normal((40, 300)), rng.uniform(-1, 1, (40, 1))
    found = interpolate(torch.from_numpy(nodes[::-1].copy()), nodes, codes)
    assert torch.equal(found, torch.from_numpy(codes[::-1].copy()))


def test_interpolation_goes_through_all_points_and_leaves_codes_where_they_are():
    codes = torch.linspace(-0.9, 0.9, 25).double().unsqueeze(1)
    x = torch.randn(25, 30, generator=torch.Generator().manual_seed(0)).double()
    fit = interpolate_chart(codes, x)
    assert torch.equal(fit.codes, codes)
    assert float((fit.decode() - x).norm(dim=1).max()) < 1e-3


def test_charts_say_whether_more_bumps_would_fit_better():
    source = torch.Generator().manual_seed(0)
    codes = (1.8 * torch.rand(1700, 2, generator=source) - 0.9).double()
    smooth = torch.cat([codes, codes.square()], 1)
    rough = torch.cat([codes, 0.1 * (15 * codes).sin(), 0.1 * (15 * codes).cos()], 1)
    assert not fit_chart(codes, smooth).starved
    assert fit_chart(codes, rough).starved


def test_noise_of_the_size_of_the_curve_is_told_and_that_of_a_twentieth_is_not(recwarn):
    KernelAtlas(dim=1, random_state=0).fit(circle(2000, 2, 0.05, 0))
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]
    with pytest.warns(
        UserWarning, match="not clear that x has such a shape|does not hold the data"
    ):
        KernelAtlas(dim=1, random_state=0).fit(circle(2000, 2, 0.3, 0))


def test_few_points_tell_no_high_dimension(recwarn):
    x = np.random.default_rng(0).standard_normal((54, 8))
    found = lm.dimension(x)
    assert found.value is None and "too few" in found.reason
    assert KernelAtlas(random_state=0).fit(x).dim_ == 1
    assert any("1 is taken" in str(warning.message) for warning in recwarn)


def n_loops(nodes):
    """Independent cycles of the graph."""
    return nodes.graph.nnz // 2 - len(nodes.points) + nodes.component.max() + 1


@pytest.mark.parametrize("count", [60, 200, 1000])
def test_gaps_wider_than_all_others_are_borders_and_those_by_chance_are_not(count):
    # Random points: at most one circle of twenty is cut, at ratios of gaps of two and more.
    closed = [
        n_loops(make_nodes(circle(count, 2, 0.0, seed), 1000, 10, 0, True)) for seed in range(20)
    ]
    assert sum(closed) >= 19
    # Even ones: the gap is six steps.
    angle = 2 * math.pi * np.arange(count - 5) / count
    nodes = make_nodes(np.stack([np.cos(angle), np.sin(angle)], 1), 1000, 10, 0, True)
    assert n_loops(nodes) == 0 and nodes.component.max() == 0


def test_ends_that_noise_leaves_in_a_knot_are_joined():
    for seed in range(6):
        rng = np.random.default_rng(seed)
        u = rng.uniform(0, 2 * math.pi, 1000)
        x = np.stack(
            [np.sin(u) + 2 * np.sin(2 * u), np.cos(u) - 2 * np.cos(2 * u), -np.sin(3 * u)], 1
        )
        nodes = make_nodes(x + 0.02 * rng.standard_normal(x.shape), 400, 10, 0, True)
        assert n_loops(nodes) >= 1 and nodes.component.max() == 0


def test_circles_twenty_noise_widths_apart_are_two():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        angle = rng.uniform(0, 2 * math.pi, 800)
        x = np.stack([np.cos(angle), np.sin(angle)], 1)
        x[400:, 0] += 2.2
        x += 0.01 * rng.standard_normal(x.shape)
        nodes = make_nodes(x, 400, 10, 0, True)
        right = nodes.points[:, 0] > 1.1
        shares = [right[nodes.component == c].mean() for c in range(nodes.component.max() + 1)]
        assert set(shares) == {0.0, 1.0}
