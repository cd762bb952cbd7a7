"""Recipes by name, and the trained models that ship."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import learnedmanifolds as lm
from learnedmanifolds.cli import app
from learnedmanifolds.files.io import load
from learnedmanifolds.models import RECIPES, Recipe, pretrained_names, recipe

TINY = Recipe("bars", 16, 200)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_whole_description(name):
    one = recipe(name)
    assert name == f"{one.data}-{one.size}"
    estimator = one.estimator(n_charts=1)
    assert (estimator.dim, estimator.n_charts) == (one.manifold.dim, 1)
    assert estimator.random_state == one.seed
    assert one.estimator(random_state=5).random_state == 5


def test_train_by_recipe(tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "bars-16", TINY)
    path = tmp_path / "bars.safetensors"
    result = CliRunner().invoke(app, ["train", "bars-16", "-o", str(path), "--charts", "2"])
    assert result.exit_code == 0, result.output
    atlas = load(path)
    assert (atlas.n_charts, atlas.dim, atlas.ambient_shape) == (2, 1, (1, 16, 16))
    again = recipe("bars-16").fit(n_charts=2).atlas_
    coords = torch.tensor([[0.3]])
    assert torch.equal(atlas.decode(coords, 0), again.decode(coords, 0))
    other = recipe("bars-16").with_seed(1).fit(n_charts=2).atlas_
    assert not torch.equal(other.decode(coords, 0), again.decode(coords, 0))


def test_shipped_models_are_small_and_by_recipes():
    names = pretrained_names()
    assert {"bars-32", "balls-32"} <= set(names) <= set(RECIPES)
    folder = Path(lm.models.recipes.__file__).parent / "weights"
    files = list(folder.iterdir())
    assert {path.suffix for path in files} == {".safetensors"}
    assert sum(path.stat().st_size for path in files) <= 3 * 2**20


@pytest.mark.parametrize(("name", "least"), [("bars-32", 45), ("balls-32", 33)])
def test_shipped_models_reconstruct_unseen_images(name, least):
    atlas = lm.pretrained(name)
    assert atlas.dtype == torch.float32
    images = recipe(name).manifold.sample(10, seed=77)
    quality = lm.metrics.psnr(atlas.project(images), images)
    assert quality.median() > least


def test_shipped_models_by_name_on_the_command_line():
    result = CliRunner().invoke(app, ["info", "bars-32"])
    assert result.exit_code == 0 and "[1, 32, 32]" in result.output


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: lm.pretrained("cats"), ValueError),
        (lambda: lm.pretrained(3), TypeError),
        (lambda: recipe("cats"), ValueError),
        (lambda: recipe(None), TypeError),
    ],
)
def test_names_that_are_not_there(call, error):
    with pytest.raises(error, match="name must be one of"):
        call()


def test_a_recipe_has_its_dimension():
    result = CliRunner().invoke(app, ["train", "bars-32", "--dim", "2"])
    assert isinstance(result.exception, ValueError)
    assert "--dim must be left out" in str(result.exception)
