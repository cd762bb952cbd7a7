"""Chains of nodes along noisy curves: how many curves, closed or open, and how near."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from learnedmanifolds.learning.nodes import make_nodes
from learnedmanifolds.learning.ridges import closed, ridge

NOISE = 0.01


def circle(count, radius, rng, first=0.0, last=2 * math.pi):
    angle = rng.uniform(first, last, count)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def noisy(*parts, rng):
    x = np.concatenate(parts)
    return x + NOISE * rng.standard_normal(x.shape)


def pieces(graph):
    """Of each component its nodes and how many independent cycles it has."""
    count, label = connected_components(graph, directed=False)
    return [
        (own, graph[own][:, own].nnz // 2 - len(own) + 1)
        for own in (np.flatnonzero(label == c) for c in range(count))
    ]


@pytest.mark.parametrize("widths", [8, 15])
def test_circles_that_many_noise_widths_apart_are_two_closed_curves(widths):
    """Where points are denser than the noise; single nodes may lie between them."""
    radii = np.array([1.0, 1 + widths * NOISE])
    for seed in range(8):
        rng = np.random.default_rng(seed)
        nodes = make_nodes(noisy(*(circle(1000, r, rng) for r in radii), rng=rng), 400, 10, 0, True)
        nearer = np.abs(np.linalg.norm(nodes.points, axis=1)[:, None] - radii).argmin(1)
        found = pieces(nodes.graph)
        assert [c for _, c in found] == [1, 1]
        assert sorted(round(float(nearer[own].mean()), 1) for own, _ in found) == [0, 1]


@pytest.mark.parametrize(("count", "noise"), [(300, 0.05), (1000, 0.01), (5000, 0.02)])
def test_noisy_circles_are_one_closed_curve(count, noise):
    closed = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = circle(count, 1.0, rng) + noise * rng.standard_normal((count, 2))
        closed += [c for _, c in pieces(make_nodes(x, 400, 10, 0, True).graph)] == [1]
    # One gap in fifty data sets is longer than by chance.
    assert closed >= 9


@pytest.mark.parametrize(("count", "gap"), [(300, 0.3), (1000, 0.2), (3000, 0.1)])
def test_arcs_whose_ends_are_farther_apart_than_points_by_chance_are_open(count, gap):
    """At 14 to 48 spacings and 10 to 30 noise widths."""
    opened = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = noisy(circle(count, 1.0, rng, gap / 2, 2 * math.pi - gap / 2), rng=rng)
        opened += [c for _, c in pieces(make_nodes(x, 400, 10, 0, True).graph)] == [0]
    assert opened >= 9


def test_a_hairpin_ten_noise_widths_across_is_one_open_curve():
    right = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        half = circle(45, 0.05, rng, -math.pi / 2, math.pi / 2)
        arms = np.stack([rng.uniform(-1, 0, 600), np.repeat([-0.05, 0.05], 300)], 1)
        nodes = make_nodes(noisy(half, arms, rng=rng), 400, 10, 0, True)
        ends = nodes.points[np.diff(nodes.graph.indptr) == 1]
        right += (
            len(pieces(nodes.graph)) == 1 and len(ends) == 2 and bool((ends[:, 0] < -0.9).all())
        )
    assert right >= 9


def test_no_chain_ends_where_a_figure_eight_crosses():
    closed = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        u = rng.uniform(0, 2 * math.pi, 3000)
        x = np.stack([np.sin(u), np.sin(2 * u)], 1) + 0.005 * rng.standard_normal((3000, 2))
        closed += bool((np.diff(make_nodes(x, 400, 10, 0, True).graph.indptr) == 2).all())
    assert closed >= 7


def test_chains_move_with_the_points():
    rng = np.random.default_rng(0)
    x = noisy(circle(800, 1.0, rng), rng=rng)
    turn = np.linalg.qr(rng.standard_normal((2, 2)))[0]
    one, other = ridge(x, 400, 0), ridge(3 * x @ turn + 5, 400, 0)
    assert [c for _, c in pieces(one.graph)] == [c for _, c in pieces(other.graph)] == [1]
    # Other points are drawn: the curves are near each other, not the nodes.
    radius = np.linalg.norm((other.points - 5) / 3, axis=1)
    assert (
        np.abs(radius - 1).max() < 2 * NOISE
        and np.abs(np.linalg.norm(one.points, axis=1) - 1).max() < 2 * NOISE
    )


def test_a_gap_is_cut_wherever_the_numbering_of_a_ring_begins():
    """Two nodes of it lie in the gap, near one end: the edge across its middle is cut, no other."""
    angle = np.linspace(0, 2 * math.pi - 0.3, 400)
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    inside = angle[-1] + 0.3 * np.array([0.2, 0.3])
    inside = np.stack([np.cos(inside), np.sin(inside)], 1)
    nodes = np.concatenate([x[::10], x[-1:], inside])
    count = len(nodes)
    for first in range(count):
        own = np.roll(nodes, first, 0)
        row, column = np.arange(count), (np.arange(count) + 1) % count
        length = np.linalg.norm(own[row] - own[column], axis=1)
        graph = csr_array((length, (row, column)), shape=(count, count))
        found = closed(graph.maximum(graph.T).tocsr(), own, x, 0.1)
        kept = np.linalg.norm(own[found.tocoo().row] - own[found.tocoo().col], axis=1)
        assert [c for _, c in pieces(found)] == [0]
        assert kept.max() < 0.2 and found.nnz == 2 * (count - 1)
