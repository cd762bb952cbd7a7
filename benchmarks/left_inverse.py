"""Two exact left inverses of one chart: Newton's method for nearest points, and flows into few axes.

python benchmarks/left_inverse.py [--data shared/data] [--seeds 3]

One chart of 1,000 points is fitted to each data set, and settles the codes t of both constructions:

- newton: `KernelCharts`, whose left inverse is the nearest point.
- flow q: D(t) = m + U f(t) + W g(t), with U the q leading principal axes and W the others, f = L F(t, 0)
  with a regression L and coupling layers F in q dimensions, trained by L-BFGS on the codes, and g a
  kernel fit of the rest. The left inverse is E(x) = f^-1(U'(x - m)). q is d, 3 for curves, or 2 d + 1.

Data: a third of a turn of a swiss roll; a cap of 70 degrees of a sphere in R^3 and in R^300, all with
noise 0.01; an MNIST digit at angles from 0 to 120 degrees. Lengths are in units of the data's size, the
root mean square distance from their mean. Fit: mean distance of D(t), round trip that of D(E(y)), from
the points y without noise; the first has the noise along the surface in it. Inexact: the largest
|E(D(t)) - t| of 1,000 codes. Alone, batch: milliseconds to encode a point, by itself or among 1,000.
0.01 to 0.1: root mean square distance of D(E(x)) from y in units of that of x, isotropic noise of this
length. Medians over seeds, and the largest.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import rotate
from torch import Tensor

from learnedmanifolds.charts.coupling import CouplingStack
from learnedmanifolds.charts.kernel import KernelCharts
from learnedmanifolds.charts.kernel_features import KernelFeatures
from learnedmanifolds.geometry.principal import Principal
from learnedmanifolds.learning.kernel_fit import KernelFit, fit_chart
from learnedmanifolds.learning.region import Region

N, NOISE, NOISES = 1000, 0.01, (0.01, 0.05, 0.1)
HEADS = ("fit", "round trip", "inexact", "alone, ms", "batch, ms", *map(str, NOISES), "fit, s")
BLOCKS, HIDDEN, ITERATIONS = 4, 32, 300
Map = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def normal(*shape: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64)


def noisy(y: Tensor, length: float, seed: int) -> Tensor:
    return y + length / y.shape[1] ** 0.5 * normal(*y.shape, seed=seed)


def roll(t: Tensor) -> Tensor:
    angle = 8 + math.pi / 3 * t[:, 0] / 0.9
    return torch.stack([angle * angle.cos(), 8 * t[:, 1], angle * angle.sin()], 1)


def cap(t: Tensor, n: int) -> Tensor:
    """The square of codes onto a disc, and that onto a cap; in a random frame."""
    u, v = (t / 0.9).T
    disc = torch.stack([u * (1 - v**2 / 2).sqrt(), v * (1 - u**2 / 2).sqrt()], 1)
    angle = math.radians(70) * disc.norm(dim=1, keepdim=True).clamp(min=1e-12)
    x = torch.cat([disc * (math.radians(70) * angle.sin() / angle), angle.cos()], 1)
    return x @ torch.linalg.qr(normal(n, 3, seed=0)).Q.mT


def turned(t: Tensor, digit: np.ndarray) -> Tensor:
    angles = (60 + 60 * t[:, 0] / 0.9).tolist()
    x = np.stack([rotate(digit, angle, reshape=False, order=1) for angle in angles])
    return torch.from_numpy(x).flatten(1)


def kernel_chart(fit: KernelFit, weights: Tensor) -> Map:
    region = Region.of(fit.codes)
    border = zip(("border_low", "border_step", "border"), region, strict=True)
    charts = KernelCharts(
        center=torch.zeros_like(weights[0]),
        weights=weights[None],
        centers=fit.centers[None],
        width=torch.tensor([fit.width], dtype=torch.float64),
        codes=fit.codes[region.depth(fit.codes) >= 0][None, :512],
        ambient_shape=(weights.shape[1],),
        **{name: part[None] for name, part in border},
    )
    return lambda t: charts.decode(t, 0), lambda x: charts.encode(x, 0)


def flow_chart(fit: KernelFit, weights: Tensor, x: Tensor, q: int, seed: int) -> Map:
    codes, d, mean = fit.codes, fit.codes.shape[1], x.mean(0)
    axes = torch.linalg.svd(x - mean, full_matrices=False).Vh[:q].mT
    target = (x - mean) @ axes
    # L: the regression on the codes, and orthogonal to its columns others of their mean length.
    slope = torch.linalg.lstsq(codes - codes.mean(0), target).solution
    rest = torch.linalg.svd(slope).Vh[d:] * slope.norm() / d**0.5
    linear = torch.cat([slope, rest])
    shift = -codes.mean(0) @ slope
    flow = CouplingStack(1, q, BLOCKS, HIDDEN, torch.Generator().manual_seed(seed)).double()

    def lead(t: Tensor) -> Tensor:
        return flow(torch.nn.functional.pad(t, (0, q - d)), 0)[0] @ linear + shift

    optimizer = torch.optim.LBFGS(
        flow.parameters(), max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (lead(codes) - target).square().sum(1).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    flow.requires_grad_(False)
    features = KernelFeatures(fit.centers[None], torch.tensor([fit.width], dtype=torch.float64))
    along = (mean @ axes) @ axes.mT
    other = weights - (weights @ axes) @ axes.mT
    inverse = torch.linalg.inv(linear)

    def decode(t: Tensor) -> Tensor:
        return lead(t) @ axes.mT + along + features(t, 0) @ other

    def encode(x: Tensor) -> Tensor:
        return flow.inverse(((x - mean) @ axes - shift) @ inverse, 0)[0][:, :d]

    return decode, encode


def milliseconds(encode: Callable[[Tensor], Tensor], x: Tensor, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        encode(x)
    return 1e3 * (time.process_time() - start) / calls / len(x)


def judged(made: Map, fit: KernelFit, clean: Tensor, size: float, seed: int) -> list[float]:
    codes, (decode, encode) = fit.codes, made
    off = (decode(codes) - clean).norm(dim=1).mean() / size
    trip = (decode(encode(clean)) - clean).norm(dim=1).mean() / size
    inexact = (encode(decode(codes)) - codes).abs().max()
    alone, batch = milliseconds(encode, clean[:1], 30), milliseconds(encode, clean, 3)
    figures = [float(off), float(trip), float(inexact), alone, batch]
    for k, noise in enumerate(NOISES):
        moved = noisy(clean, noise * size, seed + k)
        back = (decode(encode(moved)) - clean).norm(dim=1).square().mean().sqrt()
        figures.append(float(back) / (noise * size))
    return figures


def show(values: list[float]) -> str:
    return f"{np.median(values):.2g} ({max(values):.2g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    digit = np.load(args.data / "mnist.npz")["x_train"][0] / 255.0
    surfaces: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
        "swiss roll": (2, roll),
        "cap, R^3": (2, lambda t: cap(t, 3)),
        "cap, R^300": (2, lambda t: cap(t, 300)),
        "turned digit": (1, lambda t: turned(t, digit)),
    }
    for name, (d, surface) in surfaces.items():
        table, rows = Table(name, *HEADS), dict[str, list[list[float]]]()
        for seed in range(args.seeds):
            source = torch.Generator().manual_seed(seed)
            start_codes = 1.8 * torch.rand(N, d, generator=source, dtype=torch.float64) - 0.9
            clean = surface(start_codes)
            size = float((clean - clean.mean(0)).square().sum(1).mean().sqrt())
            x = clean if name == "turned digit" else noisy(clean, NOISE * size, seed + 50)
            began = time.process_time()
            # Codes are the surface's own, so that what is compared does not hang on how they are found.
            fit = fit_chart(start_codes, Principal.of(x, 0).coordinates(x) / size)
            fit.shrink()
            fit.settle()
            weights = fit.regress(x)
            seconds = time.process_time() - began
            own = judged(kernel_chart(fit, weights), fit, clean, size, 100 * seed)
            rows.setdefault("newton", []).append([*own, seconds])
            for q in sorted({3 if d == 1 else d, min(2 * d + 1, x.shape[1])}):
                began = time.process_time()
                made = flow_chart(fit, weights, x, q, seed)
                took = seconds + time.process_time() - began
                rows.setdefault(f"flow {q}", []).append(
                    [*judged(made, fit, clean, size, 100 * seed), took]
                )
        for kind, figures in rows.items():
            table.add_row(kind, *(show(list(v)) for v in zip(*figures, strict=True)))
        Console(width=150).print(table)


if __name__ == "__main__":
    main()
