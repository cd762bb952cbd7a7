"""The demonstration of the command line: two circles, then a handwritten digit that turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from learnedmanifolds import datasets, plot
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.inverse import Comparison, InverseProblem, compare, operators, solve
from learnedmanifolds.inverse.gaussians import Gaussians
from learnedmanifolds.models import KernelAtlas

_SIZE = 16
_NOISE = 0.05


@dataclass(frozen=True)
class CirclesDemo:
    """What the first half shows: figures of the atlas, the comparison, seconds."""

    atlas: Atlas
    quality: dict[str, Any]
    comparison: Comparison
    seconds: dict[str, float]


@dataclass(frozen=True)
class DigitDemo:
    """What the second half shows: root mean square errors on the hidden pixels by method, seconds."""

    atlas: Atlas
    quality: dict[str, Any]
    errors: dict[str, float]
    n_images: int
    seconds: dict[str, float]


def circles_demo(folder: Path, seed: int) -> CirclesDemo:
    """Learn two circles from points alone, compare three optimizers on the distance to the origin."""
    toy = datasets.toy("two_circles")
    start = time.perf_counter()
    x = toy.sample(toy.settings.n, toy.settings.noise, seed)
    model = KernelAtlas(random_state=seed).fit(x)
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
        {"learn": trained - start, "solve": solved - trained},
    )


def digit_demo(folder: Path, seed: int, n_views: int = 2000, n_images: int = 8) -> DigitDemo:
    """Learn a turning digit from noisy pictures, restore new ones of which half the pixels are hidden."""
    start = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    digit = datasets.digits(seed).test[0].view(8, 8).double()
    angles = 2 * math.pi * torch.rand(n_views + n_images, generator=generator, dtype=torch.float64)
    clean = turned(digit, angles)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    views, truth = (clean + _NOISE * noise)[:n_views], clean[n_views:]
    model = KernelAtlas(dim=1, random_state=seed).fit(views)  # a turn is one angle
    learned = time.perf_counter()
    observed = (clean + _NOISE * noise)[n_views:]
    visible = half_visible(n_images, _SIZE**2, seed).view(-1, _SIZE, _SIZE)
    restored = []
    for picture, mask in zip(observed, visible, strict=True):
        problem = InverseProblem(operators.mask(mask), picture[mask], noise_std=_NOISE)
        solution = solve(problem, model.atlas_, "levenberg-marquardt", n_starts=3, seed=seed)
        restored.append(torch.as_tensor(solution.point).view(_SIZE, _SIZE))
    solved = time.perf_counter()
    ways = {"on the atlas": torch.stack(restored), **_others(views, observed, visible, seed)}
    errors = {
        name: float((made - truth)[~visible].square().mean().sqrt()) for name, made in ways.items()
    }
    shown = {"truth": truth, "observed": torch.where(visible, observed, torch.nan), **ways}
    rows = {name: values.flatten(1) for name, values in shown.items()}
    _save(plot.images(rows, (_SIZE, _SIZE)), folder / "digit.png")
    _save(model.atlas_.plot(), folder / "digit_atlas.png")
    return DigitDemo(
        model.atlas_,
        model.quality_.to_dict(),
        errors,
        n_images,
        {"learn": learned - start, "solve": solved - learned},
    )


def _others(views: Tensor, observed: Tensor, visible: Tensor, seed: int) -> dict[str, Tensor]:
    """What a user would pick instead: means of neighbours and mixtures of Gaussians.

    How many of them is best on an eighth of the views that is left out.
    """
    held, rest = views[::8].flatten(1), views[torch.arange(len(views)) % 8 > 0].flatten(1)
    masks = half_visible(len(held), _SIZE**2, seed + 1)

    def neighbours(k: int) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda y, mask: rest[
            (rest[:, mask] - y[mask]).square().sum(1).topk(k, largest=False).indices
        ].mean(0)

    def error(way: Callable[[Tensor, Tensor], Tensor]) -> float:
        made = torch.stack([way(y, mask) for y, mask in zip(held, masks, strict=True)])
        return float((made - held)[~masks].square().mean())

    families: dict[str, list[Callable[[Tensor, Tensor], Tensor]]] = {
        "mean of neighbours": [neighbours(k) for k in (1, 3, 5, 10, 20)],
        "mixture of Gaussians": [Gaussians(rest, c, 1e-3, seed).restore for c in (5, 10, 20)],
    }
    pictures = list(zip(observed.flatten(1), visible.flatten(1), strict=True))
    made = {}
    for name, family in families.items():
        best = min(family, key=error)
        made[name] = torch.stack([best(y, mask) for y, mask in pictures]).view_as(observed)
    return made


def turned(picture: Tensor, angles: Tensor) -> Tensor:
    """A picture (8, 8) turned by angles (N,) in radians, (N, 16, 16)."""
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    # The frame is wider than the picture, whose corners turn inside it.
    turns = 1.3 * torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    grid = affine_grid(turns, [len(angles), 1, _SIZE, _SIZE], align_corners=False)
    repeated = picture.expand(len(angles), 1, -1, -1)
    return grid_sample(repeated, grid, mode="bicubic", align_corners=False).squeeze(1)


def half_visible(count: int, size: int, seed: int) -> Tensor:
    """Masks (count, size) with half the entries visible, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(count, size, generator=generator, dtype=torch.float32).argsort(-1)
    return order < size // 2


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=200, bbox_inches="tight")
