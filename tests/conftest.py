"""Settings that hold for every test: no display, geomstats on torch, at most two threads."""

import os

# matplotlib and geomstats read these when they are first imported.
os.environ["MPLBACKEND"] = "Agg"
os.environ["GEOMSTATS_BACKEND"] = "pytorch"

import torch  # noqa: E402

# Beside other processes one thread, OMP_NUM_THREADS=1, is much faster.
torch.set_num_threads(min(2, torch.get_num_threads()))
