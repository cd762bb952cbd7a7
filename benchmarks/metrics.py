"""The measures on cases whose answer is known.

- Closed forms: the largest error of Gromov-Wasserstein, MMD and the bi-Lipschitz constant.
- Betti numbers: how often they are right, over seeds, for spaces with and without noise.
- Split-half floors of Gromov-Wasserstein, max-normalised, times 1000, as in the table of Li et al.
- Time of a report on 2,000 points of a torus.

Run: ``python benchmarks/metrics.py --seeds 20``
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.metrics import (
    GaussianKernel,
    InverseMultiquadric,
    betti_numbers,
    bi_lipschitz,
    gromov_wasserstein,
    mmd,
    report,
)

CONSOLE = Console()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def angles(n: int, d: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return 2 * math.pi * torch.rand(n, d, generator=source, dtype=torch.float64)


def circle(n: int, seed: int) -> Tensor:
    t = angles(n, 1, seed)
    return torch.cat([t.cos(), t.sin()], 1)


def closed_forms() -> None:
    table = Table("case", "largest error", title="closed forms")
    x = draw(60, 3)
    frame = torch.linalg.qr(draw(5, 3))[0]
    square = float(torch.cdist(x, x).square().mean())

    def gromov(y: Tensor | list[list[float]], z: Tensor | list[list[float]]) -> float:
        return gromov_wasserstein(y, z, floor=False).value

    pairs = [(1.0, 2.0), (0.3, 0.3), (4.0, 0.5)]
    turned = x @ frame.T
    orders = [torch.randperm(60, generator=torch.Generator().manual_seed(s)) for s in range(5)]
    copies = [turned[order] for order in orders]
    cases: dict[str, list[float]] = {
        "Gromov-Wasserstein, two points each": [
            gromov([[0.0], [a]], [[0.0], [b]]) - (a - b) ** 2 / 2 for a, b in pairs
        ],
        "Gromov-Wasserstein, against a point": [gromov(x, [[0.0]]) - square],
        "Gromov-Wasserstein, isometric copy": [gromov(x, y) for y in copies],
        "Gromov-Wasserstein, copy scaled by s": [
            gromov(x, s * copies[0]) - (1 - s) ** 2 * square for s in (0.2, 0.9, 3.0)
        ],
        "MMD^2, {0, 1} and {0, 2}": [
            mmd([[0.0], [1.0]], [[0.0], [2.0]], kernel, n_permutations=0).value - value
            for kernel, value in (
                (GaussianKernel(1.0), (math.exp(-2) - 1) / 2),
                (InverseMultiquadric(1.0), -0.4),
            )
        ],
        "bi-Lipschitz, isometry": [bi_lipschitz(x, turned).median - 1],
        "bi-Lipschitz, scaling by s": [
            bi_lipschitz(x, s * turned).median - max(s, 1 / s) for s in (0.2, 0.9, 3.0)
        ],
        "bi-Lipschitz, scale-free, scaling by s": [
            bi_lipschitz(x, s * turned).scale_free_median - 1 for s in (0.2, 0.9, 3.0)
        ],
    }
    for name, errors in cases.items():
        table.add_row(name, f"{max(map(abs, errors)):.1e}")
    CONSOLE.print(table)


SPACES: dict[str, tuple[Callable[[int, int], Tensor], tuple[int, ...]]] = {
    "circle": (circle, (1, 1, 0)),
    "two circles": (
        lambda n, s: lm.datasets.two_circles(n, seed=s, dtype=torch.float64),
        (2, 2, 0),
    ),
    "sphere": (lambda n, s: lm.datasets.sphere(n, seed=s, dtype=torch.float64), (1, 0, 1)),
    "torus (3, 1)": (lambda n, s: lm.datasets.torus(n, seed=s, dtype=torch.float64), (1, 2, 1)),
    "torus (2, 1)": (
        lambda n, s: lm.datasets.Torus(2.0, 1.0).sample(n, seed=s, dtype=torch.float64),
        (1, 2, 1),
    ),
    "flat torus": (
        lambda n, s: torch.cat([angles(n, 2, s).cos(), angles(n, 2, s).sin()], 1),
        (1, 2, 1),
    ),
    "ring": (lambda n, s: lm.datasets.ring(n, seed=s, dtype=torch.float64), (1, 1, 0)),
    "interval": (lambda n, s: angles(n, 1, s), (1, 0, 0)),
    "Gaussian": (lambda n, s: draw(n, 2, seed=s), (1, 0, 0)),
    "swiss roll": (lambda n, s: lm.datasets.swiss_roll(n, seed=s, dtype=torch.float64), (1, 0, 0)),
}


def topology(n_seeds: int) -> None:
    settings = [(600, 0.01), (1000, 0.0), (1000, 0.02), (2000, 0.0), (2000, 0.02), (4000, 0.05)]
    table = Table(
        "space", "numbers", *[f"n = {n}, noise {s:g}" for n, s in settings], "slowest (s)",
        title=f"Betti numbers right, of {n_seeds} seeds (noise in units of the data)",
    )  # fmt: skip
    for name, (points, expected) in SPACES.items():
        cells, slowest = [], 0.0
        for n, noise in settings:
            right = 0
            for seed in range(n_seeds):
                x = points(n, seed)
                x = x + noise * draw(*x.shape, seed=seed + 10_000)
                start = time.process_time()
                right += betti_numbers(x, seed=seed).numbers == expected
                slowest = max(slowest, time.process_time() - start)
            cells.append(str(right))
        table.add_row(name, str(expected), *cells, f"{slowest:.1f}")
    CONSOLE.print(table)


def floors(n_seeds: int) -> None:
    table = Table(
        "space", "n", "floor", "Gaussian of the same moments", "seconds", title="GW x 1000"
    )
    for name in ("circle", "torus (2, 1)", "sphere"):
        for n in (200, 500):
            values, others, seconds = [], [], []
            for seed in range(n_seeds):
                x = SPACES[name][0](2 * n, seed)
                scale = torch.linalg.cholesky(torch.cov(x.T))
                gauss = draw(n, x.shape[1], seed=seed + 77) @ scale.T
                start = time.process_time()
                found = gromov_wasserstein(x, gauss, normalize=True, max_points=n, seed=seed)
                seconds.append((time.process_time() - start) / 2)
                values.append(1000 * (found.floor or 0.0))
                others.append(1000 * found.value)
            table.add_row(
                name, str(n), f"{min(values):.2f} to {max(values):.2f}",
                f"{min(others):.0f} to {max(others):.0f}", f"{np.mean(seconds):.1f}",
            )  # fmt: skip
    CONSOLE.print(table)


class Truth:
    """The perfect model of the torus."""

    def sample(self, n: int, seed: int | None = None) -> Tensor:
        return lm.datasets.torus(n, noise=0.02, seed=1000 + (seed or 0))


def whole() -> None:
    x = lm.datasets.torus(2000, noise=0.02, seed=0)
    start = time.process_time()
    found = report(Truth(), x, manifold=lm.datasets.Torus(), betti=(1, 2, 1))
    CONSOLE.print(found)
    CONSOLE.print(f"report: {time.process_time() - start:.0f} s of processor time")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    closed_forms()
    topology(options.seeds)
    floors(min(3, options.seeds))
    whole()


if __name__ == "__main__":
    main()
