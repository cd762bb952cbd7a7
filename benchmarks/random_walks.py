"""How soon walks of the diffusion VAE forget their start, and where they are then.

All walks start at one point. After some steps their angles are compared with those of points spread
evenly over the manifold: the Kolmogorov-Smirnov distance, on the torus the larger of the two angles'.
For evenly drawn points it would be below the last row's value in 95 of 100 cases. A third of the
uneven circle's data are where an even spread would have a half and more; the walk is to be even.

Run: ``OMP_NUM_THREADS=1 python benchmarks/random_walks.py --seeds 3``
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import kstest, kstwo
from torch import Tensor

import learnedmanifolds as lm

STEPS = (1, 2, 4, 10, 20)
ENDS = 0.95


@dataclass(frozen=True)
class Space:
    """A manifold, how it is sampled, and the shares of its area that angles have passed.

    Attributes
    ----------
    draw : callable
        (n, seed) -> points (n, m).
    shares : callable
        Points -> list of tensors in [0, 1], each uniform where points are spread evenly.
    distance : callable
        Points (n, m) -> distances (n,) from the manifold.
    settings : dict
        Of `DiffusionVAE`.
    """

    draw: Callable[[int, int], Tensor]
    shares: Callable[[Tensor], list[Tensor]]
    distance: Callable[[Tensor], Tensor]
    settings: dict[str, Any]


def circle(n: int, seed: int, density: float = 0.0) -> Tensor:
    """Angles of density (1 + density cos) / 2 pi, by rejection."""
    source = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(4 * n, generator=source)
    height = (1 + density) * torch.rand(4 * n, generator=source)
    angle = angle[height <= 1 + density * angle.cos()][:n]
    return torch.stack([angle.cos(), angle.sin()], 1)


def turns(y: Tensor, x: Tensor) -> Tensor:
    """Angles in turns, in [0, 1]."""
    return torch.atan2(y, x) / (2 * math.pi) + 0.5


def torus_shares(x: Tensor) -> list[Tensor]:
    """Of the torus of radii 2 and 1; area grows with the distance from the axis, 2 + cos v."""
    around = x[:, :2].norm(dim=1)
    v = torch.atan2(x[:, 2], around - 2)
    return [turns(x[:, 1], x[:, 0]), (v + math.pi + 0.5 * v.sin()) / (2 * math.pi)]


def torus_distance(x: Tensor) -> Tensor:
    return (torch.hypot(x[:, :2].norm(dim=1) - 2, x[:, 2]) - 1).abs()


ROUND = {
    "shares": lambda x: [turns(x[:, 1], x[:, 0])],
    "distance": lambda x: (x.norm(dim=1) - 1).abs(),
}
SPACES = {
    "circle": Space(circle, **ROUND, settings={"n_components": 2, "alpha": 40, "max_steps": 3000}),
    "uneven circle": Space(
        lambda n, seed: circle(n, seed, 0.6),
        **ROUND,
        settings={"n_components": 2, "alpha": 160, "max_steps": 3000},
    ),
    "torus": Space(
        lambda n, seed: lm.datasets.Torus(2.0, 1.0).sample(n, seed=seed),
        torus_shares,
        torus_distance,
        {"n_components": 12, "alpha": 40, "max_steps": 8000, "hidden": (256, 256)},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--walks", type=int, default=1000)
    options = parser.parse_args()
    console = Console(width=110)
    table = Table("space", *(f"step {k}" for k in STEPS), "off the manifold", "training (s)",
                  title=f"Kolmogorov-Smirnov distance of {options.walks} walks from one point to the "
                  f"even spread; median and range of {options.seeds} seeds")  # fmt: skip
    for name in options.spaces:
        space = SPACES[name]
        found: dict[int, list[float]] = {k: [] for k in STEPS}
        off, seconds = [], []
        for seed in range(options.seeds):
            x = space.draw(options.points, seed)
            start = time.process_time()
            model = lm.DiffusionVAE(**space.settings, random_state=seed).fit(x)
            seconds.append(time.process_time() - start)
            begin = x[:1].expand(options.walks, -1)
            walk = model.random_walk(begin, max(STEPS), seed=seed)
            for k in STEPS:
                shares = space.shares(walk[k])
                found[k].append(max(kstest(s.numpy(), "uniform").statistic for s in shares))
            off.append(float(space.distance(walk[10]).median()))
            last = ", ".join(f"{found[k][-1]:.3f}" for k in STEPS)
            console.print(f"{name}, seed {seed}: {last}")
        table.add_row(
            name,
            *(spread(found[k], 2) for k in STEPS),
            spread(off, 3),
            f"{statistics.median(seconds):.0f}",
        )
    table.add_row("even points", *[f"{kstwo.ppf(ENDS, options.walks):.2f}"] * len(STEPS), "", "")
    console.print(table)


def spread(values: list[float], digits: int) -> str:
    """Median and range."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


if __name__ == "__main__":
    main()
