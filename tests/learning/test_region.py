"""Regions of random codes against the shapes that these fill."""

import math

import pytest
import torch
from oracles import draw

from learnedmanifolds.learning.region import Region


def ring(n, inner, outer, seed):
    """Even points between two radii."""
    part, turn = draw(2, n, seed=seed, low=0, high=1)
    radius = (inner**2 + (outer**2 - inner**2) * part).sqrt()
    return radius.unsqueeze(1) * torch.stack(
        [(2 * math.pi * turn).cos(), (2 * math.pi * turn).sin()], 1
    )


@pytest.mark.parametrize(("seed", "inner"), [(0, 0.0), (1, 0.3), (2, 0.4)])
def test_regions_end_where_rings_do_and_keep_their_holes(seed, inner):
    codes = ring(3000, inner, 0.85, seed)
    region = Region.of(codes)
    at = draw(20_000, 2, seed=seed + 10, low=-1, high=1)
    radius, inside = at.norm(dim=1), region.depth(at) >= 0
    # Codes are 0.015 apart.
    assert not bool(inside[radius > 0.85 + 0.015].any())
    assert not bool(inside[radius < inner - 0.015].any())
    # Bays at the border are as deep as gaps by chance: at most 0.038 for eight seeds.
    well = (radius < 0.85 - 0.04) & (radius > inner + 0.04 * (inner > 0))
    assert bool(inside[well].all())
    assert float((region.depth(codes) < 0).double().mean()) <= 2e-3


@pytest.mark.parametrize(("dim", "count"), [(1, 5), (1, 30), (1, 5000), (2, 30), (3, 2000)])
def test_all_but_two_codes_in_a_thousand_are_inside_and_the_box_is_not_filled(dim, count):
    codes = 0.7 * draw(count, dim, seed=count, low=-1, high=1)
    region = Region.of(codes)
    assert float((region.depth(codes) < 0).double().mean()) <= 2e-3
    corner = torch.ones(1, dim, dtype=torch.float64)
    assert float(region.depth(corner)) < 0
    # The middle of what codes fill is deep.
    assert float(region.depth(torch.zeros(1, dim).double())) > 0.3 or count < 100


def test_an_interval_ends_with_its_codes():
    codes = draw(4000, 1, seed=3, low=-0.6, high=0.8)
    region = Region.of(codes)
    line = torch.linspace(-1, 1, 20_001, dtype=torch.float64).unsqueeze(1)
    held = line[region.depth(line) >= 0]
    assert float(held.min()) == pytest.approx(float(codes.min()), abs=5e-3)
    assert float(held.max()) == pytest.approx(float(codes.max()), abs=5e-3)
    # One piece.
    assert int((held.diff(dim=0) > 1.5e-4).sum()) == 0


def test_turning_codes_turns_their_region():
    codes = ring(2000, 0.3, 0.8, 5)
    angle = torch.tensor(0.7, dtype=torch.float64)
    turn = torch.stack(
        [torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])]
    )
    at = draw(4000, 2, seed=6, low=-0.9, high=0.9)
    at = at[at.norm(dim=1) < 0.95]
    one = Region.of(codes).depth(at) >= 0
    other = Region.of(codes @ turn.mT).depth(at @ turn.mT) >= 0
    # Where they differ is the border, 7 times the radius long and less than 0.01 wide.
    assert float((one != other).double().mean()) < 0.02


def test_codes_at_one_place_are_inside():
    region = Region.of(torch.zeros(20, 1, dtype=torch.float64))
    assert float(region.depth(torch.zeros(1, 1).double())) >= 0


def test_holes_that_are_no_chance_stay_open():
    for dim, count, hole in ((2, 800, 0.3), (3, 3000, 0.5)):
        for seed in range(3):
            codes = 0.9 * draw(2 * count, dim, seed=seed, low=-1, high=1)
            # Balls with room for 70 codes, and more.
            codes = codes[codes.norm(dim=1) > hole][:count]
            region = Region.of(codes)
            away = draw(500, dim, seed=seed + 20, low=-1, high=1)
            away = away / away.norm(dim=1, keepdim=True)
            # Knots in space are 0.1 apart.
            assert float(region.depth(0.75 * hole * away).max()) < 0
            assert float(region.depth(0.7 * away).min()) > 0


def test_no_hole_is_by_chance_nor_where_density_steps():
    for count in (400, 5000):
        for seed in range(4):
            codes = 0.9 * draw(count, 2, seed=seed, low=-1, high=1)
            # A tenth of the codes are on the right.
            left = draw(1, count, seed=seed + 50, low=0, high=1)[0] < 0.9
            codes[:, 0] = torch.where(left, -1, 1) * codes[:, 0].abs()
            spacing = 0.9 * (20 / count) ** 0.5
            at = (0.9 - 3 * spacing) * draw(4000, 2, seed=seed + 100, low=-1, high=1)
            assert float(Region.of(codes).depth(at).min()) >= 0
        few = 0.9 * draw(50, 2, seed=count, low=-1, high=1)
        assert float(Region.of(few).depth(0.4 * at).min()) >= 0
