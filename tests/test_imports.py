"""Importing the package: cheap, and without side effects."""

import functools
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


@functools.cache
def whole_interface():
    """What a fresh interpreter says: the default dtype after all names; every subpackage alone.

    One interpreter for both, because all that they import takes long. Subpackages come second: the
    package is imported anew for each of them.
    """
    names = " ".join(f"lm.{name};" for name in lm.__all__)
    return run(
        f"import importlib, sys, torch, learnedmanifolds as lm; {names}\n"
        "print(torch.get_default_dtype())\n"
        "def package():\n"
        "    for name in [n for n in sys.modules if n.split('.')[0] == 'learnedmanifolds']:\n"
        "        del sys.modules[name]\n"
        "    return importlib.import_module('learnedmanifolds')\n"
        "for room in sorted(package()._ROOMS):\n"
        "    print(room, getattr(package(), room).__name__)"
    ).splitlines()


def test_default_dtype_survives_the_whole_public_interface():
    assert whole_interface()[0] == "torch.float32"


def test_public_names():
    for name in lm.__all__:
        assert getattr(lm, name) is not None
    assert set(lm.__all__) <= set(dir(lm))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        lm.nothing  # noqa: B018


def test_every_public_subpackage_is_there_before_anything_else_imports_it():
    # As in a fresh interpreter for each, without loading torch each time.
    rooms = dict(line.split() for line in whole_interface()[1:])
    assert sorted(rooms) == sorted(lm._ROOMS) and len(rooms) > 1
    assert all(name.startswith("learnedmanifolds.") for name in rooms.values())
