"""Cells that charts start from: discs of the data, with coordinates that keep distances."""

import math

import pytest
import torch

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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_cell_of_a_torus_wraps_around_it(seed):
    # Six equal cells are as wide as the tube is around; a ring has no coordinates in the plane that
    # keep its distances.
    _, _, cells = cells_of("torus", 6, n=4000, seed=seed, n_nodes=320)
    assert float(cells.members.float().mean(1).max()) < 0.45
    for own, coords in zip(cells.members, cells.coords, strict=True):
        nodes, t = cells.nodes[own], coords[own]
        near_space = torch.cdist(nodes, nodes) < 0.5
        # Neighbours in space are neighbours in coordinates: 0.5 of a cell about 5 wide is 0.2; the
        # median leaves room for the few at a seam that a margin of the cell may close.
        gap = torch.cdist(t, t)[near_space]
        assert float(gap.quantile(0.99)) < 1.0


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
