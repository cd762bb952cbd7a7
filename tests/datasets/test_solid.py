"""Images of one rigid body in every orientation."""

import math

import pytest
import torch

from learnedmanifolds.datasets import Solid

SOLID = Solid(24)


def about_view(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turning_about_the_view_turns_the_picture(turns):
    rotations = SOLID.sample_rotations(20, seed=0).double()
    turned = SOLID.render(about_view(turns * math.pi / 2) @ rotations)
    torch.testing.assert_close(turned, torch.rot90(SOLID.render(rotations), turns, (2, 3)))


def test_rotations_are_uniform():
    """E tr R = 0 and E (tr R)^2 = 1 for the Haar measure: 20,000 draws, 4 standard errors."""
    r = SOLID.sample_rotations(20_000, seed=0)
    trace = r.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert abs(float(trace.mean())) < 4 / math.sqrt(20_000)
    assert abs(float(trace.square().mean()) - 1) < 4 * 1.5 / math.sqrt(20_000)
    torch.testing.assert_close(r @ r.mT, torch.eye(3).expand_as(r), rtol=0, atol=1e-5)
    assert (torch.linalg.det(r) > 0).all()


def test_rotations_about_an_axis_leave_it_and_are_uniform():
    axis = torch.tensor([1.0, -2.0, 0.5])
    r = SOLID.sample_rotations(5000, seed=0, axis=axis)
    torch.testing.assert_close(r @ axis, axis.expand(5000, 3), rtol=0, atol=1e-5)
    cosine = (r.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    assert abs(float(cosine.mean())) < 4 * math.sqrt(0.5 / 5000)


def test_no_two_rotations_look_the_same():
    images = SOLID.sample(1500, seed=0).flatten(1)
    angles = torch.acos(
        ((torch.einsum("nij,mij->nm", *2 * [SOLID.sample_rotations(1500, seed=0)]) - 1) / 2).clamp(
            -1, 1
        )
    )
    gap = torch.cdist(images, images)
    far = gap[angles > math.radians(60)].min()
    # Farther apart than images of rotations by 4 degrees.
    turned = SOLID.render(
        about_view(math.radians(4)).float() @ SOLID.sample_rotations(1500, seed=0)
    )
    near = (turned.flatten(1) - images).norm(dim=1)
    assert far > near.median()


def test_images_are_smooth_in_the_rotation():
    """Second differences fall with the square of the angle."""
    r = SOLID.sample_rotations(30, seed=1).double()

    def bend(h):
        parts = [SOLID.render(about_view(k * h) @ r) for k in (-1, 0, 1)]
        return (parts[0] - 2 * parts[1] + parts[2]).flatten(1).norm(dim=1).median()

    assert 3.5 < bend(2e-3) / bend(1e-3) < 4.5


def test_values_and_seeds():
    images = SOLID.sample(50, seed=3)
    assert images.shape == (50, 1, 24, 24)
    assert 0 <= float(images.min()) and float(images.max()) <= 1
    assert torch.equal(images, SOLID.sample(50, seed=3))


def test_bad_input():
    with pytest.raises(ValueError, match="size"):
        Solid(4)
    with pytest.raises(ValueError, match="rotations must be orthogonal"):
        SOLID.render(torch.diag(torch.tensor([1.0, 1.0, -1.0])).unsqueeze(0))
    with pytest.raises(ValueError, match="rotations must have shape"):
        SOLID.render(torch.eye(3))
    with pytest.raises(ValueError, match="axis must not be zero"):
        SOLID.sample(2, axis=(0, 0, 0))
