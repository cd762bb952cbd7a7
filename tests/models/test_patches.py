import pytest
import torch

from learnedmanifolds.datasets import Balls, toy
from learnedmanifolds.models.mixture_vae import local_noise
from learnedmanifolds.models.patches import make_patches


@pytest.mark.parametrize("name", ["two_circles", "sphere", "torus"])
def test_patches_see_the_distance_to_the_manifold(name):
    truth = toy(name)
    x = truth.sample(10_000, seed=0)
    patches = make_patches(x, truth.dim, torch.Generator().manual_seed(0))
    grid = truth.grid(500)
    # Flat discs miss a curved manifold by r^2 / 2, and leave gaps of up to the spacing of the 1,024
    # centres, 0.34 on the torus (area 118).
    bound = {"two_circles": 0.02, "sphere": 0.04, "torus": 0.1}[name]
    assert patches.excess(grid).sqrt().quantile(0.95) < bound
    center = {"two_circles": 1.5, "sphere": 0.0, "torus": None}[name]
    if center is not None:
        inner = torch.zeros(1, truth.ambient_dim)
        inner[0, 0] = center
        # The centre of a circle or of the sphere is one radius away.
        assert float(patches.excess(inner).sqrt()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("name", "noise"), [("two_circles", 0.01), ("sphere", 0.01)])
def test_noise_is_measured(name, noise):
    truth = toy(name)
    assert local_noise(truth.sample(10_000, noise, seed=0), truth.dim) == pytest.approx(
        noise, rel=0.3
    )


def test_the_penalty_does_not_drive_data_of_high_dimension_away():
    """Unseen images of two balls lie far from the patches of 20,000 others, and cost a few nats."""
    x = Balls(16).sample(20_000, seed=0).flatten(1)
    patches = make_patches(x, 6, torch.Generator().manual_seed(0))
    unseen = patches.penalty(Balls(16).sample(500, seed=1).flatten(1), 0.02)
    assert float(unseen.mean()) < 2
    # Not an image of two balls at all: the mean image, and grey noise.
    assert float(patches.penalty(torch.rand(50, 256), 0.02).min()) > 20


def test_the_penalty_of_flat_data_is_that_of_the_noise():
    """At a distance of s noise_std from a plane: s^2 / 2 nats."""
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.rand(2000, 2, generator=generator), torch.zeros(2000, 3)], dim=1)
    patches = make_patches(x, 2, generator)
    off = torch.cat([0.3 + 0.4 * torch.rand(50, 2, generator=generator), torch.zeros(50, 3)], dim=1)
    off[:, 3] = 0.03
    assert patches.penalty(off, 0.01).median() == pytest.approx(4.5, rel=1e-3)
