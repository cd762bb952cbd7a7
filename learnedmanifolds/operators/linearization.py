"""Derivatives of a torch callable at a point, applied to any number of vectors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from learnedmanifolds._grad import differentiable, ordinary


class Linearization(NamedTuple):
    """An operator at a point, with its derivative there applied to any number of vectors.

    Attributes
    ----------
    value : Tensor, observation shape
        F(x).
    jvp : callable, (T, *ambient_shape) -> (T, *observation shape)
        v -> F'(x) v.
    vjp : callable, (T, *observation shape) -> (T, *ambient_shape)
        w -> F'(x)^T w.
    """

    value: Tensor
    jvp: Callable[[Tensor], Tensor]
    vjp: Callable[[Tensor], Tensor]


def recorded(function: Callable[..., Tensor], *leaves: Tensor, name: str = "operator") -> Tensor:
    """F of leaves, with the graph that leads back to one of them at least.

    Raises
    ------
    TypeError
        If F does not return a tensor.
    ValueError
        If there is no such graph.
    """
    try:
        value = function(*leaves)
    except RuntimeError as error:
        if "requires grad" not in str(error):
            raise
        raise ValueError(
            f"{name} must be differentiable by torch: of a point that requires a gradient it "
            f"raised: {error}"
        ) from error
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must return a torch tensor, got {type(value).__name__}.")
    require_graph(value, *leaves, name=name)
    return value


def require_graph(value: Tensor, *leaves: Tensor, name: str = "operator") -> None:
    """`ValueError` unless the graph of F leads to one of the leaves."""
    if not _leads_to(value, leaves):
        raise ValueError(
            f"{name} must be differentiable by torch: its result carries no graph that leads to "
            f"the point, got dtype {value.dtype}, requires_grad={value.requires_grad}. NumPy, "
            f".detach() and integer dtypes lose it; an AffineOperator and "
            f"objects with A and A_vjp have derivatives of their own."
        )


def _leads_to(value: Tensor, leaves: tuple[Tensor, ...]) -> bool:
    wanted = {id(leaf) for leaf in leaves}
    if id(value) in wanted:
        return True
    # Parameters of the operator may require gradients where the point has been lost.
    seen, stack = set(), [value.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        if id(getattr(node, "variable", None)) in wanted:
            return True
        seen.add(node)
        stack.extend(following for following, _ in node.next_functions)
    return False


class Differentiator:
    """Linearizations of a torch callable; F' v is got in the fastest way that it supports.

    1. Forward mode, all vectors in one vectorised pass.
    2. Two reverse passes: w -> F'^T w is linear, and the transpose of its derivative is F'.
    3. The rows of F' by one reverse pass an entry of the observation, for callables that torch
       differentiates only once.

    A way that fails is not tried again once another one has done it.

    Parameters
    ----------
    function : callable
        From one point to an observation.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function
        self._first_way = 0
        self._vectorises_reverse = True

    def linearize(self, point: Tensor) -> Linearization:
        """The callable and its derivative at a point; `ValueError` if torch sees none."""
        with differentiable():
            x = ordinary(point.detach()).requires_grad_()
            value = recorded(self._function, x)
        return Linearization(
            value.detach(), partial(self._jvp, x, value), partial(self._vjp, x, value)
        )

    @differentiable()
    def _vjp(self, x: Tensor, value: Tensor, covectors: Tensor) -> Tensor:
        if not len(covectors):
            return x.new_zeros(len(covectors), *x.shape)
        if self._vectorises_reverse and len(covectors) > 1:
            try:
                return _pull(x, value, covectors, vectorised=True)
            except RuntimeError:
                rows = _pull_each(x, value, covectors)
                self._vectorises_reverse = False
                return rows
        return _pull_each(x, value, covectors)

    @differentiable()
    def _jvp(self, x: Tensor, value: Tensor, vectors: Tensor) -> Tensor:
        if not len(vectors):
            return value.new_zeros(len(vectors), *value.shape)
        ways = (self._forward, self._twice_reverse, self._by_rows)
        for index in range(self._first_way, len(ways) - 1):
            try:
                images = ways[index](x, value, vectors)
            except (RuntimeError, NotImplementedError):
                continue
            self._first_way = index
            return images.detach()
        images = ways[-1](x, value, vectors)
        self._first_way = len(ways) - 1
        return images

    def _forward(self, x: Tensor, value: Tensor, vectors: Tensor) -> Tensor:
        def along(vector: Tensor) -> Tensor:
            return torch.func.jvp(self._function, (x.detach(),), (vector,))[1]

        return torch.func.vmap(along)(vectors)

    def _twice_reverse(self, x: Tensor, value: Tensor, vectors: Tensor) -> Tensor:
        covector = torch.zeros_like(value, requires_grad=True)
        (pulled,) = torch.autograd.grad(value, x, covector, create_graph=True)
        images = [
            torch.autograd.grad(pulled, covector, vector, retain_graph=True)[0]
            for vector in vectors
        ]
        # A backward pass that hides a part of itself from torch would go unnoticed.
        probe = torch.cos(torch.arange(value.numel(), dtype=value.dtype, device=value.device))
        probe = probe.view(value.shape)
        with torch.no_grad():
            forth = (images[0] * probe).sum()
            back = (vectors[0] * self._vjp(x, value, probe.unsqueeze(0))[0]).sum()
            size = images[0].norm() * probe.norm()
        if (forth - back).abs() > 1e-4 * torch.maximum(size, back.abs()):
            raise RuntimeError("the backward pass is not differentiable as a whole")
        return torch.stack(images)

    def _by_rows(self, x: Tensor, value: Tensor, vectors: Tensor) -> Tensor:
        eye = torch.eye(value.numel(), dtype=value.dtype, device=value.device)
        rows = self._vjp(x, value, eye.view(-1, *value.shape)).flatten(1)
        return (vectors.flatten(1) @ rows.T).view(-1, *value.shape)


def _pull(x: Tensor, value: Tensor, covectors: Tensor, *, vectorised: bool) -> Tensor:
    (pulled,) = torch.autograd.grad(
        value, x, covectors, retain_graph=True, allow_unused=True, is_grads_batched=vectorised
    )
    if pulled is None:
        return x.new_zeros(*covectors.shape[:1], *x.shape) if vectorised else torch.zeros_like(x)
    return pulled


def _pull_each(x: Tensor, value: Tensor, covectors: Tensor) -> Tensor:
    return torch.stack([_pull(x, value, covector, vectorised=False) for covector in covectors])
