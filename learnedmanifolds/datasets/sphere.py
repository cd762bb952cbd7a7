"""The two-dimensional sphere."""

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
class Sphere(ToyManifold):
    """The sphere around the origin of R^3; its grid is a Fibonacci lattice.

    Parameters
    ----------
    radius : float
        Radius of the sphere.

    Raises
    ------
    TypeError, ValueError
        If the radius is not a positive number.
    """

    radius: float = 1.0

    name: ClassVar[str] = "sphere"
    dim: ClassVar[int] = 2
    ambient_dim: ClassVar[int] = 3
    n_components: ClassVar[int] = 1
    has_boundary: ClassVar[bool] = False
    settings: ClassVar[ToySettings] = ToySettings(n_charts=2, dim=2, noise_std=0.01, noise=0.01)

    def __post_init__(self) -> None:
        positive(self.radius, "radius")

    @property
    def volume(self) -> float:
        return 4 * math.pi * self.radius**2

    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        return self._even(unit)

    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        # Archimedes: the height is uniform, and 1 - height^2 = 4 u (1 - u) for height = 1 - 2 u.
        share = unit[:, :1]
        equator = 2 * (share * (1 - share)).sqrt() * polar(2 * math.pi * unit[:, 1])
        return self.radius * torch.cat([equator, 1 - 2 * share], dim=-1)

    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        return self.radius * direction(x)

    def _component(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
