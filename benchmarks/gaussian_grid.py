"""Separate clusters: how many samples of a model lie between them, and which clusters it reaches.

Nine Gaussian clusters, on every other cell of a 5 x 5 grid (spacing 1, standard deviation 0.1); with
``--cells all`` all 25. A sample lies between the clusters if it is farther than 3 standard deviations
from every centre; of the data themselves exp(-9/2) = 1.1 % do. Farther than 5 are 0.0004 % of them.

Run: ``OMP_NUM_THREADS=1 python benchmarks/gaussian_grid.py --seeds 3``
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from baselines import BASELINES
from rich.console import Console
from rich.table import Table
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.datasets import NINE_CELLS, Clusters, gaussian_grid
from learnedmanifolds.diffusion import DiffusionMap

NEAR, FAR = 3.0, 5.0
EPSILON = 0.06
"""Of the diffusion map: its own choice, from the clusters' density, leaves them unconnected."""
SIZE = 26
"""Its coordinates: 8 tell nine clusters apart and are constant on each, two more for every cluster."""
HIT = 0.1
"""A cluster counts as reached from a tenth of its share of the samples on."""


@dataclass(frozen=True)
class Spread:
    """Where samples are: shares in [0, 1], number of clusters, processor seconds of the training.

    The width is the standard deviation of samples near a cluster, over that of its data.
    """

    between: float
    far: float
    hit: int
    width: float
    smallest: float
    largest: float
    seconds: float


def measure(points: Tensor, data: Clusters, seconds: float) -> Spread:
    gap, cluster = (torch.cdist(points.float(), data.centres) / data.std).min(1)
    there = points[gap <= NEAR] - data.centres[cluster[gap <= NEAR]]
    inside = cluster[gap <= NEAR].bincount(minlength=len(data.centres)) / len(points)
    return Spread(
        float((gap > NEAR).float().mean()),
        float((gap > FAR).float().mean()),
        int((inside >= HIT / len(data.centres)).sum()),
        float(there.square().mean().sqrt() / data.std),
        float(inside.min()),
        float(inside.max()),
        seconds,
    )


def walk(data: Clusters, size: int, steps: int, seed: int) -> Any:
    """The diffusion VAE, with its own number of steps, its kernel wide enough to join the clusters."""
    diffusion = DiffusionMap(size, epsilon=EPSILON)
    return lm.DiffusionVAE(diffusion=diffusion, random_state=seed)


def atlas(data: Clusters, size: int, steps: int, seed: int) -> Any:
    """A chart for every cluster."""
    return lm.MixtureVAE(len(data.centres), 2, noise_std=0.02, random_state=seed)


def baseline(name: str) -> Callable[..., Any]:
    return lambda data, size, steps, seed: BASELINES[name](2, data.points, steps, seed)


MODELS: dict[str, Callable[..., Any]] = {
    "DiffusionVAE": walk,
    "MixtureVAE": atlas,
    **{name: baseline(name) for name in BASELINES if name != "hyperspherical VAE"},
    "hyperspherical VAE": lambda data, size, steps, seed: BASELINES["hyperspherical VAE"](
        3, data.points, steps, seed
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--cells", choices=("nine", "all"), default="nine")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=SIZE, help="coordinates of the diffusion VAE")
    parser.add_argument("--steps", type=int, default=6000, help="of a baseline's training")
    parser.add_argument("--samples", type=int, default=5000)
    options = parser.parse_args()
    console = Console(width=110)
    cells = NINE_CELLS if options.cells == "nine" else None
    found: dict[str, list[Spread]] = {}
    for seed in range(options.seeds):
        data = gaussian_grid(cells=cells, seed=seed)
        fresh = gaussian_grid(options.samples // len(data.centres), cells, seed=seed + 10_000)
        found.setdefault("fresh data", []).append(measure(fresh.points, data, 0.0))
        for name in options.models:
            model = MODELS[name](data, options.size, options.steps, seed)
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    model.fit(data.points)
                except (RuntimeError, ValueError) as error:
                    console.print(f"{name}, seed {seed}: failed: {error}")
                    continue
            seconds = time.process_time() - start
            spread = measure(model.sample(options.samples, seed=seed), data, seconds)
            found.setdefault(name, []).append(spread)
            console.print(f"{name}, seed {seed}: {spread}", soft_wrap=True)
    count = len(data.centres)
    table = Table(
        "samples of", f"farther than {NEAR:g} sd (%)", f"than {FAR:g} sd (%)", f"of {count} hit",
        "width (%)",
        "smallest and largest share (%)", "training (s)",
        title=f"{count} clusters of {len(data.points) // count}; {options.samples} samples; medians "
        f"and range of {options.seeds} seeds",
    )  # fmt: skip
    for name, runs in found.items():
        table.add_row(
            name,
            percent([r.between for r in runs]),
            percent([r.far for r in runs]),
            ", ".join(str(r.hit) for r in runs),
            percent([r.width for r in runs]),
            f"{100 * min(r.smallest for r in runs):.1f}, {100 * max(r.largest for r in runs):.1f}",
            f"{statistics.median(r.seconds for r in runs):.0f}",
        )
    console.print(table)


def percent(shares: list[float]) -> str:
    """Median and range, in per cent."""
    return (
        f"{100 * statistics.median(shares):.2f} [{100 * min(shares):.2f}, {100 * max(shares):.2f}]"
    )


if __name__ == "__main__":
    main()
