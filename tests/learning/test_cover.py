"""Cells against triangulations of the surfaces that their nodes are of, and flat parts of planes."""

import itertools
import math

import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import ConvexHull, Delaunay
from scipy.spatial.distance import pdist, squareform

import learnedmanifolds as lm
from learnedmanifolds.learning.cells import Cover, divide
from learnedmanifolds.learning.nodes import make_nodes


def circle_nodes(seed):
    angle = np.random.default_rng(seed).uniform(0, 2 * math.pi, 200)
    nodes = make_nodes(np.stack([np.cos(angle), np.sin(angle)], 1), 400, 10, 0, True)
    order = np.arctan2(nodes.points[:, 1], nodes.points[:, 0]).argsort()
    return nodes, np.stack([order, np.roll(order, -1)], 1)


def sphere_nodes(seed):
    x = np.random.default_rng(seed).standard_normal((4000, 3))
    nodes = make_nodes(x / np.linalg.norm(x, axis=1)[:, None], 350, 12, 0, False)
    on = nodes.points / np.linalg.norm(nodes.points, axis=1)[:, None]
    faces = ConvexHull(on).simplices
    inward = np.linalg.det(on[faces]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return nodes, faces


def torus_nodes(seed):
    a, b = np.random.default_rng(seed).uniform(0, 2 * math.pi, (2, 6000))
    ring = 1 + 0.4 * np.cos(b)
    x = np.stack([ring * np.cos(a), ring * np.sin(a), 0.4 * np.sin(b)], 1)
    nodes = make_nodes(x, 800, 12, 0, False)
    y = nodes.points
    flat = np.stack(
        [np.arctan2(y[:, 1], y[:, 0]), 0.4 * np.arctan2(y[:, 2], np.hypot(y[:, 0], y[:, 1]) - 1)], 1
    )
    # The triangles of the plane that it is rolled up from, each once.
    steps = np.array(list(itertools.product((0, -1, 1), repeat=2)))
    tiles = flat + 2 * math.pi * np.array([1, 0.4]) * steps[:, None]
    faces = Delaunay(tiles.reshape(-1, 2)).simplices
    flat = tiles.reshape(-1, 2)[faces]
    side = np.linalg.det(flat[:, 1:] - flat[:, :1])
    faces[side < 0] = faces[side < 0][:, ::-1]
    middle = flat.mean(1)
    own = (np.abs(middle) <= math.pi * np.array([1, 0.4])).all(1)
    return nodes, faces[own] % len(y)


def square_nodes(seed, shape=(1.0, 1.0)):
    """Nodes of a flat rectangle in R^5."""
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((5, 2)))[0]
    return make_nodes(rng.uniform(0, shape, (4000, 2)) @ frame.T, 300, 12, 0, False)


def euler(simplices, members):
    """Euler characteristic of all simplices whose corners are among the members."""
    total = len(members)
    for size in range(2, simplices.shape[1] + 1):
        corners = itertools.combinations(range(simplices.shape[1]), size)
        parts = [np.sort(simplices[:, list(places)], 1) for places in corners]
        every = np.unique(np.concatenate(parts), axis=0)
        total += (-1) ** (size - 1) * int(np.isin(every, members).all(1).sum())
    return total


def disc_cover(nodes, dim):
    cover = Cover(nodes, 0, dim)
    cover.make_discs()
    return cover


def between(nodes, cells):
    """Edges (E, 2) from the core of one cell to that of another."""
    owner = np.full(len(nodes.points), -1)
    for k, cell in enumerate(cells):
        owner[cell.core] = k
    edges = np.stack(nodes.graph.nonzero(), 1)
    return edges[owner[edges[:, 0]] != owner[edges[:, 1]]]


@pytest.mark.parametrize(
    ("make", "dim", "whole"), [(circle_nodes, 1, 0), (sphere_nodes, 2, 2), (torus_nodes, 2, 0)]
)
def test_cells_of_closed_manifolds_are_discs_that_overlap(make, dim, whole):
    nodes, simplices = make(3)
    everything = np.arange(len(nodes.points))
    assert nodes.component.max() == 0
    assert euler(simplices, everything) == whole
    cells = disc_cover(nodes, dim).cells
    assert len(cells) > 1
    # The cores are a partition.
    assert np.array_equal(np.sort(np.concatenate([cell.core for cell in cells])), everything)
    for cell in cells:
        assert cell.is_disc
        assert set(cell.core) <= set(cell.inner) <= set(cell.members)
        assert euler(simplices, cell.inner) == 1
        # All simplices keep their side: coordinates lay no part on another.
        place = np.full(len(everything), -1)
        place[cell.members] = np.arange(len(cell.members))
        held = simplices[np.isin(simplices, cell.inner).all(1)]
        corners = cell.coords[place[held]]
        side = np.sign(np.linalg.det(corners[:, 1:] - corners[:, :1]))
        assert abs(side.mean()) > 0.99
        assert np.abs(cell.coords).max() <= 1
    edges = between(nodes, cells)
    inside = [np.isin(edges, cell.inner).all(1) for cell in cells]
    assert len(edges) and np.any(inside, axis=0).all()


