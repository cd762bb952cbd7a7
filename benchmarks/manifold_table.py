"""Samples and maps of this library's models and of baselines, in the setting of the VDAE's table 1.

For every data set, model and seed:

- Gromov-Wasserstein distance x 1000 between n samples and n data points, distances over the largest
  one, and beside it its floor: the same between two halves of data, n points each. The data compared
  are held out from the training. "Draws" are samples of the model, with the noise of its likelihood;
  "means" are without, as published.
- Local bi-Lipschitz constant of the map from latent space to data at (up to 2,000) training data, the
  median over points, with k = 100 neighbours, or a fifth of the points; no space is rescaled, as in the
  published code. The scale-free variant, root of largest over smallest stretch, beside it.

Medians over seeds, with the range. The published numbers are of other samples of another size, so
that only the floor says how far a value could fall.

Run: ``OMP_NUM_THREADS=1 python benchmarks/manifold_table.py --data circle torus --seeds 3``
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from baselines import BASELINES, WassersteinGAN, autoencoder
from rich.console import Console
from rich.table import Table
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.diffusion import SpectralNet
from learnedmanifolds.geometry import Located
from learnedmanifolds.latent import Circle, Sphere, Torus
from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.metrics import bi_lipschitz, gromov_wasserstein

FOLDER = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
STEPS = 4
"""Of the random walk, those of the published example."""
MOST_MAPPED, MOST_NEIGHBOURS = 2000, 100


@dataclass(frozen=True)
class Row:
    """A data set and how models are set for it.

    Attributes
    ----------
    draw : callable
        (path, number of points, seed) -> points (N, n); at most so many, in random order.
    file : str or None
        Of the data in the folder.
    size : int
        Coordinates of the latent spaces that know nothing about the data, as published.
    latent : LatentSpace or None
        Of the right topology, where it is known.
    atlas : dict
        Settings of `MixtureVAE`, empty where the dimension is not known.
    diffusion : dict
        Settings of `DiffusionVAE`.
    noise : float
        Standard deviation of noise added to all training data, in every coordinate: `MixtureVAE`
        learns its noise from the data, and narrows its charts where there is none.
    published : (float, float, float)
        Gromov-Wasserstein x 1000 of the VDAE and its spread, bi-Lipschitz constant.
    """

    draw: Callable[[Path, int, int], Tensor]
    file: str | None
    size: int
    latent: LatentSpace | None
    atlas: dict[str, Any]
    diffusion: dict[str, Any]
    noise: float
    published: tuple[float, float, float]


def shuffled(x: Tensor, n: int, seed: int) -> Tensor:
    """At most n points, flat, in random order."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x.flatten(1)[order[:n]]


def torus(path: Path, n: int, seed: int) -> Tensor:
    """Radii 2 and 1, scaled to the box [-1, 1]^3."""
    return lm.datasets.Torus(2.0, 1.0).sample(n, seed=seed) / 3


def images(size: int, **kernel: Any) -> dict[str, Any]:
    """The diffusion VAE's settings for images.

    No kernel of one width fits all of them, and the Nystrom extension is poor at decoded images, which
    are near no datum: a network is not. The density of the data is kept.
    """
    settings = {"n_neighbors": 64, "cutoff": 0.01, **kernel}
    net = SpectralNet(
        size, alpha=0.0, local_scale=10, hidden=(256, 128), random_state=0, **settings
    )
    return {"diffusion": net, "hidden": (256, 256), "max_steps": 3000}


ROWS = {
    "circle": Row(
        lambda path, n, seed: lm.datasets.circle(n, noise=0.0, seed=seed), None, 2, Circle(),
        {"n_charts": 2, "dim": 1, "noise_std": 0.01}, {"n_components": 2}, 0.01, (2.6, 1.3, 3.1),
    ),
    "torus": Row(
        torus, None, 3, Torus(2), {"n_charts": 6, "dim": 2, "noise_std": 0.015},
        {"n_components": 12}, 0.01, (4.9, 0.5, 4.8),
    ),
    "bunny": Row(
        lambda path, n, seed: shuffled(lm.datasets.bunny(path, scaled=True), n, seed),
        "bunny_vertices.npy", 3, Sphere(2), {"n_charts": 6, "dim": 2, "noise_std": 0.015},
        {"n_components": 12}, 0.01, (2.9, 1.1, 5.5),
    ),
    "frey": Row(
        lambda path, n, seed: shuffled(lm.datasets.frey_faces(path, scaled=True).images, n, seed),
        "frey_rawface.mat", 5, None, {}, images(20), 0.0, (9.7, 3.3, 29.7),
    ),
    "mnist": Row(
        lambda path, n, seed: shuffled(lm.datasets.mnist(path).images, n, seed),
        "mnist.npz", 10, None, {}, images(40), 0.0, (14.4, 3.5, 8.4),
    ),
    "coil20": Row(
        lambda path, n, seed: shuffled(lm.datasets.coil20(path, scaled=True).images, n, seed),
        "COIL20.mat", 10, None, {}, images(20, n_neighbors=None, cutoff=1e-5), 0.0, (11.8, 2.1, 3.1),
    ),
}  # fmt: skip

Build = Callable[[Row, Tensor, int, int], Any]
"""(row, data, steps, seed) -> model; None where the model is not for these data."""


def walk(row: Row, x: Tensor, steps: int, seed: int) -> Any:
    """The diffusion VAE, with its own number of steps."""
    return lm.DiffusionVAE(random_state=seed, **row.diffusion)


