"""The circle."""

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
class Circle(ToyManifold):
    """The circle around the origin of R^2.

    Parameters
    ----------
    radius : float
        Radius of the circle.

    Raises
    ------
    TypeError, ValueError
        If the radius is not a positive number.
    """

    radius: float = 1.0

    name: ClassVar[str] = "circle"
    dim: ClassVar[int] = 1
    ambient_dim: ClassVar[int] = 2
    n_components: ClassVar[int] = 1
    has_boundary: ClassVar[bool] = False
    settings: ClassVar[ToySettings] = ToySettings(n_charts=2, dim=1, noise_std=0.01, noise=0.01)

    def __post_init__(self) -> None:
        positive(self.radius, "radius")

    @property
    def volume(self) -> float:
        return 2 * math.pi * self.radius

    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        return self._even(unit)

    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        return self.radius * polar(2 * math.pi * unit[:, 0])

    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        return self.radius * direction(x)

    def _component(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
