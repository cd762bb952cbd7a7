"""Which latent manifold do pictures of a turning object want?

`lm.latent.select` on pictures of one body: turned about one axis, where the poses are a circle, and
turned in every way, where they are SO(3); with a file of COIL-20 (arrays X, Y) also on each of its first
objects.

Run: ``python benchmarks/latent_selection.py --coil COIL20.mat`` (one thread: OMP_NUM_THREADS=1)
"""

from __future__ import annotations

import argparse
from collections import Counter

import torch
from rich.console import Console

import learnedmanifolds as lm
from learnedmanifolds.datasets import Solid
from learnedmanifolds.latent import Circle, Euclidean, Rotations, Sphere, Torus

NOISE = 0.05
OPTIONS = {"hidden": (128, 128), "learning_rate": 3e-3, "cosine": True, "n_starts": 4}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=8)
    parser.add_argument("--coil")
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--axes", type=int, default=3)
    parser.add_argument("--images", type=int, default=4000, help="of full rotations")
    parser.add_argument("--epochs", type=int, default=40, help="for full rotations")
    parser.add_argument("--trainings", type=int, default=2)
    options = parser.parse_args()
    console = Console()
    solid = Solid(options.size)
    small = {"R": Euclidean(1), "R^2": Euclidean(2), "circle": Circle(), "sphere": Sphere(2),
             "torus": Torus(2), "SO(3)": Rotations()}  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    winners: Counter[str] = Counter()
    for i in range(options.axes):
        axis = torch.randn(3, generator=generator)
        x = solid.sample(1000, seed=i, axis=axis)
        x = (x + NOISE * torch.randn(x.shape, generator=generator)).flatten(1)
        selection = lm.latent.select(
            x, small, **OPTIONS, max_epochs=200, start_epochs=40, patience=60,
            n_trainings=options.trainings,
        )  # fmt: skip
        winners[selection.best.name] += 1
        console.print(f"one axis, {axis.numpy().round(2)}:", repr(selection))
    console.print(f"one axis: {dict(winners)}")
    if options.coil:
        from scipy.io import loadmat

        file = loadmat(options.coil)
        images, labels = torch.from_numpy(file["X"]).float(), file["Y"].ravel()
        images = images / images.max()
        winners = Counter()
        for label in sorted(set(labels.tolist()))[: options.objects]:
            x = images[torch.from_numpy(labels == label)]
            selection = lm.latent.select(
                x, small, **OPTIONS, max_epochs=4000, start_epochs=400, patience=1000,
                n_trainings=options.trainings, held_out=0.25,
            )  # fmt: skip
            winners[selection.best.name] += 1
            console.print(f"COIL-20, object {label}:", repr(selection))
        console.print(f"COIL-20: {dict(winners)}")
    large = {"R^3": Euclidean(3), "sphere": Sphere(2), "S^3": Sphere(3), "torus": Torus(3),
             "circle": Circle(), "SO(3)": Rotations()}  # fmt: skip
    x = solid.sample(options.images, seed=0)
    x = (x + NOISE * torch.randn(x.shape, generator=generator)).flatten(1)
    selection = lm.latent.select(
        x, large, **OPTIONS, max_epochs=options.epochs, start_epochs=10, patience=20,
        n_trainings=options.trainings,
    )  # fmt: skip
    console.print("every rotation:")
    console.print(selection)


if __name__ == "__main__":
    main()
