"""Exponentials and logarithms of a 2-to-7 decoder against geomstats' pullback metric and stochman.

python benchmarks/geodesic_speed.py [--points 1000] [--seed 0]

One run, one machine, ratios a point. geomstats and stochman do as many points as take a few seconds.
stochman (``pip install --no-deps stochman``) is left out where it is not installed. The energy of a
geodesic is compared as the integral of |x'|^2 of the curve in the ambient space.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import time
import warnings

os.environ["GEOMSTATS_BACKEND"] = "pytorch"

import geomstats.backend as gs
import torch
from geomstats.geometry.base import ImmersedSet
from geomstats.geometry.euclidean import Euclidean

from learnedmanifolds import Atlas
from learnedmanifolds.charts import FlowCharts
from learnedmanifolds.geometry import InducedMetric, Located

gs.set_default_dtype("float64")


def decoder(seed: int) -> FlowCharts:
    """A curved decoder of the size that MixtureVAE trains by default."""
    charts = FlowCharts(1, 2, 7, seed=seed).double()
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in charts.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=source)
    return charts.requires_grad_(False)


class Immersion(ImmersedSet):
    def __init__(self, charts: FlowCharts) -> None:
        self.charts = charts
        super().__init__(dim=2, equip=True)

    def immersion(self, point: torch.Tensor) -> torch.Tensor:
        return self.charts.decode(point.reshape(-1, 2), 0).reshape(*point.shape[:-1], 7)

    def _define_embedding_space(self) -> Euclidean:
        return Euclidean(7)


def timed(call):
    start = time.perf_counter()
    out = call()
    return time.perf_counter() - start, out


def energy(charts: FlowCharts, coords: torch.Tensor) -> torch.Tensor:
    """Of curves (N, T, 2) through T evenly spaced times, (N,)."""
    x = charts.decode(coords.flatten(0, 1), 0).unflatten(0, coords.shape[:2])
    return (x[:, 1:] - x[:, :-1]).square().sum((1, 2)) * (coords.shape[1] - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n = options.points
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    charts = decoder(options.seed)
    metric = InducedMetric(Atlas(charts))
    source = torch.Generator().manual_seed(options.seed)
    z, y = (1.2 * torch.rand(2, n, 2, generator=source) - 0.6).unbind()
    chart = torch.zeros(n, dtype=torch.int64)
    start, end = Located(chart, z), Located(chart, y)
    local = metric.local(start)
    seconds_log, found = timed(lambda: metric.logarithm(start, end))
    vector = found.vector.nan_to_num()
    seconds_exp, ends = timed(lambda: metric.exp(start, vector))
    miss = float((ends.coords - y).abs().max())
    print(
        f"ours, {n} points at once: exp {1e3 * seconds_exp / n:.3f} ms, "
        f"log {1e3 * seconds_log / n:.2f} ms a point"
    )
    print(
        f"    exp(log(y)) misses y by {miss:.1e} at most, "
        f"{int(found.vector.isnan().any(-1).sum())} logs not found"
    )

    space = Immersion(charts)
    velocity = local.coordinates(vector)
    some = min(n, 3)
    theirs_exp, their_ends = timed(
        lambda: torch.stack([space.metric.exp(velocity[i], z[i]) for i in range(some)])
    )
    gap = (their_ends - y[:some]).norm(dim=-1).median()
    print(
        f"geomstats, one at a time: exp {theirs_exp / some:.2f} s a point, median error "
        f"{float(gap):.1e}, ",
        end="",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs_log, _ = timed(lambda: [space.metric.log(y[i], z[i]) for i in range(2)])
    print(f"log {theirs_log / 2:.2f} s a point")
    batch = min(n, 10)
    exp_batch, _ = timed(lambda: space.metric.exp(velocity[:batch], z[:batch]))
    print(f"geomstats, {batch} at once: exp {1e3 * exp_batch / batch:.1f} ms a point")
    print(
        f"    ratio a point: exp {theirs_exp / some / (seconds_exp / n):.0f}, in a batch of {batch} "
        f"{exp_batch / batch / (seconds_exp / n):.0f}; log {theirs_log / 2 / (seconds_log / n):.0f}"
    )

    if importlib.util.find_spec("stochman") is None:
        print("stochman is not installed")
        return
    from stochman.manifold import EmbeddedManifold

    class Embedded(EmbeddedManifold):
        def embed(self, points, jacobian=False):
            flat = points.reshape(-1, 2)
            value = charts.decode(flat, 0).reshape(*points.shape[:-1], 7)
            if not jacobian:
                return value
            jet = charts.jet(flat, 0, torch.eye(2).unsqueeze(1).expand(2, *flat.shape))
            return value, jet.first.permute(1, 2, 0).reshape(*points.shape[:-1], 7, 2)

    some = min(n, 100)
    seconds, (curve, _) = timed(lambda: Embedded().connecting_geodesic(z[:some], y[:some]))
    times = torch.linspace(0, 1, 401)
    theirs = energy(charts, curve(times).detach())
    path = metric.geodesic(Located(chart[:some], z[:some]), vector[:some])(times)
    ours = energy(charts, path.coords.view(some, len(times), 2))
    excess = (theirs / ours - 1).sort().values
    print(
        f"stochman, {some} at once: {1e3 * seconds / some:.1f} ms a geodesic, ratio "
        f"{seconds / some / (seconds_log / n):.1f}; energy above ours: "
        f"median {float(excess.median()):.1e}, least {float(excess[0]):.1e}, most {float(excess[-1]):.1e}"
    )


if __name__ == "__main__":
    main()
