"""Checkpoint folders belong to one training; an interrupted one ends as an uninterrupted one."""

import json

import pytest
import torch
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from torch import nn
from trained import MODELS, SHORT, X, manifold, results, same

from learnedmanifolds.diffusion import DiffusionMap
from learnedmanifolds.latent import Circle, Euclidean
from learnedmanifolds.models import Schedule, select
from learnedmanifolds.models.vae_training import VAETraining
from learnedmanifolds.training.checkpoints import claim, describe

pytestmark = pytest.mark.filterwarnings("ignore:The atlas does not hold the data:UserWarning")

OTHERS = {
    "mixture": {"n_charts": 3},
    "manifold": {"learning_rate": 5e-3},
    "diffusion": {"regularization": 0.2},
    "spectral": {"max_steps": 31},
}


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_of_another_training_is_refused(name, tmp_path):
    model = MODELS[name](checkpoint_dir=tmp_path)
    first = results(model.fit(X))
    assert same(results(MODELS[name](checkpoint_dir=str(tmp_path), verbose=False).fit(X)), first)
    with pytest.raises(ValueError, match="a training with another x"):
        model.fit(X + 1)
    ((parameter, value),) = OTHERS[name].items()
    with pytest.raises(ValueError, match=f"with {parameter}=.* .now {value}."):
        MODELS[name](checkpoint_dir=tmp_path, **OTHERS[name]).fit(X)
    with pytest.raises(ValueError, match=r"with random_state=0 .now 1."):
        MODELS[name](checkpoint_dir=tmp_path, random_state=1).fit(X)
    # A refused fit leaves the folder and the estimator as they were.
    assert same(results(model.fit(X)), first)


def test_a_folder_without_record_is_refused_and_one_without_checkpoint_taken(tmp_path):
    assert claim(tmp_path, "A", {"x": X}, {"a": 1}, 3) == 3
    assert claim(tmp_path, "A", {"x": X}, {"a": 2}, 4) == 4
    (tmp_path / "run-0").mkdir()
    (tmp_path / "run-0" / "last.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a=2 .now 1."):
        claim(tmp_path, "A", {"x": X}, {"a": 1}, 4)
    with pytest.raises(ValueError, match=r"estimator=A .now B."):
        claim(tmp_path, "B", {"x": X}, {"a": 2}, 4)
    (tmp_path / "training.json").unlink()
    with pytest.raises(ValueError, match="without a record"):
        claim(tmp_path, "A", {"x": X}, {"a": 2}, 4)


def test_known_latent_points_belong_to_the_training(tmp_path):
    y = torch.full_like(X, torch.nan)
    y[0] = torch.tensor([1.0, 0.0])
    manifold(checkpoint_dir=tmp_path).fit(X, y)
    with pytest.raises(ValueError, match="another y"):
        manifold(checkpoint_dir=tmp_path).fit(X, -y)


def test_networks_latent_spaces_and_schedules_are_told_apart_by_what_they_are():
    torch.manual_seed(0)
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    assert describe(first) != describe(second)
    second.load_state_dict(first.state_dict())
    assert describe(first) == describe(second)
    assert describe(Circle()) == describe(Circle()) != describe(Euclidean(1))
    assert describe(DiffusionMap(2)) != describe(DiffusionMap(3))
    assert describe(object()) == describe(object())
    assert describe(Schedule()) != describe(SHORT)


@pytest.mark.parametrize("name", ["manifold", "spectral"])
def test_without_a_seed_a_training_keeps_that_of_its_start(name, tmp_path):
    torch.manual_seed(0)
    model = MODELS[name](checkpoint_dir=tmp_path, random_state=None).fit(X)
    seed = json.loads((tmp_path / "training.json").read_text())["seed"]
    assert same(results(model), results(MODELS[name](random_state=seed).fit(X)))
    again = MODELS[name](checkpoint_dir=tmp_path, random_state=None).fit(X)
    assert same(results(again), results(model))


