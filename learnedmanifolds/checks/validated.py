"""A pymanopt manifold that checks what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pymanopt.manifolds.manifold import Manifold

from learnedmanifolds._check import positive
from learnedmanifolds.checks.membership import point_error
from learnedmanifolds.checks.space import embedding, factors, flat, length, seeded, shapes

# Of the ambient space; where points are tuples of arrays, such vectors come in several forms.
_AMBIENT = ("vector", "normal_vector", "euclidean_gradient", "euclidean_hessian")


class Validated(Manifold):
    """Any pymanopt manifold, every argument and every result of its methods checked.

    Points must be on the manifold, tangent vectors tangent, numbers finite, distances at least 0.
    Arguments and results are passed on as they are, so that optimizers take the same steps; a
    method that the manifold does not implement stays so, and all else that it has is there too.

    Tangent is what `projection` leaves as it is, within ``atol * max(1, size)``, the size being the
    norm of the vector, for a result that of the largest argument as well; differences of gradients
    that nearly vanish consist of rounding. Whether a point is on the manifold can be told of
    learned manifolds, by their `locate`; of pymanopt's, by their equations, within
    ``atol * max(1, size)``; and of products of such. Of other manifolds ``is_point`` must tell;
    without it only shape, dtype and finiteness are checked.
    The idea is that of `ValidationManifold` in ManifoldsBase.jl.

    Parameters
    ----------
    manifold : pymanopt Manifold
    atol : float
        Tolerance.
    is_point : callable, optional
        Whether a point is on the manifold, instead of the rules above.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value. By every method, `ValueError` with the method,
        the argument or "result", what was expected and what came.
    """

    def __init__(
        self,
        manifold: Manifold,
        atol: float = 1e-8,
        is_point: Callable[[Any], bool] | None = None,
    ) -> None:
        if not isinstance(manifold, Manifold):
            raise TypeError(f"manifold must be a pymanopt Manifold, got {type(manifold).__name__}")
        if is_point is not None and not callable(is_point):
            raise TypeError(f"is_point must be callable, got {type(is_point).__name__}")
        # The name by which inspect.unwrap finds what is wrapped.
        self.__wrapped__ = manifold
        self.atol = positive(atol, "atol")
        self._is_point = is_point
        self._point_error = point_error(manifold)
        with seeded(manifold, 0):
            example = manifold.random_point()
            self._tangent = shapes(manifold.zero_vector(example))
        self._shapes, self._complex = shapes(example), np.iscomplexobj(flat(example))
        plain = all(part.point_layout == 1 for part in factors(manifold))
        self._ambient = self._shapes if plain else None
        super().__init__(f"validated {manifold}", manifold.dim, manifold.point_layout)

    def __getattr__(self, name: str) -> Any:
        # Python looks for these on copies that have no manifold yet.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__wrapped__, name)

    @property
    def typical_dist(self) -> Any:
        """The manifold's."""
        return self.__wrapped__.typical_dist

    def inner_product(self, point: Any, tangent_vector_a: Any, tangent_vector_b: Any) -> Any:
        vectors = {"tangent_vector_a": tangent_vector_a, "tangent_vector_b": tangent_vector_b}
        return self._call("inner_product", "number", point=point, **vectors)

    def norm(self, point: Any, tangent_vector: Any) -> Any:
        return self._call("norm", "size", point=point, tangent_vector=tangent_vector)

    def dist(self, point_a: Any, point_b: Any) -> Any:
        """The manifold's; infinite between components."""
        return self._call("dist", "distance", point_a=point_a, point_b=point_b)

    def projection(self, point: Any, vector: Any) -> Any:
        return self._call("projection", "tangent", point=point, vector=vector)

    def to_tangent_space(self, point: Any, vector: Any) -> Any:
        return self._call("to_tangent_space", "tangent", point=point, vector=vector)

    def random_point(self) -> Any:
        return self._call("random_point", "point")

    def random_tangent_vector(self, point: Any) -> Any:
        return self._call("random_tangent_vector", "tangent", point=point)

    def zero_vector(self, point: Any) -> Any:
        return self._call("zero_vector", "tangent", point=point)

    def retraction(self, point: Any, tangent_vector: Any) -> Any:
        return self._call("retraction", "point", point=point, tangent_vector=tangent_vector)

    def exp(self, point: Any, tangent_vector: Any) -> Any:
        return self._call("exp", "point", point=point, tangent_vector=tangent_vector)

    def log(self, point_a: Any, point_b: Any) -> Any:
        return self._call("log", "tangent", point_a=point_a, point_b=point_b)

    def transport(self, point_a: Any, point_b: Any, tangent_vector_a: Any) -> Any:
        points = {"point_a": point_a, "point_b": point_b}
        return self._call("transport", "tangent", **points, tangent_vector_a=tangent_vector_a)

    def pair_mean(self, point_a: Any, point_b: Any) -> Any:
        return self._call("pair_mean", "point", point_a=point_a, point_b=point_b)

    def weingarten(self, point: Any, tangent_vector: Any, normal_vector: Any) -> Any:
        """The manifold's."""
        vectors = {"tangent_vector": tangent_vector, "normal_vector": normal_vector}
        return self._call("weingarten", "tangent", point=point, **vectors)

    def euclidean_to_riemannian_gradient(self, point: Any, euclidean_gradient: Any) -> Any:
        name = "euclidean_to_riemannian_gradient"
        return self._call(name, "tangent", point=point, euclidean_gradient=euclidean_gradient)

    def euclidean_to_riemannian_hessian(
        self, point: Any, euclidean_gradient: Any, euclidean_hessian: Any, tangent_vector: Any
    ) -> Any:
        return self._call(
            "euclidean_to_riemannian_hessian",
            "tangent",
            point=point,
            euclidean_gradient=euclidean_gradient,
            euclidean_hessian=euclidean_hessian,
            tangent_vector=tangent_vector,
        )

    def embedding(self, point: Any, tangent_vector: Any) -> Any:
        return self._call("embedding", "array", point=point, tangent_vector=tangent_vector)

    def _call(self, method: str, kind: str, **arguments: Any) -> Any:
        """Call a method of the manifold; the kinds of its arguments are told by their names."""
        inner = self.__wrapped__
        function = getattr(inner, method, None)
        if function is None:
            raise NotImplementedError(f"{inner} provides no {method}")
        base = arguments.get("point", arguments.get("point_a"))
        vectors = {name: v for name, v in arguments.items() if not name.startswith("point")}
        for name, value in arguments.items():
            if name not in vectors:
                self._check_point(method, name, value)
        for name, vector in vectors.items():
            ambient = name in _AMBIENT
            self._check_array(method, name, vector, self._ambient if ambient else self._tangent)
            if name == "normal_vector":
                self._check_normal(method, name, base, vector)
            elif not ambient:
                self._check_tangent(method, name, base, vector, 1.0)
        size = max([1.0, *(length(flat(v)) for v in vectors.values())])
        result = function(*arguments.values())
        if kind == "point":
            self._check_point(method, "result", result)
        elif kind == "tangent":
            self._check_array(method, "result", result, self._tangent)
            there = arguments["point_b"] if method == "transport" else base
            self._check_tangent(method, "result", there, result, size)
        elif kind == "array":
            self._check_array(method, "result", result, None)
        else:
            self._check_number(method, kind, result)
        return result

    def _check_point(self, method: str, name: str, point: Any) -> None:
        self._check_array(method, name, point, self._shapes)
        if self._is_point is not None:
            if not self._is_point(point):
                raise ValueError(
                    f"{method}: {name} must be on the manifold, is_point says it is not"
                )
        elif self._point_error is not None:
            try:
                error = self._point_error(point)
            except ValueError as problem:
                raise ValueError(
                    f"{method}: {name} must be on the manifold: {problem}"
                ) from problem
            allowed = self.atol * max(1.0, length(flat(point)))
            if not error <= allowed:
                raise ValueError(
                    f"{method}: {name} must be on the manifold: it is off by {error:.3g}, "
                    f"the tolerance is {allowed:.3g}"
                )

    def _check_tangent(self, method: str, name: str, point: Any, vector: Any, size: float) -> None:
        projected = self.__wrapped__.projection(point, embedding(self.__wrapped__, point, vector))
        norm = length(flat(vector))
        self._require(method, name, "tangent", length(flat(vector) - flat(projected)), norm, size)

    def _check_normal(self, method: str, name: str, point: Any, vector: Any) -> None:
        norm = length(flat(vector))
        part = length(flat(self.__wrapped__.projection(point, vector)))
        self._require(method, name, "normal", part, norm, 1.0)

    def _require(
        self, method: str, name: str, what: str, part: float, norm: float, size: float
    ) -> None:
        allowed = self.atol * max(size, norm)
        if not part <= allowed:
            other = "normal" if what == "tangent" else "tangent"
            raise ValueError(
                f"{method}: {name} must be {what}: of its norm {norm:.3g} the {other} part is "
                f"{part:.3g}, the tolerance is {allowed:.3g}"
            )

    def _check_array(self, method: str, name: str, value: Any, expected: Any) -> None:
        if not _all_arrays(value):
            kind = type(value).__name__
            raise ValueError(f"{method}: {name} must be made of NumPy arrays, got {kind}")
        if expected is not None and shapes(value) != expected:
            raise ValueError(f"{method}: {name} must have shape {expected}, got {shapes(value)}")
        numbers = flat(value)
        if numbers.dtype.kind not in ("fc" if self._complex else "f"):
            wanted = "real or complex" if self._complex else "real"
            raise ValueError(
                f"{method}: {name} must be of a {wanted} floating point dtype, got {numbers.dtype}"
            )
        bad = int((~np.isfinite(numbers)).sum())
        if bad:
            raise ValueError(
                f"{method}: {name} must be finite, got {bad} NaN or infinite of {numbers.size} values"
            )

    def _check_number(self, method: str, kind: str, value: Any) -> None:
        if np.ndim(value) or np.asarray(value).dtype.kind not in "fciu":
            raise ValueError(f"{method}: result must be a number, got {value!r}")
        number = complex(value)
        # pymanopt's complex manifolds give real numbers as complex ones.
        if abs(number.imag) > self.atol * max(1.0, abs(number.real)):
            raise ValueError(f"{method}: result must be real, got {value}")
        if np.isnan(number) or (kind != "distance" and np.isinf(number)):
            raise ValueError(f"{method}: result must be finite, got {value}")
        if kind != "number" and number.real < 0:
            raise ValueError(f"{method}: result must be at least 0, got {value}")


def _all_arrays(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_all_arrays(part) for part in value)
    return isinstance(value, np.ndarray)
