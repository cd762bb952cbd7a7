"""Train the atlases that the tutorials load: ``python tutorials/atlases/make.py``, two minutes."""

from pathlib import Path

import learnedmanifolds as lm

FOLDER = Path(__file__).parent
# Smaller networks than the default, so that the files are small and the tutorials fast.
RING = {"noise_std": 0.01, "hidden": 32, "n_blocks": 3, "n_latent_blocks": 2, "random_state": 0}
SPHERE = {"hidden": 48, "n_blocks": 4, "n_latent_blocks": 2, "random_state": 0}


def ring() -> lm.Atlas:
    x = lm.datasets.toy("ring").sample(10_240, noise=0.01, seed=0)
    return lm.MixtureVAE(n_charts=2, dim=2, **RING).fit(x).atlas_


def sphere() -> lm.Atlas:
    x = lm.datasets.toy("sphere").sample(10_240, noise=0.01, seed=0)
    return lm.MixtureVAE(n_charts=2, dim=2, **SPHERE).fit(x).atlas_


if __name__ == "__main__":
    for make in (ring, sphere):
        atlas = make()
        truth = lm.datasets.toy(make.__name__)
        print(make.__name__, atlas.quality(truth.sample(4000, seed=1)))
        atlas.save(FOLDER / f"{make.__name__}.safetensors")
