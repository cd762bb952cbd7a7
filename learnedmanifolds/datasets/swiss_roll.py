"""The swiss roll of scikit-learn, a surface with boundary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from learnedmanifolds._check import positive
from learnedmanifolds.datasets._maps import polar
from learnedmanifolds.datasets._spiral import arc_length, invert_arc_length, nearest_parameter
from learnedmanifolds.datasets.manifold import ToyManifold, ToySettings

START, STOP = 1.5 * math.pi, 4.5 * math.pi


@final
@dataclass(frozen=True)
class SwissRoll(ToyManifold):
    """The surface ``(t cos t, h, t sin t)`` with ``t`` in [3 pi / 2, 9 pi / 2], ``h`` in [0, height].

    Samples follow scikit-learn's `make_swiss_roll`, ``t`` and ``h`` uniform, and so are denser at
    the inner end; the grid is even in arc length.

    Parameters
    ----------
    height : float
        Width of the rolled sheet.

    Raises
    ------
    TypeError, ValueError
        If the height is not a positive number.
    """

    height: float = 21.0

    name: ClassVar[str] = "swiss_roll"
    dim: ClassVar[int] = 2
    ambient_dim: ClassVar[int] = 3
    n_components: ClassVar[int] = 1
    has_boundary: ClassVar[bool] = True
    settings: ClassVar[ToySettings] = ToySettings(n_charts=4, dim=2, noise_std=0.2, noise=0.05)

    def __post_init__(self) -> None:
        positive(self.height, "height")

    @property
    def volume(self) -> float:
        first, last = arc_length(torch.tensor([START, STOP], dtype=torch.float64)).tolist()
        return self.height * (last - first)

    def _random(self, unit: torch.Tensor) -> torch.Tensor:
        return self._roll(START + (STOP - START) * unit[:, 0], self.height * unit[:, 1])

    def _even(self, unit: torch.Tensor) -> torch.Tensor:
        first, last = arc_length(unit.new_tensor([START, STOP]))
        t = invert_arc_length(torch.lerp(first, last, unit[:, 0])).clamp(START, STOP)
        return self._roll(t, self.height * unit[:, 1])

    def _nearest(self, x: torch.Tensor) -> torch.Tensor:
        return self._roll(
            nearest_parameter(x[:, [0, 2]], START, STOP), x[:, 1].clamp(0, self.height)
        )

    def _component(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)

    def _roll(self, t: torch.Tensor, height: torch.Tensor) -> torch.Tensor:
        spiral = t[:, None] * polar(t)
        return torch.stack([spiral[:, 0], height, spiral[:, 1]], dim=-1)
