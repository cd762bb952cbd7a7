"""The noise of known manifolds, before anything is learned."""

import math

import pytest
import torch
from oracles import draw

import learnedmanifolds as lm
from learnedmanifolds.learning.noise import noise_level


@pytest.mark.parametrize("std", [0.01, 0.1])
@pytest.mark.parametrize("name", ["circle", "two_circles", "loop", "sphere", "torus", "swiss_roll"])
def test_noise_is_found_up_to_a_factor_of_two_at_any_density(name, std):
    toy = lm.datasets.toy(name)
    dim = toy.settings.dim
    # The roll's points are 0.9 apart where 2,500 of them are, and 0.4 where 10,240 are.
    for count in (2500, 10_240) if name != "swiss_roll" else (10_240,):
        x = toy.sample(count, std, seed=3).double()
        found = math.sqrt(noise_level(x, dim) / (x.shape[1] - dim)) / std
        assert 0.8 < found < (2.0 if name != "swiss_roll" else 3.0)


def test_without_noise_it_falls_with_the_fourth_power_of_the_spacing():
    levels = []
    for count in (1000, 4000, 16_000):
        turn = 2 * math.pi * torch.arange(count, dtype=torch.float64) / count
        levels.append(noise_level(torch.stack([turn.cos(), turn.sin()], 1), 1))
    # Of 1,000 points on a circle of length 6.3; below it stays at a hundredth of the squared spacing.
    assert levels[0] < 1e-6
    assert all(later <= level / 15 for level, later in zip(levels, levels[1:], strict=False))


def test_outliers_and_many_features_change_little():
    x = lm.datasets.toy("sphere").sample(3000, 0.01, seed=0).double()
    plain = noise_level(x, 2)
    x[::100] += draw(30, 3, seed=1)
    assert noise_level(x, 2) < 2 * plain
    frame = torch.linalg.qr(draw(200, 3, seed=2)).Q
    wide = x @ frame.mT + 0.01 * draw(3000, 200, seed=3)
    # At most as much again is bending, see the docstring, and the planes' own error.
    assert 0.8 < noise_level(wide, 2) / 198e-4 < 3
