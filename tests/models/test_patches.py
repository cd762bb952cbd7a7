import pytest
import torch

from learnedmanifolds.datasets import toy
from learnedmanifolds.models.mixture_vae import local_noise
from learnedmanifolds.models.patches import geodesic_cells, make_patches, principal_frames


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


def test_cells_are_balanced_connected_and_cover():
    truth = toy("two_circles")
    x = truth.sample(4000, noise=0.01, seed=0)
    centers, cells = geodesic_cells(x, 4, torch.Generator().manual_seed(0))
    assert bool(cells.any(0).all())
    component = truth.component(x)
    sides = truth.component(centers)
    assert sorted(sides.tolist()) == [0, 0, 1, 1]
    for k in range(4):
        assert bool((component[cells[k]] == sides[k]).all())
    share = cells.float().mean(1)
    assert share.max() < 1.5 * share.min()


def test_cells_never_jump_between_the_sheets_of_a_swiss_roll():
    truth = toy("swiss_roll")
    x = truth.sample(6000, seed=0)
    _, cells = geodesic_cells(x, 4, torch.Generator().manual_seed(0))
    angle = x[:, [0, 2]].norm(dim=1)
    height = x[:, 1]
    for cell in cells:
        # Along the roll, a disc of the sheet is an interval of the angle at every height.
        band = cell & ((height - 10.5).abs() < 1.0)
        if int(band.sum()) > 50:
            values = angle[band].sort().values
            assert float((values[1:] - values[:-1]).max()) < 2.0


def test_frames_are_orthonormal_and_start_with_the_tangent():
    truth = toy("sphere")
    x = truth.sample(5000, noise=0.005, seed=0)
    centers, cells = geodesic_cells(x, 3, torch.Generator().manual_seed(0))
    frames = principal_frames(x, cells, centers)
    eye = torch.eye(3).expand(3, 3, 3)
    assert torch.allclose(frames.mT @ frames, eye, atol=1e-5)
    normal = torch.nn.functional.normalize(centers, dim=1)
    assert float((frames[:, :, :2].mT @ normal.unsqueeze(-1)).abs().max()) < 0.15


@pytest.mark.parametrize(("name", "noise"), [("two_circles", 0.01), ("sphere", 0.01)])
def test_noise_is_measured(name, noise):
    truth = toy(name)
    assert local_noise(truth.sample(10_000, noise, seed=0), truth.dim) == pytest.approx(
        noise, rel=0.3
    )
