"""Tangent spaces of any pymanopt manifold: bases, coordinates, transports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymanopt.manifolds import Product

from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.optimizers._seed import numpy_seed
from learnedmanifolds.optimizers.borders import ON_WALL

# A gradient that small across a wall, relative to its norm, has been projected on the wall.
_ALONG_WALL = 1e-10

# Random vectors whose Gram matrix has a smaller eigenvalue, relative to the largest, are dependent.
_DEPENDENT = 1e-13

# The basis is as good as any other, but the same at every call. A seed that users take for their
# starts would draw the numbers again that a start was made of: none is along the tangent space then.
_SEED = 1_357_913_579


@dataclass(frozen=True, eq=False)
class TangentBasis:
    """An orthonormal basis of a tangent space.

    Attributes
    ----------
    manifold : pymanopt Manifold
    point : a point of it
    vectors : tuple of tangent vectors
    matrix : ndarray, shape (d, N), optional
        The vectors as real rows, where the metric is the Euclidean one of the arrays.
    """

    manifold: Any
    point: Any
    vectors: tuple[Any, ...]
    matrix: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def combine(self, coords: np.ndarray) -> Any:
        """The tangent vector of coordinates (d,)."""
        if not self.vectors:
            return self.manifold.zero_vector(self.point)
        return _combine(coords, self.vectors)

    def coordinates(self, vectors: Sequence[Any]) -> np.ndarray:
        """Coordinates (T, d) of the (tangent part of) T vectors."""
        if self.matrix is not None:
            rows = np.array([_real(vector) for vector in vectors])
            return rows.reshape(len(vectors), self.matrix.shape[1]) @ self.matrix.T
        return _inner_products(self.manifold, self.point, vectors, self.vectors)


def tangent_basis(manifold: Any, point: Any, gradient: Any) -> TangentBasis:
    """An orthonormal basis of the directions in which a point may move.

    Parameters
    ----------
    manifold : pymanopt Manifold
    point : a point of it
    gradient : tangent vector
        Riemannian gradient there. On a boundary of a `PymanoptManifold` that the descent direction
        presses against, the basis is one of the boundary.
    """
    if isinstance(manifold, Product):
        return _product_basis(manifold, point, gradient)
    if isinstance(manifold, PymanoptManifold):
        held = held_walls(manifold, point, gradient)
        rows = _free_directions(manifold, point, held)
        vectors = tuple(row.reshape(manifold.atlas.ambient_shape) for row in rows)
        return TangentBasis(manifold, point, vectors, rows)
    with numpy_seed(_SEED):
        drawn = [manifold.random_tangent_vector(point) for _ in range(int(manifold.dim))]
    return _orthonormal(manifold, point, drawn)


def held_walls(manifold: Any, point: Any, gradient: Any) -> tuple[Any, ...]:
    """Walls by which a boundary of a `PymanoptManifold` holds a descent; of products by factors.

    Parameters
    ----------
    manifold, point, gradient
        See `tangent_basis`.
    """
    if isinstance(manifold, Product):
        parts = zip(manifold.manifolds, point, gradient, strict=True)
        return tuple(held_walls(*part) for part in parts)
    if not isinstance(manifold, PymanoptManifold):
        return ()
    local = manifold._local(point)
    walls = manifold.atlas.charts.domain.walls(local.coords, local.located.chart, ON_WALL)
    if not bool(walls.on.any()):
        return ()
    # The gradient is projected on the walls that the descent direction presses against.
    normals, flat = (walls.normal @ local.inverse)[0].numpy(), np.ravel(gradient)
    scale = np.linalg.norm(normals, axis=1) * np.linalg.norm(flat)
    held = walls.on[0].numpy() & (np.abs(normals @ flat) <= _ALONG_WALL * scale)
    return tuple(np.flatnonzero(held).tolist())


def confine(manifold: Any, point: Any, gradient: Any, vector: Any) -> Any:
    """The part of a tangent vector that a boundary does not hold; see `held_walls`."""
    if isinstance(manifold, Product):
        parts = zip(manifold.manifolds, point, gradient, vector, strict=True)
        return type(vector)([confine(*part) for part in parts])
    held = held_walls(manifold, point, gradient)
    if not held:
        return vector
    rows = _free_directions(manifold, point, held)
    return (rows.T @ (rows @ np.ravel(vector))).reshape(np.shape(vector))


def transport(manifold: Any, point_a: Any, point_b: Any, vector: Any) -> Any:
    """Vector transport; the projection on the other tangent space where a manifold has none."""
    if isinstance(manifold, Product):
        parts = zip(manifold.manifolds, point_a, point_b, vector, strict=True)
        return type(vector)([transport(*part) for part in parts])
    for method in (
        lambda: manifold.transport(point_a, point_b, vector),
        lambda: manifold.to_tangent_space(point_b, vector),
    ):
        try:
            return method()
        except NotImplementedError:
            pass
    return manifold.projection(point_b, vector)


def embed(manifold: Any, point: Any, vector: Any) -> Any:
    """The tangent vector in the ambient space; see `pymanopt.manifolds.manifold.Manifold`."""
    # pymanopt's product does not ask its factors.
    if isinstance(manifold, Product):
        parts = zip(manifold.manifolds, point, vector, strict=True)
        return [embed(*part) for part in parts]
    return manifold.embedding(point, vector)


def _free_directions(manifold: PymanoptManifold, point: Any, held: Sequence[int]) -> np.ndarray:
    """Orthonormal rows (d', n) that span the tangent space, or that of the walls held."""
    local = manifold._local(point)
    basis = local.tangent_basis[0].numpy()
    if not held:
        return np.ascontiguousarray(basis.T)
    walls = manifold.atlas.charts.domain.walls(local.coords, local.located.chart, ON_WALL)
    normals = ((walls.normal @ local.inverse)[0].numpy() @ basis)[list(held)]
    return np.linalg.svd(normals)[2][len(normals) :] @ basis.T


def _product_basis(manifold: Product, point: Any, gradient: Any) -> TangentBasis:
    zero = manifold.zero_vector(point)
    vectors = []
    for i, factor in enumerate(manifold.manifolds):
        for vector in tangent_basis(factor, point[i], gradient[i]).vectors:
            vectors.append(type(zero)([*zero[:i], vector, *zero[i + 1 :]]))
    return TangentBasis(manifold, point, tuple(vectors))


def _orthonormal(manifold: Any, point: Any, drawn: Sequence[Any]) -> TangentBasis:
    """The basis of a span, from random tangent vectors."""
    euclidean = _is_euclidean(manifold, point, drawn)
    if euclidean:
        rows = np.array([_real(vector) for vector in drawn])
        gram = rows @ rows.T
    else:
        gram = _inner_products(manifold, point, drawn, drawn)
    values, columns = np.linalg.eigh((gram + gram.T) / 2)
    kept = values > _DEPENDENT * values[-1]
    weights = (columns[:, kept] / np.sqrt(values[kept])).T
    vectors = tuple(_combine(row, drawn) for row in weights)
    return TangentBasis(manifold, point, vectors, weights @ rows if euclidean else None)


def _is_euclidean(manifold: Any, point: Any, drawn: Sequence[Any]) -> bool:
    """Whether the metric is that of the arrays.

    Two bilinear forms that agree on two random vectors are the same, with probability 1; to find
    out saves d^2 calls of ``inner_product``.
    """
    if not all(isinstance(vector, np.ndarray) for vector in drawn):
        return False
    pair = drawn[:1] if len(drawn) == 1 else drawn[:2]
    asked = _inner_products(manifold, point, pair, pair)
    plain = np.array([[_real(a) @ _real(b) for b in pair] for a in pair])
    return bool(np.allclose(asked, plain, rtol=1e-12, atol=1e-14))


def _inner_products(
    manifold: Any, point: Any, rows: Sequence[Any], columns: Sequence[Any]
) -> np.ndarray:
    # The inner products of pymanopt's unitary group are complex, with a real part that counts.
    values = [
        [np.real(manifold.inner_product(point, row, column)) for column in columns] for row in rows
    ]
    return np.array(values, dtype=float).reshape(len(rows), len(columns))


def _combine(coords: np.ndarray, vectors: Sequence[Any]) -> Any:
    total = float(coords[0]) * vectors[0]
    for coefficient, vector in zip(coords[1:], vectors[1:], strict=True):
        total = total + float(coefficient) * vector
    return total


def _real(vector: np.ndarray) -> np.ndarray:
    """The entries as real numbers (N,), complex ones as two."""
    flat = np.ascontiguousarray(vector).ravel()
    return flat.view(flat.real.dtype) if np.iscomplexobj(flat) else flat
