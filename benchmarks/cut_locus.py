"""Distances and logarithms of the sphere near the cut locus, analytic and learned.

python benchmarks/cut_locus.py [--pairs 125] [--exponents 1 2 3 4 5 6 7 8] [--seed 0]
                               [--learned tests/data/sphere.safetensors]

Pairs at angles pi - 10^-k. On the analytic sphere errors are against closed forms; on a learned one
there are none, and the table says where the exponential of the logarithm ends, by how much
distances differ there and back, and by how much one is longer than a detour through a random point.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.geometry import InducedMetric, Located


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


def pairs(n: int, angle: float, seed: int) -> tuple[Tensor, Tensor]:
    """Points of the unit sphere at an angle."""
    source = torch.Generator().manual_seed(seed)
    x, y = unit(torch.randn(2, n, 3, generator=source, dtype=torch.float64)).unbind()
    across = unit(torch.linalg.cross(x, y))
    return x, math.cos(angle) * x + math.sin(angle) * across


def places(atlas: lm.Atlas, located: Located) -> Tensor:
    return atlas.decode(located.coords, located.chart).flatten(1)


def row(atlas: lm.Atlas, k: int, n: int, seed: int, exact: bool) -> str:
    metric = InducedMetric(atlas)
    start, end = (atlas.locate(p) for p in pairs(n, math.pi - 10.0**-k, seed + k))
    x, y = places(atlas, start), places(atlas, end)
    began = time.process_time()
    found = metric.logarithm(start, end)
    seconds = (time.process_time() - began) / n
    missing = found.vector.isnan().any(-1)
    vector = found.vector.nan_to_num()
    ends = places(atlas, metric.exp(start, vector, stop=True))
    miss = (ends - y).norm(dim=-1)[~missing]
    columns = [f"{k}", f"{int(missing.sum())}"]
    if exact:
        true = 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1))
        error = (found.distance / true - 1).abs()
        length = (vector.norm(dim=-1) / true - 1).abs()
        columns += [f"{int((error > 1e-8).sum())}", f"{float(error.max()):.1e}"]
        columns += [f"{float(length.max()):.1e}"]
    else:
        back = metric.dist(end, start)
        other = atlas.locate(atlas.sample(n, seed=seed))
        detour = metric.dist(start, other) + metric.dist(other, end)
        columns += [f"{float((back - found.distance).abs().max()):.1e}"]
        columns += [f"{float((found.distance - detour).max()):.1e}"]
    columns += [f"{float(miss.median()):.1e}", f"{float(miss.max()):.1e}", f"{seconds:.2f}"]
    return "".join(f"{column:>14}" for column in columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=125)
    parser.add_argument("--exponents", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learned")
    options = parser.parse_args()
    analytic = lm.Atlas(lm.charts.SphereCharts()).to(torch.float64)
    figures = ["over 1e-8", "distance", "|log|"]
    tables = [("analytic sphere", analytic, figures, True)]
    if options.learned:
        learned = lm.load(options.learned).to(torch.float64)
        tables.append((options.learned, learned, ["asymmetry", "over detour"], False))
    for title, atlas, columns, exact in tables:
        print(title)
        heads = ["k", "not found", *columns, "miss (median)", "miss (most)", "s a pair"]
        print("".join(f"{head:>14}" for head in heads))
        for k in options.exponents:
            print(row(atlas, k, options.pairs, options.seed, exact), flush=True)


if __name__ == "__main__":
    main()
