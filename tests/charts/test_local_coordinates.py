"""Local coordinates on embeddings that are known exactly: circles, spheres, flat tori, rolls."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from learnedmanifolds.charts.anchored import BOUND
from learnedmanifolds.charts.local_coordinates import local_charts
from learnedmanifolds.charts.monomials import Monomials

DEGREE = {1: 10, 2: 8}


def circle(n, seed=0, flat=1.0):
    angle = 2 * math.pi * np.random.default_rng(seed).random(n)
    return np.stack([np.cos(angle), flat * np.sin(angle)], 1)


def sphere(n, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def flat_torus(n, seed=0):
    return np.concatenate([circle(n, seed), circle(n, seed + 1)], 1)


def off_sphere(x):
    return np.abs(np.linalg.norm(x, axis=1) - 1)


def off_torus(x):
    return np.hypot(off_sphere(x[:, :2]), off_sphere(x[:, 2:]))


def in_some(charts, count):
    held = np.zeros(count, dtype=bool)
    for chart in charts:
        held[chart.held] = True
    return held


def anywhere(charts, dim, degree=None, n=500):
    """Points of all charts at random coordinates in their boxes."""
    t = torch.from_numpy(np.random.default_rng(5).uniform(-1, 1, (n, dim)))
    basis = Monomials(dim, degree or DEGREE[dim])(t).numpy()
    return np.concatenate([basis @ chart.coefficients for chart in charts])


CASES = {
    "circle": (circle(400), 1, 4, off_sphere),
    "sphere": (sphere(800), 2, 12, off_sphere),
    "flat torus": (flat_torus(900), 2, 16, off_torus),
}


@pytest.fixture(scope="module", params=CASES)
def made(request):
    psi, dim, most, off = CASES[request.param]
    return psi, dim, most, off, local_charts(psi, dim, DEGREE[dim])


def test_few_charts_hold_every_point(made):
    psi, _, most, _, charts = made
    assert len(charts) <= most
    assert in_some(charts, len(psi)).mean() >= 0.995
    for chart in charts:
        assert chart.error < 0.03 * np.sqrt(psi[chart.points].var(0).sum())


def test_polynomials_give_points_between_the_data(made):
    """All over the boxes, not at the data alone."""
    _, dim, _, off, charts = made
    miss = off(anywhere(charts, dim))
    assert np.sqrt(np.square(miss).mean()) < 0.02
    assert miss.max() < 0.1


def test_coordinates_belong_to_their_points(made):
    psi, dim, _, _, charts = made
    for chart in charts:
        found = Monomials(dim, DEGREE[dim])(torch.from_numpy(chart.coords)).numpy()
        gap = np.linalg.norm(found @ chart.coefficients - psi[chart.points], axis=1)
        assert np.sqrt(np.square(gap).mean()) <= chart.error
        # Half of a box is half of the patch: coordinates do not crowd.
        assert 0.2 < (np.abs(chart.coords) < BOUND / 2).all(1).mean() * 2**dim < 4


def test_left_out_error_is_that_of_new_points():
    psi, new = sphere(600), sphere(4000, seed=9)
    for chart in local_charts(psi, 2, 8):
        made = anywhere([chart], 2, n=20_000)
        # Those near the middle of the box, which have their nearest points inside it.
        middle = psi[chart.points[np.abs(chart.coords).max(1) < 0.5]]
        near = KDTree(middle).query(new)[0] < 0.05
        miss = KDTree(made).query(new[near])[0]
        assert np.sqrt(np.square(miss).mean()) < 2 * chart.error + 0.02


def test_more_data_reproduce_the_sphere_better():
    """The error falls faster than the number of points grows."""
    miss = [
        np.sqrt(np.square(off_sphere(anywhere(local_charts(sphere(n), 2, 8), 2))).mean())
        for n in (300, 1200)
    ]
    assert math.log(miss[0] / miss[1]) / math.log(4) > 1


def test_higher_degrees_take_fewer_charts():
    counts = [len(local_charts(sphere(500), 2, degree)) for degree in (2, 8)]
    assert counts[0] >= 2 * counts[1]


def test_strands_that_are_close_do_not_share_a_box():
    """An ellipse, 0.3 wide: along every chart the angle is monotone and leaves nothing out."""
    psi = circle(600, flat=0.15)
    angle = np.arctan2(psi[:, 1] / 0.15, psi[:, 0])
    charts = local_charts(psi, 1, 10)
    assert in_some(charts, len(psi)).all()
    for chart in charts:
        steps = np.diff(np.unwrap(angle[chart.points[np.argsort(chart.coords[:, 0])]]))
        assert (steps > 0).all() or (steps < 0).all()
        assert np.abs(steps).max() < 0.15


def test_sheets_of_a_roll_do_not_share_a_box():
    """Neighbours in a box are neighbours on the roll, whose sheets are 2 pi apart in its angle."""
    rng = np.random.default_rng(0)
    s, height = 1.5 * math.pi * (1 + 2 * rng.random(700)), 20 * rng.random(700)
    psi = np.stack([s * np.cos(s), height, s * np.sin(s)], 1) / 10
    charts = local_charts(psi, 2, 8)
    # It has a boundary, up to which boxes need not reach.
    assert in_some(charts, len(psi)).mean() > 0.93
    for chart in charts:
        near = KDTree(chart.coords).query(chart.coords, 4)[1]
        assert np.abs(s[chart.points][near] - s[chart.points][:, None]).max() < math.pi


@pytest.mark.parametrize(
    ("psi", "dim"),
    [
        (np.random.default_rng(0).standard_normal((60, 3)), 2),
        (circle(60), 2),
        (sphere(60), 1),
    ],
    ids=["a ball is no surface", "a circle is no surface", "a sphere is no curve"],
)
def test_nothing_of_another_dimension_has_charts(psi, dim):
    charts = local_charts(psi, dim, 8)
    assert in_some(charts, len(psi)).mean() < 0.1


def test_points_that_coincide():
    psi = np.repeat(circle(200), 3, 0)
    charts = local_charts(psi, 1, 10)
    assert all(np.isfinite(chart.coefficients).all() for chart in charts)
