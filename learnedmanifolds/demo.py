"""The demonstration of the command line: two circles, then handwritten digits."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from learnedmanifolds import datasets, plot
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.inverse import Comparison, InverseProblem, compare, operators, solve
from learnedmanifolds.inverse.pca import PrincipalSubspace
from learnedmanifolds.models import MixtureVAE, Schedule

DIGITS_SHAPE = (8, 8)
DIGITS_SCHEDULE = Schedule(seeding_steps=200, mixture_steps=200, overlap_steps=300, trim=False)
"""Shorter than the default: 1,697 images overfit before the default's end."""


@dataclass(frozen=True)
class CirclesDemo:
    """What the first half shows: figures of the atlas, the comparison, seconds."""

    atlas: Atlas
    quality: dict[str, Any]
    comparison: Comparison
    seconds: dict[str, float]


@dataclass(frozen=True)
class DigitsDemo:
    """What the second half shows: root mean square errors on the hidden pixels, seconds."""

    quality: dict[str, Any]
    atlas_error: float
    pca_error: float
    ratio: float
    n_images: int
    seconds: dict[str, float]


def circles_demo(folder: Path, seed: int, verbose: bool) -> CirclesDemo:
    """Learn two circles and compare three optimizers on the distance to the origin."""
    toy = datasets.toy("two_circles")
    start = time.perf_counter()
    x = toy.sample(toy.settings.n, toy.settings.noise, seed)
    model = MixtureVAE(
        toy.settings.n_charts,
        toy.settings.dim,
        noise_std=toy.settings.noise_std,
        random_state=seed,
        verbose=verbose,
    ).fit(x)
    trained = time.perf_counter()
    target = torch.zeros(2, dtype=torch.float64)
    problem = InverseProblem(operators.Identity(), target)
    comparison = compare(problem, model.atlas_, n_starts=8, seed=seed)
    solved = time.perf_counter()
    ax = plot.charts(model.atlas_, x)
    first = comparison.solutions["trust-regions"]
    plot.trajectories([run.history.points for run in first.runs], ax, target)
    _save(ax.figure, folder / "two_circles.png")
    _save(comparison.plot(), folder / "two_circles_convergence.png")
    return CirclesDemo(
        model.atlas_,
        model.quality_.to_dict(),
        comparison,
        {"train": trained - start, "solve": solved - trained},
    )


def digits_demo(
    folder: Path, seed: int, verbose: bool, n_images: int = 10, n_charts: int = 5, dim: int = 4
) -> DigitsDemo:
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
    _save(plot.images(rows, DIGITS_SHAPE), folder / "digits.png")
    return DigitsDemo(
        model.quality_.to_dict(),
        ours,
        theirs,
        ours / theirs,
        n_images,
        {"train": trained - start, "solve": solved - trained},
    )


def half_visible(count: int, size: int, seed: int) -> Tensor:
    """Masks (count, size) with half the entries visible, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(count, size, generator=generator, dtype=torch.float32).argsort(-1)
    return order < size // 2


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


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=200, bbox_inches="tight")
