"""Intrinsic dimension: the 24 manifolds of scikit-dimension, noisy toys, pictures that turn, speed.

python benchmarks/dimension.py [manifolds] [noise] [images] [speed] [--seeds 3] [--first-seed 0]

- manifolds: `lm.dimension` beside Gride and the estimators of scikit-dimension with their default
  settings, ESS on 200 neighbourhoods of 20 points, on 2,500 points of each; right means that the
  estimate rounds to the dimension.
- noise: share of right values on noisy toys.
- images: MNIST digits that turn, objects of COIL-20, the cell cycle, from the files in ``--data``.
- speed: seconds for 200,000 points of a sphere with noise.

Gride: Denti, Doimo, Laio, Mira, Scientific Reports 12, 2022, equation 7, with n2 = 2 n1.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.io import loadmat
from scipy.ndimage import rotate
from scipy.optimize import brentq
from sklearn.neighbors import NearestNeighbors

import learnedmanifolds as lm

try:
    import skdim
except ImportError:
    skdim = None

TOYS = {
    "circle": 1,
    "two_circles": 1,
    "loop": 1,
    "ring": 2,
    "swiss_roll": 2,
    "sphere": 2,
    "torus": 2,
}
CONSOLE = Console(width=150)


def gride(x: np.ndarray, k: int) -> float:
    """The dimension at which the ratios of the distances to neighbours 2 k and k are likeliest."""
    distance = NearestNeighbors(n_neighbors=2 * k).fit(x).kneighbors()[0]
    log = np.log(distance[:, 2 * k - 1] / distance[:, k - 1])

    def slope(d: float) -> float:
        return float(len(log) / d + (k - 1) * (log / np.expm1(d * log)).sum() - k * log.sum())

    return float(brentq(slope, 0.05, 500))


def estimators() -> dict[str, Callable[[np.ndarray], float]]:
    """Ours, Gride at two scales, and those of scikit-dimension that give one number."""
    found: dict[str, Callable[[np.ndarray], float]] = {
        "ours": lambda x: lm.dimension(x).estimate,
        "Gride 2": lambda x: gride(x, 2),
        "Gride 8": lambda x: gride(x, 8),
    }
    for name in ("TwoNN", "MLE", "MOM", "MADA", "CorrInt", "FisherS", "lPCA", "TLE"):
        found[name] = lambda x, name=name: _skdim(name, x)
    found["ESS"] = ess
    return found


def ess(x: np.ndarray, n_centres: int = 200, k: int = 20) -> float:
    """Mean over some neighbourhoods: with all of them one manifold takes minutes."""
    index = NearestNeighbors(n_neighbors=k).fit(x).kneighbors(x[:n_centres], return_distance=False)
    return float(np.mean([skdim.id.ESS(random_state=0).fit_once(x[i]).dimension_ for i in index]))


def _skdim(name: str, x: np.ndarray) -> float:
    return float(getattr(skdim.id, name)().fit_transform(x))


def manifolds(seeds: range) -> None:
    if skdim is None:
        CONSOLE.print(
            "manifolds: needs scikit-dimension (pip install scikit-dimension), not installed"
        )
        return
    methods = estimators()
    right = {name: [] for name in methods}
    for seed in seeds:
        source = skdim.datasets.BenchmarkManifolds(random_state=seed)
        data, truth = source.generate(n=2500), source.truth["Intrinsic Dimension"]
        table = Table("manifold", "d", *methods, title=f"2,500 points, seed {seed}")
        rows = {name: {} for name in methods}
        for name, method in methods.items():
            start = time.perf_counter()
            for manifold, x in data.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        rows[name][manifold] = method(x)
                    except Exception as error:
                        rows[name][manifold] = math.nan
                        CONSOLE.print(f"{name} on {manifold}: {error!r}")
            CONSOLE.print(f"{name}: {time.perf_counter() - start:.0f} s")
        for manifold in data:
            values = [rows[name][manifold] for name in methods]
            marks = [f"[bold]{v:.1f}[/]" if _is(v, truth[manifold]) else f"{v:.1f}" for v in values]
            table.add_row(manifold, str(truth[manifold]), *marks)
        for name in methods:
            right[name].append(sum(_is(rows[name][m], truth[m]) for m in data))
        table.add_row("right of 24", "", *(str(right[name][-1]) for name in methods))
        CONSOLE.print(table)
    CONSOLE.print({name: f"{np.mean(count):.1f} of 24" for name, count in right.items()})


def _is(value: float, dim: int) -> bool:
    return math.isfinite(value) and round(value) == dim


def noise(seeds: range) -> None:
    table = Table(
        "toy", "d", *(f"{n} points, {std}" for n, std in _cases()), title="right, of all seeds"
    )
    for name, dim in TOYS.items():
        toy = lm.datasets.toy(name)
        shares = []
        for n, std in _cases():
            found = [lm.dimension(toy.sample(n, noise=std, seed=seed)).value for seed in seeds]
            shares.append(f"{sum(value == dim for value in found)} of {len(found)}")
        table.add_row(name, str(dim), *shares)
    CONSOLE.print(table)


def _cases() -> list[tuple[int, float]]:
    return [(300, 0.01), (1000, 0.01), (1000, 0.03), (10_240, 0.01)]


def images(folder: Path) -> None:
    table = Table("data", "right", "no clear one", "of", title="curves of pictures")
    for name, sets in _image_sets(folder):
        values = [lm.dimension(x).value for x in sets]
        counts = sum(v == 1 for v in values), sum(v is None for v in values), len(values)
        table.add_row(name, *map(str, counts))
    CONSOLE.print(table)
    if (folder / "cell_cycle.npz").exists():
        counts = np.load(folder / "cell_cycle.npz")["counts"].astype(float)
        CONSOLE.print("cell cycle, counts:", lm.dimension(counts))
    if (folder / "mnist.npz").exists():
        digits = np.load(folder / "mnist.npz")["x_train"][:10_000]
        CONSOLE.print("10,000 digits:", lm.dimension(digits))


def _image_sets(folder: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    if (folder / "mnist.npz").exists():
        digits = np.load(folder / "mnist.npz")["x_train"].reshape(-1, 28, 28)[:10] / 255.0
        rng = np.random.default_rng(0)
        for n in (54, 100, 200, 1000):
            for kind in ("even", "random"):
                angles = 360 * (np.arange(n) / n if kind == "even" else rng.random(n))
                turned = [
                    np.stack([rotate(digit, a, reshape=False, order=1) for a in angles])
                    for digit in digits
                ]
                yield f"digits at {n} {kind} angles", turned
    if (folder / "COIL20.mat").exists():
        file = loadmat(folder / "COIL20.mat")
        x, label = file["X"].astype(float), file["Y"].ravel()
        yield "COIL-20, 72 pictures each", [x[label == k] for k in np.unique(label)]


def speed() -> None:
    table = Table("points", "features", "seconds", "found", title="sphere with noise 0.01")
    for n, n_features in ((10_000, 3), (10_000, 256), (200_000, 3), (200_000, 50), (200_000, 300)):
        rng = np.random.default_rng(0)
        y = rng.standard_normal((n, 3))
        frame = np.linalg.qr(rng.standard_normal((n_features, 3)))[0]
        x = y / np.linalg.norm(y, axis=1, keepdims=True) @ frame.T
        x += 0.01 * rng.standard_normal(x.shape)
        start = time.perf_counter()
        found = lm.dimension(x)
        table.add_row(f"{n:,}", str(n_features), f"{time.perf_counter() - start:.2f}", repr(found))
    CONSOLE.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("manifolds", "noise", "images", "speed")
    parser.add_argument("parts", nargs="*", default=[], metavar="|".join(parts))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    for part in args.parts or parts:
        if part not in parts:
            parser.error(f"no part {part!r}; there are {', '.join(parts)}")
        if part == "images":
            images(args.data)
        elif part == "speed":
            speed()
        else:
            {"manifolds": manifolds, "noise": noise}[part](seeds)


if __name__ == "__main__":
    main()
