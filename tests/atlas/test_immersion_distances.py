"""Distances on immersions with many geodesics between two points: the same there and back."""

import pytest
import torch
from torch import nn

import learnedmanifolds as lm
from learnedmanifolds.atlas.immersion import Immersion
from learnedmanifolds.latent import Rotations, Torus


class Fixed(nn.Module):
    def __init__(self, point):
        super().__init__()
        self.register_buffer("point", point)

    def forward(self, x):
        return self.point.expand(len(x), -1)


def bumpy(space, n, seed):
    """A random smooth image of Z with hills, around which geodesics go on either side."""
    torch.manual_seed(seed)
    m = space.n_ambient
    decoder = nn.Sequential(nn.Linear(m, 48), nn.Tanh(), nn.Linear(48, n)).double()
    with torch.no_grad():
        decoder[0].weight.mul_(3)
    start = space.prior().sample((1,)).double().flatten(1)
    return Immersion(space, decoder, Fixed(start), (n,))


@pytest.mark.parametrize(
    ("space", "n", "seed"), [(Torus(2), 6, 0), (Torus(2), 6, 1), (Rotations(), 12, 0)], ids=str
)
def test_distances_are_symmetric(space, n, seed):
    manifold = lm.PymanoptManifold(bumpy(space, n, seed), seed=0)
    atlas = manifold.atlas
    ends = atlas.sample(16, seed=seed).split(8)
    x, y = (atlas.find(part) for part in ends)
    metric = lm.geometry.InducedMetric(atlas)
    there, back = metric.logarithm(x, y), metric.logarithm(y, x)
    assert there.vector.isfinite().all() and back.vector.isfinite().all()
    torch.testing.assert_close(there.distance, back.distance, rtol=1e-6, atol=1e-9)
    chord = (ends[0] - ends[1]).flatten(1).norm(dim=1)
    assert (there.distance >= chord * (1 - 1e-9)).all()


def test_projections_are_nearest_points():
    """Far from the manifold there are several local minima; a fine grid knows the least."""
    torus = bumpy(Torus(2), 6, 0)
    source = torch.Generator().manual_seed(0)
    x = torus.sample(200, seed=0)
    x = x + 0.5 * torch.randn(x.shape, generator=source, dtype=torch.float64)
    found = (torus.project(x) - x).norm(dim=1)
    angle = 2 * torch.pi * torch.arange(200, dtype=torch.float64) / 200
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    grid = torch.cat([circle.repeat_interleave(200, 0), circle.repeat(200, 1)], 1)
    least = torch.cdist(x, torus.immerse(grid)).amin(1)
    assert int((found > least + 1e-9).sum()) <= 2
