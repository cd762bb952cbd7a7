"""A ring in the plane, a surface with boundary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from learnedmanifolds._check import positive
from learnedmanifolds.datasets._maps import direction, polar
from learnedmanifolds.datasets.manifold import ToyManifold, ToySettings


@final
@dataclass(frozen=True)
class Ring(ToyManifold):
    """The points of the plane with norm in [`inner`, `outer`].

    Parameters
    ----------
    inner, outer : float
        Radii of the two boundary circles.

    Raises
    ------
    TypeError, ValueError
        If a radius is not a positive number, or `outer` is not greater than `inner`.
    """

    inner: float = 0.5
    outer: float = 1.5

    name: ClassVar[str] = "ring"
    dim: ClassVar[int] = 2
    ambient_dim: ClassVar[int] = 2
    n_components: ClassVar[int] = 1
    has_boundary: ClassVar[bool] = True
    settings: ClassVar[ToySettings] = ToySettings(n_charts=2, dim=2, noise_std=0.01, noise=0.01)

    def __post_init__(self) -> None:
        if positive(self.outer, "outer") <= positive(self.inner, "inner"):
            raise ValueError(f"outer must be greater than inner {self.inner}, got {self.outer}")

    @property
    def volume(self) -> float:
        return math.pi * (self.outer**2 - self.inner**2)

    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        return self._even(unit)

    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        radius = (self.inner**2 + (self.outer**2 - self.inner**2) * unit[:, :1]).sqrt()
        return radius * polar(2 * math.pi * unit[:, 1])

    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        radius = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inside = (radius >= self.inner) & (radius <= self.outer)
        return torch.where(inside, x, radius.clamp(self.inner, self.outer) * direction(x))

    def _component(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