def atlas(row: Row, x: Tensor, steps: int, seed: int) -> Any:
    """Charts of the known dimension, with their own schedule."""
    return lm.MixtureVAE(random_state=seed, **row.atlas) if row.atlas else None


def right_latent(row: Row, x: Tensor, steps: int, seed: int) -> Any:
    """A latent space of the topology of the data."""
    if row.latent is None:
        return None
    return autoencoder(row.latent, x, 2 * steps, seed, spectral_start=True, start_epochs=40)


def baseline(name: str) -> Build:
    return lambda row, x, steps, seed: BASELINES[name](row.size, x, steps, seed)


MODELS: dict[str, Build] = {
    "DiffusionVAE": walk,
    "MixtureVAE": atlas,
    "ManifoldVAE": right_latent,
    **{name: baseline(name) for name in BASELINES},
}


def latent_map(model: Any, x: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """Latent points (N, ...), their images, and their charts where there are several."""
    if isinstance(model, WassersteinGAN):
        z = model.draw_latent(len(x), seed)
        return z, model.inverse_transform(z), None
    z = model.transform(x)
    image = model.inverse_transform(z)
    if isinstance(z, Located):
        return z.coords, image, z.chart
    return z, image, None


@dataclass(frozen=True)
class Figures:
    """What is measured of one model: figures without unit, processor seconds of its training."""

    distance: float
    of_means: float
    stretch: float
    scale_free: float
    seconds: float


def measure(
    build: Build, row: Row, train: Tensor, real: Tensor, n: int, steps: int, seed: int
) -> Figures | None:
    model = build(row, train, steps, seed)
    if model is None:
        return None
    start = time.process_time()
    source = torch.Generator().manual_seed(seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.fit(train + row.noise * torch.randn(train.shape, generator=source))
    for warning in caught:
        print(f"{type(model).__name__}: {warning.message}")
    seconds = time.process_time() - start
    means = model.sample(n, seed=seed, **({"steps": STEPS} if build is walk else {}))
    draws = means + noise_of(model) * torch.randn(means.shape, generator=source)
    distance, of_means = (
        1000
        * gromov_wasserstein(real, made, normalize=True, max_points=n, floor=False, seed=seed).value
        for made in (draws, means)
    )
    z, image, chart = latent_map(model, train[:MOST_MAPPED], seed)
    constants = bi_lipschitz(z, image, neighbours(len(image)), chart=chart)
    return Figures(distance, of_means, constants.median, constants.scale_free_median, seconds)


def noise_of(model: Any) -> float:
    """Standard deviation of a model's likelihood; 0 where it has none."""
    if isinstance(model, lm.MixtureVAE):
        return model.atlas_.noise_std
    if isinstance(model, lm.ManifoldVAE):
        return float(model.network_.log_noise.exp())
    return float(getattr(model, "noise_std_", 0.0))


def neighbours(count: int) -> int:
    """How many neighbours the bi-Lipschitz constant of so many points is taken over."""
    return min(MOST_NEIGHBOURS, count // 5)


def spread(values: list[float], digits: int = 1) -> str:
    """Median and range."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def run(name: str, options: argparse.Namespace, console: Console) -> None:
    """Measure all models on one data set and print the table."""
    row = ROWS[name]
    path = options.data_folder / (row.file or "")
    if row.file and not path.exists():
        console.print(f"{name}: skipped, there is no {path}")
        return
    found: dict[str, list[Figures]] = {}
    floors: list[float] = []
    n = train_size = 0
    for seed in range(options.seeds):
        x = row.draw(path, options.train + 2 * options.n, seed)
        real = x[: min(2 * options.n, len(x) // 2)]
        train, n = x[len(real) :], min(options.n, len(real) // 2)
        train_size = len(train)
        floor = gromov_wasserstein(real[:n], real[n : 2 * n], normalize=True, max_points=n,
                                   floor=False, seed=seed)  # fmt: skip
        floors.append(1000 * floor.value)
        for model in options.models:
            try:
                figures = measure(MODELS[model], row, train, real, n, options.steps, seed)
            except (RuntimeError, ValueError) as error:
                console.print(f"{name}, {model}, seed {seed}: failed: {error}")
                continue
            if figures is not None:
                found.setdefault(model, []).append(figures)
                console.print(f"{name}, {model}, seed {seed}: {figures}", soft_wrap=True)
    value, deviation, stretch = row.published
    mapped = min(train_size, MOST_MAPPED)
    table = Table(
        "model", "GW x 1000, draws", "means", "bi-Lipschitz", "scale-free", "training (s)", "runs",
        title=f"{name}: {train_size} training data; GW of n = {n} held-out; bi-Lipschitz with "
        f"k = {neighbours(mapped)} of {mapped}",
    )  # fmt: skip
    for model, runs in found.items():
        table.add_row(
            model,
            spread([f.distance for f in runs]),
            spread([f.of_means for f in runs]),
            spread([f.stretch for f in runs]),
            spread([f.scale_free for f in runs]),
            f"{statistics.median(f.seconds for f in runs):.0f}",
            str(len(runs)),
        )
    table.add_row("floor: data against data", spread(floors), "", "", "", "", str(len(floors)))
    table.add_row("published VDAE", "", f"{value} ({deviation})", f"{stretch}", "", "", "")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n", type=int, default=500, help="points compared")
    parser.add_argument("--train", type=int, default=2000, help="training data at most")
    parser.add_argument("--steps", type=int, default=2000, help="of a baseline's training")
    parser.add_argument("--data-folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    console = Console(width=110)
    for name in options.data:
        run(name, options, console)


if __name__ == "__main__":
    main()
