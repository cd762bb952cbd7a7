"""Monomials: which there are, their values, their derivatives."""

import itertools
import math

import pytest
import torch
from oracles import draw

from learnedmanifolds.charts.jet import jet_rule
from learnedmanifolds.charts.monomials import Monomials


@pytest.mark.parametrize(("dim", "degree"), [(1, 6), (2, 4), (3, 3)])
def test_every_power_occurs_once(dim, degree):
    """At t = exp(w) with w linearly independent over the integers no two monomials are equal."""
    weights = torch.tensor([1.0, math.sqrt(2), math.pi][:dim], dtype=torch.float64)
    powers = [p for p in itertools.product(range(degree + 1), repeat=dim) if sum(p) <= degree]
    expected = sorted(
        math.fsum(a * float(w) for a, w in zip(p, weights, strict=True)) for p in powers
    )
    monomials = Monomials(dim, degree)
    found = monomials(weights.exp().unsqueeze(0))[0].log()
    torch.testing.assert_close(found.sort().values, torch.tensor(expected, dtype=torch.float64))
    assert monomials.degrees == sorted(sum(p) for p in powers)
    doubled = monomials(2 * weights.exp().unsqueeze(0))[0].log() - found
    torch.testing.assert_close(
        doubled / math.log(2), torch.tensor(monomials.degrees, dtype=torch.float64)
    )


def test_derivatives():
    monomials, t, v = Monomials(3, 4), draw(10, 3, seed=1), draw(2, 10, 3, seed=2)
    pairs = ((0, 0), (0, 1), (1, 1))
    rule = jet_rule(2, pairs)
    jet = rule.unpack(monomials.push(rule.pack(t, v), rule))

    def along(i, point):
        return torch.func.jvp(monomials, (point,), (v[i],))[1]

    torch.testing.assert_close(jet.value, monomials(t))
    for i in range(2):
        torch.testing.assert_close(jet.first[i], along(i, t))
    for p, (i, j) in enumerate(pairs):
        second = torch.func.jvp(lambda point, i=i: along(i, point), (t,), (v[j],))[1]
        torch.testing.assert_close(jet.second[p], second)
