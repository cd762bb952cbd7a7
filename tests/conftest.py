"""Settings that hold for every test: no display, geomstats on torch, one thread, an order."""

import os

# matplotlib and geomstats read these when they are first imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ["GEOMSTATS_BACKEND"] = "pytorch"
# Also of notebooks' kernels. For models this small two are no faster, and much slower beside others.
os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402

torch.set_num_threads(1)

# Whole programs take longest. With several workers they come first, so that none is left alone with
# one at the end; what else there is stays in order, a module in one worker unless it is stolen.
PROGRAMS = ("test_tutorials.py", "test_readme.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in PROGRAMS)
