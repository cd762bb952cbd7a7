"""Deblurring on the manifold of bars: from a cold start to the right answer, and how fast.

The published problem at 128 x 128: (x - 0.5) convolved with a normalised 40 x 40 Gaussian of width
15, zero outside, + 0.5; noise 0.1. With the published weights of one chart where they are at hand
(``--weights FILE``), or with what `KernelAtlas()` learns from 2,000 pictures of 128 x 128 (``--model
kernel``), else with the shipped model of its size. The best cost is that on a fine grid of the latent
coordinate. One iteration is timed beside that on an untrained flow chart of the same size. Seconds are
those of the processor.

Run: ``python benchmarks/deblurring.py --weights bar_1_chart.pt`` (one thread: OMP_NUM_THREADS=1)
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table

import learnedmanifolds as lm
from learnedmanifolds.charts import ImageCharts
from learnedmanifolds.datasets import Bars
from learnedmanifolds.models import pretrained_names
from learnedmanifolds.operators import GaussianBlur

SIGMA, KERNEL, NOISE = 15.0, 40, 0.1


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(lm.metrics.psnr(a, b))


def grid_costs(atlas, problem, count: int) -> torch.Tensor:
    """Costs on a grid of every chart, (K, count), infinite outside its domain."""
    grid = torch.linspace(-1, 1, count, dtype=torch.float64).unsqueeze(1)
    costs = torch.stack(
        [
            torch.cat([problem.cost_batch(atlas.decode(part, k), atlas) for part in grid.split(64)])
            for k in range(atlas.n_charts)
        ]
    )
    depth = atlas.charts.domain.depth(grid.expand(atlas.n_charts, *grid.shape))
    return costs.masked_fill(depth < 0, torch.inf)


def clock(function, repeats: int = 15) -> float:
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def show_iteration(name: str, manifold: lm.PymanoptManifold, problem: lm.InverseProblem) -> str:
    """Milliseconds of one decoder call, and of one iteration of a first-order method."""
    hosted = problem.to_pymanopt(manifold)
    point = manifold.random_point()
    coords = torch.from_numpy(point.coords).view(1, -1)

    def iteration() -> None:
        fresh = manifold.point(point.coords, point.chart)
        gradient = hosted.riemannian_gradient(fresh)
        hosted.cost(manifold.retraction(fresh, -1e-3 * gradient))

    chart, shape = point.chart, manifold.atlas.ambient_shape
    decoder, one = clock(lambda: manifold.atlas.decode(coords, chart)), clock(iteration)
    value = torch.zeros(shape, dtype=torch.float64)
    both = clock(lambda: (problem.cost(value), problem.gradient(value)))
    return (
        f"{name}: decoder call {1e3 * decoder:.2f} ms; point, gradient, retraction and cost "
        f"{1e3 * one:.1f} ms: {one / decoder:.1f} decoder calls; of these the cost and its gradient in "
        f"the space of images {1e3 * both:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", help="published checkpoint of the bars")
    parser.add_argument(
        "--model", default="bars-32", help="without --weights: atlas file, shipped model, or kernel"
    )
    parser.add_argument(
        "--sharp", action="store_true", help="sharp edges, as in published pictures"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--optimizer", default="levenberg-marquardt")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--screen", type=int, default=96)
    parser.add_argument("--grid", type=int, default=2001)
    options = parser.parse_args()
    smooth = not (options.sharp or options.weights)
    if options.weights:
        atlas = lm.files.import_published(options.weights)
    elif options.model == "kernel":
        x = Bars(128, smooth=smooth).sample(2000, options.seed, dequantise=not smooth)
        begun = time.process_time()
        atlas = lm.KernelAtlas(random_state=options.seed).fit(x).atlas_
        print(f"{atlas} learned in {time.process_time() - begun:.1f} s")
    else:
        known = pretrained_names()
        atlas = lm.pretrained(options.model) if options.model in known else lm.load(options.model)
    manifold = lm.PymanoptManifold(atlas, seed=0)
    atlas = manifold.atlas
    # Inside a linear piece of ReLU networks the cost is smooth; at its edge no gradient vanishes.
    stopping = lm.inverse.GradientNorm(1e-3) | lm.inverse.CostDecrease(1e-8, patience=2)
    size = atlas.ambient_shape[-1]
    scale = size / 128
    operator = GaussianBlur(SIGMA * scale, kernel_size=round(KERNEL * scale), padding_value=0.5)
    truths = Bars(size, smooth=smooth).sample(options.runs, 100 + options.seed).double()
    generator = torch.Generator().manual_seed(options.seed)
    table = Table(
        "run", "PSNR", "grid PSNR", "cost above grid", "relative", "seconds", "evaluations"
    )
    rows = []
    for i, truth in enumerate(truths):
        noise = torch.randn(truth.shape, generator=generator, dtype=torch.float64)
        problem = lm.InverseProblem(operator, operator(truth) + NOISE * noise, NOISE)
        costs = grid_costs(atlas, problem, options.grid)
        best = float(costs.min())
        chart, index = divmod(int(costs.argmin()), options.grid)
        at = torch.linspace(-1, 1, options.grid, dtype=torch.float64)[index].view(1, 1)
        start = time.process_time()
        solution = lm.solve(
            problem, manifold, options.optimizer, n_starts=options.starts,
            n_screen=options.screen, seed=i, stopping=stopping,
        )  # fmt: skip
        seconds = time.process_time() - start
        evaluations = sum(int(run.history.n_cost[-1]) for run in solution.runs)
        gap = solution.cost - best
        restored = torch.as_tensor(solution.point)
        row = (
            psnr(restored, truth),
            psnr(atlas.decode(at, chart)[0], truth),
            gap,
            gap / best,
            seconds,
        )
        rows.append(row)
        table.add_row(
            str(i), f"{row[0]:.1f}", f"{row[1]:.1f}", f"{gap:.2g}", f"{row[3]:.1e}",
            f"{seconds:.2f}", str(evaluations),
        )  # fmt: skip
    console = Console()
    console.print(table)
    quality, reference, gaps, shares, seconds = zip(*rows, strict=True)
    console.print(
        f"PSNR mean {statistics.mean(quality):.2f} dB [{min(quality):.1f}, {max(quality):.1f}], "
        f"grid {statistics.mean(reference):.2f} dB; within 1e-3 of the grid's best cost: "
        f"{sum(g <= 1e-3 for g in gaps)} of {len(rows)} absolutely, "
        f"{sum(s <= 1e-3 for s in shares)} relatively; {statistics.median(seconds):.2f} s a run "
        f"(median), at most {max(seconds):.2f}"
    )
    console.print(show_iteration("this atlas", manifold, problem))
    flow = lm.PymanoptManifold(ImageCharts(1, 1, atlas.ambient_shape), seed=0)
    console.print(show_iteration("an untrained flow chart", flow, problem))


if __name__ == "__main__":
    main()
