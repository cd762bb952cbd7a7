"""What the checks ask of any pymanopt manifold, in flat arrays; samples; random state."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from pymanopt.manifolds import Product
from pymanopt.manifolds.manifold import Manifold, RetrAsExpMixin, RiemannianSubmanifold

from learnedmanifolds._check import integer
from learnedmanifolds.geometry import BoundaryError

# Relative errors up to here are rounding, in what is exact in exact arithmetic.
ROUNDING = 1e-8

# The same for distances and logarithms, whose arc cosines near 0 halve the digits, and for
# solutions of differential equations.
INEXACT = 1e-6

# Length of a step that is neither small nor far, in sizes of the manifold.
FINITE_STEP = 0.05

# A short one, at which any map that has no error at 0 is defined.
SHORT_STEP = 1e-3


class Space:
    """A manifold, its points and tangent vectors as flat arrays of the ambient space.

    Parameters
    ----------
    manifold : pymanopt Manifold

    Attributes
    ----------
    scale : float
        The manifold's typical distance, 1 where it has none.
    has_ambient : bool
        Whether points are arrays, and not for instance tuples of factors.
    is_submanifold : bool
        Whether they are of a class of submanifolds, where an array stands for itself alone.
    """

    def __init__(self, manifold: Manifold) -> None:
        if not isinstance(manifold, Manifold):
            raise TypeError(f"manifold must be a pymanopt Manifold, got {type(manifold).__name__}")
        self.manifold = manifold
        self.parts = factors(manifold)
        self.has_ambient = all(part.point_layout == 1 for part in self.parts)
        self.is_submanifold = self.has_ambient and all(
            isinstance(inspect.unwrap(part), RiemannianSubmanifold) for part in self.parts
        )
        try:
            scale = float(manifold.typical_dist)
        except NotImplementedError:
            scale = 1.0
        self.scale = scale if np.isfinite(scale) and scale > 0 else 1.0

    def inner(self, point: Any, a: Any, b: Any) -> float:
        """Riemannian inner product as a float."""
        return float(np.real(self.manifold.inner_product(point, a, b)))

    def norm(self, point: Any, vector: Any) -> float:
        """Riemannian norm as a float."""
        return float(np.real(self.manifold.norm(point, vector)))

    def vector(self, point: Any, vector: Any) -> np.ndarray:
        """A tangent vector in the ambient space, flat."""
        return flat(embedding(self.manifold, point, vector))

    def project(self, point: Any, flat_vector: np.ndarray) -> np.ndarray:
        """Projection of a flat ambient vector on the tangent space, flat."""
        shaped = unflat(flat_vector, point)
        return self.vector(point, self.manifold.projection(point, shaped))

    def not_tangent(self, point: Any, vector: Any, size: float = 0.0) -> float:
        """By how much projection changes a vector, relative to the vector or to a greater size."""
        embedded = embedding(self.manifold, point, vector)
        gap = flat(vector) - flat(self.manifold.projection(point, embedded))
        return relative(length(gap), max(length(flat(vector)), size))

    def has_ambient_metric(self, point: Any, a: Any, b: Any) -> bool:
        """Whether the metric is that of the ambient space, as of two tangent vectors."""
        if not self.is_submanifold:
            return False
        gaps = [
            abs(self.inner(point, u, v) - dot(self.vector(point, u), self.vector(point, v)))
            for u, v in ((a, a), (a, b), (b, b))
        ]
        return max(gaps) <= INEXACT * max(self.inner(point, u, u) for u in (a, b))

    def size(self, point: Any) -> float:
        """Euclidean length of the arrays of a point, at least 1."""
        return max(1.0, length(flat(point)))

    def exp(self, point: Any, vector: Any) -> Any:
        """The exponential map; `NotImplementedError` also where it is a retraction."""
        for part in map(inspect.unwrap, self.parts):
            if isinstance(part, RetrAsExpMixin) and type(part).exp is RetrAsExpMixin.exp:
                raise NotImplementedError(f"{part} takes its retraction for the exponential map")
        return self.manifold.exp(point, vector)

    def curve(self, point: Any, vector: Any) -> Any:
        """The retraction, or else the exponential map."""
        try:
            return self.manifold.retraction(point, vector)
        except NotImplementedError:
            return self.exp(point, vector)

    def implements(self, name: str, *arguments: Any) -> bool:
        """Whether a method, of the manifold or `exp` of this one, is more than a placeholder."""
        method = self.exp if name == "exp" else getattr(self.manifold, name)
        try:
            method(*arguments)
        except NotImplementedError:
            return False
        except BoundaryError:
            return True
        return True

    def unit(self, point: Any, vector: Any = None) -> Any:
        """A tangent vector of norm 1, random without a vector given."""
        if vector is None:
            vector = self.manifold.random_tangent_vector(point)
        norm = self.norm(point, vector)
        if not (np.isfinite(norm) and norm > 0):
            raise ValueError(f"tangent_vector must have a positive finite norm, got {norm}")
        return (1 / norm) * vector


class Sample:
    """Random points, and unit tangent vectors u, v at each.

    Parameters
    ----------
    space : Space
    n_points : int
        How many; directions instead where a point is given.
    point, tangent_vector : optional
        The only point, and the only u.

    Attributes
    ----------
    points, u, v : list
    curves : dict
        Those along u, by the map that they follow.

    Raises
    ------
    ValueError
        If a tangent vector is given without a point, or either is not one.
    """

    def __init__(
        self, space: Space, n_points: int, point: Any = None, tangent_vector: Any = None
    ) -> None:
        integer(n_points, "n_points", minimum=1)
        manifold = space.manifold
        if point is None:
            if tangent_vector is not None:
                raise ValueError("tangent_vector must come with the point that it is tangent at")
            self.points = [manifold.random_point() for _ in range(n_points)]
        else:
            _like(point, manifold.random_point(), "point")
            self.points = [point] * (n_points if tangent_vector is None else 1)
        if tangent_vector is not None:
            zero = manifold.zero_vector(point)
            _like(tangent_vector, zero, "tangent_vector")
            # The sum has the type of the manifold's own vectors, which can be scaled.
            tangent_vector = zero + tangent_vector
            gap = space.not_tangent(point, tangent_vector)
            if not gap <= INEXACT:
                raise ValueError(
                    f"tangent_vector must be tangent at the point: projection changes it by "
                    f"{gap:.3g} of its norm"
                )
        self.u = [space.unit(p, tangent_vector) for p in self.points]
        self.v = [space.unit(p) for p in self.points]
        self.curves: dict[Callable[[Any, Any], Any], Any] = {}

    def __len__(self) -> int:
        return len(self.points)


def factors(manifold: Manifold) -> tuple[Manifold, ...]:
    """Factors of a product; the manifold itself where it is none."""
    inner = inspect.unwrap(manifold)
    return tuple(inner.manifolds) if isinstance(inner, Product) else (manifold,)


def embedding(manifold: Manifold, point: Any, vector: Any) -> Any:
    """A tangent vector in the ambient space; pymanopt's product does not ask its factors."""
    if isinstance(inspect.unwrap(manifold), Product):
        parts = zip(factors(manifold), point, vector, strict=True)
        return [part.embedding(x, v) for part, x, v in parts]
    return manifold.embedding(point, vector)


