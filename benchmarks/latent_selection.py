"""Which latent manifold do pictures of a turning object want?

`lm.select` on pictures of one body: turned about one axis, where the poses are a circle, and
turned in every way, where they are SO(3); with a file of COIL-20 (arrays X, Y) also on each of its first
objects.

Run: ``python benchmarks/latent_selection.py --coil COIL20.mat`` (one thread: OMP_NUM_THREADS=1)
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

import torch
from rich.console import Console
from scipy.io import loadmat

import learnedmanifolds as lm
from learnedmanifolds.datasets import Solid
from learnedmanifolds.latent import Circle, Euclidean, Rotations, Sphere, Torus

NOISE = 0.05
OPTIONS = {"hidden": (256, 256), "fourier_scale": 2.0, "cosine": True, "spectral_start": True}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--coil")
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=0.3, help="noise_std for COIL-20")
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--axes", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1, help="runs with every rotation")
    parser.add_argument("--images", type=int, default=10_000, help="of every rotation")
    options = parser.parse_args()
    console = Console(width=100)
    solid = Solid(options.size)
    small = {"R": Euclidean(1), "R^2": Euclidean(2), "circle": Circle(), "sphere": Sphere(2),
             "torus": Torus(2), "SO(3)": Rotations()}  # fmt: skip
    large = {"R^3": Euclidean(3), "sphere": Sphere(2), "S^3": Sphere(3), "torus": Torus(3),
             "circle": Circle(), "SO(3)": Rotations()}  # fmt: skip
    winners: dict[str, Counter[str]] = {}

    def run(kind: str, title: str, *arguments: Any, **settings: Any) -> None:
        start = time.perf_counter()
        selection = lm.select(*arguments, **OPTIONS, **settings)
        winners.setdefault(kind, Counter())[selection.best.name] += 1
        console.print(f"{title} ({time.perf_counter() - start:.0f} s)")
        console.print(selection)

    generator = torch.Generator().manual_seed(0)

    def noisy(x: torch.Tensor) -> torch.Tensor:
        return (x + NOISE * torch.randn(x.shape, generator=generator)).flatten(1)

    for i in range(options.axes):
        axis = torch.randn(3, generator=generator)
        x = noisy(solid.sample(1000, seed=i, axis=axis))
        run("one axis", f"one axis, {axis.numpy().round(2)}", x, small, learning_rate=2e-3,
            max_epochs=200, start_epochs=40)  # fmt: skip
    for i in range(options.seeds):
        x = noisy(solid.sample(options.images, seed=i))
        run("every rotation", f"every rotation, seed {i}", x, large, learning_rate=2e-3,
            max_epochs=30, start_epochs=12, random_state=i)  # fmt: skip
    if options.coil:
        file = loadmat(options.coil)
        images, labels = torch.from_numpy(file["X"]).float(), file["Y"].ravel()
        images = images / images.max()
        for label in sorted(set(labels.tolist()))[: options.objects]:
            x = images[torch.from_numpy(labels == label)]
            run("COIL-20", f"COIL-20, object {label}", x, small, learning_rate=1e-3,
                max_epochs=3000, start_epochs=600, noise_std=options.tolerance,
                held_out=0.25)  # fmt: skip
    for kind, counter in winners.items():
        console.print(f"{kind}: first came {dict(counter)}")


if __name__ == "__main__":
    main()
