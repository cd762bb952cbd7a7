"""Trained decoders as Riemannian manifolds for pymanopt, geomstats and geoopt."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learnedmanifolds import (
        charts,
        datasets,
        diffusion,
        geometry,
        inverse,
        io,
        latent,
        metrics,
        plot,
    )
    from learnedmanifolds.atlas import Atlas
    from learnedmanifolds.immersion import Immersion
    from learnedmanifolds.inverse import InverseProblem, compare, operators, solve, solve_batch
    from learnedmanifolds.io import load
    from learnedmanifolds.manifolds import PymanoptManifold
    from learnedmanifolds.models import DiffusionVAE, ManifoldVAE, MixtureVAE, pretrained

__version__ = "0.1.0"

# Heavy packages (pymanopt, Lightning, scikit-learn) are imported when a name is first used.
_HOMES = {
    "Atlas": "learnedmanifolds.atlas",
    "DiffusionVAE": "learnedmanifolds.models",
    "GeomstatsManifold": "learnedmanifolds.manifolds",
    "GeooptManifold": "learnedmanifolds.manifolds",
    "Immersion": "learnedmanifolds.immersion",
    "InverseProblem": "learnedmanifolds.inverse",
    "ManifoldVAE": "learnedmanifolds.models",
    "MixtureVAE": "learnedmanifolds.models",
    "PymanoptManifold": "learnedmanifolds.manifolds",
    "Validated": "learnedmanifolds.validated",
    "charts": "",
    "check_adjoint": "learnedmanifolds.checks",
    "check_gradient": "learnedmanifolds.checks",
    "check_hessian": "learnedmanifolds.checks",
    "check_manifold": "learnedmanifolds.checks",
    "check_retraction": "learnedmanifolds.checks",
    "check_transport": "learnedmanifolds.checks",
    "compare": "learnedmanifolds.inverse",
    "datasets": "",
    "diffusion": "",
    "geometry": "",
    "inverse": "",
    "io": "",
    "latent": "",
    "load": "learnedmanifolds.io",
    "metrics": "",
    "operators": "learnedmanifolds.inverse",
    "plot": "",
    "pretrained": "learnedmanifolds.models",
    "solve": "learnedmanifolds.inverse",
    "solve_batch": "learnedmanifolds.inverse",
}

__all__ = [
    "Atlas",
    "DiffusionVAE",
    "GeomstatsManifold",
    "GeooptManifold",
    "Immersion",
    "InverseProblem",
    "ManifoldVAE",
    "MixtureVAE",
    "PymanoptManifold",
    "Validated",
    "charts",
    "check_adjoint",
    "check_gradient",
    "check_hessian",
    "check_manifold",
    "check_retraction",
    "check_transport",
    "compare",
    "datasets",
    "diffusion",
    "geometry",
    "inverse",
    "io",
    "latent",
    "load",
    "metrics",
    "operators",
    "plot",
    "pretrained",
    "solve",
    "solve_batch",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnedmanifolds' has no attribute {name!r}")
    home = _HOMES[name]
    if not home:
        return importlib.import_module(f"learnedmanifolds.{name}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
