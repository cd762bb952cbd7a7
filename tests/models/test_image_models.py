"""MixtureVAE on images: charts of images, better than the best linear chart, bad shapes."""

import pytest
import torch

from learnedmanifolds.charts import ImageCharts
from learnedmanifolds.datasets import bars
from learnedmanifolds.files.io import load
from learnedmanifolds.models import MixtureVAE
from learnedmanifolds.models.training import Schedule

SMALL = {"hidden": 16, "n_blocks": 2, "conv_hidden": 6, "n_conv_blocks": 1}
SCHEDULE = Schedule(seeding_steps=150, mixture_steps=30, overlap_steps=150, batch_size=48)


@pytest.fixture(scope="module")
def model():
    estimator = MixtureVAE(
        2, 1, noise_std=0.1, schedule=SCHEDULE, max_restarts=0, random_state=0, **SMALL
    )
    return estimator.fit(bars(600, 16, seed=1))


def psnr(a, b):
    return -10 * (a - b).square().flatten(1).mean(1).log10()


def test_atlas_of_images(model):
    atlas = model.atlas_
    assert isinstance(atlas.charts, ImageCharts)
    assert atlas.ambient_shape == (1, 16, 16) and model.n_features_in_ == 256
    test = bars(200, 16, seed=2)
    restored = model.inverse_transform(model.transform(test))
    quality = psnr(restored, test)
    # The best a linear chart of this dimension can do.
    mean = test.mean(0)
    basis = torch.linalg.svd((test - mean).flatten(1), full_matrices=False).Vh[:1]
    linear = mean.flatten() + (test - mean).flatten(1) @ basis.T @ basis
    assert quality.median() > psnr(linear, test.flatten(1)).median() + 8
    assert model.quality_.coverage > 0.95 and not model.quality_.dead_charts
    assert model.sample(7, seed=0).shape == (7, 1, 16, 16)
    assert model.score(test) > model.score(1 - test)


def test_image_atlas_is_saved_whole(model, tmp_path):
    model.atlas_.save(tmp_path / "bars.safetensors")
    again = load(tmp_path / "bars.safetensors")
    x = bars(20, 16, seed=3)
    here, there = model.atlas_.locate(x), again.locate(x)
    assert torch.equal(here.chart, there.chart) and torch.equal(here.coords, there.coords)
    assert torch.equal(again.decode(there.coords, there.chart), model.inverse_transform(here))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((40, 16, 16), "shape"), ((40, 1, 15, 16), "multiples of 2"), ((40, 1, 2, 16, 16), "shape")],
)
def test_images_of_the_wrong_shape(shape, message):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=message):
        MixtureVAE(1, 1, schedule=SCHEDULE, random_state=0, **SMALL).fit(x)


def test_a_schedule_of_the_wrong_type():
    with pytest.raises(TypeError, match="schedule must be a Schedule or None, got int"):
        MixtureVAE(1, 1, schedule=3).fit(torch.rand(40, 3))