@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
def test_a_grid_search_in_one_folder_scores_no_candidate_by_another_ones_weights(tmp_path):
    grid = {"noise_std": [0.05, 0.5]}
    search = GridSearchCV(manifold(checkpoint_dir=tmp_path), grid, cv=2, refit=False)
    with pytest.warns(FitFailedWarning, match=r"noise_std=0.05 \(now 0.5\)"):
        search.fit(X)
    alone = GridSearchCV(manifold(), grid, cv=2, refit=False).fit(X)
    wanted = torch.tensor(alone.cv_results_["split0_test_score"])
    found = torch.tensor(search.cv_results_["split0_test_score"])
    # The first fit takes the folder; the others are refused, and say so.
    assert found[0] == wanted[0] and found[1].isnan()
    assert wanted[0] != wanted[1]


@pytest.mark.parametrize("stop", [9, 16])
@pytest.mark.parametrize("patience", [None, 1])
def test_resumed_training_ends_as_an_uninterrupted_one(stop, patience, tmp_path, monkeypatch):
    options = {"patience": patience, "max_epochs": 12, "learning_rate": 0.03, "batch_size": 32}
    whole = manifold(**options).fit(X)
    step = VAETraining.training_step
    cuts = {stop, stop + 2}

    def interrupted(self, batch, index):
        if self.global_step in cuts:
            cuts.remove(self.global_step)
            raise KeyError("power cut")
        return step(self, batch, index)

    monkeypatch.setattr(VAETraining, "training_step", interrupted)
    model = manifold(**options, checkpoint_dir=tmp_path)
    for _ in range(4):
        try:
            model.fit(X)
        except KeyError:
            continue
        # Fitted again it goes on from its end, and stays there.
        assert same(results(model), results(whole))
        assert model.history_ == whole.history_


def test_a_longer_training_may_go_on_from_a_shorter_one_and_not_the_other_way(tmp_path):
    manifold(max_epochs=2, checkpoint_dir=tmp_path).fit(X)
    longer = manifold(max_epochs=4, checkpoint_dir=tmp_path).fit(X)
    assert same(results(longer), results(manifold(max_epochs=4).fit(X)))
    with pytest.raises(ValueError, match="at most max_epochs=3, .* of 4 epochs"):
        manifold(max_epochs=3, checkpoint_dir=tmp_path).fit(X)


def test_each_training_of_a_selection_has_its_own_folder(tmp_path):
    spaces = {"a circle": Circle(), "a line": Euclidean(1)}
    options = {"hidden": (8,), "max_epochs": 2, "n_trainings": 2, "n": 20}
    with_folder = select(X, spaces, checkpoint_dir=tmp_path, **options)
    again = select(X, spaces, checkpoint_dir=tmp_path, **options)
    without = select(X, spaces, **options)
    for found in (with_folder, again):
        assert [c.trainings for c in found.candidates] == [c.trainings for c in without.candidates]
    assert len({value for c in without.candidates for value in c.trainings}) == 4


def test_one_text_describes_the_parameters_of_all_trainings():
    for make in MODELS.values():
        model = make()
        for name in ("checkpoint_dir", "accelerator", "verbose", "random_state"):
            assert name in model.get_params()
            assert f"\n    {name} : " in type(model).__doc__
        assert "<" not in type(model).__doc__.split("Attributes")[0]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"checkpoint_dir": 3}, "checkpoint_dir must be a str or Path, got int"),
        ({"accelerator": None}, "accelerator must be a string"),
        ({"random_state": 0.5}, "random_state must be an integer"),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_wrong_parameters_of_a_training_are_named(name, wrong, error):
    with pytest.raises(TypeError, match=error):
        MODELS[name](**wrong).fit(X)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("file", ["last.ckpt", "training.json"])
def test_damaged_files_are_named(name, file, tmp_path):
    MODELS[name](checkpoint_dir=tmp_path).fit(X)
    (path,) = tmp_path.rglob(file)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"checkpoint_dir must hold whole files, but .*{file}"):
        MODELS[name](checkpoint_dir=tmp_path).fit(X)


def test_a_file_is_no_folder_and_verbose_is_a_bool(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="checkpoint_dir must be a folder"):
        manifold(checkpoint_dir=tmp_path / "file").fit(X)
    with pytest.raises(TypeError, match="verbose must be a bool, got str"):
        manifold(verbose="x").fit(X)
