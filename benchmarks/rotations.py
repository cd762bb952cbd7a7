"""Encoders onto SO(3): which means are continuous? The toy of a random spectrum.

x = D(R) h of a random spectrum h with |x| = 10 and uniform rotations R, plus noise; the decoder is a
group action with a learned spectrum of the same degree, the encoder has two hidden layers of 100.
Along closed geodesics of rotations, 1,000 points each, the largest squared jump |R_i+1 - R_i|^2 of the
encoder's mode; a smooth encoder has (2 pi sqrt 2 / 1000)^2 = 7.9e-5 on average, a torn one up to 8.

Run: ``python benchmarks/rotations.py --seeds 3`` (one thread: OMP_NUM_THREADS=1)
"""

from __future__ import annotations

import argparse
import math
import statistics
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from learnedmanifolds.latent import Euclidean, GroupAction, Rotations, Sphere
from learnedmanifolds.latent.rotations import exp, random_rotations, random_spectrum
from learnedmanifolds.latent.rotations.action import act
from learnedmanifolds.models import ManifoldVAE

CURVES = 20


def encoder(n_inputs: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, 100), nn.SiLU(), nn.Linear(100, 100), nn.SiLU(),
        nn.Linear(100, n_outputs),
    )  # fmt: skip


def curves(count: int) -> torch.Tensor:
    """Closed geodesics, (count, 1001, 3, 3): full turns about random axes from random rotations."""
    generator = torch.Generator().manual_seed(1)
    axes = torch.randn(count, 1, 3, generator=generator)
    t = torch.linspace(0, 2 * math.pi, 1001).view(-1, 1)
    turns = exp(t * axes / axes.norm(dim=-1, keepdim=True))
    return turns @ random_rotations(count, seed=2).unsqueeze(1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--degree", type=int, default=3)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--starts", type=int, default=8, help="beginnings a training, best kept")
    parser.add_argument("--start-epochs", type=int, default=30)
    parser.add_argument("--means", nargs="+", default=["6d", "quaternion", "axis-angle", "algebra"])
    parser.add_argument("--baselines", action="store_true")
    options = parser.parse_args()
    console = Console()
    points = options.points + 500
    clean, rotations = random_spectrum(points, options.degree, options.channels)
    # The spectrum behind the data, by least squares, to make points along curves.
    spaces = [(f"SO(3), {mean}", Rotations(mean=mean)) for mean in options.means]
    if options.baselines:
        spaces += [(f"R^{d}", Euclidean(d)) for d in (3, 30)] + [("S^3", Sphere(3))]
    table = Table("latent space", "largest jump^2", "median jump^2", "log-likelihood", "ELBO", "s")
    n = clean.shape[1]
    design = torch.cat([act(rotations[:, None], b)[:, 0].flatten(1).unsqueeze(-1)
                        for b in basis(options.degree, options.channels)], -1)  # fmt: skip
    truth = torch.linalg.lstsq(design.flatten(0, 1).double(), clean.flatten().double()).solution
    spectrum = (
        truth.float().view(-1, 1, 1) * torch.stack(basis(options.degree, options.channels))
    ).sum(0)
    along = curves(CURVES)
    images = act(along, spectrum).flatten(-2)
    generator = torch.Generator().manual_seed(0)
    x = clean + options.noise * torch.randn(clean.shape, generator=generator)
    for name, space in spaces:
        rows = []
        for seed in range(options.seeds):
            start = time.perf_counter()
            torch.manual_seed(seed)
            action = GroupAction(options.degree, options.channels)
            decoder = action if isinstance(space, Rotations) else nn.Sequential(
                nn.Linear(space.n_ambient, 100), nn.SiLU(), nn.Linear(100, 100), nn.SiLU(),
                nn.Linear(100, n),
            )  # fmt: skip
            model = ManifoldVAE(
                space, encoder=encoder(n, space.n_parameters), decoder=decoder,
                max_epochs=options.epochs, cosine=True, random_state=seed,
                n_starts=options.starts, start_epochs=options.start_epochs,
            ).fit(x[: options.points])  # fmt: skip
            modes = model.transform(images.flatten(0, 1)).unflatten(0, images.shape[:2])
            jumps = modes.diff(dim=1).flatten(2).square().sum(-1).amax(-1)
            test = x[options.points :]
            rows.append((
                float(jumps.max()), float(jumps.median()),
                float(model.log_likelihood(test, 500, seed=0).mean()),
                float(model.elbo(test, 10, seed=0).mean()), time.perf_counter() - start,
            ))  # fmt: skip
            console.print(name, seed, [f"{v:.4g}" for v in rows[-1]])
        cells = [f"{statistics.median(c):.3g} [{min(c):.3g}, {max(c):.3g}]"
                 for c in zip(*rows, strict=True)]  # fmt: skip
        table.add_row(name, *cells)
    console.print(table)


def basis(degree: int, channels: int) -> list[torch.Tensor]:
    eye = torch.eye((degree + 1) ** 2 * channels)
    return list(eye.view(-1, (degree + 1) ** 2, channels))


if __name__ == "__main__":
    main()
