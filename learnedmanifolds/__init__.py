"""Trained decoders as Riemannian manifolds for pymanopt, geomstats and geoopt."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from learnedmanifolds import _moved

if TYPE_CHECKING:
    from learnedmanifolds import (
        charts,
        checks,
        datasets,
        diffusion,
        files,
        geometry,
        inverse,
        latent,
        metrics,
        models,
        operators,
        optimizers,
        plot,
    )
    from learnedmanifolds import files as io
    from learnedmanifolds.atlas import Atlas, Immersion
    from learnedmanifolds.checks import (
        Validated,
        check_adjoint,
        check_gradient,
        check_hessian,
        check_manifold,
        check_retraction,
        check_transport,
    )
    from learnedmanifolds.files import load
    from learnedmanifolds.inverse.compare import compare
    from learnedmanifolds.inverse.problem import InverseProblem
    from learnedmanifolds.inverse.solve import solve
    from learnedmanifolds.inverse.solve_batch import solve_batch
    from learnedmanifolds.learning.dimension import dimension
    from learnedmanifolds.manifolds import GeomstatsManifold, GeooptManifold, PymanoptManifold
    from learnedmanifolds.models import (
        DiffusionVAE,
        KernelAtlas,
        ManifoldVAE,
        MixtureVAE,
        pretrained,
        select,
    )

__version__ = "0.1.0"

# Heavy packages (pymanopt, Lightning, scikit-learn) are imported when a name is first used.
_HOMES = {
    "Atlas": "learnedmanifolds.atlas",
    "DiffusionVAE": "learnedmanifolds.models",
    "GeomstatsManifold": "learnedmanifolds.manifolds",
    "GeooptManifold": "learnedmanifolds.manifolds",
    "Immersion": "learnedmanifolds.atlas",
    "InverseProblem": "learnedmanifolds.inverse",
    "ManifoldVAE": "learnedmanifolds.models",
    "KernelAtlas": "learnedmanifolds.models",
    "MixtureVAE": "learnedmanifolds.models",
    "PymanoptManifold": "learnedmanifolds.manifolds",
    "Validated": "learnedmanifolds.checks",
    "check_adjoint": "learnedmanifolds.checks",
    "check_gradient": "learnedmanifolds.checks",
    "check_hessian": "learnedmanifolds.checks",
    "check_manifold": "learnedmanifolds.checks",
    "check_retraction": "learnedmanifolds.checks",
    "check_transport": "learnedmanifolds.checks",
    "compare": "learnedmanifolds.inverse",
    "dimension": "learnedmanifolds.learning.dimension",
    "load": "learnedmanifolds.files",
    "pretrained": "learnedmanifolds.models",
    "select": "learnedmanifolds.models",
    "solve": "learnedmanifolds.inverse",
    "solve_batch": "learnedmanifolds.inverse",
}
_ROOMS = {
    "charts",
    "checks",
    "datasets",
    "diffusion",
    "files",
    "geometry",
    "inverse",
    "io",
    "latent",
    "metrics",
    "models",
    "operators",
    "optimizers",
    "plot",
}

__all__ = [
    "Atlas",
    "DiffusionVAE",
    "GeomstatsManifold",
    "GeooptManifold",
    "Immersion",
    "InverseProblem",
    "ManifoldVAE",
    "KernelAtlas",
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
    "checks",
    "compare",
    "datasets",
    "diffusion",
    "dimension",
    "files",
    "geometry",
    "inverse",
    "io",
    "latent",
    "load",
    "metrics",
    "models",
    "operators",
    "optimizers",
    "plot",
    "pretrained",
    "select",
    "solve",
    "solve_batch",
]

_moved.install()


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return importlib.import_module(f"learnedmanifolds.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'learnedmanifolds' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
