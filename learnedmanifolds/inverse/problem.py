"""The cost of an inverse problem: negative log-likelihood with a latent prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pymanopt
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, non_negative, positive
from learnedmanifolds._grad import differentiable, ordinary
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.inverse.derivative import warn_of_wrong_derivative
from learnedmanifolds.inverse.noise import GaussianNoise, NoiseModel
from learnedmanifolds.manifolds import PymanoptManifold
from learnedmanifolds.operators.base import Operator
from learnedmanifolds.operators.deepinv import as_operator
from learnedmanifolds.operators.domain import OutsideDomainError, where_defined
from learnedmanifolds.operators.function import FunctionOperator
from learnedmanifolds.operators.linearization import recorded
from learnedmanifolds.optimizers.least_squares import LeastSquaresProblem


class InverseProblem:
    """Find the point of a manifold that explains an observation y = F(x) + noise.

    The cost is -log p(y | F(x)) - weight * log q(x), the first term up to a constant, with q the
    atlas' latent density of the ambient point (`Atlas.log_density`), the same from every chart.
    For Gaussian noise the data term is |F(x) - y|^2 / (2 sigma^2); with neither ``noise_std`` nor
    ``noise`` it is |F(x) - y|^2 / 2.

    Parameters
    ----------
    operator : Operator or callable
        F, from one float64 point (a torch tensor of the ambient shape) to a tensor of the
        observation's shape; differentiable by torch, else it is refused where a derivative is asked
        for. Objects of deepinv's protocol are accepted. Where it raises `OutsideDomainError` the cost
        is infinite.
    observation : array
        y, of any shape.
    noise_std : float, optional
        sigma of Gaussian noise, in the units of the observation.
    prior_weight : float
        1 is the maximum a posteriori estimate when the noise is that of the observation.
    noise : NoiseModel, optional
        In place of ``noise_std``, such as `PoissonNoise`.

    Attributes
    ----------
    operator : Operator
    observation : Tensor, float64
    noise : NoiseModel
    noise_std : float or None
    prior_weight : float

    Raises
    ------
    TypeError
        If the operator is not callable or another argument has the wrong type.
    ValueError
        If the observation is empty, not finite or impossible under the noise, ``noise_std`` is not
        positive or given beside ``noise``, or ``prior_weight`` is negative.
    """

    def __init__(
        self,
        operator: Operator | Callable[[Tensor], Tensor] | Any,
        observation: ArrayLike,
        noise_std: float | None = None,
        prior_weight: float = 0.0,
        *,
        noise: NoiseModel | None = None,
    ) -> None:
        self.operator = as_operator(operator)
        observed = as_tensor(observation, "observation", allow_empty=False)
        self.observation = ordinary(observed.detach().to(device="cpu", dtype=torch.float64))
        self.noise_std = None if noise_std is None else positive(noise_std, "noise_std")
        self.prior_weight = non_negative(prior_weight, "prior_weight")
        self.noise = _noise(self.noise_std, noise)
        self.noise.check(self.observation)

    def __repr__(self) -> str:
        return (
            f"InverseProblem(observation of shape {tuple(self.observation.shape)}, "
            f"{self.noise!r}, prior_weight={self.prior_weight})"
        )

    def cost(self, x: ArrayLike, atlas: Atlas | None = None) -> Tensor:
        """Cost of one point, a scalar tensor; differentiable in ``x``.

        Parameters
        ----------
        x : array, ambient shape
        atlas : Atlas, optional
            Float64. Gives the prior term; the data term alone without it.

        Returns
        -------
        Tensor
            Infinite where the operator raises `OutsideDomainError`.

        Raises
        ------
        ValueError
            If the operator does not map the point to the observation's shape.
        """
        return self._extended_cost(as_tensor(x, "x", dtype=torch.float64), atlas)

    def cost_batch(self, points: ArrayLike, atlas: Atlas | None = None) -> Tensor:
        """Costs of many points (N, *ambient_shape), (N,); see `cost`."""
        x = as_tensor(points, "points", dtype=torch.float64)
        predicted, inside = where_defined(self.operator.batch, x, tuple(self.observation.shape))
        return self._costs(predicted, x, atlas).masked_fill(~inside, torch.inf)

    @differentiable()
    def gradient(self, x: ArrayLike, atlas: Atlas | None = None) -> Tensor:
        """Euclidean gradient of `cost`, of the shape of ``x``; also where torch records none.

        Raises
        ------
        OutsideDomainError
            If the operator is not defined there and says so.
        ValueError
            If torch cannot differentiate the operator, or it does not map the point to the
            observation's shape.
        """
        point = ordinary(as_tensor(x, "x", dtype=torch.float64).detach()).requires_grad_()
        return self._gradient(point, atlas, create_graph=False).detach()

    def linearize(self, point: ArrayLike) -> Callable[[Tensor], Tensor]:
        """Derivative of the whitened prediction at a point, for Gauss-Newton methods.

        Parameters
        ----------
        point : array, ambient shape

        Returns
        -------
        callable, (T, *ambient_shape) -> (T, m)
            v -> W^(1/2) F'(x) v, flattened, with W Fisher's information of the noise: the inner
            products of rows are those of the data term's Gauss-Newton Hessian. The prior, which
            is no sum of squares, has no part in it.
        """
        x = as_tensor(point, "point", dtype=torch.float64).detach()
        linearization = self.operator.linearize(x)
        weights = self.noise.root_information(linearization.value)

        def rows(vectors: Tensor) -> Tensor:
            return (weights * linearization.jvp(vectors)).reshape(len(vectors), weights.numel())

        return rows

    def check(self, point: ArrayLike) -> None:
        """Check that the operator maps a point to the observation's shape, differentiably.

        Of a point outside the operator's domain nothing is known.

        Raises
        ------
        TypeError
            If the operator does not return a tensor.
        ValueError
            If its shapes or dtypes do not fit, the message names them; or its result carries no
            graph by which torch could differentiate it.
        """
        x = as_tensor(point, "point", dtype=torch.float64)
        try:
            with differentiable():
                predicted = recorded(self.operator, ordinary(x.detach()).requires_grad_())
        except OutsideDomainError:
            return
        except (RuntimeError, IndexError) as error:
            raise ValueError(
                f"operator must map a float64 point of shape {tuple(x.shape)} to an observation of "
                f"shape {tuple(self.observation.shape)}; it raised: {error} "
                f"(a torch module in float32 is converted by .double())."
            ) from error
        if predicted.shape != self.observation.shape:
            raise ValueError(self._misfit_of_shapes(x.shape, predicted.shape))

    def check_on(self, atlas: Atlas) -> None:
        """`check` at a point of an atlas; there, torch's derivative of a callable is tried as well.

        Warns
        -----
        UserWarning
            If it is clearly another one than that of differences: a part of the graph is lost.
        """
        points = atlas.sample(2, seed=0)
        self.check(points[0])
        if isinstance(self.operator, FunctionOperator):
            warn_of_wrong_derivative(self.operator, points[0], points[1] - points[0])

    def to_pymanopt(self, manifold: PymanoptManifold) -> LeastSquaresProblem:
        """The problem for pymanopt's optimizers, derivatives by torch.

        Parameters
        ----------
        manifold : PymanoptManifold
            The prior term, if any, is that of its atlas.

        Raises
        ------
        TypeError
            If ``manifold`` is not a `PymanoptManifold`.
        ValueError
            If the operator does not map its points to the observation's shape, or torch cannot
            differentiate it.
        """
        if not isinstance(manifold, PymanoptManifold):
            raise TypeError(f"manifold must be a PymanoptManifold, got {type(manifold).__name__}.")
        atlas = manifold.atlas
        self.check_on(atlas)

        # pymanopt's own torch backend is not used: it accumulates gradients in the parameters of
        # an operator, and fails where a gradient does not depend on the point.
        @pymanopt.function.numpy(manifold)
        def cost(point: np.ndarray) -> float:
            with torch.no_grad():
                return float(self._extended_cost(_tensor(point), atlas))

        @pymanopt.function.numpy(manifold)
        def gradient(point: np.ndarray) -> np.ndarray:
            with differentiable():
                gradient = self._gradient(_tensor(point).requires_grad_(), atlas, False)
            return gradient.contiguous().numpy()

        @pymanopt.function.numpy(manifold)
        def hessian(point: np.ndarray, tangent_vector: np.ndarray) -> np.ndarray:
            with differentiable():
                x, vector = _tensor(point).requires_grad_(), _tensor(tangent_vector)
                slope = (self._gradient(x, atlas, True) * vector).sum()
                return _derivative(slope, x, create_graph=False).contiguous().numpy()

        def linearize(point: np.ndarray) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
            rows = self.linearize(_tensor(point))

            def of_tangent_vectors(tangent_vectors: Sequence[np.ndarray]) -> np.ndarray:
                if not len(tangent_vectors):
                    return np.zeros((0, self.observation.numel()))
                return rows(_tensor(np.stack(tangent_vectors))).detach().numpy()

            return of_tangent_vectors

        return LeastSquaresProblem(
            manifold,
            cost,
            linearize=linearize,
            euclidean_gradient=gradient,
            euclidean_hessian=hessian,
        )

    def _extended_cost(self, x: Tensor, atlas: Atlas | None) -> Tensor:
        try:
            return self._cost(x, atlas)
        except OutsideDomainError:
            return x.new_full((), torch.inf)

    def _cost(self, x: Tensor, atlas: Atlas | None) -> Tensor:
        return self._costs(self.operator(x).unsqueeze(0), x.unsqueeze(0), atlas).squeeze(0)

    def _costs(self, predicted: Tensor, points: Tensor, atlas: Atlas | None) -> Tensor:
        if predicted.shape[1:] != self.observation.shape:
            raise ValueError(self._misfit_of_shapes(points.shape[1:], predicted.shape[1:]))
        costs = self.noise.negative_log_likelihood(predicted, self.observation)
        if atlas is not None and self.prior_weight > 0:
            costs = costs - self.prior_weight * atlas.log_density_flat(points.flatten(1))
        return costs

    def _misfit_of_shapes(self, ambient: Sequence[int], predicted: Sequence[int]) -> str:
        return (
            f"operator must map a point of shape {tuple(ambient)} to the observation's shape "
            f"{tuple(self.observation.shape)}, got {tuple(predicted)}."
        )

    def _gradient(self, x: Tensor, atlas: Atlas | None, create_graph: bool) -> Tensor:
        predicted = recorded(self.operator, x)
        cost = self._costs(predicted.unsqueeze(0), x.unsqueeze(0), atlas).squeeze(0)
        return _derivative(cost, x, create_graph)


def _noise(noise_std: float | None, noise: NoiseModel | None) -> NoiseModel:
    if noise is None:
        return GaussianNoise(1.0 if noise_std is None else noise_std)
    if not isinstance(noise, NoiseModel):
        raise TypeError(f"noise must be a NoiseModel, got {type(noise).__name__}.")
    if noise_std is not None:
        raise ValueError(f"noise_std must be None beside noise={noise!r}, got {noise_std}.")
    return noise


def _tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def _derivative(value: Tensor, x: Tensor, create_graph: bool) -> Tensor:
    """Gradient of a scalar, zero where it does not depend on ``x``."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(value, x, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient
