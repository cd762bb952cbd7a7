"""Sparse products and solves as torch functions, differentiable any number of times.

With S(sigma) the inverse of the grounded A(sigma) = G^T diag(sigma) G + constant,

    dS = -S G^T diag(dsigma) G S,

so the derivative of a solve is a solve with the same factorization, and so is that of its
derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds.operators._autograd import linear_map
from learnedmanifolds.operators.impedance.assembly import SparseMap
from learnedmanifolds.operators.impedance.system import State, System

# Beyond this many conductivities in one call their factorizations (some MB each) are made again
# for the gradient instead of being kept.
KEPT = 64


class Evaluation:
    """The states of the conductivities of one call, made once and kept for its derivatives.

    Parameters
    ----------
    system : System
    keep : bool
        Whether derivatives will be asked for.
    """

    def __init__(self, system: System, keep: bool) -> None:
        self.system = system
        self._keep = keep
        self._kept: Sequence[State] | None = None

    def solve(self, conductivities: np.ndarray, loads: np.ndarray | None) -> np.ndarray:
        """S(sigma_i) loads_i for all i, (N, n, c); the system's own loads by default."""
        kept = self._kept
        keep = self._keep and kept is None and len(conductivities) <= KEPT
        if kept is None:
            # Before any of them is factorized.
            self.system.require_positive(conductivities)

        def one(index: int) -> tuple[np.ndarray, State | None]:
            state = self.system.state(conductivities[index]) if kept is None else kept[index]
            right = None if loads is None else loads[index]
            solution = state.potentials if right is None else state.factor.solve(right)
            return solution, state if keep else None

        done = self.system.map(one, range(len(conductivities)))
        if keep:
            self._kept = [state for _, state in done if state is not None]
        return np.stack([solution for solution, _ in done])


class Solve(torch.autograd.Function):
    """S(sigma) loads, (N, T), (N, n, c) -> (N, n, c)."""

    @staticmethod
    def forward(evaluation: Evaluation, sigma: Tensor, loads: Tensor | None) -> Tensor:
        right = None if loads is None else loads.detach().numpy()
        return torch.from_numpy(evaluation.solve(sigma.detach().numpy(), right))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.evaluation, sigma, loads = inputs
        ctx.own = loads is None
        ctx.save_for_backward(sigma, output)
        ctx.save_for_forward(sigma, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        sigma, potentials = ctx.saved_tensors
        adjoint = Solve.apply(ctx.evaluation, sigma, gradient)
        slope = None
        if ctx.needs_input_grad[1]:
            fields = ctx.evaluation.system.gradient
            # One by one: the fields of a conductivity take several times the room of its potentials.
            pairs = zip(adjoint.split(1), potentials.split(1), strict=True)
            slope = -torch.cat([_energy(fields, a, u) for a, u in pairs])
        return None, slope, None if ctx.own else adjoint

    @staticmethod
    def jvp(ctx: Any, _: None, sigma: Tensor | None, loads: Tensor | None) -> Tensor:
        at, potentials = ctx.saved_tensors
        right = torch.zeros_like(potentials) if loads is None else loads
        if sigma is not None:
            fields = ctx.evaluation.system.gradient
            flux = sigma.repeat(1, 2).unsqueeze(-1) * product(fields, potentials)
            right = right - product(fields.transposed, flux)
        return Solve.apply(ctx.evaluation, at, right)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, evaluation: Evaluation, sigma: Tensor, loads: Tensor | None
    ) -> tuple[Tensor, int]:
        count = info.batch_size
        _, of_sigma, of_loads = in_dims
        if loads is not None:
            loads = (
                loads.expand(count, *loads.shape)
                if of_loads is None
                else loads.movedim(of_loads, 0)
            )
        if of_sigma is None and loads is not None:
            # One factorization for all: the copies become further columns.
            columns = loads.permute(1, 2, 0, 3)
            solution = Solve.apply(evaluation, sigma, columns.flatten(2))
            return solution.unflatten(2, columns.shape[2:]), 2
        many = Evaluation(evaluation.system, keep=True)
        sigma = (
            sigma.expand(count, *sigma.shape) if of_sigma is None else sigma.movedim(of_sigma, 0)
        )
        right = None if loads is None else loads.flatten(0, 1)
        return Solve.apply(many, sigma.flatten(0, 1), right).unflatten(0, sigma.shape[:2]), 0


def _energy(fields: SparseMap, first: Tensor, second: Tensor) -> Tensor:
    """Energies of pairs of potentials in each triangle of unit conductivity, (N, T)."""
    density = product(fields, first) * product(fields, second)
    return density.unflatten(1, (2, -1)).sum((1, 3))


def product(matrix: SparseMap, x: Tensor) -> Tensor:
    """A sparse matrix times many dense ones, (N, n, c) -> (N, m, c)."""
    return linear_map(x, matrix.multiply, matrix.transposed.multiply)


def potentials(evaluation: Evaluation, sigma: Tensor) -> Tensor:
    """Solutions for the system's own loads in the conductivities (N, T), (N, n, c)."""
    return Solve.apply(evaluation, sigma, None)
