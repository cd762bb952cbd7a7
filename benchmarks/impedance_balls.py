"""Impedance tomography on the manifold of two balls: cold starts, one chart against two.

Potentials for 15 exact balanced currents are computed on a fine mesh, carried to the border of a
coarser one, and given noise of 0.001; the conductivity is recovered on the coarser mesh from a cold
start: the best of screened samples, then Levenberg-Marquardt.

Run: ``python benchmarks/impedance_balls.py MODEL [MODEL ...]`` with atlas files or names of shipped
models; one thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import learnedmanifolds as lm
from learnedmanifolds.datasets import IMAGES
from learnedmanifolds.operators.impedance import (
    ElectricalImpedance,
    ImpedanceMesh,
    interpolate,
)

NOISE = 0.001
SCALE, OFFSET = 1.6, 0.2


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(lm.metrics.psnr(a, b))


def impedance(cells: int, shape: tuple[int, ...]) -> ElectricalImpedance:
    return ElectricalImpedance(ImpedanceMesh.rectangle(cells), shape, scale=SCALE, offset=OFFSET)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--data", default="balls", choices=sorted(IMAGES))
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--screen", type=int, default=64)
    parser.add_argument("--optimizer", default="levenberg-marquardt")
    parser.add_argument("--fine", type=int, default=96)
    parser.add_argument("--coarse", type=int, default=64)
    options = parser.parse_args()
    console = Console()
    table = Table("model", "limit", "PSNR mean", "median", "min", "under 20 dB", "converged",
                  "factorizations", "seconds")  # fmt: skip
    for name in options.models:
        atlas = (lm.load(name) if Path(name).exists() else lm.pretrained(name)).to(torch.float64)
        manifold = IMAGES[options.data](atlas.ambient_shape[-1])
        truths = manifold.sample(options.problems, seed=10_000).double()
        fine = impedance(options.fine, atlas.ambient_shape)
        coarse = impedance(options.coarse, atlas.ambient_shape)
        random = np.random.default_rng(0)
        limit, quality, converged, factorizations, seconds = [], [], [], [], []
        for i, truth in enumerate(truths):
            data = interpolate(fine(truth), fine.mesh, coarse.mesh)
            data = np.asarray(data) + NOISE * random.standard_normal(tuple(data.shape))
            problem = lm.InverseProblem(coarse, data, NOISE)
            start = time.perf_counter()
            solution = lm.solve(
                problem, atlas, options.optimizer, n_starts=options.starts,
                n_screen=options.screen, seed=i, min_gradient_norm=1e-2,
            )  # fmt: skip
            seconds.append(time.perf_counter() - start)
            restored = torch.as_tensor(solution.point)
            best = atlas.project(truth.unsqueeze(0))[0]
            limit.append(psnr(best, truth))
            quality.append(psnr(restored, truth))
            converged.append(solution.converged)
            factorizations += [int(run.history.n_cost[-1]) for run in solution.runs]
            console.print(
                f"{name} {i}: {quality[-1]:.1f} dB (limit {limit[-1]:.1f}), cost {solution.cost:.1f} "
                f"of {problem.cost(truth):.1f} at the truth, {problem.cost(best):.1f} at its nearest "
                f"point, {solution.status.name}, {seconds[-1]:.1f} s, costs of the starts "
                f"{[round(run.cost, 1) for run in solution.runs]}"
            )
        table.add_row(
            name, f"{statistics.mean(limit):.1f}", f"{statistics.mean(quality):.2f}",
            f"{statistics.median(quality):.1f}", f"{min(quality):.1f}",
            f"{sum(q < 20 for q in quality)} of {len(quality)}", str(sum(converged)),
            f"{statistics.median(factorizations):.0f}", f"{statistics.median(seconds):.1f}",
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    main()
