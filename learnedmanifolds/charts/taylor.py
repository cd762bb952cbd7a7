"""Taylor arithmetic through torch modules: what `JetRule` is to formulas, for networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from learnedmanifolds.charts.coupling import relu, silu
from learnedmanifolds.charts.jet import JetRule

Derivatives = tuple[Tensor, Tensor, Tensor]


def _tanh(u: Tensor) -> Derivatives:
    value = u.tanh()
    slope = 1 - value.square()
    return value, slope, -2 * value * slope


def _sigmoid(u: Tensor) -> Derivatives:
    value = u.sigmoid()
    slope = value * (1 - value)
    return value, slope, slope * (1 - 2 * value)


def _softplus(u: Tensor) -> Derivatives:
    slope = u.sigmoid()
    return nn.functional.softplus(u), slope, slope * (1 - slope)


_ELEMENTWISE: dict[type[nn.Module], Callable[[Tensor], Derivatives]] = {
    nn.ReLU: relu,
    nn.SiLU: silu,
    nn.Sigmoid: _sigmoid,
    nn.Softplus: _softplus,
    nn.Tanh: _tanh,
}

_AFFINE = (
    nn.AvgPool2d,
    nn.Conv1d,
    nn.Conv2d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.Flatten,
    nn.Identity,
    nn.Linear,
    nn.PixelShuffle,
    nn.Unflatten,
    nn.Upsample,
)


@runtime_checkable
class TaylorModule(Protocol):
    """A module of any kind that knows its own Taylor arithmetic, on flattened inputs and outputs."""

    def can_push(self) -> bool:
        """Whether it does, as it is set up."""
        ...

    def push(self, rows: Tensor, rule: JetRule) -> Tensor:
        """Rows (..., R, N, n) of the output from those of the input, (..., R, N, m)."""
        ...


_TAYLOR: dict[type[nn.Module], bool] = {}


def _is_taylor(kind: type[nn.Module]) -> bool:
    # Asked of every layer at every jet, and protocols are slow to answer.
    if kind not in _TAYLOR:
        _TAYLOR[kind] = issubclass(kind, TaylorModule)
    return _TAYLOR[kind]


def can_push(module: nn.Module) -> bool:
    """Whether `push` knows a module: chains of affine layers, elementwise functions, TaylorModules."""
    if isinstance(module, nn.Sequential):
        return all(can_push(part) for part in module)
    if _is_taylor(type(module)):
        return cast(TaylorModule, module).can_push()
    if isinstance(module, nn.Softplus) and (module.beta, module.threshold) != (1, 20):
        return False
    return type(module) in _ELEMENTWISE or type(module) in _AFFINE


def push(module: nn.Module, rows: Tensor, rule: JetRule, shape: tuple[int, ...]) -> Tensor:
    """Rows (..., R, N, n) of a module's output, flattened, from those of its input.

    Parameters
    ----------
    module : nn.Module
        One that `can_push`; it acts on every row of a batch alone.
    rows : Tensor, shape (..., R, N, m)
        See `JetRule`.
    shape : tuple of int
        Shape of one input of the module, of m entries.
    """
    return _push(module, rows, rule, shape)[0]


def _push(
    module: nn.Module, rows: Tensor, rule: JetRule, shape: tuple[int, ...]
) -> tuple[Tensor, tuple[int, ...]]:
    if isinstance(module, nn.Sequential):
        for part in module:
            rows, shape = _push(part, rows, rule, shape)
        return rows, shape
    if _is_taylor(type(module)):
        rows = cast(TaylorModule, module).push(rows, rule)
        return rows, (rows.shape[-1],)
    if type(module) in _ELEMENTWISE:
        return rule.elementwise(rows, _ELEMENTWISE[type(module)]), shape
    if type(module) is nn.Linear and len(shape) == 1 and not module._forward_pre_hooks:
        out = nn.functional.linear(rows, module.weight)
        if module.bias is not None:
            out.select(-3, 0).add_(module.bias)
        return out, (module.out_features,)
    lead = rows.shape[:-1]
    out = module(rows.reshape(math.prod(lead), *shape))
    constant = module(rows.new_zeros(1, *shape)).flatten()
    after = tuple(out.shape[1:])
    out = out.reshape(*lead, math.prod(after))
    value, rest = out.split_with_sizes((1, out.shape[-3] - 1), -3)
    return torch.cat([value, rest - constant], -3), after
