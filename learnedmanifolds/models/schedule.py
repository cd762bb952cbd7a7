"""Steps, rates and weights of the training of flow charts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from learnedmanifolds.models.losses import LATENT_NOISE


@dataclass(frozen=True)
class Schedule:
    """Steps, rates and weights of the three stages: seeding, mixture, overlap.

    Attributes
    ----------
    seeding_steps, mixture_steps, overlap_steps : int
    batch_size : int
        Points a step of the mixture stage; half as many for each chart in the other stages.
    learning_rate : float
        Rate of Adam; its peak is 2.5 of it in the seeding stage.
    mixture_peak : float
        Peak of the rate in the mixture stage, relative to `learning_rate`. A low one keeps the
        charts near the even shares that they were seeded with; at 1 the large ones grow.
    overlap_peak : float
        The same in the overlap stage. sigma_x is sharper there: charts of high ambient dimension
        lose their boxes at a high rate.
    clip : float
        Bound of the gradient's norm.
    overlap_factor : float
        How much wider a chart's claim is made.
    lipschitz_weight, box_weight, consensus_weight, spread_weight : float
    latent_noise : float
        Standard deviation sigma_z of the encoder's noise. Against a small sigma_x a large one pushes
        the data out of the box, because a wider chart is less sensitive to it.
    tail_rate : float
        Decay rate of the latent density outside the box while training, see `SmoothedUniform`: the
        higher the ambient dimension, the more it takes to keep the data inside.
    trim : bool
        Whether boxes are trimmed; data that hardly cover them should keep what there is.
    """

    seeding_steps: int = 400
    mixture_steps: int = 200
    overlap_steps: int = 1000
    batch_size: int = 256
    learning_rate: float = 3e-3
    clip: float = 2000.0
    overlap_factor: float = 1.5
    mixture_peak: float = 0.4
    overlap_peak: float = 1.2
    lipschitz_weight: float = 1.0
    box_weight: float = 0.5
    consensus_weight: float = 1.5
    spread_weight: float = 10.0
    latent_noise: float = LATENT_NOISE
    tail_rate: float = 100.0
    trim: bool = True

    @classmethod
    def suited(cls, n_charts: int, dim: int) -> Schedule:
        """The default for an atlas: the more charts meet, the longer they are seeded and overlap."""
        size = n_charts * dim
        return cls(seeding_steps=400 if size <= 4 else 600, overlap_steps=60 + 160 * size)

    @property
    def n_steps(self) -> int:
        """All steps together."""
        return self.seeding_steps + self.mixture_steps + self.overlap_steps

    def stage(self, step: int) -> tuple[str, float]:
        """Name of the stage that a step is in, and the fraction of it that is done."""
        if step < self.seeding_steps:
            return "seeding", step / self.seeding_steps
        step -= self.seeding_steps
        if step < self.mixture_steps:
            return "mixture", step / self.mixture_steps
        return "overlap", (step - self.mixture_steps) / max(1, self.overlap_steps)

    def rate(self, step: int) -> float:
        """Learning rate relative to `learning_rate`: warm-up, then a cosine in each stage."""
        name, done = self.stage(step)
        # Seeded charts settle before they compete: one that still misses its cell loses it for good.
        peak, low = {
            "seeding": (2.5, 0.05),
            "mixture": (self.mixture_peak, 0.1),
            "overlap": (self.overlap_peak, 0.002),
        }[name]
        warm = min(1.0, 10 * done + 0.1)
        return warm * (low + (peak - low) * 0.5 * (1 + math.cos(math.pi * done)))
