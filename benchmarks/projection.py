"""`Atlas.project` at all distances, against dense sampling and `solve`.

python benchmarks/projection.py [--directions 400] [--atlas FILE ...] [--polished 4] [--solved 2]
                                [--speed-only]

Of every atlas 400 directions from the mean of its samples, at 10 radii from 0.01 to 100 times its size
(the root mean square distance of samples from their mean). The best point known is the nearest of the
lowest places of a dense grid on all charts' domains, by ever finer grids around them and by `solve_batch`
(trust regions, which share nothing with the projection but the charts), and of its own starts. Excess: by
how much, in units of the size, the projection is farther than that; where negative, it is nearer. Speed:
batches of 1,000 points, milliseconds a point, one thread. Without files: the stored circle, sphere and
torus of the tests, and the shipped bars. About ten minutes.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import torch

import learnedmanifolds as lm
from learnedmanifolds.geometry import Located

DATA = Path(__file__).parent.parent / "tests" / "data"
STORED = ("circle", "sphere", "torus")
PER_AXIS = {1: 20_001, 2: 201}
ZOOMS = 5


def dense(atlas):
    """A grid on the boxes of all charts, outer points moved to the border, and its points (K, G, n)."""
    axis = torch.linspace(-1, 1, PER_AXIS[atlas.dim], dtype=torch.float64)
    box = torch.cartesian_prod(*[axis] * atlas.dim).view(-1, atlas.dim)
    coords = atlas.charts.domain.confine(box.expand(atlas.n_charts, *box.shape))
    with torch.no_grad():
        points = [
            torch.cat([atlas.charts.decode(part, k) for part in own.split(2000)])
            for k, own in enumerate(coords)
        ]
    return coords, torch.stack(points)


def cells(atlas, x, coords, points, count):
    """The lowest places of the grid that are no higher than their neighbours, (N, count)."""
    side = PER_AXIS[atlas.dim]
    # Squared distances but for |x|^2, which would round them far away.
    gap = points.square().sum(-1).unsqueeze(1) - 2 * x @ points.mT
    grid = gap.unflatten(-1, (side,) * atlas.dim)
    low = torch.ones_like(grid, dtype=torch.bool)
    for axis in range(2, grid.dim()):
        ahead, behind = grid.narrow(axis, 0, side - 1), grid.narrow(axis, 1, side - 1)
        low.narrow(axis, 0, side - 1).logical_and_(ahead <= behind)
        low.narrow(axis, 1, side - 1).logical_and_(behind <= ahead)
    score = torch.where(low.flatten(2), gap, torch.inf).movedim(1, 0).flatten(1)
    index = score.topk(count, largest=False).indices
    chart, cell = index // coords.shape[1], index % coords.shape[1]
    return Located(chart, coords[chart, cell])


def zoomed(atlas, x, starts):
    """Points (N, S, n) of ever finer grids around places; at borders of charts, which `solve` crosses."""
    count = starts.chart.shape[1]
    chart, best = starts.chart.flatten(), starts.coords.flatten(0, 1)
    target = x.repeat_interleave(count, 0).unsqueeze(1)
    axis = torch.linspace(-1, 1, 9, dtype=torch.float64)
    around = torch.cartesian_prod(*[axis] * atlas.dim).view(-1, atlas.dim)
    step = 2 / (PER_AXIS[atlas.dim] - 1)
    for _ in range(ZOOMS):
        near = (best.unsqueeze(1) + step * around).flatten(0, 1)
        own = chart.repeat_interleave(len(around))
        near = atlas.charts.domain.confine(near, own)
        points = [
            atlas.decode(*part) for part in zip(near.split(20_000), own.split(20_000), strict=True)
        ]
        gap = torch.cat(points).view(len(best), len(around), -1) - target
        index = gap.square().sum(-1).argmin(-1)
        rows = torch.arange(len(best))
        best, step = near.view(len(best), len(around), -1)[rows, index], step / 4
    return atlas.decode(best, chart).view(len(x), count, -1)


def best_known(atlas, x, coords, points, polished, solved, seed):
    """Least distances (N,) of dense sampling, polished by `solve`, and of `solve` from its own starts."""
    parts = [cells(atlas, part, coords, points, polished) for part in x.split(50)]
    starts = Located(*(torch.cat(part) for part in zip(*parts, strict=True)))
    problem = lm.InverseProblem(lm.operators.Identity(), x[0].view(atlas.ambient_shape))
    seen = x.unflatten(-1, atlas.ambient_shape)
    found = [zoomed(atlas, x, starts)]
    options = {"observations": seen, "seed": seed}
    for begin in ({"initial_points": starts}, {"n_starts": solved}):
        runs = lm.solve_batch(problem, atlas, "trust-regions", **begin, **options).runs
        found.append(torch.from_numpy(runs.points).flatten(2))
    found = torch.cat(found, dim=1)
    return (found - x.unsqueeze(1)).norm(dim=-1).nan_to_num(torch.inf).amin(-1)


def excess(atlas, directions, polished, solved, seed):
    samples = atlas.sample(2000, seed=seed).flatten(1)
    center = samples.mean(0)
    size = float((samples - center).square().sum(-1).mean().sqrt())
    source = torch.Generator().manual_seed(seed)
    turn = torch.randn(directions, samples.shape[1], generator=source, dtype=torch.float64)
    turn /= turn.norm(dim=-1, keepdim=True)
    coords, points = dense(atlas)
    for radius in np.geomspace(0.01, 100, 10):
        began = time.process_time()
        x = center + radius * size * turn
        found = atlas.project(x.unflatten(-1, atlas.ambient_shape)).flatten(1)
        distance = (found - x).norm(dim=-1)
        over = (distance - best_known(atlas, x, coords, points, polished, solved, seed)) / size
        print(
            f"  radius {radius:8.3f}   excess: largest {float(over.max()):9.2e}, least "
            f"{float(over.min()):9.2e}, over 1e-6: {int((over > 1e-6).sum())} of {directions}   "
            f"{time.process_time() - began:.1f} s",
            flush=True,
        )


def speed(atlas, n, seed):
    samples = atlas.sample(n, seed=seed)
    flat = samples.flatten(1)
    center = flat.mean(0)
    size = float((flat - center).square().sum(-1).mean().sqrt())
    noise = torch.randn(
        flat.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    unit = noise / noise.norm(dim=-1, keepdim=True)
    cases = {
        "near (a hundredth of the size)": flat + 0.01 * size * unit,
        "focal (around the mean, a hundredth)": center + 0.01 * size * unit,
        "far (a hundred times the size)": center + 100 * size * unit,
    }
    atlas.project(samples[:2])
    for name, x in cases.items():
        start = time.perf_counter()
        atlas.project(x.unflatten(-1, atlas.ambient_shape))
        print(f"  {name:40s} {1000 * (time.perf_counter() - start) / n:8.3f} ms a point")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atlas", nargs="*", default=[])
    parser.add_argument("--directions", type=int, default=400)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--polished", type=int, default=4, help="places of the grid a point")
    parser.add_argument("--solved", type=int, default=2, help="starts of solve a point")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(platform.processor() or platform.machine(), "torch", torch.__version__, "one thread")
    files = options.atlas or [*(DATA / f"{name}.safetensors" for name in STORED), "bars-32"]
    for file in files:
        atlas = (lm.load(file) if Path(file).is_file() else lm.pretrained(str(file))).to(
            torch.float64
        )
        print(f"{Path(file).stem}: {atlas}")
        speed(atlas, options.points, options.seed)
        if not options.speed_only:
            excess(atlas, options.directions, options.polished, options.solved, options.seed)


if __name__ == "__main__":
    main()
