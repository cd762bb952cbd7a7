"""Betti numbers of samples of spaces whose homology is known."""

import math
import sys

import pytest
import torch
from oracles import draw, unit

import learnedmanifolds as lm
from learnedmanifolds.metrics import betti, betti_numbers


def angles(n, d, seed):
    return draw(n, d, seed=seed, low=0, high=2 * math.pi)


def circle(n, seed):
    t = angles(n, 1, seed)
    return torch.cat([t.cos(), t.sin()], 1)


def interval(n, seed):
    t = draw(n, 1, seed=seed, low=0, high=3)
    return torch.cat([t, t.sin()], 1)


def disc(n, seed):
    return draw(n, 1, seed=seed, low=0, high=1).sqrt() * circle(n, seed + 1000)


def flat_torus(n, seed):
    t = angles(n, 2, seed)
    return torch.cat([t.cos(), t.sin()], 1)


def projective_plane(n, seed):
    """The symmetric matrices x x^T of unit vectors x."""
    x = unit(draw(n, 3, seed=seed))
    return (x.unsqueeze(2) * x.unsqueeze(1)).flatten(1)


def toy(name):
    return lambda n, seed: lm.datasets.toy(name).sample(n, seed=seed, dtype=torch.float64)


def two_spheres(n, seed):
    x = unit(draw(n, 3, seed=seed))
    x[::2, 0] += 3
    return x


SPACES = {
    "circle": (circle, (1, 1, 0)),
    "two circles": (toy("two_circles"), (2, 2, 0)),
    "sphere": (toy("sphere"), (1, 0, 1)),
    "two spheres": (two_spheres, (2, 0, 2)),
    "torus": (toy("torus"), (1, 2, 1)),
    "fat torus": (
        lambda n, seed: lm.datasets.Torus(2.0, 1.0).sample(n, seed=seed, dtype=torch.float64),
        (1, 2, 1),
    ),
    "flat torus": (flat_torus, (1, 2, 1)),
    "ring": (toy("ring"), (1, 1, 0)),
    "interval": (interval, (1, 0, 0)),
    "disc": (disc, (1, 0, 0)),
}


@pytest.mark.parametrize(("noise", "seed"), [(0.0, 0), (0.02, 1), (0.0, 2)])
@pytest.mark.parametrize("name", SPACES)
def test_known_spaces(name, noise, seed):
    draw_points, expected = SPACES[name]
    x = draw_points(2000, seed)
    x = x + noise * draw(*x.shape, seed=seed + 50)
    assert betti_numbers(x, seed=seed).numbers == expected


def test_the_projective_plane_depends_on_the_field():
    x = projective_plane(2000, 0)
    assert betti_numbers(x).numbers == (1, 1, 1)
    assert betti_numbers(x, field=3).numbers == (1, 0, 0)


@pytest.mark.parametrize(("max_dim", "expected"), [(0, (2,)), (1, (2, 2))])
def test_fewer_dimensions(max_dim, expected):
    assert betti_numbers(toy("two_circles")(900, 0), max_dim).numbers == expected


def test_isolated_points_give_an_exact_diagram():
    """Four points at the corners of a square, each many times."""
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    found = betti_numbers(corners.repeat(20, 1), 1)
    assert found.numbers == (4, 0)
    assert found.scale == pytest.approx((0.0, 1.0))
    assert (found.covering_radius, found.n_landmarks, found.threshold) == (0.0, 4, math.inf)
    components, loops = found.diagrams
    assert components[:, 0].tolist() == [0.0] * 4
    assert sorted(components[:, 1].tolist()) == pytest.approx([1, 1, 1, math.inf])
    torch.testing.assert_close(
        loops, torch.tensor([[1.0, math.sqrt(2)]]).double(), rtol=0, atol=1e-6
    )


def test_a_point():
    found = betti_numbers(torch.ones(20, 3))
    assert found.numbers == (1, 0, 0) and found.scale == (0.0, math.inf)
    assert [len(d) for d in found.diagrams] == [1, 0, 0]
    found.plot().canvas.draw()


def test_motions_and_units():
    x = lm.datasets.Torus(2.0, 1.0).sample(1500, noise=0.02, seed=4, dtype=torch.float64)
    frame = torch.linalg.qr(draw(6, 3))[0]
    found, moved = betti_numbers(x), betti_numbers(1000 * x @ frame.T + 7)
    assert moved.numbers == found.numbers == (1, 2, 1)
    assert moved.scale == pytest.approx([1000 * s for s in found.scale], rel=1e-4)
    assert moved.covering_radius == pytest.approx(1000 * found.covering_radius, rel=1e-6)
    again = betti_numbers(x)
    assert again.scale == found.scale and torch.equal(again.diagrams[1], found.diagrams[1])
    assert betti_numbers(x, seed=1).scale != found.scale


