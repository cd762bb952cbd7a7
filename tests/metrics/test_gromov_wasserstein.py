"""Gromov-Wasserstein: spaces whose distance is known, and the bounds around it."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch
from oracles import draw

from learnedmanifolds.metrics import gromov_wasserstein


def turned(x, seed=0, shift=3.0):
    """An isometric copy in a space of one dimension more, in another order."""
    d = x.shape[1]
    frame = torch.linalg.qr(draw(d + 1, d, seed=seed))[0]
    return (x @ frame.T + shift)[
        torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    ]


def circle(n, seed):
    angle = draw(n, seed=seed, low=0, high=2 * math.pi)
    return torch.stack([angle.cos(), angle.sin()], 1)


def regular(n):
    angle = 2 * math.pi * torch.arange(n, dtype=torch.float64) / n
    return torch.stack([angle.cos(), angle.sin()], 1)


def simplex(n, side):
    return side / math.sqrt(2) * torch.eye(n, dtype=torch.float64)


def definition(x, y, coupling):
    d, e = torch.cdist(x, x), torch.cdist(y, y)
    loss = (d[:, None, :, None] - e[None, :, None, :]).square()
    return float(torch.einsum("ijkl,ij,kl->", loss, coupling, coupling))


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (0.5, 0.5), (3.0, 0.1)])
def test_two_points_each(a, b):
    found = gromov_wasserstein([[0.0], [a]], [[0.0, 0.0], [0.0, b]])
    assert found.value == pytest.approx((a - b) ** 2 / 2, abs=1e-12)
    assert found.lower_bound == pytest.approx((a - b) ** 2 / 2, abs=1e-12)
    assert found.floor is None


def test_against_a_single_point():
    x = draw(40, 3)
    found = gromov_wasserstein(x, [[7.0]])
    assert found.value == pytest.approx(float(torch.cdist(x, x).square().mean()), abs=1e-9)
    assert found.lower_bound == pytest.approx(found.value, abs=1e-9)


@pytest.mark.parametrize(
    "space",
    [
        draw(120, 3, seed=4),
        draw(30, 6, seed=5),
        regular(24),
        torch.arange(30.0).double().unsqueeze(1),
        torch.cartesian_prod(*[torch.arange(2.0).double()] * 3),
        torch.cartesian_prod(*[torch.arange(4.0).double()] * 3),
        torch.cat([regular(9), 4 + 0.3 * regular(9)]),
        simplex(10, 1.0),
    ],
    ids=["cloud", "high", "polygon", "line", "cube", "grid", "two polygons", "simplex"],
)
def test_an_isometric_copy_is_at_distance_zero(space):
    for seed in range(3):
        found = gromov_wasserstein(space, turned(space, seed), floor=False, seed=seed)
        assert found.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("scale", [0.3, 0.9, 2.5])
def test_a_scaled_copy(scale):
    """(1 - s)^2 mean d^2 exactly: (d - s e)^2 = (1 - s)(d^2 - s e^2) + s (d - e)^2."""
    x = draw(50, 2, seed=6)
    expected = (1 - scale) ** 2 * float(torch.cdist(x, x).square().mean())
    found = gromov_wasserstein(x, scale * turned(x), floor=False)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.lower_bound == pytest.approx(expected, abs=1e-9)
    same = gromov_wasserstein(x, scale * turned(x), floor=False, normalize=True)
    assert same.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "copies"), [(7, 2), (12, 3)])
def test_doubled_points_are_the_same_space(n, copies):
    x = draw(n, 3, seed=n)
    found = gromov_wasserstein(x, turned(x).repeat(copies, 1), floor=False)
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.coupling.shape == (n, n * copies)


def test_simplices():
    found = gromov_wasserstein(simplex(6, 2.0), simplex(6, 0.5), floor=False)
    assert found.value == pytest.approx(1.5**2 * 5 / 6, abs=1e-9)
    assert found.lower_bound == pytest.approx(found.value, abs=1e-9)
    shares = gromov_wasserstein(simplex(2, 1.0), simplex(4, 1.0), floor=False)
    # Two of the four points on each of the two: they are 1 apart there and 0 here.
    assert shares.value == pytest.approx(0.25, abs=1e-9)


@pytest.mark.parametrize("seed", range(15))
def test_between_the_lower_bound_and_every_coupling(seed):
    """For distances of points the minimum is at a permutation, so that all can be tried."""
    x, y = draw(6, 2, seed=seed), draw(6, 3, seed=100 + seed)
    d, e = torch.cdist(x, x).numpy(), torch.cdist(y, y).numpy()
    best = min(
        np.square(d - e[np.ix_(p, p)]).mean() for p in map(list, itertools.permutations(range(6)))
    )
    found = gromov_wasserstein(x, y, floor=False)
    assert found.lower_bound <= best + 1e-12
    assert best - 1e-12 <= found.value <= 1.5 * best
    assert found.value == pytest.approx(definition(x, y, found.coupling), abs=1e-12)


def test_more_starts_find_the_minimum():
    x, y = draw(5, 2, seed=1), draw(5, 3, seed=2)
    d, e = torch.cdist(x, x).numpy(), torch.cdist(y, y).numpy()
    best = min(
        np.square(d - e[np.ix_(p, p)]).mean() for p in map(list, itertools.permutations(range(5)))
    )
    found = gromov_wasserstein(x, y, floor=False, n_random=60)
    assert found.value == pytest.approx(best, abs=1e-12)
    assert found.value == min(found.starts.values()) == found.starts[found.start]
    assert {"product", "profile"} <= set(found.starts)


def test_the_coupling_is_one_and_has_the_distortion():
    x, y = draw(9, 2, seed=3), draw(14, 3, seed=4)
    found = gromov_wasserstein(x, y, floor=False)
    assert bool((found.coupling >= 0).all())
    torch.testing.assert_close(found.coupling.sum(1), torch.full((9,), 1 / 9).double())
    torch.testing.assert_close(found.coupling.sum(0), torch.full((14,), 1 / 14).double())
    assert found.value == pytest.approx(definition(x, y, found.coupling), abs=1e-12)
    assert 0 < found.lower_bound <= found.value


def test_the_floor_of_a_circle_and_a_gaussian_beside_it():
    """Independent figures, times 1000: about 3.3 for 200 points and 195 for a Gaussian."""
    x = circle(400, 0)
    gauss = x.std() * draw(200, 2, seed=9)
    settings = {"normalize": True, "max_points": 200, "n_random": 1}
    found = gromov_wasserstein(x, gauss, **settings)
    assert found.n_x == found.n_y == found.floor_points == 200
    assert 1e-3 < found.floor < 6e-3
    assert 0.13 < found.value < 0.25
    assert gromov_wasserstein(x, circle(200, 1), floor=False, **settings).value < 8e-3


def test_the_floor_falls_with_the_number_of_points():
    floors = [
        np.mean([gromov_wasserstein(circle(2 * n, s), [[0.0]]).floor for s in range(4)])
        for n in (20, 80)
    ]
    assert floors[0] > 2 * floors[1] > 0


def test_subsets_and_seeds():
    x, y = draw(90, 3), draw(70, 2, seed=1)
    first = gromov_wasserstein(x, y, max_points=25, seed=3)
    assert (first.n_x, first.n_y, first.floor_points) == (25, 25, 25)
    assert len(first.index_x.unique()) == 25 and int(first.index_x.max()) < 90
    chosen = definition(x[first.index_x], y[first.index_y], first.coupling)
    assert first.value == pytest.approx(chosen, abs=1e-12)
    again = gromov_wasserstein(x, y, max_points=25, seed=3)
    assert (again.value, again.floor) == (first.value, first.floor)
    assert gromov_wasserstein(x, y, max_points=25, seed=4).value != first.value
    everything = gromov_wasserstein(x, y, max_points=None, floor=False, n_random=0)
    assert everything.n_x == 90 and everything.index_x.tolist() == list(range(90))


def test_distance_matrices():
    angle = draw(30, seed=2, low=0, high=2 * math.pi)
    arc = (angle[:, None] - angle[None]).abs()
    arc = torch.minimum(arc, 2 * math.pi - arc)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    copy = arc[order][:, order]
    assert gromov_wasserstein(arc, copy, metric="precomputed", floor=False).value == pytest.approx(
        0, abs=1e-9
    )
    x, y = draw(12, 2), draw(15, 2, seed=1)
    given = gromov_wasserstein(torch.cdist(x, x), torch.cdist(y, y), metric="precomputed")
    points = gromov_wasserstein(x, y)
    assert given.value == pytest.approx(points.value, abs=1e-12)
    assert given.floor == pytest.approx(points.floor, abs=1e-12)


def test_without_pot(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match=r"pip install 'learnedmanifolds\[metrics\]'"):
        gromov_wasserstein([[0.0]], [[0.0]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: gromov_wasserstein(x[:, 0], x), ValueError, r"x must have shape \(N, ...\)"),
        (lambda x: gromov_wasserstein(x, x[:0]), ValueError, "y must not be empty"),
        (lambda x: gromov_wasserstein(x, x / 0), ValueError, "y must be finite"),
        (lambda x: gromov_wasserstein("x", x), TypeError, "x must be an array"),
        (lambda x: gromov_wasserstein(x, x, metric="l2"), ValueError, "metric must be one of"),
        (lambda x: gromov_wasserstein(x, x, n_random=-1), ValueError, "n_random must be"),
        (lambda x: gromov_wasserstein(x, x, max_points=0), ValueError, "max_points must be"),
        (lambda x: gromov_wasserstein(x, x, seed=-1), ValueError, "seed must be"),
        (
            lambda x: gromov_wasserstein(x, x, metric="precomputed"),
            ValueError,
            r"x must be a square distance matrix, got \(5, 2\)",
        ),
        (
            lambda x: gromov_wasserstein(-torch.eye(3), torch.zeros(3, 3), metric="precomputed"),
            ValueError,
            "x must be a distance matrix: symmetric, non-negative, zero on its diagonal",
        ),
        (
            lambda x: gromov_wasserstein(
                torch.zeros(2, 2), [[0.0, 1.0], [2.0, 0.0]], metric="precomputed"
            ),
            ValueError,
            "y must be a distance matrix",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(5, 2))


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e-4, 1e6, 1e9])
def test_it_has_the_unit_of_squared_distances(scale):
    x = draw(60, 3)
    found = [gromov_wasserstein(s * x, s * x[:40], n_random=1, max_points=40) for s in (1.0, scale)]
    for name in ("value", "lower_bound", "floor"):
        one, other = (getattr(result, name) for result in found)
        assert other / scale**2 == pytest.approx(one, rel=1e-6)
    assert 0 < found[1].lower_bound <= found[1].value
