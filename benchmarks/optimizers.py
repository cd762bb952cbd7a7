"""All optimizers on every inverse problem on images, from the same random starts.

Problems on the shipped atlases: deblurring of bars; inpainting, computed tomography and impedance
tomography of balls. A start succeeds if it reaches the best cost that any optimizer found from any
start of that problem, within 1e-3 of it or of what the gradient tolerance leaves.

Run: ``python benchmarks/optimizers.py --problems 5 --starts 4`` (one thread: OMP_NUM_THREADS=1)
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import learnedmanifolds as lm
from learnedmanifolds.datasets import IMAGES
from learnedmanifolds.operators import GaussianBlur, Radon, mask
from learnedmanifolds.operators.impedance import ElectricalImpedance, ImpedanceMesh

OPTIMIZERS = (
    "steepest-descent",
    "conjugate-gradient",
    "trust-regions",
    "levenberg-marquardt",
    "lbfgs",
    "fixed-step",
)
RELATIVE = 1e-3


def impedance(shape):
    return ElectricalImpedance(ImpedanceMesh.rectangle(32), shape, scale=1.6, offset=0.2)


def quarter(shape):
    keep = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.25
    return mask(keep)


# Data, operator of the images' shape, noise.
PROBLEMS = {
    "deblurring": ("bars", lambda s: GaussianBlur(15 * s[-1] / 128, padding_value=0.5), 0.1),
    "inpainting": ("balls", quarter, 0.05),
    "tomography": ("balls", lambda s: Radon(np.arange(12) * math.pi / 12), 0.5),
    "impedance": ("balls", impedance, 0.001),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--optimizers", nargs="+", default=list(OPTIMIZERS))
    parser.add_argument("--problems", type=int, default=5)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--max-time", type=float, default=60.0, help="seconds a run")
    parser.add_argument("--model", help="atlas file, in place of the shipped one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console(width=140)
    table = Table("problem", "optimizer", "converged", "reached best", "of problems",
                  "iterations", "f / grad / Hess", "seconds")  # fmt: skip
    records = []
    for name in options.only:
        data, make, noise = PROBLEMS[name]
        atlas = (
            lm.load(options.model) if options.model else lm.pretrained(f"{data}-32")
        ).to(torch.float64)  # fmt: skip
        operator = make(atlas.ambient_shape)
        truths = IMAGES[data](atlas.ambient_shape[-1]).sample(options.problems, 20_000).double()
        random = np.random.default_rng(0)
        runs: dict[str, list] = {optimizer: [] for optimizer in options.optimizers}
        for i, truth in enumerate(truths):
            clean = torch.as_tensor(operator(truth)).double()
            data_ = clean + noise * torch.from_numpy(random.standard_normal(tuple(clean.shape)))
            problem = lm.InverseProblem(operator, data_, noise)
            comparison = lm.compare(
                problem, atlas, options.optimizers, n_starts=options.starts, seed=i,
                min_gradient_norm=1e-2, max_time=options.max_time, max_iterations=500,
            )  # fmt: skip
            best = comparison.best_cost
            for optimizer, solution in comparison.solutions.items():
                runs[optimizer] += [
                    {
                        "problem": i,
                        "cost": run.cost,
                        "best": best,
                        "status": run.status.name,
                        "converged": run.converged,
                        "iterations": run.iterations,
                        "counts": [
                            int(getattr(run.history, f"n_{kind}")[-1])
                            for kind in ("cost", "gradient", "hessian")
                        ],
                        "seconds": run.time,
                    }
                    for run in solution.runs
                ]
            console.print(f"{name} {i}: best cost {best:.4g}, {clean.numel() / 2:.4g} expected")
        for optimizer, rows in runs.items():
            reached = [row["cost"] <= row["best"] + RELATIVE * abs(row["best"]) for row in rows]
            solved = {row["problem"] for row, good in zip(rows, reached, strict=True) if good}
            counts = np.median([row["counts"] for row in rows], axis=0)
            seconds = np.median([row["seconds"] for row in rows])
            table.add_row(
                name, optimizer, f"{sum(row['converged'] for row in rows)} of {len(rows)}",
                f"{sum(reached)} of {len(rows)}", f"{len(solved)} of {options.problems}",
                f"{np.median([row['iterations'] for row in rows]):.0f}",
                " / ".join(f"{math.ceil(count)}" for count in counts), f"{seconds:.2f}",
            )  # fmt: skip
        records.append({"problem": name, "runs": runs})
        if options.json:
            options.json.write_text(json.dumps(records))
    console.print(table)


if __name__ == "__main__":
    main()