def test_the_scale_is_that_of_the_sample():
    """Numbers are read where balls around the landmarks meet, and below the size of the hole."""
    found = betti_numbers(circle(2000, 0))
    low, high = found.scale
    assert 2 * found.covering_radius <= low and 1.25 * low <= high < math.sqrt(3)
    # Landmarks are farther apart than the covering radius, so on a circle there are at most so many.
    assert 100 < found.n_landmarks <= min(300, 2 * math.pi / found.covering_radius)
    counted = sum(int(((d[:, 0] <= low) & (d[:, 1] >= high)).sum()) for d in found.diagrams)
    alive = sum(int(((d[:, 0] < high) & (d[:, 1] > low)).sum()) for d in found.diagrams)
    assert counted == alive == 2


def test_stray_points_are_left_out():
    x = toy("two_circles")(2000, 1)
    stray = draw(8, 2, seed=3, low=-6, high=6)
    stray = stray[lm.datasets.TwoCircles().distance(stray) > 0.5]
    dirty = torch.cat([x, stray])
    assert len(stray) >= 4
    assert betti_numbers(dirty).numbers == (2, 2, 0)
    assert betti_numbers(dirty, outliers=0.0).numbers != (2, 2, 0)


def test_a_bridge_joins_components():
    """A wrong topology is a number: circles joined by a segment of samples, as one chart does."""
    bridge = torch.stack([draw(200, seed=1, low=-0.6, high=0.6), torch.zeros(200).double()], 1)
    x = torch.cat([toy("two_circles")(1800, 0), bridge])
    assert betti_numbers(x).numbers == (1, 2, 0)


def test_more_points_than_it_takes(monkeypatch):
    monkeypatch.setattr(betti, "_MOST_POINTS", 900)
    found = betti_numbers(toy("sphere")(3000, 2), n_landmarks=1000)
    assert found.numbers == (1, 0, 1)
    assert found.n_landmarks == 300


def test_the_figure():
    found = betti_numbers(toy("two_circles")(600, 0), 1)
    axes = found.plot().axes[0]
    labels = [t.get_text() for t in axes.get_legend().get_texts()]
    assert labels == ["dimension 0: 2", "dimension 1: 2"]
    n_drawn = sum(len(c.get_offsets()) for c in axes.collections[1:])
    assert n_drawn == sum(len(d) for d in found.diagrams)
    exact = betti_numbers(torch.tensor([[0.0], [1.0], [5.0]]).repeat(10, 1), 0).plot().axes[0]
    # Every death lies within the axes, the infinite one too.
    drawn = torch.cat([torch.as_tensor(c.get_offsets()) for c in exact.collections[1:]])
    assert float(drawn[:, 1].max()) < exact.get_ylim()[1]
    assert sorted(drawn[:, 1].tolist())[:2] == pytest.approx([1, 4])


def test_without_ripser(monkeypatch):
    monkeypatch.setitem(sys.modules, "ripser", None)
    with pytest.raises(ImportError, match=r"pip install 'learnedmanifolds\[metrics\]'"):
        betti_numbers(circle(100, 0))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: betti_numbers(x[:11]), ValueError, "x must hold at least 12 points, got 11"),
        (lambda x: betti_numbers(x[:, 0]), ValueError, r"x must have shape \(N, ...\)"),
        (lambda x: betti_numbers(x / 0), ValueError, "x must be finite"),
        (lambda x: betti_numbers("x"), TypeError, "x must be an array"),
        (lambda x: betti_numbers(x, -1), ValueError, "max_dim must be an integer of at least 0"),
        (lambda x: betti_numbers(x, 1.0), TypeError, "max_dim must be an integer"),
        (lambda x: betti_numbers(x, n_landmarks=3), ValueError, "n_landmarks must be"),
        (lambda x: betti_numbers(x, outliers=1.0), ValueError, "outliers must be a share"),
        (lambda x: betti_numbers(x, outliers=-0.1), ValueError, "outliers must be a non-negative"),
        (lambda x: betti_numbers(x, stability=1.0), ValueError, "stability must be greater than 1"),
        (lambda x: betti_numbers(x, field=4), ValueError, "field must be a prime, got 4"),
        (lambda x: betti_numbers(x, field=1), ValueError, "field must be an integer of at least 2"),
        (lambda x: betti_numbers(x, seed=-1), ValueError, "seed must be"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(40, 2))


@pytest.mark.parametrize("seed", range(4))
def test_repeated_and_rounded_points_of_a_circle(seed):
    angle = 2 * math.pi * draw(4000, seed=seed, low=0, high=1)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    source = torch.Generator().manual_seed(seed)
    drawn = circle[:200][torch.randint(200, (4000,), generator=source)]
    nearly = drawn + 1e-12 * draw(4000, 2, seed=1)
    for x in ((100 * circle).round() / 100, drawn, nearly):
        assert betti_numbers(x, 1, seed=seed).numbers == (1, 1)
