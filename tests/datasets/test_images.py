"""Bars and balls: areas, symmetry, continuity, the rules of the published sets, seeds, bad input."""

import math

import pytest
import torch

from learnedmanifolds.datasets import IMAGES, Balls, Bars, balls, bars


def covered(images, ground, value):
    """Area of what is drawn, in pixels of a side of 128."""
    share = (images.double() - ground) / (value - ground)
    return share.sum((1, 2, 3)) * (128 / images.shape[-1]) ** 2


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_area_of_a_bar_at_every_resolution(size):
    images = Bars(size).sample(50, seed=0)
    assert images.shape == (50, 1, size, size) and images.dtype == torch.float32
    area = covered(images, 0.5, 0.75)
    tolerance = 500 * 0.15 * (16 / size) ** 2 + 2
    torch.testing.assert_close(area, torch.full_like(area, 500.0), atol=tolerance, rtol=0)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_area_of_balls_at_every_resolution(size):
    manifold = Balls(size)
    parameters = manifold.sample_parameters(50, seed=0)
    area = covered(manifold.render(parameters), 0.5, 0.8125)
    expected = math.pi * parameters[:, [2, 5]].double().square().sum(1)
    torch.testing.assert_close(area, expected, atol=0, rtol=0.02)


def test_bar_turns_counterclockwise():
    flat, steep, half = Bars(64).render([[0.0], [math.pi / 4], [math.pi / 2]])[:, 0]
    assert flat[31:33, 22].max() > 0.7 and flat[22, 31:33].max() == 0.5
    torch.testing.assert_close(half, flat.T, atol=1e-5, rtol=0)
    # Up and to the right: small row, large column.
    assert steep[24, 39] > 0.7 and steep[24, 24] == 0.5


@pytest.mark.parametrize("name", IMAGES)
def test_symmetries(name):
    manifold = IMAGES[name](32)
    parameters = manifold.sample_parameters(20, seed=4).double()
    images = manifold.render(parameters)
    assert images.dtype == torch.float64
    same = parameters + math.pi if name == "bars" else parameters[:, [3, 4, 5, 0, 1, 2]]
    torch.testing.assert_close(manifold.render(same), images)
    assert (images - images.flip(0)).abs().flatten(1).amax(1).min() > 0.05


@pytest.mark.parametrize("name", IMAGES)
def test_images_move_continuously(name):
    manifold = IMAGES[name](32)
    parameters = manifold.sample_parameters(20, seed=5).double()
    base = manifold.render(parameters)
    gaps = [
        float((manifold.render(parameters + step) - base).flatten(1).norm(dim=1).max())
        for step in (1e-2, 1e-3, 1e-4)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.2)
    assert gaps[1] / gaps[2] == pytest.approx(10, rel=0.2)


def test_balls_keep_the_rules_of_the_published_set():
    discs = Balls().sample_parameters(2000, seed=1).view(-1, 2, 3)
    distance, radius = discs[..., :2].norm(dim=-1), discs[..., 2]
    assert 12 <= radius.min() < 12.1 and 20 < radius.max() <= 25
    assert distance.max() <= 45 and (distance + radius).max() < 62
    gap = (discs[:, 0, :2] - discs[:, 1, :2]).norm(dim=-1) - radius.sum(-1)
    assert 6 < gap.min() < 6.5


def test_bars_turn_uniformly():
    # Mean of exp(2 i angle) of n uniform angles: its squared length times n is exponential(1).
    angle = Bars().sample_parameters(4000, seed=2)
    assert 0 <= angle.min() and angle.max() < math.pi
    square = torch.stack([(2 * angle).cos().mean(), (2 * angle).sin().mean()]).square().sum()
    assert float(4000 * square) < 9.2  # exceeded by chance once in 10,000


def test_sharp_images_have_two_values():
    for manifold in (Bars(64, smooth=False), Balls(64, smooth=False)):
        values = manifold.sample(5, seed=0).unique()
        torch.testing.assert_close(values, torch.tensor([manifold.ground, manifold.value]))


def test_dequantised_noise_is_below_one_grey_level():
    plain = Bars(32).sample(10, seed=6)
    noisy = Bars(32).sample(10, seed=6, dequantise=True)
    assert 0 < (noisy - plain).abs().max() <= 2 / 256
    assert len(noisy.unique()) > 5000


def test_seeds():
    for draw in (bars, balls):
        assert torch.equal(draw(4, 16, seed=3), draw(4, 16, seed=3))
        assert not torch.equal(draw(4, 16, seed=3), draw(4, 16, seed=4))
        assert not torch.equal(draw(4, 16), draw(4, 16))


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m(4), ValueError, "size must be an integer of at least 8"),
        (lambda m: m(16.0), TypeError, "size"),
        (lambda m: m(16).sample(0), ValueError, "n must"),
        (lambda m: m(16).sample(2, seed=-1), ValueError, "seed"),
        (lambda m: m(16).render([[1.0, 2.0]]), ValueError, "parameters must have shape"),
        (lambda m: m(16).render([[math.nan] * m.n_parameters]), ValueError, "finite"),
    ],
)
def test_bad_input(name, call, error, message):
    with pytest.raises(error, match=message):
        call(IMAGES[name])
