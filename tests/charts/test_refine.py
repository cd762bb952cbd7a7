"""Minimizers in boxes satisfy the conditions of first and second order, wherever they start."""

import pytest
import torch
from oracles import draw

from learnedmanifolds.charts.jet import functional_jet
from learnedmanifolds.charts.refine import expansion, refine, unit_pairs


def surface(dim, seed):
    """A random curved surface of dimension d in R^(2 d + 1)."""
    weights = draw(2 * dim, 2 * dim + 1, seed=seed)
    return lambda t: torch.cat([t, (2 * t + t.roll(1, -1)).sin()], -1) @ weights


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_no_feasible_direction_leads_down(dim, scale):
    decode = surface(dim, seed=dim)
    starts, x = draw(300, dim, seed=2, low=-1.0, high=1.0), scale * draw(300, 2 * dim + 1, seed=3)

    def expand(t, index, second):
        return expansion(lambda v, pairs: functional_jet(decode, t, v, pairs), t, second)

    found = refine(expand, starts, x)
    assert torch.allclose(found.point, decode(found.coords), rtol=0, atol=1e-12)
    assert float(found.coords.abs().max()) <= 1
    assert ((found.point - x).norm(dim=1) <= (decode(starts) - x).norm(dim=1)).all()
    t = found.coords.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((decode(t) - x).square().sum() / 2, t)
    # Inside the slope is zero, at a wall it presses against it.
    at_wall = found.coords.abs() >= 1
    into = torch.where(at_wall, (gradient * found.coords.sign()).clamp(min=0), gradient.abs())
    size = decode(starts).norm(dim=1).max() * (x.norm(dim=1) + 1)
    assert float((into.amax(1) / size).max()) < 1e-6
    # No close neighbour in the box is lower: saddles are left.
    around = found.coords.unsqueeze(1) + 1e-3 * draw(300, 64, dim, seed=4)
    lower = (decode(around.clamp(-1, 1)) - x.unsqueeze(1)).norm(dim=-1).amin(1)
    assert float(((found.point - x).norm(dim=1) - lower).max()) < 1e-9 * (1 + scale)


def test_pairs_are_all_second_derivatives_once():
    assert unit_pairs(1) == ((0, 0),)
    assert sorted(unit_pairs(3)) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]


def test_a_constant_decoder_stays_where_it_is():
    starts, x = draw(5, 2, seed=5, low=-1.0, high=1.0), draw(5, 3, seed=6)
    weights = draw(2, 3)

    def expand(t, index, second):
        return expansion(
            lambda v, pairs: functional_jet(lambda s: 0 * s @ weights, t, v, pairs), t, second
        )

    assert torch.equal(refine(expand, starts, x).coords, starts)
