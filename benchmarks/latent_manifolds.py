"""pymanopt's five optimizers and the conformance checks on immersions of a sphere and of SO(3).

Two small `ManifoldVAE`s are trained: on a noisy smooth image of the sphere in R^12, and on the toy of a
random spectrum turned by rotations. On the image of each latent space the nearest point to a point off
it is looked for from random points by every optimizer, and `check_manifold` runs.

The squared distance has local minima on a curved manifold. A run is counted as at a minimum if trust
regions, started where it ended, lower the cost by less than a part in 10^4 (of 1 + cost); and as at the
nearest point if its cost is the least that any run found, as nearly.

Run: ``python benchmarks/latent_manifolds.py`` (one thread: OMP_NUM_THREADS=1)
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pymanopt
import torch
from pymanopt.optimizers import (
    ConjugateGradient,
    NelderMead,
    ParticleSwarm,
    SteepestDescent,
    TrustRegions,
)
from rich.console import Console
from rich.table import Table
from torch import nn

import learnedmanifolds as lm
from learnedmanifolds.latent import GroupAction, Rotations, Sphere
from learnedmanifolds.latent.rotations import random_spectrum
from learnedmanifolds.models import ManifoldVAE


def sphere_model() -> ManifoldVAE:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2000, 3, generator=generator)
    z = z / z.norm(dim=1, keepdim=True)
    weight = torch.randn(12, 9, generator=generator)
    x = torch.cat([z, 0.3 * z**2, 0.3 * z.roll(1, 1) * z], dim=1) @ weight.T
    x = x + 0.05 * torch.randn(x.shape, generator=generator)
    return ManifoldVAE(
        Sphere(2),
        hidden=(64, 64),
        max_epochs=60,
        learning_rate=5e-3,
        cosine=True,
        n_starts=4,
        random_state=0,
    ).fit(x)


def rotation_model() -> ManifoldVAE:
    torch.manual_seed(0)
    x, _ = random_spectrum(1000, 2, 2)
    x = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    encoder = nn.Sequential(nn.Linear(x.shape[1], 100), nn.SiLU(), nn.Linear(100, 100), nn.SiLU(),
                            nn.Linear(100, Rotations().n_parameters))  # fmt: skip
    return ManifoldVAE(
        Rotations(), encoder=encoder, decoder=GroupAction(2, 2), max_epochs=100, cosine=True,
        n_starts=6, start_epochs=20, random_state=0,
    ).fit(x)  # fmt: skip


def simplex(manifold: lm.PymanoptManifold, point: np.ndarray) -> list[np.ndarray]:
    """A point and others a tenth of its norm away from it, in orthonormal tangent directions.

    One more than a simplex has: pymanopt 2.2.1 refuses lists of the right length.
    """
    drawn = np.stack([manifold.random_tangent_vector(point) for _ in range(manifold.dim)], axis=1)
    step = np.linalg.qr(drawn)[0].T * np.linalg.norm(point) / 10
    return [point, *(manifold.retraction(point, v) for v in (*step, -step.sum(0)))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--spaces", nargs="*", default=["sphere", "SO(3)"])
    parser.add_argument("--optimizers", nargs="*", help="names of classes; all by default")
    options = parser.parse_args()
    console = Console(width=100)
    table = Table(
        "immersion of", "optimizer", "at a minimum", "at the nearest", "iterations", "seconds"
    )
    for name in options.spaces:
        model = {"sphere": sphere_model, "SO(3)": rotation_model}[name]()
        # The derivative-free optimizers take logarithms by the thousand: those of the ambient space.
        manifold = lm.PymanoptManifold(model.immersion_, distance="chordal", seed=0)
        atlas = manifold.atlas
        target = atlas.sample(1, seed=5)[0]
        target = target + 0.1 * torch.randn(
            target.shape, generator=torch.Generator().manual_seed(1)
        )

        @pymanopt.function.pytorch(manifold)
        def cost(point, target=target):
            return (point - target).square().sum()

        problem = pymanopt.Problem(manifold, cost)
        polish = TrustRegions(verbosity=0, min_gradient_norm=1e-8)
        runs = []
        for optimizer in (
            SteepestDescent(verbosity=0), ConjugateGradient(verbosity=0, beta_rule="PolakRibiere"),
            TrustRegions(verbosity=0), ParticleSwarm(verbosity=0, population_size=40, max_iterations=100),
            NelderMead(verbosity=0, max_iterations=3000, max_cost_evaluations=6000),
        ):  # fmt: skip
            if options.optimizers and type(optimizer).__name__ not in options.optimizers:
                continue
            np.random.seed(0)  # noqa: NPY002
            for _ in range(options.starts):
                # The swarm draws its own points. So would the simplex, over the whole manifold, where
                # means of far points say little: it gets a small one.
                point = manifold.random_point()
                given = {} if isinstance(optimizer, ParticleSwarm) else {"initial_point": point}
                if isinstance(optimizer, NelderMead):
                    given["initial_point"] = simplex(manifold, point)
                start = time.perf_counter()
                result = optimizer.run(problem, **given)
                seconds = time.perf_counter() - start
                below = polish.run(problem, initial_point=result.point).cost
                runs.append(
                    (type(optimizer).__name__, result.cost, below, result.iterations, seconds)
                )
        best = min(below for _, _, below, _, _ in runs)
        for kind in dict.fromkeys(run[0] for run in runs):
            costs, polished, steps, seconds = np.array(
                [run[1:] for run in runs if run[0] == kind]
            ).T
            settled = (costs - polished <= 1e-4 * (1 + polished)).sum()
            nearest = (costs - best <= 1e-4 * (1 + best)).sum()
            table.add_row(
                name, kind, f"{settled} of {len(costs)}", f"{nearest} of {len(costs)}",
                f"{np.median(steps):.0f}", f"{np.median(seconds):.2f}",
            )  # fmt: skip
        start = time.perf_counter()
        verdict = lm.check_manifold(lm.PymanoptManifold(model.immersion_, seed=0))
        console.print(f"{name}: check_manifold {'passed' if verdict.passed else 'FAILED'}, "
                      f"{time.perf_counter() - start:.0f} s")  # fmt: skip
        if not verdict.passed:
            console.print(verdict)
    console.print(table)


if __name__ == "__main__":
    main()
