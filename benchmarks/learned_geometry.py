"""Distances, curvature and statistics of learned manifolds against those of the true ones.

python benchmarks/learned_geometry.py [--model kernel] [--toys sphere,torus] [--seeds 5] [--pairs 1000]

`MixtureVAE()`, or `KernelAtlas()`. Points are uniform on the learned manifold; the
truth is asked at their nearest points of the true one: great circles on the sphere, and on the torus
geodesics of the analytic charts, which closed_forms.py compares with quadrature. Gauss-Bonnet: the
integral of the curvature over 2 pi is the Euler characteristic.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time

os.environ["GEOMSTATS_BACKEND"] = "pytorch"

import geomstats.backend as gs
import torch
from geomstats.geometry.hypersphere import Hypersphere
from geomstats.learning.frechet_mean import FrechetMean

import learnedmanifolds as lm
from learnedmanifolds.charts import TorusCharts
from learnedmanifolds.geometry import InducedMetric

MAJOR, MINOR = 3.0, 1.0


def train(name: str, model: str, seed: int) -> lm.Atlas:
    truth = lm.datasets.toy(name)
    # geomstats sets torch's default dtype; networks are trained in single precision.
    torch.set_default_dtype(torch.float32)
    settings = truth.settings
    x = truth.sample(10_240, noise=settings.noise, seed=seed)
    estimators = {"kernel": lm.KernelAtlas, "mixture": lm.MixtureVAE}
    fitted = estimators[model](random_state=seed).fit(x)
    gs.set_default_dtype("float64")
    return fitted.atlas_.to(torch.float64)


def true_distance(name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    if name == "sphere":
        x, y = (p / p.norm(dim=-1, keepdim=True) for p in (x, y))
        return 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1))
    exact = lm.Atlas(TorusCharts(MAJOR, MINOR), tolerance=1e-6)
    a, b = (exact.nearest(p) for p in (x, y))
    return InducedMetric(exact).dist(a, b)


def quantiles(error: torch.Tensor) -> str:
    at = torch.tensor([0.5, 0.95, 1.0], dtype=torch.float64)
    return "median {:.2%}, 95 % {:.2%}, largest {:.2%}".format(*error.quantile(at).tolist())


def distances(name: str, atlas: lm.Atlas, n_pairs: int) -> None:
    metric = InducedMetric(atlas)
    a, b = metric.uniform(n_pairs, 0), metric.uniform(n_pairs, 1)
    x, y = (atlas.decode(p.coords, p.chart) for p in (a, b))
    start = time.perf_counter()
    found = metric.logarithm(a, b)
    seconds = time.perf_counter() - start
    exact = true_distance(name, x, y)
    error = (found.distance - exact).abs() / exact
    none = int(found.vector.isnan().any(-1).sum())
    print(f"    distances of {n_pairs} pairs: {quantiles(error)}")
    across = a.chart != b.chart
    print(f"        in different charts ({int(across.sum())}): {quantiles(error[across])}")
    print(
        f"        {1e3 * seconds / n_pairs:.0f} ms a pair, {none} without a geodesic (length of the "
        f"discrete one taken)"
    )


def true_curvature(name: str, x: torch.Tensor) -> torch.Tensor:
    if name == "sphere":
        return torch.ones_like(x[:, 0])
    out = x[:, :2].norm(dim=1) - MAJOR
    cosine = out / torch.hypot(out, x[:, 2])
    return cosine / (MINOR * (MAJOR + MINOR * cosine))


def curvature(name: str, atlas: lm.Atlas) -> None:
    """Gauss curvature at uniform points, its errors in units of the largest, and its integral."""
    metric = InducedMetric(atlas)
    at = metric.uniform(4000, 2)
    found = metric.curvature(at).scalar / 2
    exact = true_curvature(name, atlas.decode(at.coords, at.chart))
    volume, truth = metric.volume(), lm.datasets.toy(name).volume
    print(
        f"    Gauss curvature, 4,000 points: error {quantiles((found - exact).abs() / exact.max())}"
    )
    print(
        f"    area {volume / truth - 1:+.2%} off; curvature over 2 pi integrates to "
        f"{float(found.mean()) * volume / (2 * math.pi):.3f}"
    )


def statistics(atlas: lm.Atlas, seed: int) -> None:
    """Mean and first principal direction of 200 points of a cap, against the true sphere's."""
    space, exact = lm.GeomstatsManifold(atlas), Hypersphere(2)
    source = torch.Generator().manual_seed(100 + seed)
    axes = torch.linalg.qr(torch.randn(3, 3, generator=source))[0]
    # Twice as wide in one direction as in the other.
    spread = torch.randn(200, 2, generator=source) * torch.tensor([0.4, 0.2])
    x = exact.metric.exp(spread @ axes[1:], axes[0])
    truth = FrechetMean(exact).fit(x).estimate_
    mean = FrechetMean(space).fit(space.projection(x)).estimate_
    directions = []
    for s, center, points in ((exact, truth, x), (space, mean, space.projection(x))):
        logs = s.metric.log(points, center)
        directions.append(torch.linalg.svd(logs - logs.mean(0))[2][0])
    turn = min(float((directions[0] - sign * directions[1]).norm()) for sign in (1, -1))
    gap = float((mean - truth).norm())
    print(f"    Frechet mean of 200 points off by {gap:.4f}, principal direction by {turn:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mixture", choices=("mixture", "kernel"))
    parser.add_argument("--toys", default="sphere,torus")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=1000)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    for name in options.toys.split(","):
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            atlas = train(name, options.model, seed)
            print(f"{name} seed {seed}", flush=True)
            distances(name, atlas, options.pairs)
            curvature(name, atlas)
            if name == "sphere":
                statistics(atlas, seed)


if __name__ == "__main__":
    main()
