"""Settings that hold for every test: no display, geomstats on torch, one thread."""

import os

# matplotlib and geomstats read these when they are first imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ["GEOMSTATS_BACKEND"] = "pytorch"
# Also of notebooks' kernels. For models this small two are no faster, and much slower beside others.
os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402

torch.set_num_threads(1)
