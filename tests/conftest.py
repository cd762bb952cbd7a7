"""Settings that hold for every test: no display, geomstats on torch, two threads."""

import os

# matplotlib and geomstats read these when they are first imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ["GEOMSTATS_BACKEND"] = "pytorch"

import torch  # noqa: E402

torch.set_num_threads(2)
