"""Two separate circles in the plane."""

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
class TwoCircles(ToyManifold):
    """Two circles around ``(-centre, 0)`` (component 0) and ``(centre, 0)`` (component 1).

    Parameters
    ----------
    radius : float
        Radius of both circles.
    centre : float
        Distance of the centres from the origin, greater than `radius`.

    Raises
    ------
    TypeError, ValueError
        If a length is not a positive number, or the circles meet.
    """

    radius: float = 1.0
    centre: float = 1.5

    name: ClassVar[str] = "two_circles"
    dim: ClassVar[int] = 1
    ambient_dim: ClassVar[int] = 2
    n_components: ClassVar[int] = 2
    has_boundary: ClassVar[bool] = False
    settings: ClassVar[ToySettings] = ToySettings(n_charts=4, dim=1, noise_std=0.01, noise=0.01)

    def __post_init__(self) -> None:
        if positive(self.centre, "centre") <= positive(self.radius, "radius"):
            raise ValueError(f"centre must be greater than radius {self.radius}, got {self.centre}")

    @property
    def volume(self) -> float:
        return 4 * math.pi * self.radius

    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        return self._even(unit)

    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        turns = 2 * unit[:, 0]
        return self._centres(turns.floor()) + self.radius * polar(2 * math.pi * turns)

    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        centres = self._centres(self._component(x).to(x.dtype))
        return centres + self.radius * direction(x - centres)

    def _component(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] >= 0).long()

    def _centres(self, component: torch.Tensor) -> torch.Tensor:
        first = self.centre * (2 * component - 1)
        return torch.stack([first, torch.zeros_like(first)], dim=-1)
