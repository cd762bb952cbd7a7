"""`Atlas.project` at all distances, against dense sampling with polishing, and `solve`.

python benchmarks/projection.py [--directions 400] [--atlas FILE ...] [--speed-only]

Of every atlas 400 directions from the mean of its samples, at 10 radii from 0.01 to 100 times its size
(the root mean square distance of samples from their mean). The best point known is the nearest of a
dense grid on all charts' boxes, its best cells polished by SciPy's L-BFGS-B, of the projection itself,
and, for a few points a radius, of trust regions from five starts. Excess: by how much, in units of the
size, the projection is farther than that. Speed: batches of 1,000 points, milliseconds a point, one
thread. Without files: the stored circle, sphere and torus of the tests, and the shipped bars.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

import learnedmanifolds as lm

DATA = Path(__file__).parent.parent / "tests" / "data"
STORED = ("circle", "sphere", "torus")
PER_AXIS = {1: 20_001, 2: 201}
POLISHED, SOLVED = 6, 4


def polished(atlas, x, chart, coords):
    """The least distance near given coordinates of a chart, by a general-purpose optimizer."""

    def cost(t):
        at = torch.tensor(t[None], dtype=torch.float64, requires_grad=True)
        value = (atlas.charts.decode(at, chart)[0] - x).square().sum()
        (gradient,) = torch.autograd.grad(value, at)
        return float(value.detach()), gradient[0].numpy()

    bounds = [(-1, 1)] * len(coords)
    options = {"ftol": 1e-16, "gtol": 1e-12, "maxiter": 200}
    found = minimize(
        cost, coords.numpy(), jac=True, bounds=bounds, method="L-BFGS-B", options=options
    )
    return max(0.0, found.fun) ** 0.5


def dense(atlas):
    axis = torch.linspace(-1, 1, PER_AXIS[atlas.dim], dtype=torch.float64)
    box = torch.cartesian_prod(*[axis] * atlas.dim).view(-1, atlas.dim)
    with torch.no_grad():
        points = [
            torch.cat([atlas.charts.decode(part, k) for part in box.split(2000)])
            for k in range(atlas.n_charts)
        ]
    return box, torch.stack(points)


def best_known(atlas, x, box, points, n_polished):
    gap = torch.stack([torch.cdist(x, part) for part in points])
    best = gap.amin((0, 2))
    side = round(len(box) ** (1 / atlas.dim))
    grid = gap.unflatten(-1, (side,) * atlas.dim)
    low = torch.ones_like(grid, dtype=torch.bool)
    for axis in range(2, grid.dim()):
        for shift in (1, -1):
            other = grid.roll(shift, axis)
            edge = 0 if shift == 1 else side - 1
            other.select(axis, edge).fill_(torch.inf)
            low &= grid <= other
    score = torch.where(low.flatten(2), gap, torch.inf).movedim(1, 0).flatten(1)
    index = score.topk(n_polished, largest=False).indices
    for row in range(len(x)):
        for place in index[row].tolist():
            if score[row, place].isfinite():
                k, cell = divmod(place, len(box))
                best[row] = min(float(best[row]), polished(atlas, x[row], k, box[cell]))
    return best


def excess(atlas, directions, seed):
    samples = atlas.sample(2000, seed=seed).flatten(1)
    center = samples.mean(0)
    size = float((samples - center).square().sum(-1).mean().sqrt())
    source = torch.Generator().manual_seed(seed)
    turn = torch.randn(directions, samples.shape[1], generator=source, dtype=torch.float64)
    turn /= turn.norm(dim=-1, keepdim=True)
    box, points = dense(atlas)
    for radius in np.geomspace(0.01, 100, 10):
        x = center + radius * size * turn
        found = atlas.project(x.unflatten(-1, atlas.ambient_shape)).flatten(1)
        distance = (found - x).norm(dim=-1)
        best = torch.cat([best_known(atlas, part, box, points, POLISHED) for part in x.split(50)])
        for row in range(SOLVED):
            problem = lm.InverseProblem(lm.operators.Identity(), x[row].view(atlas.ambient_shape))
            solution = lm.solve(problem, atlas, n_starts=5, seed=seed)
            other = float(np.linalg.norm(solution.point.flatten() - x[row].numpy()))
            best[row] = min(float(best[row]), other)
        over = (distance - best) / size
        share = float((over > 1e-6).double().mean())
        print(
            f"  radius {radius:8.3f}   largest excess {float(over.max()):9.2e}   over 1e-6: {share:.3f}"
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
            excess(atlas, options.directions, options.seed)


if __name__ == "__main__":
    main()
