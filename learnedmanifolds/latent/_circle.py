"""The normal density wrapped around one circle: log density and divergence from the uniform one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# At this scale the wrapped sum and the theta series converge equally fast: s^2 = 2 pi. Up to it the
# terms |k| <= 3 of the sum, from it the terms n <= 4 of the series are all that rounding leaves.
_SWITCH = math.sqrt(2 * math.pi)
_TURNS = 3
_HARMONICS = 4

# Below this scale wrapping moves less than 1e-18 of the mass, and the entropy is the normal one.
_UNWRAPPED = 0.35

# The trapezoidal rule with N nodes is off by exp(-pi sqrt(N)) at the worst scale: the zeros of the
# density are s^2 / 2 off the real axis. By symmetry half of the N = 128 nodes are enough.
_HALF_NODES = 64

# Terms of ((1 + u) log(1 + u) - u) / u^2 = 1/2 - u/6 + u^2/12 - ...; u is below 0.09 there.
_TERMS = 15


def log_density(angle: Tensor, scale: Tensor) -> Tensor:
    """Log of sum_k N(a + 2 pi k; 0, s^2) for angles in [-pi, pi], in nats."""
    narrow = _log_wrapped(angle, scale.clamp(max=_SWITCH))
    wide = torch.log1p(_ripple(angle, scale.clamp(min=_SWITCH))) - math.log(2 * math.pi)
    return torch.where(scale < _SWITCH, narrow, wide)


def divergence_from_uniform(scale: Tensor) -> Tensor:
    """KL(wrapped normal | uniform) on one circle, in nats, to full relative precision."""
    nodes = torch.arange(_HALF_NODES, dtype=scale.dtype, device=scale.device) + 0.5
    angle, s = math.pi / _HALF_NODES * nodes, scale.unsqueeze(-1)
    log_ratio = _log_wrapped(angle, s.clamp(_UNWRAPPED, _SWITCH)) + math.log(2 * math.pi)
    middle = (log_ratio.exp() * log_ratio).mean(-1)
    u = _ripple(angle, s.clamp(min=_SWITCH))
    factor = torch.zeros_like(u)
    for k in reversed(range(_TERMS)):
        factor = (-1) ** k / ((k + 1) * (k + 2)) + u * factor
    wide = (u.square() * factor).mean(-1)
    narrow = 0.5 * math.log(2 * math.pi / math.e) - scale.clamp(max=_UNWRAPPED).log()
    rest = torch.where(scale < _SWITCH, middle, wide)
    return torch.where(scale < _UNWRAPPED, narrow, rest)


def _log_wrapped(angle: Tensor, scale: Tensor) -> Tensor:
    turns = torch.arange(-_TURNS, _TURNS + 1, dtype=scale.dtype, device=scale.device)
    places = (angle.unsqueeze(-1) + 2 * math.pi * turns) / scale.unsqueeze(-1)
    log_sum = torch.logsumexp(-places.square() / 2, -1)
    return log_sum - scale.log() - 0.5 * math.log(2 * math.pi)


def _ripple(angle: Tensor, scale: Tensor) -> Tensor:
    """2 pi times the density, less 1: sum_n 2 exp(-n^2 s^2 / 2) cos(n a)."""
    n = torch.arange(1, _HARMONICS + 1, dtype=scale.dtype, device=scale.device)
    heights = (-(n * scale.unsqueeze(-1)).square() / 2).exp()
    return 2 * (heights * (n * angle.unsqueeze(-1)).cos()).sum(-1)
