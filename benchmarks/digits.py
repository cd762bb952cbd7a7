"""Digits with half their pixels hidden: an atlas against neighbours, mixtures of Gaussians and PCA.

python benchmarks/digits.py [--seeds 5] [--first-seed 10] [--images 100] [--dim 6 --charts auto]

1,697 pictures to learn from, held-out ones to restore. The best fit is the point of the manifold that
is nearest on the visible pixels; the mean is that of the atlas' density and noise given these pixels, by
importance sampling. Neighbours (k), mixtures (components, ridge) and, unless they are given, dimension
and number of charts are those whose answer is best on pictures left out of training. A seed draws the
split, the training and the masks. Errors are root mean square, on hidden pixels; log-likelihoods are
means over the held-out pictures, in nats.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings

import numpy as np
import torch
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.demo import half_visible
from learnedmanifolds.inverse.gaussians import Gaussians
from learnedmanifolds.inverse.pca import PrincipalSubspace

DRAWS = 20_000
# Dimensions and numbers of charts that are tried.
ATLASES = ((1, 10), (1, 20), (2, 5), (2, 10), (2, 20), (3, 5))


def best_fit(atlas: lm.Atlas, observed: Tensor, visible: Tensor, seed: int) -> Tensor:
    """Point of the atlas that fits the visible entries best."""
    problem = lm.InverseProblem(lm.operators.mask(visible), observed[visible], noise_std=0.1)
    solution = lm.solve(problem, atlas, "levenberg-marquardt", n_starts=5, seed=seed, n_screen=2000)
    return torch.as_tensor(solution.point)


def given(visible: Tensor, y: Tensor, means: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Log weights (M,) and means (M, n) of Gaussians about points given visible entries y."""
    gap = y[visible] - means[:, visible]
    factor = torch.linalg.cholesky(cov[visible][:, visible])
    white = torch.linalg.solve_triangular(factor, gap.mT, upper=False)
    log_weight = -0.5 * white.square().sum(0) - factor.diagonal().log().sum()
    gain = torch.cholesky_solve(cov[visible], factor)
    restored = means + gap @ gain
    return log_weight, restored


def mean_of(noise, points: Tensor, region: Tensor, y: Tensor, visible: Tensor) -> Tensor:
    """Mean of draws from the density (M, n), in regions of the noise (M,), given visible entries."""
    logs, means = [], []
    for k in region.unique().tolist():
        own = points[region == k]
        directions = noise.directions[k]
        cov = noise.std[k] ** 2 * torch.eye(len(y), dtype=y.dtype) + directions @ directions.mT
        log_weight, restored = given(visible, y, own, cov)
        logs.append(log_weight)
        means.append(restored)
    return torch.softmax(torch.cat(logs), 0) @ torch.cat(means)


def of_neighbours(train: Tensor, y: Tensor, visible: Tensor, k: int) -> Tensor:
    """Mean of the k pictures that are nearest on the visible entries."""
    near = (train[:, visible] - y[visible]).square().sum(1).topk(k, largest=False).indices
    return train[near].mean(0)


def learned(train: Tensor, dim: int, charts: int | str, seed: int) -> lm.Atlas:
    with warnings.catch_warnings():
        # Digits are no manifold of any dimension: what is learned is an approximation.
        warnings.simplefilter("ignore", UserWarning)
        return lm.KernelAtlas(charts, dim=dim, random_state=seed).fit(train).atlas_


def means_of(atlas: lm.Atlas, pairs: list[tuple[Tensor, Tensor]], seed: int) -> Tensor:
    draws = atlas.sample_coords(DRAWS, seed)
    points = atlas.decode(draws.coords, draws.chart)
    noise = atlas.distribution.noise
    region = noise.region(points)
    return torch.stack([mean_of(noise, points, region, y, v) for y, v in pairs])


def error(restored: Tensor, wanted: Tensor, mask: Tensor) -> float:
    return float((restored - wanted)[~mask].square().mean().sqrt())


def restore_digits(
    seed: int, n_images: int, dim: int | None, charts: int | str
) -> dict[str, float]:
    data = lm.datasets.digits(seed)
    train, truth = data.train.double(), data.test[:n_images].double()
    visible = half_visible(len(truth), truth.shape[1], seed)
    pairs = list(zip(truth, visible, strict=True))
    half, rest = train[: len(train) * 4 // 5], train[len(train) * 4 // 5 :]
    masks = half_visible(len(rest), truth.shape[1], seed + 1)
    held = list(zip(rest, masks, strict=True))
    start = time.perf_counter()
    kind = (dim, charts)
    if dim is None:
        kind = min(
            ATLASES, key=lambda k: error(means_of(learned(half, *k, seed), held, seed), rest, masks)
        )
    chose = time.perf_counter()
    atlas = learned(train, *kind, seed)
    ended = time.perf_counter()
    means = means_of(atlas, pairs, seed)
    fits = torch.stack([best_fit(atlas, y, v, seed) for y, v in pairs])
    k = min(
        (3, 5, 8, 12, 20),
        key=lambda k: error(
            torch.stack([of_neighbours(half, y, v, k) for y, v in held]), rest, masks
        ),
    )
    sizes = [(c, ridge) for c in (10, 20, 40, 80) for ridge in (1e-3, 3e-3, 1e-2)]

    tried = {size: Gaussians(half, *size, random_state=seed) for size in sizes}
    chosen = min(
        sizes,
        key=lambda s: error(torch.stack([tried[s].restore(y, v) for y, v in held]), rest, masks),
    )
    gaussians = Gaussians(train, *chosen, random_state=seed)
    linear = PrincipalSubspace(data.train, kind[0])
    found = {
        "best fit": error(fits, truth, visible),
        "mean": error(means, truth, visible),
        "neighbours": error(
            torch.stack([of_neighbours(train, y, v, k) for y, v in pairs]), truth, visible
        ),
        "Gaussians": error(
            torch.stack([gaussians.restore(y, v) for y, v in pairs]), truth, visible
        ),
        "PCA": error(
            torch.stack([linear.restore(y, v).double() for y, v in pairs]), truth, visible
        ),
        "log-likelihood": float(atlas.log_likelihood(truth).mean()),
        "of Gaussians": float(gaussians.model.score(truth.numpy())),
        "seconds to choose": chose - start,
        "seconds to learn": ended - chose,
    }
    text = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
    print(
        f"seed {seed}: d = {kind[0]}, K = {atlas.n_charts}, k = {k}, {chosen[0]} Gaussians, {text}",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--dim", type=int)
    parser.add_argument(
        "--charts", type=lambda text: text if text == "auto" else int(text), default="auto"
    )
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    results = [
        restore_digits(seed, arguments.images, arguments.dim, arguments.charts) for seed in seeds
    ]
    for name in results[0]:
        values = [result[name] for result in results]
        print(f"{name}: median {np.median(values):.4f} [{min(values):.4f}, {max(values):.4f}]")
    median = {name: np.median([result[name] for result in results]) for name in results[0]}
    ways = ("best fit", "mean", "neighbours", "Gaussians", "PCA")
    print(f"least error: {min(ways, key=lambda name: median[name])}")


if __name__ == "__main__":
    main()
