"""Atlases on disk: the same bits back, and every broken file named."""

import json
import os

import pytest
import torch
from oracles import draw, random_flow
from safetensors.torch import save_file

import learnedmanifolds as lm
from learnedmanifolds import Atlas
from learnedmanifolds.charts import SphereCharts


@pytest.fixture(params=[torch.float32, torch.float64], ids=str)
def atlas(request):
    return Atlas(random_flow(2, 3), [0.2, 0.5, 0.3], 0.013, 0.07).to(request.param)


def test_the_same_bits_come_back(atlas, tmp_path):
    atlas.save(tmp_path / "a.safetensors")
    again = lm.load(tmp_path / "a.safetensors")
    assert (again.dtype, again.noise_std, again.tolerance) == (
        atlas.dtype,
        atlas.noise_std,
        atlas.tolerance,
    )
    t = draw(10, 2, low=-1, high=1)
    for k in range(3):
        assert torch.equal(again.decode(t, k), atlas.decode(t, k))
    x = atlas.decode(t, 0)
    assert torch.equal(again.responsibilities(x), atlas.responsibilities(x))
    assert torch.equal(again.sample(20, seed=0), atlas.sample(20, seed=0))


def test_saving_again_replaces_the_file(atlas, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    atlas.save(str(path))
    assert lm.load(str(path)).n_charts == 3
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_a_saved_file_is_as_open_as_others(atlas, tmp_path):
    (tmp_path / "other").write_text("")
    atlas.save(tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_failed_save_leaves_the_old_file_and_nothing_else(atlas, tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    atlas.save(path)
    before = path.read_bytes()

    def full(tensors, name, header):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("learnedmanifolds._record.save_file", full)
    with pytest.raises(OSError, match="no space left"):
        atlas.save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_analytic_charts_have_nothing_to_save(tmp_path):
    with pytest.raises(ValueError, match="learned charts to be saved, got SphereCharts"):
        Atlas(SphereCharts(1.0)).save(tmp_path / "a.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_missing_folder(atlas, tmp_path):
    with pytest.raises(FileNotFoundError, match="in a folder that exists, got .*a.safetensors'"):
        atlas.save(tmp_path / "absent" / "a.safetensors")


def test_missing_truncated_and_foreign_files(atlas, tmp_path):
    with pytest.raises(FileNotFoundError, match="saved atlas, there is no file"):
        lm.load(tmp_path / "absent")
    path = tmp_path / "a.safetensors"
    atlas.save(path)
    whole = path.read_bytes()
    for size in (0, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="whole safetensors file"):
            lm.load(path)
    path.write_text("not an atlas")
    with pytest.raises(ValueError, match="whole safetensors file"):
        lm.load(path)
    save_file({"a": torch.zeros(2)}, path, {"format": "other"})
    with pytest.raises(ValueError, match="of format .* got 'other'"):
        lm.load(path)


def test_a_header_that_does_not_fit_its_weights(tmp_path):
    path = tmp_path / "a.safetensors"
    atlas = Atlas(random_flow(2, 3))
    tensors = {f"charts.{k}": v for k, v in atlas.charts.state_dict().items()}
    tensors["weights"] = atlas.weights
    header = {
        "format": "learnedmanifolds atlas 1",
        "charts": "FlowCharts",
        "config": json.dumps({**atlas.charts.config(), "hidden": 5}),
        "noise_std": "0.01",
        "tolerance": "0.1",
    }
    save_file(tensors, path, header)
    with pytest.raises(ValueError, match="must hold the weights its header names"):
        lm.load(path)


@pytest.mark.parametrize("path", [3, None, b"a.safetensors"])
def test_what_is_no_path(path):
    for call in (lm.load, random_atlas().save, lm.io.import_published):
        with pytest.raises(
            TypeError, match=f"path must be a str or Path, got {type(path).__name__}"
        ):
            call(path)


def random_atlas():
    return Atlas(random_flow(2, 3))
