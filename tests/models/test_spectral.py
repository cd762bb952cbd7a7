"""Latent points from the eigenfunctions of the neighbour graph: topology found without training."""

import math

import pytest
import torch
from scipy.stats import spearmanr

from learnedmanifolds.datasets import Solid
from learnedmanifolds.latent import Circle, Euclidean, Rotations, Sphere, Torus
from learnedmanifolds.models import ManifoldVAE, spectral_points

SEEDS = range(3)


def angles(n, d, seed):
    return 2 * math.pi * torch.rand(n, d, generator=torch.Generator().manual_seed(seed))


def curve(angle):
    """A closed curve in R^4, of uneven speed."""
    t = angle[:, 0]
    return torch.stack([t.cos(), t.sin(), 0.6 * (2 * t).cos(), 0.5 * (3 * t).sin()], 1)


def winding(found, angle):
    """Turns of the found angle, and its total variation in turns, once around the curve."""
    z = found[angle[:, 0].argsort()]
    turned = torch.atan2(z[:, 1], z[:, 0])
    step = (turned.roll(-1) - turned + math.pi) % (2 * math.pi) - math.pi
    return float(step.sum()) / (2 * math.pi), float(step.abs().sum()) / (2 * math.pi)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_closed_curve_is_wound_around_once(seed):
    angle = angles(500, 1, seed)
    z = spectral_points(curve(angle), Circle(), random_state=seed)
    turns, variation = winding(z, angle)
    assert abs(turns) == pytest.approx(1, abs=1e-5)
    assert variation == pytest.approx(1, abs=1e-4), "the angle goes back and forth"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sphere_is_found_up_to_an_isometry(seed):
    x = torch.randn(1500, 3, generator=torch.Generator().manual_seed(seed))
    x = x / x.norm(dim=1, keepdim=True)
    z = spectral_points(torch.cat([x, 0.3 * x**2], 1), Sphere(2), random_state=seed)
    left, _, right = torch.linalg.svd(z.mT @ x)
    assert (z @ left @ right - x).norm(dim=1).median() < 0.1
    assert (z.norm(dim=1) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_both_angles_of_a_torus_are_found(seed):
    angle = angles(2000, 2, seed)
    far = 2 + angle[:, 0].cos()
    x = torch.stack([far * angle[:, 1].cos(), far * angle[:, 1].sin(), angle[:, 0].sin()], 1)
    found = spectral_points(x, Torus(2), random_state=seed)
    z = torch.view_as_complex(found.unflatten(1, (2, 2)).contiguous())
    true = torch.polar(torch.ones(()).expand_as(angle), angle)
    both = torch.stack([(z.mT @ true).abs(), (z.mT @ true.conj()).abs()]).amax(0) / len(z)
    matched = torch.stack([both.diagonal(), both.flip(1).diagonal()]).amin(1).amax()
    assert matched > 0.9


def test_orientations_are_found_in_pictures():
    solid = Solid(12)
    r = solid.sample_rotations(3000, seed=0)
    z = spectral_points(solid.render(r), Rotations())
    assert (z @ z.mT - torch.eye(3)).abs().max() < 1e-5
    assert (torch.linalg.det(z) > 0).all()
    few = slice(0, 800)
    # Angles between poses, which do not depend on the frame in which they are found.
    found, true = (v[few].flatten(1) @ v[few].flatten(1).mT for v in (z, r))
    correlation = torch.corrcoef(torch.stack([found.flatten(), true.flatten()]))[0, 1]
    assert correlation > 0.75


def test_on_a_euclidean_space_the_order_along_an_open_curve_is_kept():
    t = torch.rand(400, 1, generator=torch.Generator().manual_seed(0))
    x = torch.cat([t, t**2, (5 * t).sin()], 1)
    z = spectral_points(x, Euclidean(1))[:, 0]
    assert abs(float(spearmanr(z, t[:, 0]).statistic)) > 0.999


def test_more_points_than_are_used():
    z = spectral_points(curve(angles(10_200, 1, 0)), Circle())
    assert int(z.isnan().any(1).sum()) == 200


def test_a_graph_in_two_pieces_is_joined():
    angle = angles(300, 1, 0)
    angle = angle[(angle[:, 0] % math.pi) < 0.9 * math.pi]
    z = spectral_points(curve(angle), Circle())
    assert abs(winding(z, angle)[0]) == pytest.approx(1, abs=1e-5)


def test_sheets_that_nearly_coincide_are_taken_as_one():
    """The curve passes close to itself half a turn later, all the way."""
    angle = angles(300, 1, 0)
    t = angle[:, 0]
    for apart, turns in ((0.1, 2), (0.5, 1)):
        x = torch.stack([(2 * t).cos(), (2 * t).sin(), apart * t.cos(), apart * t.sin()], 1)
        assert abs(winding(spectral_points(x, Circle()), angle)[0]) == pytest.approx(
            turns, abs=1e-5
        )


def test_a_spectral_start_wins_where_random_ones_fold():
    angle = angles(256, 1, 0)
    x = curve(angle) @ torch.randn(4, 12, generator=torch.Generator().manual_seed(1))
    model = ManifoldVAE(
        Circle(), hidden=(32,), max_epochs=40, start_epochs=40, learning_rate=1e-2, cosine=True,
        spectral_start=True, random_state=0,
    ).fit(x)  # fmt: skip
    turns, variation = winding(model.transform(x), angle)
    assert abs(turns) == pytest.approx(1, abs=1e-5)
    assert variation < 1.05


def test_bad_input():
    x = curve(angles(30, 1, 0))
    with pytest.raises(TypeError, match="latent must be a LatentSpace"):
        spectral_points(x, 3)
    with pytest.raises(ValueError, match="x must hold more than 17 points"):
        spectral_points(x[:17], Rotations())
    with pytest.raises(ValueError, match="random_state"):
        spectral_points(x, Circle(), random_state=-1)
    with pytest.raises(ValueError, match="NaN"):
        spectral_points(x * math.nan, Circle())
    with pytest.raises(ValueError, match="y already gives them"):
        ManifoldVAE(Circle(), spectral_start=True).fit(x, torch.eye(30, 2) * math.nan)
