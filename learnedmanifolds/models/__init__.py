"""Generative models whose decoders are charts: losses, training on Lightning, estimators."""

from learnedmanifolds.models.mixture_vae import MixtureVAE
from learnedmanifolds.models.recipes import (
    RECIPES,
    Recipe,
    pretrained,
    pretrained_names,
    recipe,
)
from learnedmanifolds.models.training import Schedule

__all__ = [
    "RECIPES",
    "MixtureVAE",
    "Recipe",
    "Schedule",
    "pretrained",
    "pretrained_names",
    "recipe",
]
