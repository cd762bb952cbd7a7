"""Shortest paths against all orders of few points, and against polygons."""

import itertools
import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from learnedmanifolds.learning.shortest_path import shortest_path


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
