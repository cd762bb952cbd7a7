"""How far arrays are from being points of a manifold, for the manifolds that are known."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from pymanopt import manifolds as pm
from pymanopt.manifolds.manifold import Manifold

from learnedmanifolds.manifolds.point import AtlasPoint
from learnedmanifolds.manifolds.pymanopt import PymanoptManifold

PointError = Callable[[Any], float]


def point_error(manifold: Manifold) -> PointError | None:
    """By how much a point breaks the manifold's constraints; None for an unknown manifold.

    For `PymanoptManifold` the distance of an array to what its `locate` finds, which raises
    `ValueError` beyond the atlas's tolerance; a point that remembers its chart is compared with
    the value there. For pymanopt's manifolds the largest violation of the equations, infinity
    where an inequality is broken. Not for quotients whose points are any arrays.
    """
    inner = inspect.unwrap(manifold)
    if isinstance(inner, pm.Product):
        return _product(inner)
    if isinstance(inner, PymanoptManifold):
        return lambda point: _off_atlas(inner, point)
    for types, rule in _RULES:
        if isinstance(inner, types):
            return rule
    return None


def _product(manifold: pm.Product) -> PointError | None:
    rules = [point_error(part) for part in manifold.manifolds]
    if all(rule is None for rule in rules):
        return None

    def largest(point: Any) -> float:
        pairs = zip(rules, point, strict=True)
        return max(rule(part) for rule, part in pairs if rule is not None)

    return largest


def _off_atlas(manifold: PymanoptManifold, point: np.ndarray) -> float:
    if isinstance(point, AtlasPoint) and point.local is not None:
        if point.local.source is manifold.atlas:
            there = manifold.point(point.coords, point.chart)
            return float(np.linalg.norm(np.asarray(point) - there))
    return float(np.linalg.norm(np.asarray(manifold.locate(point)) - np.asarray(point)))


def _adjoint(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -2, -1).conj()


def _largest(x: np.ndarray) -> float:
    return float(np.abs(x).max(initial=0.0))


def _orthonormal_columns(x: np.ndarray) -> float:
    return _largest(_adjoint(x) @ x - np.eye(x.shape[-1]))


def _determinant_one(x: np.ndarray) -> float:
    return _largest(np.linalg.det(x) - 1)


def _hermitian(x: np.ndarray) -> float:
    return _largest(x - _adjoint(x))


def _positive(values: np.ndarray) -> float:
    return 0.0 if np.all(values > 0) else np.inf


def _positive_definite(x: np.ndarray) -> float:
    return max(_hermitian(x), _positive(np.linalg.eigvalsh(x)))


def _singular_value_factors(point: Any) -> float:
    u, s, vt = point
    return max(_orthonormal_columns(u), _orthonormal_columns(_adjoint(vt)), _positive(s))


_RULES: tuple[tuple[Any, PointError], ...] = (
    (
        (pm.Sphere, pm.SphereSubspaceIntersection, pm.SphereSubspaceComplementIntersection),
        lambda x: abs(float(np.linalg.norm(x)) - 1),
    ),
    (pm.Oblique, lambda x: _largest(np.linalg.norm(x, axis=0) - 1)),
    (pm.Elliptope, lambda x: _largest(np.linalg.norm(x, axis=1) - 1)),
    (pm.ComplexCircle, lambda x: _largest(np.abs(x) - 1)),
    (
        (pm.Stiefel, pm.Grassmann, pm.ComplexGrassmann, pm.UnitaryGroup),
        _orthonormal_columns,
    ),
    (pm.SpecialOrthogonalGroup, lambda x: max(_orthonormal_columns(x), _determinant_one(x))),
    ((pm.SymmetricPositiveDefinite, pm.HermitianPositiveDefinite), _positive_definite),
    (
        pm.SpecialHermitianPositiveDefinite,
        lambda x: max(_positive_definite(x), _determinant_one(x)),
    ),
    (pm.Positive, _positive),
    (pm.PoincareBall, lambda x: _positive(1 - np.linalg.norm(x, axis=-1))),
    (pm.Symmetric, _hermitian),
    (pm.SkewSymmetric, lambda x: _largest(x + _adjoint(x))),
    ((pm.Euclidean, pm.ComplexEuclidean), lambda x: 0.0),
    (pm.FixedRankEmbedded, _singular_value_factors),
)
