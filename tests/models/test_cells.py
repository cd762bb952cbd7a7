"""Cells that charts start from: discs of the data, with coordinates that keep distances."""

import math

import pytest
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from learnedmanifolds.datasets import toy
from learnedmanifolds.models.cells import disc_cells


def cells_of(name, count, noise=0.01, n=4000, seed=0, **options):
    truth = toy(name)
    x = truth.sample(n, noise=noise, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    return truth, x, disc_cells(x, count, truth.dim, generator, **options)


def test_cells_cover_and_stay_on_one_component():
    truth, x, cells = cells_of("two_circles", 4)
    assert bool(cells.members.any(0).all())
    side = truth.component(cells.nodes)
    assert sorted(int(side[own][0]) for own in cells.members) == [0, 0, 1, 1]
    for own in cells.members:
        assert len(set(side[own].tolist())) == 1
    share = cells.members.float().mean(1)
    assert share.max() < 1.5 * share.min()
    assert torch.equal(cells.node, torch.cdist(x, cells.nodes).argmin(1))


def test_coordinates_of_an_arc_are_its_length():
    truth, _, cells = cells_of("two_circles", 4)
    for own, coords, radius in zip(cells.members, cells.coords, cells.radius, strict=True):
        nodes, t = cells.nodes[own], coords[own, 0]
        side = int(truth.component(nodes)[0])
        centre = nodes - torch.tensor([3.0 * side - 1.5, 0.0])
        middle = centre[t.abs().argmin()]
        turn = torch.atan2(middle[0] * centre[:, 1] - middle[1] * centre[:, 0], (centre @ middle))
        inside = t.abs() < 0.99
        slope = (turn * t)[inside].sum() / t[inside].square().sum()
        # Paths zigzag over noise of 0.01 from node to node, about 0.025 apart.
        assert float((turn - slope * t)[inside].abs().max()) < 0.05
        assert abs(float(slope)) == pytest.approx(float(radius), rel=0.05)


def winding(angle, near):
    """The largest number of turns that an angle makes along the cycles of a graph of neighbours."""
    source, target = near.nonzero().unbind(1)
    turn = torch.remainder(angle[target] - angle[source] + math.pi, 2 * math.pi) - math.pi
    # Unrolled along a tree; the edges that close its cycles show what was made of them.
    unrolled = torch.zeros_like(angle)
    order, before = breadth_first_order(csr_array(near.numpy()), 0)
    for node in order[1:].tolist():
        parent = int(before[node])
        step = torch.remainder(angle[node] - angle[parent] + math.pi, 2 * math.pi) - math.pi
        unrolled[node] = unrolled[parent] + step
    missed = (unrolled[target] - unrolled[source] - turn).abs().max() / (2 * math.pi)
    return round(float(missed))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_cell_of_a_torus_wraps_around_it(seed):
    # Six equal cells would be as wide as the tube is around, and with what they share meet themselves.
    _, _, cells = cells_of("torus", 8, n=4000, seed=seed, n_nodes=320)
    x, y, z = cells.nodes.unbind(1)
    along, around = torch.atan2(y, x), torch.atan2(z, x.hypot(y) - 3)
    # Nodes are about 0.5 apart.
    everywhere = torch.cdist(cells.nodes, cells.nodes) < 0.85
    assert winding(along, everywhere) == winding(around, everywhere) == 1
    for own in cells.members:
        near = everywhere[own][:, own]
        assert winding(along[own], near) == winding(around[own], near) == 0


def test_cells_never_jump_between_the_sheets_of_a_swiss_roll():
    _, _, cells = cells_of("swiss_roll", 4, noise=0.0, n=6000)
    angle = cells.nodes[:, [0, 2]].norm(dim=1)
    height = cells.nodes[:, 1]
    for cell in cells.members:
        # Along the roll, a disc of the sheet is an interval of the angle at every height.
        band = cell & ((height - 10.5).abs() < 2.0)
        if int(band.sum()) > 20:
            values = angle[band].sort().values
            assert float((values[1:] - values[:-1]).max()) < 2.5


def test_frames_are_orthonormal_and_tangent_at_the_centres():
    _, _, cells = cells_of("sphere", 3, noise=0.005)
    centers, frames = cells.frames()
    assert torch.allclose(frames.mT @ frames, torch.eye(3).expand(3, 3, 3), atol=1e-5)
    normal = torch.nn.functional.normalize(centers, dim=1)
    assert float((frames[:, :, :2].mT @ normal.unsqueeze(-1)).abs().max()) < 0.2


def test_dilation_grows_an_arc_by_the_margin_on_both_sides():
    truth, _, cells = cells_of("two_circles", 4)
    nodes = cells.nodes - torch.tensor([1.5, 0.0])
    on = truth.component(cells.nodes) == 1
    angle = torch.atan2(nodes[:, 1], nodes[:, 0])
    region = (on & (angle.abs() < 0.5)).unsqueeze(0)
    grown = cells.dilate(region)[0]
    assert not bool((grown & ~on).any())
    # A node is every 4 pi / 512 = 0.025; paths over noisy nodes are some per cent too long.
    reach = float(angle[grown].abs().max())
    assert 0.5 + 0.8 * cells.margin - 0.05 < reach <= 0.5 + cells.margin + 0.05
    assert math.isclose(float(angle[region[0]].abs().max()), 0.5, abs_tol=0.05)


def test_tiny_data():
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    cells = disc_cells(x, 6, 3, torch.Generator().manual_seed(0))
    assert bool(cells.members.any(0).all())
    centers, frames = cells.frames()
    assert bool(cells.coords.isfinite().all()) and bool(frames.isfinite().all())
    assert centers.shape == (6, 4) and bool((cells.radius > 0).all())
