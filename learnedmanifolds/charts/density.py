"""The latent density of a chart: uniform on a box with softened edges."""

from __future__ import annotations

import torch
from torch import Tensor


class SmoothedUniform:
    """Product over coordinates of a uniform density with a linear ramp and exponential tails.

    Unnormalised density of one coordinate: 1 for |t| <= 0.8, falling linearly to 0.05 at
    |t| = 1, and 0.05 exp(-rate (|t| - 1)) beyond.

    Parameters
    ----------
    rate : float
        Decay rate of the tails.

    References
    ----------
    Alberti, Hertrich, Santacesaria, Sciutto, JMLR 25(202), 2024, section 3.
    """

    core = 0.8
    floor = 0.05

    def __init__(self, rate: float = 100.0) -> None:
        self.rate = rate
        self._ramp_mass = (1 - self.core) * (1 + self.floor) / 2
        self._tail_mass = self.floor / rate
        self.normalizer = 2 * (self.core + self._ramp_mass + self._tail_mass)

    def log_prob(self, t: Tensor) -> Tensor:
        """Log density in nats, (..., d) -> (...)."""
        # Not `abs`: the second derivative that torch has for it costs seconds at its first use.
        size = t * t.detach().sign()
        slope = (1 - self.floor) / (1 - self.core)
        ramp = (1 - slope * (size - self.core)).clamp(min=self.floor).log()
        log_density = torch.where(size <= self.core, torch.zeros_like(t), ramp)
        log_density = log_density - self.rate * (size - 1).clamp(min=0)
        constant = torch.tensor(self.normalizer, dtype=t.dtype, device=t.device).log()
        return (log_density - constant).sum(-1)

    def sample(
        self,
        *shape: int,
        generator: torch.Generator | None = None,
        truncated: bool = False,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Exact draws by inversion, of the given shape; ``truncated`` keeps them in the box."""
        u = torch.rand(*shape, 2, generator=generator, dtype=dtype)
        sign = torch.where(u[..., 0] < 0.5, -1.0, 1.0).to(u.dtype)
        mass = self.core + self._ramp_mass + (0.0 if truncated else self._tail_mass)
        m = u[..., 1] * mass
        # On the ramp the mass beyond `core` is s - slope s^2 / 2 at the depth s.
        slope = (1 - self.floor) / (1 - self.core)
        ramp = (1 - (1 - 2 * slope * (m - self.core)).clamp(min=self.floor**2).sqrt()) / slope
        left = (self.core + self._ramp_mass + self._tail_mass - m).clamp(
            min=torch.finfo(u.dtype).tiny
        )
        tail = 1 - (left / self._tail_mass).clamp(max=1).log() / self.rate
        size = torch.where(m <= self.core, m, self.core + ramp)
        size = torch.where(m > self.core + self._ramp_mass, tail, size)
        return sign * size
