"""One small training of each of the four trained estimators, and its result as bits."""

import torch

from learnedmanifolds.datasets import Circle as Ring
from learnedmanifolds.diffusion import SpectralNet
from learnedmanifolds.diffusion.spectral_training import SpectralTraining
from learnedmanifolds.latent import Circle
from learnedmanifolds.models import DiffusionVAE, ManifoldVAE, MixtureVAE, Schedule
from learnedmanifolds.models.diffusion_vae_training import DiffusionVAETraining
from learnedmanifolds.models.training import AtlasTraining
from learnedmanifolds.models.vae_training import VAETraining

SHORT = Schedule(regression_steps=80, mixture_steps=5, overlap_steps=10, batch_size=32)
X = Ring().sample(128, noise=0.02, seed=0)


def mixture(**options):
    sizes = {"n_charts": 2, "dim": 1, "hidden": 8, "n_blocks": 2, "schedule": SHORT}
    return MixtureVAE(**{**sizes, "random_state": 0, **options})


def manifold(**options):
    sizes = {"hidden": (8,), "max_epochs": 3, "batch_size": 16}
    return ManifoldVAE(Circle(), **{**sizes, "random_state": 0, **options})


def diffusion(**options):
    sizes = {"n_components": 2, "hidden": (8,), "max_steps": 30, "batch_size": 16}
    return DiffusionVAE(**{**sizes, "random_state": 0, **options})


def spectral(**options):
    sizes = {"n_components": 2, "hidden": (8,), "max_steps": 30, "batch_size": 16}
    return SpectralNet(**{**sizes, "random_state": 0, **options})


MODELS = {"mixture": mixture, "manifold": manifold, "diffusion": diffusion, "spectral": spectral}
TRAININGS = {
    "mixture": AtlasTraining,
    "manifold": VAETraining,
    "diffusion": DiffusionVAETraining,
    "spectral": SpectralTraining,
}


def results(model):
    """Weights, and all that is drawn from seeds."""
    network = model.atlas_.charts if isinstance(model, MixtureVAE) else model.network_
    values = list(network.state_dict().values())
    if isinstance(model, SpectralNet):
        return [*values, model.embedding_]
    values.append(model.sample(20, seed=1))
    if isinstance(model, ManifoldVAE):
        values += [model.log_likelihood(X[:8], 20, seed=1), model.elbo(X[:8], 2, seed=1)]
        values.append(model.immersion_.sample(20, seed=1))
    if isinstance(model, DiffusionVAE):
        values += [model.elbo(X[:8], 2, seed=1), model.random_walk(X[:4], 3, seed=1, noise=True)]
    return values


def same(first, second):
    """Whether results have the same dtypes and the same bits."""
    return len(first) == len(second) and all(
        a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(first, second, strict=True)
    )
