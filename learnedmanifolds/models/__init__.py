"""Generative models whose decoders are charts: losses, training on Lightning, estimators."""

from learnedmanifolds.models.diffusion_vae import DiffusionVAE
from learnedmanifolds.models.kernel_atlas import KernelAtlas
from learnedmanifolds.models.manifold_vae import ManifoldVAE
from learnedmanifolds.models.mixture_vae import MixtureVAE
from learnedmanifolds.models.recipes import (
    RECIPES,
    Recipe,
    pretrained,
    pretrained_names,
    recipe,
)
from learnedmanifolds.models.schedule import Schedule
from learnedmanifolds.models.select import Candidate, Selection, select
from learnedmanifolds.models.spectral import spectral_points

__all__ = [
    "RECIPES",
    "Candidate",
    "DiffusionVAE",
    "KernelAtlas",
    "ManifoldVAE",
    "MixtureVAE",
    "Recipe",
    "Schedule",
    "Selection",
    "pretrained",
    "pretrained_names",
    "recipe",
    "select",
    "spectral_points",
]
