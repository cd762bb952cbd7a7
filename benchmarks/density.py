"""Densities on atlases: how far they are from the truth, and held-out likelihoods beside others.

python benchmarks/density.py [--seeds 5] [--vae]

A circle with von Mises weights (kappa 2), a sphere with a von Mises-Fisher density (kappa 3), two circles
of shares 0.3 and 0.7; 10,240 points to learn from and as many to test, noise 0.01. Total variation is
between the density along the learned manifold and the true one, at points all over the true one; so is
the integral, which is one over the learned one by construction. Log-likelihoods are means in nats; kernel
density estimates (Gaussian, in the ambient space) and mixtures of Gaussians are the best of several by
points left out. With --vae the hyperspherical and the Gaussian variational autoencoder on the sphere.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time

import numpy as np
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from torch import Tensor

import learnedmanifolds as lm
from learnedmanifolds.latent import Euclidean, Sphere

N, NOISE = 10_240, 0.01


def ring(count: int) -> Tensor:
    angle = 2 * math.pi * (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.stack([angle.cos(), angle.sin()], 1)


def globe(count: int) -> Tensor:
    i = torch.arange(count, dtype=torch.float64) + 0.5
    z, turn = 1 - 2 * i / count, math.pi * (1 + 5**0.5) * i
    return torch.stack([(1 - z**2).sqrt() * turn.cos(), (1 - z**2).sqrt() * turn.sin(), z], 1)


def drawn(name: str, seed: int) -> Tensor:
    """Points without noise, (2 N, n)."""
    if name == "circle":
        angle = stats.vonmises(2.0).rvs(2 * N, random_state=seed)
        return torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1))
    if name == "sphere":
        return torch.from_numpy(stats.vonmises_fisher([0, 0, 1], 3.0).rvs(2 * N, random_state=seed))
    source = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(2 * N, generator=source, dtype=torch.float64)
    left = torch.rand(2 * N, generator=source) < 0.3
    return torch.stack([angle.cos() + torch.where(left, -1.5, 1.5), angle.sin()], 1)


def truth(name: str) -> tuple[Tensor, Tensor, float]:
    """Points all over the manifold, densities there, and the volume that each stands for."""
    if name == "circle":
        at = ring(2000)
        density = stats.vonmises(2.0).pdf(torch.atan2(at[:, 1], at[:, 0]).numpy())
        return at, torch.from_numpy(density), 2 * math.pi / 2000
    if name == "sphere":
        at = globe(5000)
        density = stats.vonmises_fisher([0, 0, 1], 3.0).pdf(at.numpy())
        return at, torch.from_numpy(density), 4 * math.pi / 5000
    at = torch.cat([ring(1000) + torch.tensor([x, 0.0]) for x in (-1.5, 1.5)])
    share = torch.cat([torch.full((1000,), s / (2 * math.pi)) for s in (0.3, 0.7)]).double()
    return at, share, 2 * math.pi / 1000


def measure(name: str, seed: int, vae: bool) -> dict[str, float]:
    source = torch.Generator().manual_seed(seed)
    x = drawn(name, seed)
    x = x + NOISE * torch.randn(x.shape, generator=source, dtype=torch.float64)
    train, test = x[:N], x[N:]
    start = time.process_time()
    atlas = lm.KernelAtlas(random_state=seed).fit(train).atlas_
    learned = time.process_time()
    _ = atlas.distribution.density
    known = time.process_time()
    at, density, part = truth(name)
    found = atlas.log_prob(at).exp()
    widths = {"bandwidth": np.geomspace(0.01, 0.3, 10)}
    ambient = GridSearchCV(KernelDensity(rtol=1e-3), widths, cv=2).fit(train[::4].numpy())
    ambient = KernelDensity(bandwidth=ambient.best_params_["bandwidth"], rtol=1e-3).fit(
        train.numpy()
    )
    half = len(train) // 2
    mixtures = [GaussianMixture(c, random_state=0).fit(train[:half].numpy()) for c in (20, 40, 80)]
    best = max(mixtures, key=lambda model: model.score(train[half:].numpy())).n_components
    gaussians = GaussianMixture(best, random_state=0).fit(train.numpy())
    some = test[:2000]
    result = {
        "total variation": 0.5 * float((found - density).abs().sum()) * part,
        "integral": float(found.sum()) * part,
        "log-likelihood": float(atlas.log_likelihood(some).mean()),
        "kernel density": ambient.score(some.numpy()) / len(some),
        "Gaussians": float(gaussians.score(some.numpy())),
        "seconds to learn": learned - start,
        "seconds of the density": known - learned,
    }
    if vae and name == "sphere":
        for latent, kind in ((Sphere(2), "hyperspherical VAE"), (Euclidean(2), "Gaussian VAE")):
            model = lm.ManifoldVAE(latent, learning_rate=5e-3, max_epochs=60, random_state=seed)
            model.fit(train.float())
            result[kind] = float(model.log_likelihood(some.float()).mean())
    print(
        f"{name}, seed {seed}: " + ", ".join(f"{k} {v:.4f}" for k, v in result.items()), flush=True
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--vae", action="store_true")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    for name in ("circle", "sphere", "two circles"):
        results = [measure(name, seed, arguments.vae) for seed in range(arguments.seeds)]
        for key in results[0]:
            values = [result[key] for result in results]
            print(
                f"{name}, {key}: median {np.median(values):.4f} [{min(values):.4f}, {max(values):.4f}]"
            )


if __name__ == "__main__":
    main()
