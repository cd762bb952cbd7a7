"""What was written or imported under old paths goes on working."""

import importlib
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import learnedmanifolds as lm

# Written by tests/data/make_pickles.py at the commit in the name, before modules moved.
PICKLES = pickle.loads((Path(__file__).parent / "data" / "pickles_61db161.pkl").read_bytes())

OLD_NAMES = {
    "atlas": "Atlas",
    "immersion": "Immersion",
    "inverse.lbfgs": "LBFGS",
    "inverse.levenberg_marquardt": "LevenbergMarquardt",
    "inverse.operators": "Radon",
    "inverse.operators.impedance.operator": "ElectricalImpedance",
    "inverse.status": "Status",
    "inverse.stopping": "GradientNorm",
    "io": "load",
    "models.networks": "default_decoder",
    "nearest": "nearest",
    "published": "import_published",
    "quality": "Quality",
    "transition": "move",
    "validated": "Validated",
}


@pytest.mark.parametrize("name", PICKLES)
def test_an_old_pickle_is_what_it_was(name):
    again = pickle.loads(PICKLES[name])
    assert type(again).__module__.startswith("learnedmanifolds")
    assert not type(again).__module__.startswith("learnedmanifolds.inverse.operators")
    assert pickle.loads(pickle.dumps(again)) is not None


def test_old_pickles_still_compute():
    values = {name: pickle.loads(data) for name, data in PICKLES.items()}
    atlas, fresh = values["Atlas of SphereCharts"], lm.Atlas(lm.charts.SphereCharts())
    assert torch.equal(atlas.sample(10, seed=0), fresh.sample(10, seed=0))
    x = torch.tensor([[0.0, 0.0, 3.0]], dtype=torch.float64)
    assert atlas.project(x)[0].tolist() == pytest.approx([0, 0, 1], abs=1e-9)
    solution = lm.solve(values["InverseProblem"], atlas, "levenberg-marquardt", seed=0)
    assert solution.point.tolist() == pytest.approx([0, 0, 1], abs=1e-5)
    assert values["Status"] is lm.optimizers.Status.CONVERGED
    assert values["Solution"].status in lm.optimizers.Status
    circle = lm.datasets.Circle().sample(60, noise=0.01, seed=0)
    for name in ("ManifoldVAE", "DiffusionMap", "SpectralNet", "DiffusionVAE"):
        assert values[name].n_features_in_ == 2
    assert values["DiffusionMap"].transform(circle).shape == (60, 2)
    assert values["ManifoldVAE"].sample(3, seed=0).shape == (3, 2)


@pytest.mark.parametrize("module", OLD_NAMES)
def test_old_module_paths_give_the_same_objects(module):
    old = importlib.import_module(f"learnedmanifolds.{module}")
    value = getattr(old, OLD_NAMES[module])
    home = importlib.import_module(value.__module__)
    assert home.__name__.startswith("learnedmanifolds")
    assert getattr(home, OLD_NAMES[module]) is value
    # The module keeps its own identity: reloading tools and pickles see the new name.
    assert importlib.import_module(home.__name__) is home
    assert home.__spec__.name == home.__name__


def test_functions_keep_their_place_beside_modules_of_their_name():
    code = (
        "import pickle, sys, importlib, learnedmanifolds as lm\n"
        "before = {n: getattr(lm.operators, n) for n in lm.operators.__all__}\n"
        "for name in ('mask', 'identity', 'linear', 'blur', 'impedance.mesh'):\n"
        "    importlib.import_module('learnedmanifolds.inverse.operators.' + name)\n"
        "assert {n: getattr(lm.operators, n) for n in lm.operators.__all__} == before\n"
        "assert lm.inverse.operators is lm.operators\n"
        "print(lm.operators.mask(__import__('torch').tensor([True, False])))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.startswith("Mask(")


def test_what_never_was_is_not_found():
    for name in ("learnedmanifolds.nothing", "learnedmanifolds.inverse.operators.nothing"):
        with pytest.raises(ModuleNotFoundError, match="nothing"):
            importlib.import_module(name)


def test_select_under_its_old_name_warns():
    with pytest.warns(DeprecationWarning, match="is now learnedmanifolds.select"):
        select = lm.latent.select
    assert select is lm.select


def test_names_of_inverse_are_those_of_the_new_rooms():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in lm.optimizers.__all__:
            assert getattr(lm.inverse, name) is getattr(lm.optimizers, name)
    assert lm.inverse.operators is lm.operators
    assert lm.io.load is lm.load
