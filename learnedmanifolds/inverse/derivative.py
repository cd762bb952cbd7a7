"""Torch's derivative of a callable against differences, where a part of the graph may be lost."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from learnedmanifolds._grad import differentiable, ordinary
from learnedmanifolds.operators.base import Operator

# Step, in lengths of the direction; rounding of float32 is 1e-4 of the difference or so.
_STEP = 1e-3

# Differences to both sides that agree so far, where bends, kinks and rounding are out of sight.
_SMOOTH = 0.01

# Relative error of a derivative that is wrong: ten times what is taken for smooth.
_WRONG = 0.1

# A smaller change of F, relative to F, may be rounding.
_LEAST_CHANGE = 1e-5


def warn_of_wrong_derivative(operator: Operator, x: Tensor, direction: Tensor) -> None:
    """Warn if torch's derivative of F along a direction is clearly another one than F's own.

    Nothing is said where differences do not tell: at kinks, under noise, off the domain. What
    differs is looked for again with a tenth of the step.
    """
    with differentiable():
        x = ordinary(x.detach())
        if not all(_is_wrong(operator, x, direction, h) for h in (_STEP, 0.1 * _STEP)):
            return
    warnings.warn(
        "operator: torch's derivative differs from that of differences, as where .detach(), NumPy "
        "or integers lose a part of the graph; minima found with it are none. "
        "lm.check_adjoint(operator, point) tells more.",
        UserWarning,
        stacklevel=2,
    )


def _is_wrong(operator: Operator, x: Tensor, direction: Tensor, h: float) -> bool:
    try:
        with torch.no_grad():
            behind, here, ahead = (operator(x + t * direction).double() for t in (-h, 0.0, h))
        change, bend = ahead - behind, ahead - 2 * here + behind
        size = float(change.norm())
        # Written so that NaN says nothing.
        if not (size > _LEAST_CHANGE * float(here.norm()) and float(bend.norm()) < _SMOOTH * size):
            return False
        leaf = x.clone().requires_grad_()
        value = operator(leaf)
        (pulled,) = torch.autograd.grad(value, leaf, change.to(value.dtype))
    # Off the domain, or not what the operator is made for: a check makes no run fail.
    except (RuntimeError, ValueError, ArithmeticError):
        return False
    expected = size**2 / (2 * h)
    return abs(float((pulled * direction).sum()) - expected) > _WRONG * expected
