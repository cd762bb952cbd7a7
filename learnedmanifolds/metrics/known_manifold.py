"""Samples against a manifold that is known: how far they are from it, how much of it they reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive
from learnedmanifolds._convert import to_tensor
from learnedmanifolds.metrics._points import as_pair, as_points, nearest_distance, neighbours


@runtime_checkable
class HasDistance(Protocol):
    """An object that knows the distance of points (N, ...) to itself, such as a `ToyManifold`."""

    def distance(self, x: Any) -> Tensor:
        """Distances (N,)."""
        ...


@runtime_checkable
class HasProject(Protocol):
    """An object that knows the points of itself nearest to points (N, ...), such as an `Atlas`."""

    def project(self, x: Any) -> Tensor:
        """Nearest points (N, ...)."""
        ...


KnownManifold: TypeAlias = HasDistance | HasProject | ArrayLike
"""A manifold with `distance` or `project`, or reference points (M, ...) on it."""


@dataclass(frozen=True, eq=False)
class ManifoldDistance:
    """Distances of points to a manifold, non-negative, in the units of the data.

    Attributes
    ----------
    values : Tensor, shape (N,), float64
    mean, median, quantile_95, largest : float
    """

    values: Tensor
    mean: float
    median: float
    quantile_95: float
    largest: float

    def __repr__(self) -> str:
        return (
            f"ManifoldDistance(mean={self.mean:.4g}, median={self.median:.4g}, "
            f"quantile_95={self.quantile_95:.4g}, largest={self.largest:.4g})"
        )


def distance_to(x: ArrayLike, manifold: KnownManifold) -> ManifoldDistance:
    """Distances of points to a known manifold.

    Parameters
    ----------
    x : array, shape (N, ...)
    manifold : object with ``distance(x)`` or ``project(x)``, or array, shape (M, ...)
        For instance a `ToyManifold`, an `Atlas`, or points of the manifold: then the distance to the
        nearest of them, which is too large by at most the covering radius of the points.

    Returns
    -------
    ManifoldDistance

    Raises
    ------
    TypeError, ValueError
        If x is no finite array of points of the manifold's space, or the manifold is none of these or
        returns something else.
    """
    values = _distances(x, manifold)
    return ManifoldDistance(
        values,
        float(values.mean()),
        float(values.quantile(0.5)),
        float(values.quantile(0.95)),
        float(values.max()),
    )


def coverage(
    samples: ArrayLike,
    reference: ArrayLike,
    *,
    radius: float | None = None,
    k: int = 5,
) -> float:
    """Share of reference points with a sample close by, in [0, 1], without unit.

    Parameters
    ----------
    samples : array, shape (n, ...)
    reference : array, shape (N, ...)
        Points spread over what is to be covered, for instance `ToyManifold.grid`.
    radius : float, optional
        What is close, in the units of the data.
    k : int
        Without a radius: up to the distance to the k-th nearest other reference point; then the share
        is the coverage of `precision_recall`.

    Raises
    ------
    TypeError, ValueError
        If an array holds no finite points, there are too few reference points for the neighbours
        asked, or a setting is out of range.
    """
    made, truth = as_pair(samples, reference, ("samples", "reference"))
    if radius is not None:
        reach = truth.new_tensor(positive(radius, "radius"))
    else:
        count = integer(k, "k", minimum=1)
        if len(truth) <= count:
            raise ValueError(f"reference must hold more than k={count} points, got {len(truth)}")
        reach = neighbours(truth, count)[0][:, -1]
    return float((nearest_distance(truth, made) <= reach).double().mean())


def _distances(x: ArrayLike, manifold: KnownManifold) -> Tensor:
    points = as_tensor(x, "x", allow_empty=False).detach()
    flat = as_points(points, "x")
    if isinstance(manifold, HasDistance):
        found = manifold.distance(points)
        values = as_tensor(found, "manifold.distance(x)", shape=(len(points),)).detach()
        return values.double().cpu()
    if isinstance(manifold, HasProject):
        nearest = as_tensor(manifold.project(points), "manifold.project(x)", shape=points.shape)
        return (nearest.detach().flatten(1).double().cpu() - flat.cpu()).norm(dim=-1)
    try:
        given = to_tensor(manifold, "manifold")
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"manifold must have distance(x) or project(x), or be an array of points, got "
            f"{type(manifold).__name__}"
        ) from error
    _, truth = as_pair(points, given, ("x", "manifold"))
    return torch.as_tensor(nearest_distance(flat, truth)).cpu()
