"""Shortest paths against all orders of few points, and against polygons."""

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from learnedmanifolds.learning.shortest_path import greedy_curves, shortest_path


def length(gaps, order):
    order = np.asarray(order)
    return float(gaps[order[:-1], order[1:]].sum())


def test_of_few_points_hardly_any_order_is_shorter():
    n_best = 0
    for seed in range(10):
        gaps = cdist(*2 * [np.random.default_rng(seed).random((7, 3))])
        best = min(length(gaps, order) for order in itertools.permutations(range(7)))
        found = shortest_path(gaps)
        assert sorted(found) == list(range(7))
        assert length(gaps, found) <= 1.1 * best
        n_best += length(gaps, found) <= (1 + 1e-9) * best
    assert n_best >= 7


@pytest.mark.parametrize("count", [2, 3, 4, 60])
def test_of_a_circle_it_is_the_polygon_but_for_its_longest_side(count):
    angle = np.random.default_rng(count).uniform(0, 2 * math.pi, count)
    points = np.stack([np.cos(angle), np.sin(angle)], 1)
    gaps = cdist(points, points)
    order = angle.argsort()
    sides = gaps[order, np.roll(order, 1)]
    expected = sides.sum() - sides.max() if count > 2 else sides[0]
    assert length(gaps, shortest_path(gaps)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_curves_that_come_nearer_to_each_other_than_some_points_of_their_own_stay_apart(seed):
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    angle = np.sort((np.arange(50) + rng.uniform(-0.2, 0.2, 50)) * 2 * math.pi / 50)
    small, large = np.delete(angle[::2], 12), angle
    # Two circles, nearer to each other than the points at a gap of the first, and an arc.
    first = np.stack([np.cos(small), np.sin(small), 0 * small], 1)
    second = np.stack([2 * np.cos(large) - 0.65, 0 * large, 2 * np.sin(large)], 1)
    third = np.stack([6 + angle[:30], angle[:30] ** 2 / 4, 0 * angle[:30]], 1)
    parts = [first, second, third]
    label = np.repeat(range(3), [len(p) for p in parts])
    points = np.pad(np.concatenate(parts), ((0, 0), (0, 2))) @ frame
    shuffled = rng.permutation(len(points))
    edges = shuffled[greedy_curves(cdist(*2 * [points[shuffled]]))]
    assert (label[edges[0]] == label[edges[1]]).all()
    found = {tuple(sorted(edge)) for edge in edges.T.tolist()}
    start = [0, 24, 74]
    expected = {
        (start[c] + i, start[c] + i + 1) for c, n in enumerate([24, 50, 30]) for i in range(n - 1)
    }
    expected |= {(0, 23), (24, 73)}
    assert found == expected
    scaled = greedy_curves(1e6 * cdist(*2 * [points[shuffled]]))
    assert {tuple(sorted(edge)) for edge in shuffled[scaled].T.tolist()} == expected
