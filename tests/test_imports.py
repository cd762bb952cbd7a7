"""Importing the package: cheap, and without side effects."""

import subprocess
import sys

import pytest

import learnedmanifolds as lm

HEAVY = (
    "geomstats",
    "geoopt",
    "lightning",
    "matplotlib",
    "pandas",
    "pymanopt",
    "rich",
    "scipy",
    "sklearn",
    "typer",
)


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_import_leaves_torch_as_it_is_and_heavy_packages_alone():
    loaded = run(
        "import torch, sys\n"
        "before = torch.get_default_dtype(), torch.initial_seed(), set(sys.modules)\n"
        "import learnedmanifolds\n"
        "assert torch.get_default_dtype() == before[0] == torch.float32\n"
        "assert torch.initial_seed() == before[1]\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before[2]})"
    )
    assert not set(loaded.split()) & set(HEAVY)


def test_a_pretrained_atlas_takes_no_lightning():
    loaded = run(
        "import sys, learnedmanifolds as lm\nlm.pretrained('bars-32')\nprint(*sys.modules)"
    )
    assert not {"lightning", "torch._dynamo"} & set(loaded.split())


def test_default_dtype_survives_the_whole_public_interface():
    names = " ".join(f"lm.{name};" for name in lm.__all__)
    code = f"import torch, learnedmanifolds as lm; {names} print(torch.get_default_dtype())"
    assert run(code) == "torch.float32"


def test_public_names():
    for name in lm.__all__:
        assert getattr(lm, name) is not None
    assert set(lm.__all__) <= set(dir(lm))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        lm.nothing  # noqa: B018


def test_every_public_subpackage_is_there_before_anything_else_imports_it():
    # As in a fresh interpreter for each, without loading torch each time.
    run(
        "import importlib, sys, torch\n"
        "def package():\n"
        "    for name in [n for n in sys.modules if n.split('.')[0] == 'learnedmanifolds']:\n"
        "        del sys.modules[name]\n"
        "    return importlib.import_module('learnedmanifolds')\n"
        "for room in sorted(package()._ROOMS):\n"
        "    assert getattr(package(), room).__name__.startswith('learnedmanifolds.'), room"
    )
