"""What is no source of a manifold is told what makes one of it."""

import pytest
import torch

import learnedmanifolds as lm


@pytest.mark.parametrize(
    "make",
    [
        lm.PymanoptManifold,
        lm.GeomstatsManifold,
        lm.GeooptManifold,
        lambda source: lm.solve(lm.InverseProblem(lambda x: x, [1.0]), source),
    ],
)
def test_a_decoder(make):
    decoder = torch.nn.Sequential(torch.nn.Linear(2, 3))
    with pytest.raises(TypeError, match="source must be .*, got Sequential; .* lm.Immersion"):
        make(decoder)
    with pytest.raises(TypeError, match="source must be .*, got int.$"):
        make(3)
