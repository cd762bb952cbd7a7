"""Least squares with a latent prior: the cost of an inverse problem."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymanopt
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, non_negative, positive
from learnedmanifolds.atlas import Atlas
from learnedmanifolds.manifolds import PymanoptManifold


class InverseProblem:
    """Find the point of a manifold that explains an observation y = F(x) + noise.

    The cost is |F(x) - y|^2 / (2 sigma^2) - weight * log q(x), with q the atlas' latent density of
    the ambient point (`Atlas.log_density`), the same from every chart; without ``noise_std`` the
    data term is |F(x) - y|^2 / 2.

    Parameters
    ----------
    operator : callable
        F, from one float64 point (a torch tensor of the ambient shape) to a tensor of the
        observation's shape; differentiable by torch.
    observation : array
        y, of any shape.
    noise_std : float, optional
        sigma, in the units of the observation.
    prior_weight : float
        1 is the maximum a posteriori estimate when ``noise_std`` is that of the noise.

    Raises
    ------
    TypeError
        If the operator is not callable or another argument has the wrong type.
    ValueError
        If the observation is empty or not finite, ``noise_std`` is not positive or
        ``prior_weight`` is negative.
    """

    def __init__(
        self,
        operator: Callable[[Tensor], Tensor],
        observation: ArrayLike,
        noise_std: float | None = None,
        prior_weight: float = 0.0,
    ) -> None:
        if not callable(operator):
            raise TypeError(
                f"operator must be a callable from a point to an observation, "
                f"got {type(operator).__name__}."
            )
        self.operator = operator
        observed = as_tensor(observation, "observation", allow_empty=False)
        self.observation = observed.detach().to(device="cpu", dtype=torch.float64)
        self.noise_std = None if noise_std is None else positive(noise_std, "noise_std")
        self.prior_weight = non_negative(prior_weight, "prior_weight")

    def __repr__(self) -> str:
        return (
            f"InverseProblem(observation of shape {tuple(self.observation.shape)}, "
            f"noise_std={self.noise_std}, prior_weight={self.prior_weight})"
        )

    def cost(self, x: ArrayLike, atlas: Atlas | None = None) -> Tensor:
        """Cost of one point, a scalar tensor; differentiable in ``x``.

        Parameters
        ----------
        x : array, ambient shape
        atlas : Atlas, optional
            Float64. Gives the prior term; the data term alone without it.
        """
        point = as_tensor(x, "x", dtype=torch.float64)
        return self._cost(point, atlas)

    def gradient(self, x: ArrayLike, atlas: Atlas | None = None) -> Tensor:
        """Euclidean gradient of `cost`, of the shape of ``x``."""
        point = as_tensor(x, "x", dtype=torch.float64).detach().requires_grad_()
        return self._gradient(point, atlas, create_graph=False).detach()

    def check(self, point: ArrayLike) -> None:
        """Check that the operator maps a point to the observation's shape.

        Raises
        ------
        TypeError
            If the operator does not return a tensor.
        ValueError
            If its shapes or dtypes do not fit; the message names them.
        """
        x = as_tensor(point, "point", dtype=torch.float64)
        try:
            with torch.no_grad():
                predicted = self.operator(x)
        except (RuntimeError, IndexError) as error:
            raise ValueError(
                f"operator must map a float64 point of shape {tuple(x.shape)} to an observation of "
                f"shape {tuple(self.observation.shape)}; it raised: {error} "
                f"(a torch module in float32 is converted by .double())."
            ) from error
        if not isinstance(predicted, Tensor):
            raise TypeError(f"operator must return a torch tensor, got {type(predicted).__name__}.")
        if predicted.shape != self.observation.shape:
            raise ValueError(
                f"operator must map a point of shape {tuple(x.shape)} to the observation's shape "
                f"{tuple(self.observation.shape)}, got {tuple(predicted.shape)}."
            )

    def to_pymanopt(self, manifold: PymanoptManifold) -> pymanopt.Problem:
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
            If the operator does not map its points to the observation's shape.
        """
        if not isinstance(manifold, PymanoptManifold):
            raise TypeError(f"manifold must be a PymanoptManifold, got {type(manifold).__name__}.")
        atlas = manifold.atlas
        self.check(atlas.sample(1, seed=0)[0])

        # pymanopt's own torch backend is not used: it accumulates gradients in the parameters of
        # an operator, and fails where a gradient does not depend on the point.
        @pymanopt.function.numpy(manifold)
        def cost(point: np.ndarray) -> float:
            with torch.no_grad():
                return float(self._cost(_tensor(point), atlas))

        @pymanopt.function.numpy(manifold)
        def gradient(point: np.ndarray) -> np.ndarray:
            return self._gradient(_tensor(point).requires_grad_(), atlas, False).numpy()

        @pymanopt.function.numpy(manifold)
        def hessian(point: np.ndarray, tangent_vector: np.ndarray) -> np.ndarray:
            x, vector = _tensor(point).requires_grad_(), _tensor(tangent_vector)
            slope = (self._gradient(x, atlas, True) * vector).sum()
            return _derivative(slope, x, create_graph=False).numpy()

        return pymanopt.Problem(
            manifold, cost, euclidean_gradient=gradient, euclidean_hessian=hessian
        )

    def _cost(self, x: Tensor, atlas: Atlas | None) -> Tensor:
        misfit = 0.5 * (self.operator(x) - self.observation).square().sum()
        if self.noise_std is not None:
            misfit = misfit / self.noise_std**2
        if atlas is not None and self.prior_weight > 0:
            misfit = misfit - self.prior_weight * atlas.log_density(x.unsqueeze(0)).squeeze(0)
        return misfit

    def _gradient(self, x: Tensor, atlas: Atlas | None, create_graph: bool) -> Tensor:
        return _derivative(self._cost(x, atlas), x, create_graph)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def _derivative(value: Tensor, x: Tensor, create_graph: bool) -> Tensor:
    """Gradient of a scalar, zero where it does not depend on ``x``."""
    if not value.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(value, x, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient
