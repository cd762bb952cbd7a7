"""Learned manifolds as manifold objects of other libraries; thin, no mathematics of their own."""

from learnedmanifolds.manifolds.pymanopt import PymanoptManifold

__all__ = ["PymanoptManifold"]
