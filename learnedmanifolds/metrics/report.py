"""All measures of a model that apply, in one table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, generator, integer, positive
from learnedmanifolds.datasets.manifold import ToyManifold
from learnedmanifolds.metrics._points import as_points, optional, subset
from learnedmanifolds.metrics._report_table import Measure, Report
from learnedmanifolds.metrics._subject import Sampler, Subject, subject
from learnedmanifolds.metrics.betti import betti_numbers
from learnedmanifolds.metrics.bi_lipschitz import bi_lipschitz
from learnedmanifolds.metrics.gromov_wasserstein import gromov_wasserstein
from learnedmanifolds.metrics.known_manifold import (
    HasDistance,
    HasProject,
    KnownManifold,
    coverage,
    distance_to,
)
from learnedmanifolds.metrics.mmd import mmd
from learnedmanifolds.metrics.precision_recall import precision_recall
from learnedmanifolds.metrics.psnr import psnr
from learnedmanifolds.metrics.ssim import ssim

# Reconstructions are dear where they are nearest points, and their means settle quickly.
_MOST_RECONSTRUCTIONS = 256
_SSIM_WINDOW = 11
# What `betti_numbers` needs at least, and what it does with in well under a second.
_FEWEST_POINTS, _MOST_BETTI = 12, 2000


@dataclass(frozen=True)
class _Kind:
    """Unit and ideal of a measure."""

    unit: str = "1"
    ideal: float | None = None


_KINDS = {
    "Gromov-Wasserstein": _Kind("diameter^2", 0.0),
    "MMD^2": _Kind(ideal=0.0),
    "MMD p-value": _Kind(),
    "precision": _Kind(ideal=1.0),
    "recall": _Kind(ideal=1.0),
    "density": _Kind(ideal=1.0),
    "coverage": _Kind(ideal=1.0),
    "distance to manifold": _Kind("data units", 0.0),
    "distance to manifold, 95 %": _Kind("data units", 0.0),
    "coverage of manifold": _Kind(ideal=1.0),
    "bi-Lipschitz": _Kind(ideal=1.0),
    "bi-Lipschitz, scale-free": _Kind(ideal=1.0),
    "reconstruction error": _Kind("data units", 0.0),
    "PSNR": _Kind("dB"),
    "SSIM": _Kind(ideal=1.0),
}


@dataclass(frozen=True)
class _Settings:
    manifold: KnownManifold | None
    reference: Tensor | None
    n_gromov: int
    n_neighbors: int
    k: int
    max_dim: int
    n_landmarks: int
    n_permutations: int
    peak: float


def report(
    model: Sampler,
    x: ArrayLike,
    *,
    manifold: KnownManifold | None = None,
    betti: Sequence[int] | None = None,
    n_points: int = 1000,
    n_gromov: int = 300,
    n_repeats: int = 5,
    n_neighbors: int = 20,
    k: int = 5,
    max_dim: int = 2,
    n_landmarks: int = 300,
    n_permutations: int = 200,
    peak: float = 1.0,
    seed: int = 0,
) -> Report:
    """Measure a model against data: all measures that apply, with floors and standard errors.

    Each draw takes new samples, and halves the data anew: the first half is what samples are compared
    with, and what the second half is compared with for the floor, so that both are of equally many
    points. Standard errors are over the draws; they say how much the table would change with other
    samples and halves, not with other data or another training.

    - Gromov-Wasserstein (distances over the largest one), MMD^2 with the mean p-value of its test,
      precision, recall, density, coverage: always.
    - Betti numbers, of as many samples as there are data, up to 2,000: always.
    - Distance to a manifold, and coverage: where a manifold is given.
    - Local bi-Lipschitz constant, at the latent points of the samples and their images: where the model
      has ``transform``, ``encode`` or ``latent_of``.
    - Reconstruction error, the mean distance; PSNR and SSIM of images: where it has ``project``, or
      also ``inverse_transform`` or ``decode``.

    2,000 points of R^3 take about 20 s on one core.

    Parameters
    ----------
    model : object with ``sample(n, seed=)``
        `MixtureVAE`, `ManifoldVAE`, `Atlas`, `Immersion` or any other.
    x : array, shape (N, *ambient_shape)
        Data that the model has not seen, if samples that repeat the training data are to be noticed.
        Of images (N, C, H, W).
    manifold : object with ``distance`` or ``project``, or array, shape (M, *ambient_shape), optional
        The truth: a `ToyManifold`, an atlas, or points spread over it, of which as many are taken for
        the coverage as there are samples.
    betti : sequence of int, optional
        Betti numbers of the truth, the ideal of those of the samples; their number sets ``max_dim``.
    n_points : int
        Samples and data compared in a draw; not more than half the data are.
    n_gromov : int
        The same for Gromov-Wasserstein, which takes time like its cube.
    n_repeats : int
        Draws.
    n_neighbors : int
        Of `bi_lipschitz`.
    k : int
        Of `precision_recall` and `coverage`.
    max_dim, n_landmarks : int
        Of `betti_numbers`.
    n_permutations : int
        Of `mmd`.
    peak : float
        Of `psnr` and `ssim`.
    seed : int
        Of everything; draw i takes ``model.sample(n, seed=seed + i)``.

    Returns
    -------
    Report

    Raises
    ------
    ImportError
        If POT or ripser is not installed.
    TypeError, ValueError
        If the model cannot sample, its samples do not have the shape of the data or are not finite,
        there are too few data, or a setting is out of range.
    """
    optional("ot")
    optional("ripser")
    about = subject(model)
    data = as_tensor(x, "x", allow_empty=False).detach().cpu()
    n_repeats = integer(n_repeats, "n_repeats", minimum=1)
    truth = None if betti is None else _betti(betti)
    integer(n_points, "n_points", minimum=1)
    n = min(n_points, len(data) // 2)
    settings = _Settings(
        manifold,
        _reference(manifold, max(1, n)),
        integer(n_gromov, "n_gromov", minimum=2),
        integer(n_neighbors, "n_neighbors", minimum=1),
        integer(k, "k", minimum=1),
        integer(max_dim, "max_dim", minimum=0) if truth is None else len(truth) - 1,
        integer(n_landmarks, "n_landmarks", minimum=4),
        integer(n_permutations, "n_permutations", minimum=1),
        positive(peak, "peak"),
    )
    fewest = max(_FEWEST_POINTS, settings.n_neighbors + 1, settings.k + 1)
    as_points(data, "x", 2 * fewest)
    if n < fewest:
        raise ValueError(f"n_points must be at least {fewest} for these neighbours, got {n_points}")
    integer(seed, "seed", minimum=0)

    found: list[dict[str, float]] = []
    floors: list[dict[str, float]] = []
    n_betti = min(len(data), _MOST_BETTI)
    for draw in range(seed, seed + n_repeats):
        order = torch.randperm(len(data), generator=generator(draw))
        real, other = data[order[:n]], data[order[n : 2 * n]]
        many = about.sample(max(n, n_betti), draw, tuple(data.shape[1:])).cpu().to(real)
        made = many[:n]
        floors.append(
            _compare(other, real, settings, draw)
            | _topology(data[order[:n_betti]], settings, draw)
            | _truth(other, settings)
        )
        found.append(
            _compare(made, real, settings, draw)
            | _topology(many[:n_betti], settings, draw)
            | _truth(made, settings)
            | _latent(about, made, real, settings)
        )
    measures = tuple(_measure(name, found, floors, truth) for name in found[0])
    return Report(about.name, measures, n, min(n, settings.n_gromov), n_betti, n_repeats)


def _compare(made: Tensor, real: Tensor, s: _Settings, seed: int) -> dict[str, float]:
    gromov = gromov_wasserstein(
        made, real, normalize=True, max_points=s.n_gromov, floor=False, seed=seed
    )
    discrepancy = mmd(made, real, n_permutations=s.n_permutations, seed=seed)
    supports = precision_recall(made, real, s.k)
    return {
        "Gromov-Wasserstein": gromov.value,
        "MMD^2": discrepancy.value,
        "MMD p-value": math.nan if discrepancy.p_value is None else discrepancy.p_value,
        "precision": supports.precision,
        "recall": supports.recall,
        "density": supports.density,
        "coverage": supports.coverage,
    }


def _topology(points: Tensor, s: _Settings, seed: int) -> dict[str, float]:
    found = betti_numbers(points, s.max_dim, n_landmarks=s.n_landmarks, seed=seed)
    return {f"Betti {i}": float(b) for i, b in enumerate(found.numbers)}


def _truth(made: Tensor, s: _Settings) -> dict[str, float]:
    values: dict[str, float] = {}
    if s.manifold is not None:
        gaps = distance_to(made, s.manifold)
        values["distance to manifold"] = gaps.mean
        values["distance to manifold, 95 %"] = gaps.quantile_95
    if s.reference is not None:
        values["coverage of manifold"] = coverage(made, s.reference, k=s.k)
    return values


def _latent(about: Subject, made: Tensor, real: Tensor, s: _Settings) -> dict[str, float]:
    values: dict[str, float] = {}
    latent = about.latent(made)
    if latent is not None:
        z, image, chart = latent
        constants = bi_lipschitz(z, image, s.n_neighbors, chart=chart)
        values["bi-Lipschitz"] = constants.median
        values["bi-Lipschitz, scale-free"] = constants.scale_free_median
    given = real[:_MOST_RECONSTRUCTIONS]
    again = about.reconstruct(given)
    if again is None:
        return values
    again = again.to(given)
    values["reconstruction error"] = float((again - given).flatten(1).double().norm(dim=1).mean())
    if given.ndim == 4:
        values["PSNR"] = float(psnr(again, given, s.peak).mean())
        if min(given.shape[-2:]) >= _SSIM_WINDOW:
            values["SSIM"] = float(ssim(again, given, s.peak, window=_SSIM_WINDOW).mean())
    return values


def _measure(
    name: str,
    found: list[dict[str, float]],
    floors: list[dict[str, float]],
    truth: tuple[int, ...] | None,
) -> Measure:
    kind = _KINDS.get(name, _Kind())
    ideal = kind.ideal
    if name.startswith("Betti") and truth is not None:
        ideal = float(truth[int(name.split()[1])])
    value, error = _mean([row[name] for row in found])
    if name not in floors[0]:
        return Measure(name, value, error, None, None, ideal, kind.unit)
    floor, floor_error = _mean([row[name] for row in floors])
    return Measure(name, value, error, floor, floor_error, ideal, kind.unit)


def _mean(values: list[float]) -> tuple[float, float]:
    """Mean and its standard error."""
    if len(values) == 1:
        return values[0], math.nan
    drawn = torch.tensor(values, dtype=torch.float64)
    return float(drawn.mean()), float(drawn.std()) / math.sqrt(len(values))


def _reference(manifold: KnownManifold | None, n: int) -> Tensor | None:
    """At most n points spread over the manifold, where they can be had."""
    if manifold is None:
        return None
    if isinstance(manifold, ToyManifold):
        return manifold.grid(n)
    if isinstance(manifold, HasDistance | HasProject):
        return None
    return subset(as_tensor(manifold, "manifold", allow_empty=False).detach(), n, generator(0))


def _betti(numbers: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(numbers, Sequence) or isinstance(numbers, str):
        raise TypeError(f"betti must be a sequence of integers, got {type(numbers).__name__}")
    if not numbers:
        raise ValueError("betti must hold at least one number, got none")
    return tuple(integer(b, "betti", minimum=0) for b in numbers)
