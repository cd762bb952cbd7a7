"""MixtureVAE on pictures: grey and coloured, better than the best linear chart, in seconds."""

import pytest
import torch

from learnedmanifolds.datasets import bars
from learnedmanifolds.files.io import load
from learnedmanifolds.models import MixtureVAE, Schedule

SHORT = Schedule(regression_steps=150, mixture_steps=20, overlap_steps=30, batch_size=64)


def pictures(count, seed):
    """Grey bars and, beside the same ones, their negatives in two more channels: (N, 3, 16, 12)."""
    grey = bars(count, 16, seed=seed)[..., 2:14]
    return torch.cat([grey, 1 - grey, 0.5 * grey], 1)


@pytest.fixture(scope="module")
def model():
    return MixtureVAE(hidden=32, n_blocks=3, schedule=SHORT, random_state=0).fit(pictures(600, 1))


def psnr(a, b):
    return -10 * (a - b).square().flatten(1).mean(1).log10()


def test_atlas_of_coloured_pictures_that_are_no_squares(model):
    atlas = model.atlas_
    assert atlas.ambient_shape == (3, 16, 12) and model.n_features_in_ == 576
    assert model.dim_ == 1 and model.quality_.healthy
    test = pictures(200, 2)
    restored = model.inverse_transform(model.transform(test))
    quality = psnr(restored, test)
    # The best that a linear chart of this dimension can do.
    mean = test.mean(0)
    basis = torch.linalg.svd((test - mean).flatten(1), full_matrices=False).Vh[:1]
    linear = mean.flatten() + (test - mean).flatten(1) @ basis.T @ basis
    assert quality.median() > psnr(linear, test.flatten(1)).median() + 15
    assert model.sample(7, seed=0).shape == (7, 3, 16, 12)
    assert model.score(test) > model.score(1 - test)
    # All channels are of the same code.
    made = atlas.sample(50, seed=1)
    assert float((made[:, 0] + made[:, 1] - 1).abs().mean()) < 1e-3
    assert float((made[:, 0] - 2 * made[:, 2]).abs().mean()) < 1e-3


def test_the_flow_is_in_few_coordinates(model):
    charts = model.atlas_.charts
    assert charts.flow.n_ambient == 10 and not charts.whole
    t = torch.linspace(-0.8, 0.8, 20).to(charts.dtype).unsqueeze(1)
    back = charts.left_inverse(charts.decode(t, 0), 0)
    torch.testing.assert_close(back, t, rtol=0, atol=1e-4)


def test_image_atlas_is_saved_whole(model, tmp_path):
    model.atlas_.save(tmp_path / "bars.safetensors")
    again = load(tmp_path / "bars.safetensors")
    x = pictures(20, 3)
    here, there = model.atlas_.locate(x), again.locate(x)
    assert torch.equal(here.chart, there.chart) and torch.equal(here.coords, there.coords)
    assert torch.equal(again.decode(there.coords, there.chart), model.inverse_transform(here))


def test_a_schedule_of_the_wrong_type():
    with pytest.raises(TypeError, match="schedule must be a Schedule or None, got int"):
        MixtureVAE(1, 1, schedule=3).fit(torch.rand(40, 3))
