"""`KernelAtlas()` without arguments: toys, pictures, objects of COIL-20, bars, a bunny, cells, size.

python benchmarks/kernel_atlas.py [PART ...] [--seeds 5]

Errors are mean distances of held-out points to their nearest points, absolute for toys, else in units of
the root mean square distance of the training data to their mean, beside the nearest training point.

- toys: 10,240 points, noise 0.01; error at clean points, furthest of 2,000 samples, disagreement, Betti
  numbers of 4,000 points drawn evenly from the atlas, not as dense as the data (of 4,000 true points of
  the swiss roll one set in eight has too large holes).
- geodesics: of random length, 2 to 10 times the spread of the data, on closed toys.
- agreement: what changes where a point at the border of a chart passes to another chart: the point, the
  angle of the tangent space, its distance and logarithm from another point.
- turned: ten MNIST digits, each at 1,000 random angles, 200 others held out.
- moved: MNIST digits, each moved in both directions by up to 4 pixels: 2,500 pictures, 300 held out.
- coil: each object, every fourth view held out, beside the midpoint of the two true neighbours; then
  all objects at once.
- bars: bars of 32, 64, 128 pixels a side, 2,000 pictures, decibels at 200 unseen ones.
- surface: a curved surface in R^300 with noise, at offset 1,000.
- bunny: Gromov-Wasserstein distance (x 1000, distances over the largest) of 500 samples from 500
  points held out, as in manifold_table.py, beside its floor, that of 500 others.
- cells: the angle along the learned circle of the cell cycle against the measured one, for cells held
  out, and beside it the angle of the first two principal components.
- noisy: circles with noise from a tenth of their radius to half of it.
- size: seconds for up to a million points of a sphere.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.io import loadmat
from scipy.ndimage import rotate, shift
from scipy.stats import norm, rankdata
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.geometry import InducedMetric, Located
from learnedmanifolds.geometry.geodesic import flow
from learnedmanifolds.geometry.graph import SampleGraph
from learnedmanifolds.metrics import betti_numbers

# With the Betti numbers.
TOYS = {
    "circle": (1, 1),
    "two_circles": (2, 2),
    "loop": (1, 1),
    "ring": (1, 1, 0),
    "swiss_roll": (1, 0, 0),
    "sphere": (1, 0, 1),
    "torus": (1, 2, 1),
}
CLOSED = ("circle", "two_circles", "loop", "sphere", "torus")
CONSOLE = Console(width=150)


def fit(x: Tensor, **options: object) -> tuple[lm.KernelAtlas, float]:
    start = time.process_time()
    model = lm.KernelAtlas(random_state=0, **options).fit(x)
    return model, time.process_time() - start


def spread(x: Tensor) -> float:
    flat = x.double().flatten(1)
    return float((flat - flat.mean(0)).square().sum(1).mean().sqrt())


def errors(model: lm.KernelAtlas, train: Tensor, test: Tensor) -> tuple[float, float]:
    """Of the atlas, and of the nearest training point."""
    flat = test.double().flatten(1)
    own = (model.atlas_.project(test.double()).flatten(1) - flat).norm(dim=1).mean()
    near = torch.cdist(flat, train.double().flatten(1)).amin(1).mean()
    return float(own) / spread(train), float(near) / spread(train)


def show(values: list[float], digits: int = 4) -> str:
    low, middle, high = np.quantile(values, (0, 0.5, 1))
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def toys(seeds: range) -> None:
    table = Table(
        "", "d", "charts", "seconds", "error", "furthest", "disagreement", "healthy", "Betti"
    )
    for name, numbers in TOYS.items():
        toy, rows = lm.datasets.toy(name), []
        for seed in seeds:
            model, seconds = fit(toy.sample(10_240, 0.01, seed))
            clean = toy.sample(500, 0.0, seed + 100).double()
            off = float((model.atlas_.project(clean) - clean).norm(dim=1).mean())
            drawn = model.sample(2000, seed=0)
            at = InducedMetric(model.atlas_).uniform(4000, seed=0)
            even = model.atlas_.decode(at.coords, at.chart)
            found = betti_numbers(even, len(numbers) - 1).numbers
            far, quality = float(toy.distance(drawn).max()), model.quality_
            rows.append((seconds, off, far, quality.disagreement, model, quality.healthy, found))
        models = [row[4] for row in rows]
        table.add_row(
            name,
            str(sorted({m.dim_ for m in models})),
            str(sorted({m.n_charts_ for m in models})),
            show([row[0] for row in rows], 1),
            *(show([row[j] for row in rows]) for j in (1, 2, 3)),
            f"{sum(row[5] for row in rows)} of {len(rows)}",
            f"{sum(row[6] == numbers for row in rows)} of {len(rows)}",
        )
    CONSOLE.print(table)


def geodesics(seeds: range) -> None:
    table = Table("", "geodesics", "at a boundary", "speed off", "furthest end", "ms a geodesic")
    for name in CLOSED:
        toy, rows = lm.datasets.toy(name), []
        for seed in seeds:
            x = toy.sample(10_240, 0.01, seed)
            atlas = fit(x)[0].atlas_
            metric, source = InducedMetric(atlas), torch.Generator().manual_seed(seed)
            start = metric.uniform(1000, seed)
            here = metric.local(start)
            unit = torch.randn(here.point.shape, generator=source, dtype=torch.float64)
            unit = torch.nn.functional.normalize(here.project(unit), dim=1)
            length = spread(x) * (2 + 8 * torch.rand(1000, 1, generator=source)).double()
            velocity = here.coordinates(length * unit).unsqueeze(1)
            began = time.process_time()
            end = flow(atlas, start, velocity, torch.ones_like(velocity[:, :, 0]))
            seconds = time.process_time() - began
            there = metric.local(end.located)
            speed = there.vector(end.carried[:, 0]).norm(dim=1) / length.squeeze(1)
            far = toy.distance(there.point)
            rows.append(
                (
                    int((end.time < 1).sum()),
                    float((speed - 1).abs().max()),
                    float(far.max()),
                    seconds,
                )
            )
        ended, off, far, seconds = map(list, zip(*rows, strict=True))
        table.add_row(
            name, f"{1000 * len(rows):,}", str(sum(ended)), f"{max(off):.0e}", show(far), show(seconds, 1)
        )  # fmt: skip
    CONSOLE.print(table)


def agreement(seeds: range, pairs: int = 200) -> None:
    table = Table("largest [95 %]", "jump / noise", "angle", "distance / noise", "log / length")
    for name in CLOSED:
        toy, rows = lm.datasets.toy(name), []
        for seed in seeds:
            atlas = fit(toy.sample(10_240, 0.01, seed))[0].atlas_
            domain, metric = atlas.charts.domain, InducedMetric(atlas)
            source = torch.Generator().manual_seed(seed)
            box = 2 * torch.rand(4000, atlas.dim, generator=source, dtype=torch.float64) - 1
            chart = torch.randint(atlas.n_charts, (len(box),), generator=source)
            out = domain.depth(box, chart) < 0
            border = Located(chart[out], domain.confine(box[out], chart[out]))
            entered, other = atlas.enter(metric.local(border).point, border.chart)
            border, other = (Located(*(v[entered] for v in p)) for p in (border, other))
            here, there = metric.local(border), metric.local(other)
            jump = (here.point - there.point).norm(dim=1) / 0.01
            cosine = torch.linalg.svdvals(here.tangent_basis.mT @ there.tangent_basis)[:, -1]
            at = metric.uniform(pairs, seed)
            ends = [Located(*(v[:pairs] for v in p)) for p in (border, other)]
            at = Located(*(v[: len(ends[0].chart)] for v in at))
            found = [metric.logarithm(at, end) for end in ends]
            finite = found[0].distance.isfinite() & found[1].distance.isfinite()
            longer = (found[0].distance - found[1].distance)[finite].abs() / 0.01
            turned = (found[0].vector - found[1].vector)[finite].norm(dim=1)
            turned = (turned / found[0].distance[finite]).nan_to_num(torch.inf)
            rows.append((jump, cosine.clamp(-1, 1).arccos(), longer, turned))
        columns = (torch.cat(column) for column in zip(*rows, strict=True))
        table.add_row(
            name, *(f"{float(v.max()):.3g} [{float(v.quantile(0.95)):.2g}]" for v in columns)
        )
    CONSOLE.print(table)


def turned(folder: Path) -> None:
    digits = np.load(folder / "mnist.npz")["x_train"].reshape(-1, 28, 28)
    rng = np.random.default_rng(0)
    table = Table("digit", "d", "charts", "seconds", "error", "nearest", "ratio", "healthy")
    for i in rng.choice(len(digits), 10, replace=False):
        angles = rng.uniform(0, 360, 1200)
        x = np.stack([rotate(digits[i] / 255.0, a, reshape=False, order=1) for a in angles])
        train, test = torch.from_numpy(x).float().split([1000, 200])
        model, seconds = fit(train)
        own, near = errors(model, train, test)
        row = [i, model.dim_, model.n_charts_, f"{seconds:.1f}", f"{own:.4f}", f"{near:.4f}"]
        table.add_row(*map(str, row), f"{own / near:.2f}", str(model.quality_.healthy))
    CONSOLE.print(table)


def moved(folder: Path) -> None:
    digits = np.load(folder / "mnist.npz")["x_train"].reshape(-1, 28, 28)
    rng = np.random.default_rng(0)
    table = Table("digit", "d", "charts", "seconds", "error", "nearest", "ratio", "healthy")
    for i in rng.choice(len(digits), 5, replace=False):
        digit = np.pad(digits[i] / 255.0, 4)
        x = np.stack([shift(digit, by, order=1) for by in rng.uniform(-4, 4, (2800, 2))])
        train, test = torch.from_numpy(x).float().split([2500, 300])
        model, seconds = fit(train)
        own, near = errors(model, train, test)
        row = [i, model.dim_, model.n_charts_, f"{seconds:.1f}", f"{own:.4f}", f"{near:.4f}"]
        table.add_row(*map(str, row), f"{own / near:.2f}", str(model.quality_.healthy))
    CONSOLE.print(table)


def coil(folder: Path) -> None:
    file = loadmat(folder / "COIL20.mat")
    x, label = torch.from_numpy(file["X"].astype(float)), file["Y"].ravel()
    out = torch.arange(72) % 4 == 0
    for options in ({}, {"dim": 1}):
        ratios, refused = [], 0
        for k in np.unique(label):
            views = x[torch.from_numpy(label == k)]
            middle = (views.roll(1, 0) + views.roll(-1, 0))[out] / 2
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model, _ = fit(views[~out], **options)
            except ValueError:
                refused += 1
                continue
            own, near = errors(model, views[~out], views[out])
            between = float((middle - views[out]).norm(dim=1).mean()) / spread(views[~out])
            ratios.append((own / between, own / near))
        to_middle, to_near = map(list, zip(*ratios, strict=True))
        CONSOLE.print(
            f"COIL-20, {options}: error over the midpoint's {show(to_middle, 2)}, over the nearest "
            f"view's {show(to_near, 2)}; {refused} of 20 refused"
        )
    held = out.repeat(20)
    for part, name in ((~held, "three views of four"), (held | True, "all views")):
        model, seconds = fit(x[part], dim=1)
        known, own = x[part][torch.from_numpy(~model.left_out_)], label[part][~model.left_out_]
        chart = model.atlas_.locate(known).chart.numpy()
        mixed = [set(own[chart == k].tolist()) for k in range(model.n_charts_)]
        mixed = [objects for objects in mixed if len(objects) > 1]
        near = ""
        if held[part].sum() == 0:
            ratio = np.divide(*errors(model, x[part], x[held]))
            near = f"error over the nearest view's {ratio:.2f}, "
        CONSOLE.print(
            f"COIL-20, all objects, {name}: {int(SampleGraph(model.atlas_).components.max()) + 1} "
            f"components of {model.n_charts_} charts, {len(mixed)} of them with views of several "
            f"objects ({sorted(set().union(*mixed))}); {int(model.left_out_.sum())} views left out; "
            f"{near}{seconds:.1f} s, healthy: {model.quality_.healthy}"
        )


def bars(seeds: range) -> None:
    for side in (32, 64, 128):
        found, took = [], []
        for seed in seeds:
            train = lm.datasets.bars(2000, side, seed=seed)
            test = lm.datasets.bars(200, side, seed=seed + 1000).double()
            model, seconds = fit(train)
            square = (model.atlas_.project(test) - test).square().mean()
            found.append(-10 * math.log10(float(square)))
            took.append(seconds)
        CONSOLE.print(f"bars {side}: {show(found, 1)} dB, {show(took, 1)} s, d = {model.dim_}")


def surface(seeds: range) -> None:
    for seed in seeds:
        rng = np.random.default_rng(seed)
        t = rng.uniform(-1, 1, (2700, 2))
        waves = [t, np.sin(2 * t), np.cos(2 * t), t[:, :1] * t[:, 1:]]
        frame = np.linalg.qr(rng.standard_normal((300, 7)))[0]
        clean = torch.from_numpy(1000 + np.concatenate(waves, 1) @ frame.T)
        noisy = clean + 0.01 * torch.from_numpy(rng.standard_normal(clean.shape))
        model, seconds = fit(noisy[:2500])
        own, near = errors(model, noisy[:2500], clean[2500:])
        row = f"d = {model.dim_}, {model.n_charts_} charts, {seconds:.1f} s"
        CONSOLE.print(f"surface in R^300: {row}, error {own:.4f}, nearest point {near:.4f}")


def bunny(folder: Path, seeds: range) -> None:
    points = lm.datasets.bunny(folder / "bunny_vertices.npy", scaled=True)
    for size in (2000, len(points) - 1000):
        found, floors, took = [], [], []
        for seed in seeds:
            x = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))]
            real, other, train = x[:500], x[500:1000], x[1000 : 1000 + size]
            model, seconds = fit(train)
            for made, values in ((model.sample(500, seed=seed), found), (other, floors)):
                distance = lm.metrics.gromov_wasserstein(
                    real, made, normalize=True, floor=False, seed=seed
                )
                values.append(1000 * distance.value)
            took.append(seconds)
        CONSOLE.print(
            f"bunny, {size:,} points: Gromov-Wasserstein x 1000 {show(found, 1)}, floor "
            f"{show(floors, 1)}; d = {model.dim_}, {model.n_charts_} charts, {show(took, 1)} s, "
            f"healthy: {model.quality_.healthy}"
        )


def cells(folder: Path, seeds: range) -> None:
    file = np.load(folder / "cell_cycle.npz")
    level = np.log2(1e6 * file["counts"] / file["molecules"][:, None] + 1)
    scores = norm.ppf((rankdata(level, axis=0) - 0.5) / len(level))
    centred = scores - scores.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2].T
    inputs = {"two principal components": centred @ axes, "all genes": centred}
    angle = file["angle"]

    def resultant(flat: np.ndarray, angle: np.ndarray) -> float:
        found = np.arctan2(*flat.T[::-1])
        return max(abs(np.exp(1j * (sign * found - angle)).mean()) for sign in (1, -1))

    CONSOLE.print(f"cells: two principal components {resultant(centred @ axes, angle):.3f}")
    for name, x in inputs.items():
        plane = axes if name == "all genes" else np.eye(2)

        def angles(model: lm.KernelAtlas, x: np.ndarray, plane: np.ndarray = plane) -> np.ndarray:
            middle = model.sample(2000, seed=0).double().numpy().mean(0)
            near = model.atlas_.project(torch.from_numpy(x)).numpy()
            return (near - middle) @ plane

        model, seconds = fit(torch.from_numpy(x), dim=1)
        found = resultant(angles(model, x), angle)
        charts = f"{model.n_charts_} charts, {seconds:.1f} s, healthy: {model.quality_.healthy}"
        learned, plain = [], []
        for seed in seeds:
            train, test = np.array_split(np.random.default_rng(seed).permutation(len(x)), 2)
            part, _ = fit(torch.from_numpy(x[train]), dim=1)
            learned.append(resultant(angles(part, x[test]), angle[test]))
            plain.append(resultant(centred[test] @ axes, angle[test]))
        better = np.subtract(learned, plain)
        CONSOLE.print(
            f"cells: circle in {name} {found:.3f}, {charts}; cells held out {show(learned, 3)}, "
            f"principal components {show(plain, 3)}, better by {show(list(better), 3)}"
        )


def noisy(seeds: range) -> None:
    columns = ("noise", "features", "points", "charts", "seconds", "error", "healthy", "told")
    table = Table(*columns, title="circles of radius 1: distance of the true circle's points")
    clean = lm.datasets.circle(500, noise=0.0, seed=1000).double()
    for std in (0.1, 0.2, 0.3, 0.5):
        for n_features in (2, 10):
            for n in (500, 5000):
                rows = []
                for seed in seeds:
                    source = torch.Generator().manual_seed(seed)
                    x = torch.zeros(n, n_features, dtype=torch.float64)
                    x[:, :2] = lm.datasets.circle(n, noise=0.0, seed=seed)
                    x += std * torch.randn(x.shape, generator=source)
                    with warnings.catch_warnings(record=True) as told:
                        warnings.simplefilter("always")
                        model, seconds = fit(x, dim=1)
                    at = torch.nn.functional.pad(clean, (0, n_features - 2))
                    off = float((model.atlas_.project(at) - at).norm(dim=1).mean())
                    healthy = model.quality_.healthy
                    rows.append((model.n_charts_, seconds, off, healthy, bool(told)))
                count, took, error, healthy, said = map(list, zip(*rows, strict=True))
                table.add_row(
                    str(std), str(n_features), str(n), show(count, 0), show(took, 1),
                    show(error, 3), f"{sum(healthy)}", f"{sum(said)}",
                )  # fmt: skip
    CONSOLE.print(table)


def size() -> None:
    for n, n_features in ((1000, 3), (10_000, 3), (100_000, 3), (1_000_000, 3), (2000, 100_000)):
        x = lm.datasets.toy("sphere").sample(n, 0.01, 0)
        if n_features > 3:
            source = torch.Generator().manual_seed(0)
            frame = torch.linalg.qr(torch.randn(n_features, 3, generator=source)).Q
            x = x @ frame.mT
        model, seconds = fit(x)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        CONSOLE.print(
            f"{n:,} points of {n_features:,} features: {seconds:.1f} s, {peak:.1f} GiB at most so far, "
            f"{model.n_charts_} charts"
        )


def main() -> None:
    parts = (
        "toys", "geodesics", "agreement", "turned", "moved", "coil", "bars", "surface", "bunny", "cells",
        "noisy", "size",
    )  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[], metavar="|".join(parts))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=11)
    parser.add_argument("--data", type=Path, default=Path("shared/data"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    runs = {
        "toys": lambda: toys(seeds),
        "geodesics": lambda: geodesics(seeds),
        "agreement": lambda: agreement(seeds),
        "turned": lambda: turned(args.data),
        "moved": lambda: moved(args.data),
        "coil": lambda: coil(args.data),
        "bars": lambda: bars(seeds),
        "surface": lambda: surface(seeds),
        "bunny": lambda: bunny(args.data, seeds),
        "cells": lambda: cells(args.data, seeds),
        "noisy": lambda: noisy(seeds),
        "size": size,
    }
    for part in args.parts or parts:
        if part not in parts:
            parser.error(f"no part {part!r}; there are {', '.join(parts)}")
        runs[part]()


if __name__ == "__main__":
    main()
