"""Seeded data are the same bits whatever torch's default dtype is."""

import pytest
import torch

from learnedmanifolds import datasets

SAMPLES = {
    "circle": lambda: datasets.Circle().sample(20, noise=0.1, seed=0),
    "loop": lambda: datasets.Loop().sample(20, seed=0),
    "ring": lambda: datasets.Ring().sample(20, seed=0),
    "sphere": lambda: datasets.Sphere().sample(20, seed=0),
    "swiss roll": lambda: datasets.SwissRoll().sample(20, seed=0),
    "torus": lambda: datasets.Torus().sample(20, noise=0.1, seed=0),
    "two circles": lambda: datasets.TwoCircles().sample(20, seed=0),
    "bars": lambda: datasets.Bars(16).sample(4, seed=0, dequantise=True),
    "balls": lambda: datasets.Balls(16).sample(4, seed=0),
    "solid": lambda: datasets.Solid(16).sample(4, seed=0),
    "solid about an axis": lambda: datasets.Solid(16).sample(4, seed=0, axis=[0.0, 0.0, 1.0]),
}


def under_double(function):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return function()
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("name", SAMPLES)
def test_seeded_data_do_not_depend_on_the_default_dtype(name):
    single, double = SAMPLES[name](), under_double(SAMPLES[name])
    assert single.dtype == double.dtype == torch.float32
    assert torch.equal(single, double)
