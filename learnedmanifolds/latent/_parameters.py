"""What latent spaces check of an encoder's outputs and of points."""

from __future__ import annotations

import torch
from torch import Tensor


def floating(value: Tensor, name: str) -> Tensor:
    """A floating point tensor; `TypeError` if it is none."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        found = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a floating point tensor, got {found}.")
    return value


def last_axis(value: Tensor, name: str, size: int) -> Tensor:
    """A floating point tensor (..., size); `TypeError` or `ValueError` if it is none."""
    floating(value, name)
    if value.dim() < 1 or value.shape[-1] != size:
        raise ValueError(f"{name} must have shape (..., {size}), got {tuple(value.shape)}.")
    return value


def times(t: Tensor, like: Tensor) -> Tensor:
    """Times (T,) as (T, 1, ..., 1), to go with points of batch shape and one axis."""
    if not isinstance(t, Tensor):
        raise TypeError(f"t must be a tensor of shape (T,), got {type(t).__name__}.")
    if t.dim() != 1:
        raise ValueError(f"t must have shape (T,), got {tuple(t.shape)}.")
    return t.to(like).view(-1, *[1] * like.dim())


def positive_part(raw: Tensor, least: float) -> Tensor:
    """Unconstrained numbers made positive, softplus + least."""
    return torch.nn.functional.softplus(raw) + least