def test_a_cover_is_of_its_own_component():
    apart = np.array([5.0, 0.0])
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * math.pi, (2, 150))
    x = np.concatenate(
        [np.stack([np.cos(a), np.sin(a)], 1) + k * apart for k, a in enumerate(angle)]
    )
    nodes = make_nodes(x, 400, 10, 0, True)
    assert nodes.component.max() == 1
    for component in (0, 1):
        cover = Cover(nodes, component, 1)
        cover.make_discs()
        core = np.sort(np.concatenate([cell.core for cell in cover.cells]))
        assert np.array_equal(core, np.flatnonzero(nodes.component == component))
        # One of the two circles, not half of each.
        assert np.ptp(nodes.points[core, 0]) < 2.1
        assert all(set(cell.members) <= set(core) for cell in cover.cells)


@pytest.mark.parametrize("seed", range(3))
def test_coordinates_of_a_square_are_its_own_up_to_what_the_graph_is_off(seed):
    nodes = square_nodes(seed)
    (cell,) = Cover(nodes, 0, 2).cells
    true = squareform(pdist(nodes.points[cell.members]))
    paths = dijkstra(nodes.graph, directed=False)[np.ix_(cell.members, cell.members)]
    paths *= (paths * true).sum() / np.square(paths).sum()
    graph_error = math.sqrt(np.square(paths - true).sum() / np.square(true).sum())
    own = cell.radius * squareform(pdist(cell.coords))
    factor = (own * true).sum() / np.square(own).sum()
    error = math.sqrt(np.square(factor * own - true).sum() / np.square(true).sum())
    assert error <= graph_error < 0.05
    # Paths along edges are longer than straight ones.
    assert 0.9 < factor <= 1
    assert cell.is_disc


def test_dividing_gives_exactly_so_many_cells_or_says_how_many_there_can_be():
    x = np.random.default_rng(1).uniform(0, 1, (300, 2))
    nodes = make_nodes(np.concatenate([x, x + 5]), 200, 12, 0, False)
    assert nodes.component.max() == 1
    for count in (2, 3, 5):
        covers = [Cover(nodes, component, 2) for component in (0, 1)]
        divide(covers, count)
        cells = [cell for cover in covers for cell in cover.cells]
        assert len(cells) == count
        core = np.sort(np.concatenate([cell.core for cell in cells]))
        assert np.array_equal(core, np.arange(len(nodes.points)))
        # A chart of a surface cannot be fitted to fewer.
        assert min(len(cell.core) for cell in cells) >= 2 * (2 * 2 + 3)
    with pytest.raises(ValueError, match="n_charts must be at most") as caught:
        divide([Cover(nodes, component, 2) for component in (0, 1)], 1000)
    most = int(str(caught.value).split("at most ")[1].split(",")[0])
    covers = [Cover(nodes, component, 2) for component in (0, 1)]
    divide(covers, most)
    assert sum(len(cover.cells) for cover in covers) == most


def test_halves_of_a_strip_are_joined_and_those_of_a_sphere_are_not():
    strip, sphere = square_nodes(0, (3.0, 1.0)), sphere_nodes(0)[0]
    for nodes, n_cells in ((strip, 1), (sphere, 2)):
        cover = Cover(nodes, 0, 2)
        cover.split(0)
        assert len(cover.cells) == 2
        cover._merge()
        assert len(cover.cells) == n_cells
        core = np.sort(np.concatenate([cell.core for cell in cover.cells]))
        assert np.array_equal(core, np.arange(len(nodes.points)))


def test_a_thin_torus_is_no_disc():
    # Laid flat, its upper half covers the lower one, at a third of the distance along it.
    x = lm.datasets.toy("torus").sample(10_240, noise=0.01, seed=44).double().numpy()
    cover = Cover(make_nodes(x, 800, 12, 0, False), 0, 2)
    assert not cover.cells[0].is_disc
    cover.make_discs()
    assert len(cover.cells) >= 4 and all(cell.is_disc for cell in cover.cells)
