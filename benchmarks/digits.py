"""Digits with half their pixels hidden: the atlas against the PCA subspace of the same dimension.

python benchmarks/digits.py [--seeds 5] [--first-seed 10] [--images 100]

The number of charts and the dimension were chosen on seed 0. A seed draws the split, the training
and the masks. Errors are root mean square, on hidden pixels.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds import datasets, plot
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.demo import half_visible
from learnedmanifolds.inverse import InverseProblem, operators, solve
from learnedmanifolds.inverse.pca import PrincipalSubspace
from learnedmanifolds.models import MixtureVAE, Schedule

DIGITS_SHAPE = (8, 8)
DIGITS_SCHEDULE = Schedule(seeding_steps=200, mixture_steps=200, overlap_steps=300, trim=False)
"""Shorter than the default: 1,697 images overfit before the default's end."""


@dataclass(frozen=True)
class Restored:
    """Root mean square errors on the hidden pixels, seconds."""

    quality: dict[str, Any]
    atlas_error: float
    pca_error: float
    ratio: float
    n_images: int
    seconds: dict[str, float]


def restore_digits(
    folder: Path, seed: int, verbose: bool, n_images: int = 10, n_charts: int = 5, dim: int = 4
) -> Restored:
    """Learn digits, restore held-out ones of which half the pixels are hidden, against PCA."""
    start = time.perf_counter()
    data = datasets.digits(seed)
    model = MixtureVAE(
        n_charts,
        dim,
        noise_std=0.1,
        schedule=DIGITS_SCHEDULE,
        max_restarts=0,
        random_state=seed,
        verbose=verbose,
    )
    with warnings.catch_warnings():
        # Digits are no manifold of four dimensions: the figures that the warning repeats are printed.
        warnings.simplefilter("ignore", UserWarning)
        model.fit(data.train)
    trained = time.perf_counter()
    truth = data.test[:n_images].double()
    visible = half_visible(n_images, truth.shape[1], seed)
    linear = PrincipalSubspace(data.train, dim)
    atlas = model.atlas_.to(torch.float64)
    restored = torch.stack(
        [restore(atlas, y, mask, seed) for y, mask in zip(truth, visible, strict=True)]
    )
    flat = torch.stack([linear.restore(y, m) for y, m in zip(truth, visible, strict=True)])
    solved = time.perf_counter()
    hidden = ~visible
    ours = float((restored - truth)[hidden].square().mean().sqrt())
    theirs = float((flat - truth)[hidden].square().mean().sqrt())
    shown = {
        "truth": truth,
        "observed": torch.where(visible, truth, torch.nan),
        f"atlas, d = {dim}": restored,
        f"PCA, d = {dim}": flat,
    }
    rows = {name: values[:10] for name, values in shown.items()}
    plot.images(rows, DIGITS_SHAPE).savefig(folder / "digits.png", dpi=200, bbox_inches="tight")
    return Restored(
        model.quality_.to_dict(),
        ours,
        theirs,
        ours / theirs,
        n_images,
        {"train": trained - start, "solve": solved - trained},
    )


def restore(atlas: Atlas, observed: Tensor, visible: Tensor, seed: int) -> Tensor:
    """Point of the atlas that fits the visible entries best: trust regions from a good start a chart."""
    operator = operators.mask(visible)
    problem = InverseProblem(operator, observed[visible])
    coords = atlas.sample_coords(512, seed).coords
    starts = []
    for k in range(atlas.n_charts):
        candidates = atlas.decode(coords, k)
        misfit = (candidates[:, visible] - observed[visible]).square().sum(-1)
        starts.append(candidates[misfit.argmin()])
    solution = solve(
        problem,
        atlas,
        initial_points=torch.stack(starts),
        max_iterations=30,
        min_gradient_norm=1e-4,
    )
    return torch.from_numpy(solution.point)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--images", type=int, default=100)
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    ratios = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            result = restore_digits(Path(folder), seed, False, n_images=arguments.images)
        ratios.append(result.ratio)
        print(
            f"seed {seed}: atlas {result.atlas_error:.4f}, PCA {result.pca_error:.4f}, ratio "
            f"{result.ratio:.3f}; train {result.seconds['train']:.1f} s, restore "
            f"{result.seconds['solve']:.1f} s",
            flush=True,
        )
    print(f"ratio, median {np.median(ratios):.3f} [{min(ratios):.3f}, {max(ratios):.3f}]")


if __name__ == "__main__":
    main()
