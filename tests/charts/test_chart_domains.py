"""Domains: depth, walls, exits and ways back in, of boxes and of levels of smooth functions."""

import pytest
import torch
from kernel_examples import disc_charts
from oracles import Annulus, draw

from learnedmanifolds.charts.domain import Box

DISC = disc_charts()


@pytest.fixture(params=["box", "level"])
def domain(request):
    return Box() if request.param == "box" else DISC.domain


CHARTS = torch.tensor([0, 1] * 50)


def directions():
    vectors = draw(100, 2, seed=1)
    return vectors / vectors.norm(dim=1, keepdim=True)


def test_depth_is_positive_in_the_middle_and_negative_far_away(domain):
    assert float(domain.depth(torch.zeros(1, 2).double(), 0)) > 0.5
    assert float(domain.depth(torch.full((1, 2), 1.01).double(), 0)) < 0


def test_the_three_ways_to_name_charts_agree(domain):
    t = draw(100, 2, low=-1, high=1)
    both = domain.depth(t.expand(2, 100, 2))
    assert torch.allclose(domain.depth(t, 1), both[1], rtol=1e-9, atol=1e-9)
    mixed = domain.depth(t, CHARTS)
    assert torch.allclose(mixed, both[CHARTS, torch.arange(100)], rtol=1e-9, atol=1e-9)


def test_exits_are_at_the_border_and_the_way_there_is_inside(domain):
    start = 0.3 * draw(100, 2, low=-1, high=1)
    step = 3 * directions()
    part = domain.exit(start, step, CHARTS)
    assert bool(((part > 0) & (part < 1)).all())
    for share in (0.1, 0.5, 0.9, 0.999):
        assert bool((domain.depth(start + share * part.unsqueeze(1) * step, CHARTS) > 0).all())
    at = domain.depth(start + part.unsqueeze(1) * step, CHARTS)
    assert torch.allclose(at, torch.zeros(100).double(), rtol=0, atol=1e-10)
    assert bool((domain.exit(start, 1e-3 * step, CHARTS) == 1).all())


def test_walls_are_across_the_steepest_descent_of_depth(domain):
    start = 0.3 * draw(100, 2, low=-1, high=1)
    step = 3 * directions()
    at = domain.confine(start + domain.exit(start, step, CHARTS).unsqueeze(1) * step, CHARTS)
    walls = domain.walls(at, CHARTS, 1e-9)
    assert bool(walls.on.any(1).all())
    assert torch.allclose(walls.normal.norm(dim=-1), torch.ones_like(walls.on, dtype=torch.double))
    t = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(domain.depth(t, CHARTS).sum(), t)
    downhill = -slope / slope.norm(dim=1, keepdim=True)
    single = walls.on.sum(1) == 1
    normal = walls.normal[walls.on & single.unsqueeze(1)]
    assert torch.allclose(normal, downhill[single], rtol=0, atol=1e-6)
    # Steps outward press, steps inward do not.
    assert bool(walls.pressed(downhill).any(1).all())
    assert not bool(walls.pressed(-downhill)[single].any())


def test_what_is_inside_stays_and_the_rest_comes_to_the_border_nearby(domain):
    t = draw(400, 2, low=-1.3, high=1.3)
    chart = CHARTS.repeat(4)
    inside = domain.depth(t, chart) >= 0
    held = domain.confine(t, chart)
    assert bool(inside.any()) and not bool(inside.all())
    assert torch.equal(held[inside], t[inside])
    depth = domain.depth(held, chart)
    assert bool((depth >= 0).all())
    assert float(depth[~inside].max()) < 1e-6
    # No farther than the way straight to the middle leads.
    middle = torch.zeros_like(t)
    straight = t.clone()
    out = ~inside
    part = domain.exit(middle[out], (t - middle)[out], chart[out])
    straight[out] = torch.lerp(middle[out], t[out], part.unsqueeze(1))
    assert bool(((held - t).norm(dim=1) <= 1.2 * (straight - t).norm(dim=1) + 1e-9).all())


def test_gradients_pass_where_the_domain_is_not_left(domain):
    t = (0.2 * draw(10, 2, low=-1, high=1)).requires_grad_()
    (slope,) = torch.autograd.grad(domain.confine(t, 0).sum(), t)
    assert torch.equal(slope, torch.ones_like(slope))


@pytest.mark.parametrize("length", [1.2, 300.0])
def test_steps_leave_through_a_hole_though_they_end_beyond_it(length):
    domain = Annulus()
    start = torch.tensor([[-0.6, 0.0], [-0.6, 0.0], [-0.3, 0.35]], dtype=torch.float64)
    # Into the hole; past it; along the ring.
    step = torch.tensor([[length, 0.0], [0.0, 0.1], [0.6, 0.1]], dtype=torch.float64)
    assert domain.leaves(start, step, 0).tolist() == [True, False, False]
    part = domain.exit(start, step, 0)
    assert float(part[0]) * length == pytest.approx(0.6 - domain.inner, abs=1e-10)
    assert part[1:].tolist() == [1, 1]
