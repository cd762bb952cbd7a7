"""Interpolated codes against affine and curved maps that are known."""

import math

import numpy as np
import pytest
import torch
from oracles import draw
from torch.testing import assert_close

from learnedmanifolds.learning.codes import interpolate


def bowl(t):
    """Points (N, 3) of a curved graph."""
    return torch.cat([t, 0.5 * (t**2).sum(1, keepdim=True)], 1)


def grid(n):
    axis = torch.linspace(-0.9, 0.9, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_codes_of_affine_images_are_exact_and_what_is_off_them_does_not_count(dim):
    frame = torch.linalg.qr(draw(7, 7, seed=dim)).Q
    stretch = torch.diag(draw(dim, seed=1, low=0.5, high=2))
    slope = stretch @ frame[:dim]
    nodes, codes = draw(60, dim, seed=2, low=-1, high=1), draw(500, dim, seed=3, low=-1, high=1)
    off = draw(500, 7 - dim, seed=4) @ frame[dim:]
    middle = draw(7, seed=5)
    places = (nodes @ slope + middle).numpy()
    found = interpolate(codes @ slope + middle, places, nodes.numpy())
    assert_close(found, codes, rtol=0, atol=1e-9)
    # What nodes are nearest changes, and the map does not.
    found = interpolate(codes @ slope + middle + off, places, nodes.numpy())
    assert_close(found, codes, rtol=0, atol=1e-9)


def test_nodes_keep_codes_that_follow_no_map():
    nodes, codes = draw(80, 5, seed=0), draw(80, 2, seed=1, low=-1, high=1)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    x = torch.cat([nodes[order], draw(20, 5, seed=2)])
    found = interpolate(x, nodes.numpy(), codes.numpy())
    assert torch.equal(found[:80], codes[order])


def test_codes_move_with_the_space():
    nodes, at = draw(200, 2, seed=0, low=-0.9, high=0.9), draw(400, 2, seed=1, low=-0.9, high=0.9)
    turn, away = torch.linalg.qr(draw(3, 3, seed=2)).Q, draw(3, seed=3)
    own = interpolate(bowl(at), bowl(nodes).numpy(), nodes.numpy())
    moved = (bowl(nodes) @ turn + away).numpy()
    assert_close(interpolate(bowl(at) @ turn + away, moved, nodes.numpy()), own, rtol=0, atol=1e-8)
    # They are those of the points, not the same for all.
    assert float((own - at).norm(dim=1).max()) < 0.05


def test_the_error_on_curved_surfaces_falls_with_the_square_of_the_spacing():
    at, sizes = draw(400, 2, seed=1, low=-0.6, high=0.6), (11, 21, 41)
    errors = []
    for n in sizes:
        found = interpolate(bowl(at), bowl(grid(n)).numpy(), grid(n).numpy())
        errors.append(float((found - at).norm(dim=1).mean()))
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert min(orders) > 1.6


def test_nothing_is_extrapolated_far():
    nodes = np.linspace(-1, 1, 30)[:, None]
    found = interpolate(torch.tensor([[-50.0], [1.1], [50.0]]).double(), nodes, nodes)
    assert float(found[1]) == pytest.approx(1.1)
    assert 1.1 < float(found[2]) < 1.3 and 1.1 < -float(found[0]) < 1.3
