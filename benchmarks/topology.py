"""Betti numbers of samples: an atlas has the topology of the data, a single chart cannot.

`MixtureVAE` with as many charts as the data want and with one, everything else equal; Betti numbers of
2,000 samples of each, and of as many data, over several seeds.

Run: ``OMP_NUM_THREADS=1 python benchmarks/topology.py --seeds 5``
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.datasets import ToyManifold
from learnedmanifolds.metrics import betti_numbers


@dataclass(frozen=True)
class Space:
    """A known manifold, its Betti numbers, and how many charts an atlas has."""

    manifold: ToyManifold
    numbers: tuple[int, ...]
    n_charts: int


SPACES = {
    "two circles": Space(lm.datasets.TwoCircles(), (2, 2), 4),
    "sphere": Space(lm.datasets.Sphere(), (1, 0, 1), 4),
    "torus": Space(lm.datasets.Torus(2.0, 1.0), (1, 2, 1), 6),
}


def model(space: Space, n_charts: int, seed: int, x: Tensor) -> lm.MixtureVAE:
    """Trained on data; a single chart leaves data uncovered, of which it would warn."""
    settings = space.manifold.settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lm.MixtureVAE(n_charts, settings.dim, settings.noise_std, random_state=seed).fit(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--points", type=int, default=5000, help="training data")
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    console = Console(width=110)
    table = Table("space", "numbers", "points of", "right", "found, how often",
                  title=f"Betti numbers of {options.samples} samples")  # fmt: skip
    for name in options.spaces:
        space = SPACES[name]
        sources = {"data": 0, f"atlas, {space.n_charts} charts": space.n_charts, "one chart": 1}
        found: dict[str, Counter[tuple[int, ...]]] = {source: Counter() for source in sources}
        for seed in range(options.seeds):
            x = space.manifold.sample(options.points, 0.01, seed)
            for source, n_charts in sources.items():
                start = time.process_time()
                points = x[: options.samples]
                if n_charts:
                    fitted = model(space, n_charts, seed, x)
                    points = fitted.sample(options.samples, seed=seed)
                seconds = time.process_time() - start
                numbers = betti_numbers(points, len(space.numbers) - 1, seed=seed).numbers
                found[source][numbers] += 1
                console.print(
                    f"{name}, {source}, seed {seed}: {numbers}; {seconds:.0f} s", soft_wrap=True
                )
        for source, counter in found.items():
            table.add_row(
                name,
                str(space.numbers),
                source,
                f"{counter[space.numbers]} of {options.seeds}",
                ", ".join(f"{numbers} {count}" for numbers, count in counter.most_common()),
            )
    console.print(table)


if __name__ == "__main__":
    main()
