"""Learned manifolds as manifold objects of other libraries; thin, no mathematics of their own."""

import importlib

from learnedmanifolds.manifolds.pymanopt import PymanoptManifold

# Those of packages that are heavy, or optional, or change torch's settings when they are imported.
_HOMES = {
    "GeomstatsChart": "learnedmanifolds.manifolds.geomstats_chart",
    "GeomstatsManifold": "learnedmanifolds.manifolds.geomstats",
    "GeooptManifold": "learnedmanifolds.manifolds.geoopt",
}

__all__ = ["GeomstatsChart", "GeomstatsManifold", "GeooptManifold", "PymanoptManifold"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'learnedmanifolds.manifolds' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
