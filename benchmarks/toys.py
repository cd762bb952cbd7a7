"""Toy manifolds: training time, quality, and optimizers from random starts, over several seeds.

python benchmarks/toys.py [--model kernel] [--toys two_circles,sphere,torus] [--seeds 5] [--starts 100]

`MixtureVAE()`, or `KernelAtlas()`. For each toy and seed: seconds to fit; mean
reconstruction error on clean points; 99th percentile and maximum of the samples' distance to the true
manifold; disagreement; share of the data covered twice. For circles, sphere and torus, and the ring with
a point of its inside as the target: runs of each optimizer from random starts that end within 0.03 (torus
0.08) of the true constrained minimiser of the start's component, median iterations, median seconds an
iteration as a multiple of one single-point decoder call, and the iterate farthest from the truth.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
import pymanopt
import torch
from pymanopt.tools.diagnostics import identify_linear_piece

import learnedmanifolds as lm
from learnedmanifolds.models import Schedule

TARGETS = {
    "circle": (-3.0, 0.0),
    "two_circles": (0.0, 0.0),
    "ring": (-1.0, 0.0),
    "sphere": (0.0, 0.0, -2.0),
    "torus": (-5.0, 0.0, 0.0),
}
REACH = {"torus": 0.08}
PUBLISHED_SECONDS = {"two_circles": 966, "ring": 692, "sphere": 694, "torus": 2235}
OPTIMIZERS = (
    "steepest-descent",
    "conjugate-gradient",
    "trust-regions",
    "levenberg-marquardt",
    "lbfgs",
)


def minimiser(name: str, component: int) -> np.ndarray:
    """The true constrained minimiser of the squared distance to the target, per component."""
    if name == "two_circles":
        return np.array([-0.5 if component == 0 else 0.5, 0.0])
    target = torch.tensor([TARGETS[name]], dtype=torch.float64)
    return lm.datasets.toy(name).nearest(target)[0].numpy()


def fit(name: str, model: str, seed: int) -> lm.KernelAtlas | lm.MixtureVAE:
    """Of the published number of points."""
    truth = lm.datasets.toy(name)
    settings = truth.settings
    x = truth.sample(settings.n, settings.noise, seed)
    if model == "kernel":
        return lm.KernelAtlas(random_state=seed).fit(x)
    return lm.MixtureVAE(random_state=seed).fit(x)


def decoder_seconds(atlas: lm.Atlas) -> float:
    """Median seconds of one single-point call of the decoder of one chart."""
    z = torch.zeros(1, atlas.dim, dtype=atlas.dtype)
    times = []
    for _ in range(300):
        start = time.perf_counter()
        atlas.charts.decode(z, 0)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def slopes(atlas: lm.Atlas, seed: int, n_points: int = 100) -> tuple[int, int, float, float]:
    """Points at which the fitted slopes of the Taylor errors of a cost are within 0.1 of 2 and 3.

    Along the second-order retraction, in a random tangent direction, for 31 steps of 1e-5 to 1e-1 of
    the manifold's size, in the window of 8 steps (a decade) where the error is straightest: away
    from rounding and from higher orders, as pymanopt's own check chooses it. Also the slopes
    farthest from 2 and from 3.
    """
    manifold = lm.PymanoptManifold(atlas, seed=seed)

    @pymanopt.function.pytorch(manifold)
    def cost(point: torch.Tensor) -> torch.Tensor:
        return (1.3 * point + 0.4).sin().sum() + point.prod()

    problem = pymanopt.Problem(manifold, cost)
    steps = manifold.typical_dist * np.geomspace(1e-5, 1e-1, 31)
    fitted = []
    for _ in range(n_points):
        x = manifold.random_point()
        h = manifold.random_tangent_vector(x)
        value, slope = problem.cost(x), np.vdot(problem.riemannian_gradient(x), h)
        curvature = np.vdot(problem.riemannian_hessian(x, h), h)
        costs = np.array([problem.cost(manifold.retraction(x, t * h)) for t in steps])
        first = np.abs(costs - value - steps * slope)
        second = np.abs(costs - value - steps * slope - 0.5 * steps**2 * curvature)
        logs = np.log10(steps)
        fitted.append(
            [
                identify_linear_piece(logs, np.log10(np.maximum(error, 1e-300)), 8)[1][0]
                for error in (first, second)
            ]
        )
    gap = np.abs(np.array(fitted) - [2.0, 3.0])
    good = (gap <= 0.1).sum(0)
    worst = np.array(fitted)[gap.argmax(0), [0, 1]]
    return int(good[0]), int(good[1]), float(worst[0]), float(worst[1])


def optimize(name: str, atlas: lm.Atlas, n_starts: int, seed: int) -> None:
    truth = lm.datasets.toy(name)
    atlas = atlas.to(torch.float64)
    target = torch.tensor(TARGETS[name], dtype=torch.float64)
    problem = lm.InverseProblem(lm.operators.Identity(), target)
    unit = decoder_seconds(atlas)
    for optimizer in OPTIMIZERS:
        solution = lm.solve(
            problem, atlas, optimizer, n_starts, seed, n_screen=0, min_gradient_norm=1e-8
        )
        reached, iterations, ratios, farthest = 0, [], [], 0.0
        statuses: dict[str, int] = {}
        for run in solution.runs:
            component = int(truth.component(run.history.points[:1])[0])
            gap = np.linalg.norm(run.point - minimiser(name, component))
            reached += gap <= REACH.get(name, 0.03)
            iterations.append(run.iterations)
            ratios.append(run.time / max(1, run.iterations) / unit)
            farthest = max(farthest, float(truth.distance(run.history.points).max()))
            statuses[run.status.name] = statuses.get(run.status.name, 0) + 1
        print(
            f"    {optimizer:19s} reached {reached:3d} of {n_starts}; iterations median "
            f"{np.median(iterations):.0f}; an iteration {np.median(ratios):.1f} decoder calls; "
            f"farthest iterate {farthest:.4f}; {statuses}",
            flush=True,
        )


def around_the_hole(atlas: lm.Atlas) -> None:
    """Ring: from (1, 0.4) to (-1, 0), without and with the prior."""
    target = torch.tensor([-1.0, 0.0], dtype=torch.float64)
    start = np.array([[1.0, 0.4]])
    for weight in (0.0, 0.01, 0.02):
        problem = lm.InverseProblem(lm.operators.Identity(), target, prior_weight=weight)
        for optimizer in OPTIMIZERS:
            run = lm.solve(
                problem, atlas, optimizer, initial_points=start, min_gradient_norm=1e-5
            ).runs[0]
            gap = np.linalg.norm(run.point - target.numpy())
            print(
                f"    prior weight {weight}: {optimizer:19s} ends {gap:.4f} from (-1, 0), "
                f"{run.status.name}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mixture", choices=("mixture", "kernel"))
    parser.add_argument("--toys", default=",".join(lm.datasets.TOYS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--save", type=Path, help="folder that keeps the atlases")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; {Schedule()}"
    )
    for name in arguments.toys.split(","):
        truth, rows = lm.datasets.toy(name), []
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            start = time.perf_counter()
            model = fit(name, arguments.model, seed)
            seconds = time.perf_counter() - start
            if arguments.save:
                arguments.save.mkdir(parents=True, exist_ok=True)
                model.atlas_.save(arguments.save / f"{name}_{seed}.safetensors")
            clean = truth.grid(3000)
            quality = model.atlas_.quality(clean)
            # To the nearest point of the boxes; D(E(x)) alone would be exact wherever d = n.
            error = (model.atlas_.project(clean) - clean).norm(dim=-1)
            distance = truth.distance(model.sample(10_000, seed=seed)).double()
            row = {
                "seconds": seconds,
                "charts": model.atlas_.n_charts,
                "reconstruction": float(error.mean()),
                "reconstruction max": float(error.max()),
                "sample 99 %": float(distance.quantile(0.99)),
                "sample max": float(distance.max()),
                "disagreement 95 %": quality.disagreement_95,
                "coverage": quality.coverage,
                "covered twice": quality.covered_twice,
            }
            rows.append(row)
            print(
                f"{name} seed {seed}: " + ", ".join(f"{k} {v:.4g}" for k, v in row.items()),
                flush=True,
            )
            two, three, *worst = slopes(model.atlas_, seed)
            print(f"    slopes within 0.1 of 2: {two}, of 3: {three} of 100; farthest {worst}")
            if name == "ring":
                around_the_hole(model.atlas_)
            if name in TARGETS:
                optimize(name, model.atlas_, arguments.starts, seed)
        print(f"{name}, medians [least, most] over {len(rows)} seeds:")
        for key in rows[0]:
            values = [row[key] for row in rows]
            print(f"  {key:18s} {np.median(values):.4g} [{min(values):.4g}, {max(values):.4g}]")
        if arguments.model == "mixture" and name in PUBLISHED_SECONDS:
            ratio = PUBLISHED_SECONDS[name] / np.median([row["seconds"] for row in rows])
            print(f"  published training / ours: {ratio:.1f}")


if __name__ == "__main__":
    main()
