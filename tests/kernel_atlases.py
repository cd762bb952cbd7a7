"""Kernel atlases of the toys, no argument but a seed; each is learned once a session."""

import functools

import learnedmanifolds as lm

NOISE = 0.01


@functools.cache
def kernel_atlas(name):
    n = {"torus": 6000, "loop": 2000}.get(name, 2500)
    x = lm.datasets.toy(name).sample(n, noise=NOISE, seed=0)
    return lm.KernelAtlas(random_state=0).fit(x).atlas_
