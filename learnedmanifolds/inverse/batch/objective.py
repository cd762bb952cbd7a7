"""Costs of many problems that differ in their observations, with their derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.inverse.noise import NoiseModel
from learnedmanifolds.operators.base import AffineOperator, Operator
from learnedmanifolds.operators.domain import where_defined
from learnedmanifolds.operators.linearization import require_graph


@dataclass(frozen=True, eq=False)
class BatchObjective:
    """-log p(y_i | F(x)) - weight * log q(x), one i a row; see `InverseProblem`.

    Attributes
    ----------
    operator : Operator
        F, the same for all problems.
    noise : NoiseModel
    prior_weight : float
    observations : Tensor, shape (N, *observation shape)
    atlas : Atlas
        Float64.
    """

    operator: Operator
    noise: NoiseModel
    prior_weight: float
    observations: Tensor
    atlas: Atlas

    def evaluate(self, points: Tensor, problem: Tensor) -> Evaluation:
        """Costs of points (A, n), each in the problem of its index (A,)."""
        return Evaluation(self, points, problem)

    def costs(self, points: Tensor, predicted: Tensor, observed: Tensor) -> Tensor:
        """Costs (A,) of points (A, *ambient_shape) from what is predicted and observed there."""
        return self.noise.negative_log_likelihood(predicted, observed) + self.prior(points)

    def prior(self, points: Tensor) -> Tensor:
        """The prior's term of the costs, (A,), zero without a prior."""
        if self.prior_weight == 0:
            return points.new_zeros(len(points))
        return -self.prior_weight * self.atlas.log_density_flat(points.flatten(1))

    def predict(self, points: Tensor) -> Tensor:
        """F of points (A, *ambient_shape), checked; NaN outside the operator's domain."""
        shape = tuple(self.observations.shape[1:])
        predicted, _ = where_defined(self.operator.batch, points, shape)
        expected = (len(points), *shape)
        if predicted.shape != expected:
            raise ValueError(
                f"operator must map points {tuple(points.shape)} to observations {expected}, "
                f"got {tuple(predicted.shape)}."
            )
        return predicted


class Evaluation:
    """Costs at points, and the derivatives there by reverse passes through the same graph.

    The rows do not depend on each other: the gradient of the sum of their costs is all gradients.

    Parameters
    ----------
    objective : BatchObjective
    points : Tensor, shape (A, n)
    problem : Tensor, shape (A,)
    """

    def __init__(self, objective: BatchObjective, points: Tensor, problem: Tensor) -> None:
        self._objective, self.atlas = objective, objective.atlas
        ambient = points.detach().unflatten(-1, objective.atlas.ambient_shape)
        self._points = ambient.requires_grad_()
        with torch.enable_grad():
            self._predicted = objective.predict(self._points)
            if bool(self._predicted.isfinite().any()):
                require_graph(self._predicted, self._points)
            observed = objective.observations[problem]
            self._costs = objective.costs(self._points, self._predicted, observed)
        self._slope: Tensor | None = None
        costs = self._costs.detach()
        self.cost = torch.where(costs.isnan(), torch.inf, costs)

    def gradient(self, index: Tensor, *, twice: bool) -> Tensor:
        """Euclidean gradients (B, n) of the rows of an index (B,); ``twice`` if Hessians follow."""
        with torch.enable_grad():
            slope = self._derivative(self._costs[index].sum(), create_graph=twice)
            self._slope = slope.flatten(1)[index] if twice else None
        return slope.detach().flatten(1)[index]

    def hessian(self, index: Tensor, directions: Tensor) -> Tensor:
        """Euclidean Hessians of those rows times directions (B, d, n), (B, d, n)."""
        slope = self._slope
        if slope is None:
            raise RuntimeError("gradient(index, twice=True) comes first")
        products = []
        for direction in directions.unbind(1):
            with torch.enable_grad():
                along = (slope * direction).sum()
            products.append(self._derivative(along).flatten(1)[index])
        return torch.stack(products, 1)

    def gauss_newton(self, index: Tensor, directions: Tensor) -> Tensor:
        """V^T F'^T W F' V of those rows, (B, d, d), V their directions (B, d, n)."""
        weights = self._objective.noise.root_information(self._predicted.detach()[index])
        vectors = directions.unflatten(-1, self._objective.atlas.ambient_shape)
        images = _push(self._objective.operator, self._points.detach()[index], vectors)
        rows = (weights.unsqueeze(1) * images).flatten(2)
        return rows @ rows.mT

    def _derivative(self, value: Tensor, create_graph: bool = False) -> Tensor:
        if not value.requires_grad:
            return torch.zeros_like(self._points)
        (derivative,) = torch.autograd.grad(
            value, self._points, create_graph=create_graph, retain_graph=True, allow_unused=True
        )
        return torch.zeros_like(self._points) if derivative is None else derivative


def _push(operator: Operator, points: Tensor, vectors: Tensor) -> Tensor:
    """F'(x) v of vectors (B, d, *ambient_shape) at points (B, *ambient_shape), (B, d, *obs)."""
    if isinstance(operator, AffineOperator):
        return operator.derivative(vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])
    # An operator that gives its own linearisation knows a better way than forward mode.
    if type(operator).linearize is Operator.linearize:
        try:
            images = [
                torch.func.jvp(operator.batch, (points,), (direction,))[1]
                for direction in vectors.unbind(1)
            ]
            return torch.stack(images, 1).detach()
        except (RuntimeError, NotImplementedError):
            # Not every operator can be differentiated in forward mode.
            pass
    rows = zip(points, vectors, strict=True)
    return torch.stack([operator.linearize(x).jvp(v) for x, v in rows]).detach()
