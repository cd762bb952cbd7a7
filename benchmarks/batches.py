"""Single and double precision, one point and ten thousand: the same results, memory by the point.

python benchmarks/batches.py [--atlas FILE]

Exponentials and logarithms on an atlas (a saved one, or the analytic sphere). Peak memory is that of
a process of its own for every batch size, above the process that does one point.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time

import torch

import learnedmanifolds as lm
from learnedmanifolds.charts import SphereCharts
from learnedmanifolds.geometry import InducedMetric, Located

SIZES = (1, 10, 100, 1000, 10_000)


def problem(path: str | None, count: int) -> tuple[InducedMetric, Located, torch.Tensor]:
    atlas = lm.load(path) if path else lm.Atlas(SphereCharts(), tolerance=1e-6)
    metric = InducedMetric(atlas.to(torch.float64), tolerance=1e-6)
    # Smaller batches are the first points of the largest.
    at = metric.uniform(SIZES[-1], 0)
    at = Located(at.chart[:count], at.coords[:count])
    source = torch.Generator().manual_seed(1)
    noise = torch.randn(SIZES[-1], atlas.charts.n_ambient, generator=source, dtype=torch.float64)
    return metric, at, metric.local(at).project(noise[:count])


def ends(
    metric: InducedMetric, at: Located, vector: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    atlas = metric.manifold.to(dtype)
    located = Located(at.chart, at.coords.to(dtype))
    tolerance = 1e-6 if dtype == torch.float64 else None
    end = InducedMetric(atlas, tolerance).exp(located, vector.to(dtype), stop=True)
    return atlas.decode(end.coords, end.chart).flatten(1)


def measure(path: str | None, count: int, queue: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    given = problem(path, count)
    ends(*problem(path, 1), torch.float64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    ends(*given, torch.float64)
    seconds = time.perf_counter() - start
    queue.put((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--atlas", help="a saved atlas")
    path = parser.parse_args().atlas
    context = multiprocessing.get_context("spawn")
    for count in SIZES:
        queue = context.Queue()
        process = context.Process(target=measure, args=(path, count, queue))
        process.start()
        seconds, kilobytes = queue.get()
        process.join()
        print(
            f"exp, batch of {count:6d}: {1e3 * seconds / count:9.3f} ms a point, "
            f"{kilobytes / 1024:7.1f} MiB, {kilobytes / count:8.2f} KiB a point"
        )
    whole = ends(*problem(path, 1000), torch.float64)
    alone = torch.cat([ends(*problem(path, n), torch.float64)[-1:] for n in (1, 2, 10, 100)])
    gap = (alone - whole[[0, 1, 9, 99]]).norm(dim=-1).max()
    print(f"the same points alone, in small batches and in one of 1,000: {float(gap):.1e} apart")
    single = ends(*problem(path, 1000), torch.float32)
    gap = (single.double() - whole).norm(dim=-1)
    most = gap.quantile(torch.tensor([0.5, 0.99, 1.0], dtype=torch.float64)).tolist()
    print(
        "ends in float32 and float64 apart: median {:.1e}, 99 % {:.1e}, most {:.1e}".format(*most)
    )
    metric, at, _ = problem(path, 200)
    other = Located(at.chart.flip(0), at.coords.flip(0))
    double = metric.dist(at, other)
    rough = InducedMetric(metric.manifold.to(torch.float32))
    at, other = (Located(p.chart, p.coords.float()) for p in (at, other))
    gap = (rough.dist(at, other).double() / double.clamp(min=1e-6) - 1).abs()
    most = gap.quantile(torch.tensor([0.5, 0.99, 1.0], dtype=torch.float64)).tolist()
    print("their distances, relative: median {:.1e}, 99 % {:.1e}, most {:.1e}".format(*most))


if __name__ == "__main__":
    main()
