"""A closed curve in space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, final

import numpy as np
import torch

from learnedmanifolds.datasets._curve import nearest_parameter
from learnedmanifolds.datasets.manifold import ToyManifold, ToySettings

# The speed is analytic in a strip of half-width 0.14 around the real line: a rule of 8 nodes on 128
# intervals integrates it to the last digit, and from their middles Newton's method ends in 5 steps.
N_INTERVALS, N_NODES = 128, 8
NEWTON_STEPS = 5
# The squared distance is a trigonometric polynomial of degree 6: at most 6 minima and two ends. The
# grid is so fine that minima which it does not separate differ by less than 1e-8.
N_GRID = 513
N_MINIMA = 8


@final
@dataclass(frozen=True)
class Loop(ToyManifold):
    """The closed curve ``(cos t, sin 2t, sin 3t)`` in the cube [-1, 1]^3, without self-crossing.

    Samples and grid are uniform in arc length, not in ``t``.

    References
    ----------
    Li, Lindenbaum, Cheng, Cloninger, Variational Diffusion Autoencoders with Random Walk Sampling,
    ECCV 2020, arXiv 1905.12724.
    """

    name: ClassVar[str] = "loop"
    dim: ClassVar[int] = 1
    ambient_dim: ClassVar[int] = 3
    n_components: ClassVar[int] = 1
    has_boundary: ClassVar[bool] = False
    settings: ClassVar[ToySettings] = ToySettings(n_charts=4, dim=1, noise_std=0.01, noise=0.01)

    @property
    def volume(self) -> float:
        return float(_length_table()[1][-1])

    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        return self._even(unit)

    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        ends, lengths = (part.to(unit.device) for part in _length_table())
        length = lengths[-1] * unit[:, 0]
        index = (torch.searchsorted(lengths, length) - 1).clamp(0, N_INTERVALS - 1)
        start, missing = ends[index], length - lengths[index]
        t = start + math.pi / N_INTERVALS
        for _ in range(NEWTON_STEPS):
            t = t - (_length(start, t) - missing) / _speed(t)
        return _jet(t)[0]

    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        return _jet(nearest_parameter(x, _jet, 0.0, 2 * math.pi, N_GRID, N_MINIMA))[0]

    def _component(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)


def _jet(t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    frequency = torch.tensor([1, 2, 3], dtype=t.dtype, device=t.device)
    # cos t is the sine of a quarter turn more.
    phase = torch.tensor([math.pi / 2, 0, 0], dtype=t.dtype, device=t.device)
    angle = frequency * t.unsqueeze(-1) + phase
    sine = angle.sin()
    return sine, frequency * angle.cos(), -frequency.square() * sine


def _speed(t: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(_jet(t)[1], dim=-1)


def _length(start: torch.Tensor, stop: torch.Tensor) -> torch.Tensor:
    """Return the length of the curve over short intervals, by Gauss-Legendre quadrature."""
    nodes, weights = (
        torch.from_numpy(part).to(start) for part in np.polynomial.legendre.leggauss(N_NODES)
    )
    middle, half = (start + stop) / 2, (stop - start) / 2
    return half * (_speed(middle.unsqueeze(-1) + half.unsqueeze(-1) * nodes) @ weights)


@cache
def _length_table() -> tuple[torch.Tensor, torch.Tensor]:
    """Even parameters from 0 to 2 pi, and the length of the curve from 0 to each."""
    ends = torch.linspace(0, 2 * math.pi, N_INTERVALS + 1, dtype=torch.float64)
    pieces = _length(ends[:-1], ends[1:])
    return ends, torch.cat([pieces.new_zeros(1), pieces.cumsum(0)])
