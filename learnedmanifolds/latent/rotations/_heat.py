"""The heat kernel of SO(3) in the metric of rotation angles: density, quantiles, divergence.

f(t; s) = sum_l (2 l + 1) exp(-l (l + 1) s) sin((l + 1/2) t) / sin(t / 2) is the density at the angle t
after the time s of heat flow, relative to the uniform distribution; that of the angle itself is
f (1 - cos t) / pi on [0, pi].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from learnedmanifolds.latent.rotations._quadrature import unit_nodes
from learnedmanifolds.latent.rotations.algebra import horner, sinc_root

# Up to this time the first three terms of Poisson's transform, from it ten terms
# of the series are all that rounding in float64 leaves.
_SWITCH, _DEGREE = 0.5, 9
# Terms of the series of sinh and cosh below 1.
_TERMS = 9

# Mass beyond 9 standard deviations sqrt(2 s): 1e-16.
_REACH = 9.0
_NODES = 96

# Quantiles: cells of the tabulated distribution function, Gauss nodes and Newton steps in a cell;
# together 1e-8 of a standard deviation off.
_CELLS, _CELL_NODES, _STEPS = 16, 6, 4


def log_kernel(square: Tensor, cosine: Tensor, time: Tensor) -> Tensor:
    """Log f as a smooth function of t^2 and cos t, of all shapes that broadcast."""
    short = time < _SWITCH
    early = _log_short(square, torch.where(short, time, _SWITCH))
    late = _excess(cosine, torch.where(short, _SWITCH, time)).log1p()
    return torch.where(short, early, late)


def _log_short(square: Tensor, time: Tensor) -> Tensor:
    main = (time - square / time) / 4 - 1.5 * time.log() + 0.5 * math.log(math.pi)
    return main - sinc_root(square / 4).log() + _correction(square, time).log1p()


def _correction(square: Tensor, time: Tensor) -> Tensor:
    """The turns by 2 pi and -2 pi relative to none, smooth in t^2 at 0.

    With c = pi / s: exp(-c pi) (4 c pi sinh(c t) / (c t) - 2 cosh(c t)).
    """
    c = math.pi / time
    argument = c.square() * square
    near = argument < 1
    angle = torch.where(near, 1.0, square).sqrt()
    back = -torch.expm1(-2 * c * angle)
    far = (-c * (math.pi - angle)).exp() * (2 * math.pi / angle * back - 2 + back)
    x = torch.where(near, argument, 0.0)
    sinh, cosh = (
        horner([1 / math.factorial(2 * n + odd) for n in range(_TERMS)], x) for odd in (1, 0)
    )
    return torch.where(near, (-c * math.pi).exp() * (4 * c * math.pi * sinh - 2 * cosh), far)


def _excess(cosine: Tensor, time: Tensor) -> Tensor:
    """The kernel less 1, by the series; cos(l t) by Chebyshev's recursion."""
    before, now = torch.ones_like(cosine), cosine
    character = 1 + 2 * cosine
    total = torch.zeros_like(cosine * time)
    for degree in range(1, _DEGREE + 1):
        total = total + (2 * degree + 1) * (-degree * (degree + 1) * time).exp() * character
        before, now = now, 2 * cosine * now - before
        character = character + 2 * now
    return total


def divergence_from_uniform(time: Tensor) -> Tensor:
    """KL(heat kernel | uniform) by quadrature over the angle, in nats, differentiable."""
    s = time.double().unsqueeze(-1)
    end = _end(s.detach())
    nodes, weights = unit_nodes(_NODES, s)
    angle = end * nodes
    mass = end * weights * (1 - angle.cos()) / math.pi
    short = s < _SWITCH
    log_ratio = _log_short(angle.square(), torch.where(short, s, _SWITCH))
    excess = _excess(angle.cos(), torch.where(short, _SWITCH, s))
    # The mean of f - 1 is 0; without it nothing cancels when f is close to 1.
    late = (1 + excess) * excess.log1p() - excess
    terms = torch.where(short, log_ratio.exp() * log_ratio, late)
    return (mass * terms).sum(-1).to(time.dtype)


def quantile(share: Tensor, time: Tensor) -> Tensor:
    """Angles (S, B) below which shares (S, B) of the mass lie, for times (B,); float64.

    The derivative with respect to time is exact, that of the distribution function through the
    heat equation: dt / ds = -d/dt log f.
    """
    with torch.no_grad():
        angle = _solve(share.double(), time.double())
    if not time.requires_grad:
        return angle
    slope = _log_slope(angle, time.detach().double())
    return angle - slope * (time - time.detach()).double()


def _log_slope(angle: Tensor, time: Tensor) -> Tensor:
    with torch.enable_grad():
        t = angle.detach().requires_grad_()
        return torch.autograd.grad(log_kernel(t.square(), t.cos(), time).sum(), t)[0]


def _solve(share: Tensor, time: Tensor) -> Tensor:
    nodes, weights = (torch.nn.functional.pad(a, (0, 1)) for a in unit_nodes(_CELL_NODES, time))
    # A last node of no weight gives the density at the end.
    nodes[-1] = 1
    width = _end(time).unsqueeze(-1) / _CELLS
    s = time.unsqueeze(-1)

    def mass(start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        places = start.unsqueeze(-1) + length.unsqueeze(-1) * nodes
        density = _angle_density(places, s.unsqueeze(-1))
        return length * (density * weights).sum(-1), density[..., -1]

    starts = width * torch.arange(_CELLS, dtype=time.dtype, device=time.device)
    masses, _ = mass(starts, width.expand_as(starts))
    table = torch.nn.functional.pad(masses.cumsum(-1), (1, 0))
    table = table / table[..., -1:]
    target = share.T.contiguous()
    cell = (torch.searchsorted(table, target, right=True) - 1).clamp(0, _CELLS - 1)
    rest = target - torch.take_along_dim(table, cell, -1)
    part = rest / torch.take_along_dim(masses, cell, -1)
    # The distribution function grows like t^3 in the first cell, about linearly in the others.
    length = width * torch.where(cell == 0, part.clamp(min=0) ** (1 / 3), part)
    for _ in range(_STEPS):
        found, density = mass(width * cell, length)
        step = (found - rest) / density.clamp(min=torch.finfo(time.dtype).tiny)
        length = torch.minimum((length - step).clamp(min=0), width)
    return (width * cell + length).T


def _angle_density(angle: Tensor, time: Tensor) -> Tensor:
    # 2 sin^2 of the half angle, where 1 - cos would cancel.
    haar = 2 * (angle / 2).sin().square() / math.pi
    return log_kernel(angle.square(), angle.cos(), time).exp() * haar


def _end(time: Tensor) -> Tensor:
    return (_REACH * (2 * time).sqrt()).clamp(max=math.pi)