def flat(value: Any) -> np.ndarray:
    """An array, or nested sequences of arrays, as one vector, real or complex."""
    if isinstance(value, (list, tuple)):
        return np.concatenate([flat(part) for part in value])
    return np.asarray(value).ravel()


def unflat(vector: np.ndarray, like: Any) -> Any:
    """A flat vector in the shape of an array or of nested sequences of them."""
    if not isinstance(like, (list, tuple)):
        return vector.reshape(np.shape(like))
    sizes = np.cumsum([flat(part).size for part in like])[:-1]
    return [unflat(v, part) for v, part in zip(np.split(vector, sizes), like, strict=True)]


def normal_like(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normal numbers, real or complex, in the shape of an array."""
    numbers = rng.standard_normal(np.shape(array))
    if np.iscomplexobj(array):
        return numbers + 1j * rng.standard_normal(np.shape(array))
    return numbers


def dot(a: np.ndarray, b: np.ndarray) -> float:
    """Euclidean inner product of flat vectors."""
    return float(np.vdot(a, b).real)


def length(a: np.ndarray) -> float:
    """Euclidean length of a flat vector."""
    return float(np.linalg.norm(a))


def relative(gap: float, size: float) -> float:
    """A gap in parts of a size; the gap itself where the size is 0."""
    return gap / size if size > 0 else gap


def shapes(value: Any) -> Any:
    """The shape of an array, or nested tuples of shapes."""
    if isinstance(value, (list, tuple)):
        return tuple(shapes(part) for part in value)
    return np.shape(value)


def draw(
    manifold: Manifold,
    n_points: int,
    seed: int | None,
    point: Any = None,
    tangent_vector: Any = None,
) -> tuple[Space, Sample]:
    """The manifold and a sample of it; no random state is left changed."""
    space = Space(manifold)
    with seeded(manifold, seed):
        return space, Sample(space, n_points, point, tangent_vector)


@contextmanager
def seeded(manifold: Manifold, seed: int | None) -> Iterator[None]:
    """Draw from a seed, then give every random state back as it was.

    Of NumPy's global generator, from which pymanopt's manifolds draw, and of the generators that
    the manifold or its factors hold. Fresh entropy where the seed is None.
    """
    if seed is not None:
        integer(seed, "seed", minimum=0)
    own = [
        (holder, key, value)
        for holder in map(inspect.unwrap, factors(manifold))
        for key, value in vars(holder).items()
        if isinstance(value, np.random.Generator)
    ]
    fresh, *children = np.random.SeedSequence(seed).spawn(1 + len(own))
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(fresh.generate_state(4))  # noqa: NPY002
    for (holder, key, _), child in zip(own, children, strict=True):
        vars(holder)[key] = np.random.default_rng(child)
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
        for holder, key, value in own:
            vars(holder)[key] = value


def _like(value: Any, example: Any, name: str) -> None:
    if shapes(value) != shapes(example):
        raise ValueError(f"{name} must have shape {shapes(example)}, got {shapes(value)}")
    if not np.isfinite(flat(value)).all():
        raise ValueError(f"{name} must be finite")
