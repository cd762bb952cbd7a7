"""Generative models whose decoders are charts: losses, training on Lightning, estimators."""

from learnedmanifolds.models.mixture_vae import MixtureVAE
from learnedmanifolds.models.training import Schedule

__all__ = ["MixtureVAE", "Schedule"]
