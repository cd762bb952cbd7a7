"""Diffusion maps against manifolds whose Laplacian is known: spectra, kernel widths, size, SpectralNet.

Anchors: circle k^2; S^2 l(l+1), 2l+1 times; SO(3) with the angle as distance l(l+1), (2l+1)^2 times;
circle of density (1 + 0.6 cos) / 2 pi with and without the density normalisation. Grassmann distance:
sum of the squared sines of the principal angles between the spans, under the stationary law; at
most the number of components.

Run: ``python benchmarks/diffusion_maps.py`` (about five minutes on one core; parts by name, e.g.
``anchors width net``)
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from learnedmanifolds.diffusion import DiffusionMap, SpectralNet

LARGE = 50_000
DRAWS = 5


def on_circle(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def circle(n: int, rng: np.random.Generator) -> np.ndarray:
    return on_circle(2 * math.pi * rng.random(n))


def sphere(n: int, rng: np.random.Generator) -> np.ndarray:
    x = rng.standard_normal((n, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def flat_torus(n: int, rng: np.random.Generator) -> np.ndarray:
    return on_circle(2 * math.pi * rng.random((n, 2))).reshape(n, 4)


def torus(n: int, rng: np.random.Generator) -> np.ndarray:
    u, v = 2 * math.pi * rng.random((2, n))
    return np.column_stack([(2 + np.cos(v))[:, None] * on_circle(u), np.sin(v)])


def waves(n: int, rng: np.random.Generator) -> np.ndarray:
    """A torus in R^64: waves of random low frequencies."""
    angles = 2 * math.pi * rng.random((n, 2))
    phase = angles @ rng.integers(-2, 3, (2, 64)) + 2 * math.pi * rng.random(64)
    return np.cos(phase) / 4


def uneven_circle(n: int, rng: np.random.Generator) -> np.ndarray:
    angle = 2 * math.pi * rng.random(4 * n)
    kept = rng.random(4 * n) < (1 + 0.6 * np.cos(angle)) / 1.6
    return on_circle(angle[kept][:n])


def rotation_angles(n: int, rng: np.random.Generator) -> np.ndarray:
    q = Rotation.random(n, random_state=rng).as_quat()
    angle = 2 * np.arccos(np.abs(q @ q.T).clip(0, 1))
    np.fill_diagonal(angle, 0)
    return angle


def span_distance(a: torch.Tensor, b: torch.Tensor, law: np.ndarray) -> float:
    root = torch.from_numpy(np.sqrt(law))[:, None]
    bases = [torch.linalg.qr(root * f.double()).Q for f in (a, b)]
    return float((1 - torch.linalg.svdvals(bases[0].mT @ bases[1]).square()).sum())


def anchors(console: Console) -> None:
    rng = np.random.default_rng(0)
    table = Table("data", "n", "epsilon", "alpha", "-log(lambda) / epsilon")
    regular = on_circle(2 * math.pi * np.arange(1000) / 1000)
    cases = [
        ("circle, regular", regular, 1e-3, 1.0, "euclidean", (2, 2, 2)),
        ("sphere", sphere(2000, rng), 0.02, 1.0, "euclidean", (3, 5, 7)),
        ("SO(3), angle", rotation_angles(3000, rng), 0.1, 1.0, "precomputed", (9, 25)),
    ]
    uneven = uneven_circle(2000, rng)
    cases += [("circle, uneven", uneven, None, a, "euclidean", (1, 1, 1, 1)) for a in (1.0, 0.0)]
    for name, x, epsilon, alpha, metric, groups in cases:
        fitted = DiffusionMap(sum(groups), epsilon=epsilon, alpha=alpha, metric=metric).fit(x)
        parts = fitted.laplacian_eigenvalues_.split(list(groups))
        cells = [f"{p.min():.3f}-{p.max():.3f}" if len(p) > 1 else f"{float(p):.3f}" for p in parts]
        table.add_row(name, str(len(x)), f"{fitted.epsilon_:.4g}", f"{alpha:g}", ", ".join(cells))
    table.caption = "Least and largest of each group."
    console.print(table)


def width(console: Console) -> None:
    table = Table("data", "n", "epsilon", "dimension", "error", "greatest slope: epsilon", "error")
    table.title = f"Chosen widths; mean relative error of the eigenvalues, median of {DRAWS} draws"
    cases = [
        (circle, [1, 1, 4, 4]),
        (sphere, [2, 2, 2, 6, 6, 6, 6, 6]),
        (flat_torus, [1] * 4 + [2] * 4),
    ]
    for sample, exact in cases:
        for n in (500, 2000, 8000):
            rows = []
            for seed in range(DRAWS):
                x = sample(n, np.random.default_rng(seed))
                chosen = DiffusionMap(len(exact)).fit(x)
                found = chosen.bandwidth_
                row = [chosen.epsilon_, chosen.dimension_, error(chosen, exact)]
                row.append(float(found.grid[found.slope.argmax()]))
                if n < 8000:  # The kernel of that width is nearly dense.
                    row.append(error(DiffusionMap(len(exact), epsilon=row[-1]).fit(x), exact))
                rows.append(row)
            cells = [f"{v:.3g}" for v in np.median(rows, 0)]
            table.add_row(sample.__name__, str(n), *cells)
    console.print(table)


def error(fitted: DiffusionMap, exact: list[int]) -> float:
    return float(np.abs(fitted.laplacian_eigenvalues_.numpy() / exact - 1).mean())


def net(console: Console) -> None:
    table = Table("data", "n", "components", "Grassmann distance", "eigenvalues off by", "seconds")
    table.title = "SpectralNet against the exact eigenvectors, largest of 3 seeds"
    for sample, n, count in [
        (circle, 2000, 2),
        (circle, 2000, 4),
        (flat_torus, 2000, 4),
        (flat_torus, 2000, 8),
        (torus, 2000, 2),
        (torus, 2000, 5),
        (sphere, 2000, 3),
        (sphere, 2000, 8),
    ]:
        rows = []
        for seed in range(3):
            x = sample(n, np.random.default_rng(seed))
            exact = DiffusionMap(count).fit(x)
            start = time.perf_counter()
            learned = SpectralNet(count, random_state=seed).fit(x)
            seconds = time.perf_counter() - start
            distance = span_distance(exact.embedding_, learned.embedding_, exact.graph_.stationary)
            off = learned.laplacian_eigenvalues_ / exact.laplacian_eigenvalues_ - 1
            rows.append((distance, float(off.max()), seconds))
        worst = np.max(rows, 0)
        cells = [f"{worst[0]:.4f}", f"{100 * worst[1]:.2f} %", f"{worst[2]:.1f}"]
        table.add_row(sample.__name__, str(n), str(count), *cells)
    console.print(table)


def large(console: Console) -> None:
    table = Table(
        "model", "data", "n", "seconds", "peak GB", "neighbours", "-log(lambda) / epsilon"
    )
    for model in ("DiffusionMap", "SpectralNet"):
        for name in ("torus", "waves"):
            command = [sys.executable, __file__, "--one", model, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout)
            values = ", ".join(f"{v:.3f}" for v in row["values"])
            cells = [f"{row['seconds']:.1f}", f"{row['memory']:.2f}", f"{row['neighbours']:.0f}"]
            table.add_row(model, name, str(LARGE), *cells, values)
    console.print(table)


def one(model: str, name: str) -> None:
    """Fit a large sample in this process alone, and print its figures as JSON."""
    x = {"torus": torus, "waves": waves}[name](LARGE, np.random.default_rng(0))
    start = time.perf_counter()
    fitted = SpectralNet(5, random_state=0) if model == "SpectralNet" else DiffusionMap(5)
    fitted.fit(x)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    neighbours = fitted.bandwidth_.neighbors
    values = fitted.laplacian_eigenvalues_.tolist()
    row = {"seconds": seconds, "memory": peak, "neighbours": neighbours, "values": values}
    print(json.dumps(row))


def main() -> None:
    parts = {"anchors": anchors, "width": width, "net": net, "large": large}
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts)}; all by default")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "DATA"))
    options = parser.parse_args()
    if options.one:
        one(*options.one)
        return
    unknown = set(options.parts) - set(parts)
    if unknown:
        parser.error(f"parts must be of {', '.join(parts)}, got {', '.join(unknown)}")
    console = Console()
    for name in options.parts or parts:
        parts[name](console)


if __name__ == "__main__":
    main()
