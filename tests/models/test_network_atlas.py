"""`KernelAtlas` where it hands over to networks, on graphs over boxes of four dimensions."""

import functools
import warnings

import numpy as np
import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds.learning.network_fit import width_for

NOISE = 0.005
COUNT = 450


def bent(count, seed):
    """Points (N, 12) of a graph over a box of four dimensions."""
    t = draw(count, 4, seed=seed, low=-1, high=1)
    bend = 0.25 * torch.sin(2 * t @ draw(4, 8, seed=50))
    return torch.cat([t, bend], 1) + NOISE * draw(count, 12, seed=seed + 100)


@functools.cache
def learned():
    with warnings.catch_warnings():
        # Of few data networks say that more are needed; that is asserted elsewhere.
        warnings.filterwarnings("ignore", message="More data are needed")
        return lm.KernelAtlas(random_state=0).fit(bent(COUNT, 0))


def test_four_dimensions_are_learned_without_an_argument():
    model, x = learned(), bent(300, 1)
    assert model.dim_ == 4 and model.n_charts_ == 1
    assert type(model.atlas_.charts) is lm.charts.NetworkCharts
    at = model.atlas_.locate(x)
    error = (model.atlas_.decode(at.coords, at.chart) - x).norm(dim=1)
    nearest = torch.cdist(x, bent(COUNT, 0)).amin(1)
    middle = x.mean(0)
    rest = torch.linalg.svdvals(x - middle)[4:].square().sum() / len(x)
    # Noise alone leaves sqrt(8) 0.005 = 0.014 of a point; the flat of four dimensions 0.4.
    assert float(error.median()) < 0.04
    assert float(error.median()) < 0.15 * min(float(nearest.median()), float(rest) ** 0.5)
    inside = model.atlas_.charts.domain.depth(at.coords, at.chart) > 0
    assert float(inside.double().mean()) > 0.9
    assert model.quality_.healthy


def test_the_geometry_is_exact():
    # All of `check_manifold` would take minutes.
    assert lm.check_retraction(lm.PymanoptManifold(learned().atlas_)).passed


def test_density_and_noise_are_of_the_data():
    atlas = learned().atlas_
    x = bent(200, 2)
    gauss = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(bent(COUNT, 0).T))
    assert float(atlas.log_likelihood(x).mean()) > float(gauss.log_prob(x).mean()) + 3
    at = atlas.sample_coords(500, seed=0)
    # None pile up at the border.
    assert float((atlas.charts.domain.depth(at.coords, at.chart) > 1e-6).double().mean()) > 0.99
    drawn = atlas.decode(at.coords, at.chart)
    assert float((drawn.mean(0) - x.mean(0)).abs().max()) < 0.2


def test_few_data_say_that_more_are_needed():
    with pytest.warns(UserWarning, match="More data are needed"):
        lm.KernelAtlas(dim=4, random_state=0).fit(bent(330, 5)[:, :9])


def test_the_same_seed_gives_the_same_bits():
    x = bent(120, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two = (lm.KernelAtlas(dim=4, random_state=3).fit(x).atlas_ for _ in range(2))
    assert torch.equal(one.charts.weights, two.charts.weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"charts": "splines"}, "charts must be one of"),
        ({"dim": 13}, "dim must be at most 12"),
        ({"dim": 4, "charts": "kernel"}, "dim must be at most 3"),
        ({"dim": 4, "n_charts": 500}, "n_charts must be at most"),
    ],
)
def test_arguments_that_no_atlas_has(options, message):
    with pytest.raises(ValueError, match=message):
        lm.KernelAtlas(**options).fit(np.asarray(draw(100, 20)))


@pytest.mark.parametrize(("count", "n"), [(1000, 300), (250, 600)])
def test_layers_are_as_wide_as_points_have_directions(count, n):
    # Even variance in a subspace and little beside it: 99 % of it is in as many directions.
    for rank, width in ((20, 128), (140, 256), (200, 256)):
        axes = torch.linalg.qr(draw(n, rank, seed=rank)).Q
        even = count**0.5 * torch.linalg.qr(draw(count, rank, seed=1)).Q
        x = even @ axes.T + 1e-3 * draw(count, n, seed=2) + 5.0
        assert width_for(x, torch.arange(count)) == width
