"""Train the small atlases of the tests: ``python tests/data/make_atlases.py FOLDER [NAME ...]``."""

import sys
from pathlib import Path

import torch

import learnedmanifolds as lm

SMALL = {"n_blocks": 4, "hidden": 16, "random_state": 0}


def circle():
    x = lm.datasets.Circle().sample(2000, noise=0.01, seed=0)
    return lm.MixtureVAE(n_charts=3, dim=1, **SMALL).fit(x)


def torus():
    x = lm.datasets.Torus().sample(4000, noise=0.01, seed=0)
    return lm.MixtureVAE(n_charts=8, dim=2, **SMALL).fit(x)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[2:] or ("circle", "torus"):
        model = globals()[name]()
        print(name, model.quality_)
        model.atlas_.save(Path(sys.argv[1]) / f"{name}.safetensors")
