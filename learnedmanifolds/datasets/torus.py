"""The torus of revolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from learnedmanifolds._check import positive
from learnedmanifolds.datasets._maps import direction, polar, solve_kepler
from learnedmanifolds.datasets.manifold import ToyManifold, ToySettings


@final
@dataclass(frozen=True)
class Torus(ToyManifold):
    """The torus ``((R + r cos v) cos u, (R + r cos v) sin u, r sin v)`` with ``r < R``.

    Parameters
    ----------
    major_radius, minor_radius : float
        ``R``, radius of the core circle, and ``r``, radius of the tube.

    Raises
    ------
    TypeError, ValueError
        If a radius is not a positive number, or the torus meets itself.
    """

    major_radius: float = 3.0
    minor_radius: float = 1.0

    name: ClassVar[str] = "torus"
    dim: ClassVar[int] = 2
    ambient_dim: ClassVar[int] = 3
    n_components: ClassVar[int] = 1
    has_boundary: ClassVar[bool] = False
    settings: ClassVar[ToySettings] = ToySettings(n_charts=6, dim=2, noise_std=0.05, noise=0.01)

    def __post_init__(self) -> None:
        if positive(self.major_radius, "major_radius") <= positive(
            self.minor_radius, "minor_radius"
        ):
            raise ValueError(
                f"major_radius must be greater than minor_radius {self.minor_radius}, "
                f"got {self.major_radius}"
            )

    @property
    def volume(self) -> float:
        return 4 * math.pi**2 * self.major_radius * self.minor_radius

    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        return self._even(unit)

    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        # The area up to v is proportional to v + (r / R) sin v: Kepler's equation for E = v - pi.
        share = math.pi * (2 * unit[:, 0] - 1)
        tube_angle = math.pi + solve_kepler(share, self.minor_radius / self.major_radius)
        tube = self.minor_radius * polar(tube_angle)
        around = (self.major_radius + tube[:, :1]) * polar(2 * math.pi * unit[:, 1])
        return torch.cat([around, tube[:, 1:]], dim=-1)

    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        outward = direction(x[:, :2])
        from_axis = (x[:, :2] * outward).sum(dim=-1)
        tube = direction(torch.stack([from_axis - self.major_radius, x[:, 2]], dim=-1))
        around = (self.major_radius + self.minor_radius * tube[:, :1]) * outward
        return torch.cat([around, self.minor_radius * tube[:, 1:]], dim=-1)

    def _component(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
