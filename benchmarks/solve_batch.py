"""Throughput of `solve_batch` against one `solve` call a problem, on one thread.

python benchmarks/solve_batch.py [--problems 1000] [--timed 50] [--starts 1] [--seed 0]

On the learned sphere of tests/data: denoising, inpainting of one coordinate from the others, and
mixtures of the coordinates with Poisson noise; noisy observations of random points, random starts,
the same ones for both. Only some of the `solve` calls are made (--timed, evenly spread), and their
time is scaled to all; each of their solutions is compared with that of the batch, by the largest
difference of a coordinate.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import torch

import learnedmanifolds as lm
from learnedmanifolds.inverse.noise import GaussianNoise, NoiseModel, PoissonNoise
from learnedmanifolds.inverse.solve_batch import BATCH_OPTIMIZERS, solve_batch
from learnedmanifolds.operators import Operator, as_operator

ATLAS = Path(__file__).parents[1] / "tests" / "data" / "sphere.safetensors"
MIXTURE = torch.tensor(
    [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]], dtype=torch.float64
)


def brightness(x: torch.Tensor) -> torch.Tensor:
    """Mixtures of the coordinates, positive near the sphere."""
    return MIXTURE @ (x + 1.2)


def tasks() -> dict[str, tuple[Operator, NoiseModel]]:
    """Operators with their noise."""
    return {
        "denoising": (lm.operators.identity, GaussianNoise(0.05)),
        "inpainting": (lm.operators.mask([0, 1]), GaussianNoise(0.05)),
        "photon counts": (as_operator(brightness), PoissonNoise(200.0)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--timed", type=int, default=50)
    parser.add_argument("--starts", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n, timed = arguments.problems, min(arguments.timed, arguments.problems)
    atlas = lm.load(ATLAS)
    # Made once: `solve` would copy the atlas at every call.
    manifold = lm.PymanoptManifold(atlas)
    options = {"n_starts": arguments.starts, "seed": arguments.seed, "n_screen": 0}
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} thread; {n} problem(s), {arguments.starts} start(s) each, "
        f"{timed} of the single calls timed"
    )
    print(f"{'task':14s}{'optimizer':21s}{'batch':>8s}{'singly':>9s}{'ratio':>7s}  differences")
    for task, (operator, noise) in tasks().items():
        clean = operator.batch(manifold.atlas.sample(n, seed=arguments.seed + 1))
        observations = noise.sample(clean, seed=arguments.seed + 2)
        problems = [lm.InverseProblem(operator, y, noise=noise) for y in observations]
        for optimizer in BATCH_OPTIMIZERS:
            # What is imported and found out at the first use is not timed.
            solve_batch(problems[:2], manifold, optimizer, **options)
            lm.solve(problems[0], manifold, optimizer, **options)
            batch = solve_batch(problems, manifold, optimizer, **options)
            chosen = np.linspace(0, n - 1, timed).astype(int)
            start = time.perf_counter()
            single = [lm.solve(problems[i], manifold, optimizer, **options) for i in chosen]
            seconds = (time.perf_counter() - start) * n / timed
            pairs = list(zip(chosen, single, strict=True))
            gap = np.array([np.abs(s.point - batch.points[i]).max() for i, s in pairs])
            same = sum(s.status is batch.status[i] for i, s in pairs)
            print(
                f"{task:14s}{optimizer:21s}{batch.time:7.2f}s{seconds:8.1f}s"
                f"{seconds / batch.time:7.0f}  {gap.max():.1e}, above 1e-6: {(gap > 1e-6).sum()}, "
                f"same status {same} of {timed}; {batch.converged.sum()} of all converged",
                flush=True,
            )


if __name__ == "__main__":
    main()
