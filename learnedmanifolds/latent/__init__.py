"""Latent spaces that are manifolds: spheres, rotations, tori, products, learned embeddings."""

from __future__ import annotations

import sys
import warnings

from learnedmanifolds.latent.base import LatentSpace
from learnedmanifolds.latent.embedding import (
    EmbeddedSpace,
    EmbeddingSettings,
    LearnedEmbedding,
    Projection,
    fit_embedding,
)
from learnedmanifolds.latent.euclidean import Euclidean
from learnedmanifolds.latent.hyperspherical_uniform import HypersphericalUniform
from learnedmanifolds.latent.power_spherical import PowerSpherical
from learnedmanifolds.latent.product import Product
from learnedmanifolds.latent.quadrature import exact_log_likelihood
from learnedmanifolds.latent.rotations import (
    GroupAction,
    HaarUniform,
    IsotropicGaussian,
    RotationNormal,
    Rotations,
    wigner,
)
from learnedmanifolds.latent.sphere import Sphere
from learnedmanifolds.latent.torus import Circle, Torus
from learnedmanifolds.latent.von_mises_fisher import VonMisesFisher
from learnedmanifolds.latent.wrapped_normal import TorusUniform, WrappedNormal

__all__ = [
    "Circle",
    "EmbeddedSpace",
    "EmbeddingSettings",
    "Euclidean",
    "GroupAction",
    "HaarUniform",
    "HypersphericalUniform",
    "IsotropicGaussian",
    "LatentSpace",
    "LearnedEmbedding",
    "PowerSpherical",
    "Product",
    "Projection",
    "RotationNormal",
    "Rotations",
    "Sphere",
    "Torus",
    "TorusUniform",
    "VonMisesFisher",
    "WrappedNormal",
    "exact_log_likelihood",
    "fit_embedding",
    "wigner",
]


def __getattr__(name: str) -> object:
    if name == "select":
        warnings.warn(
            "learnedmanifolds.latent.select is now learnedmanifolds.select.",
            DeprecationWarning,
            stacklevel=2,
        )
        return sys.modules[__name__.partition(".")[0]].select
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
