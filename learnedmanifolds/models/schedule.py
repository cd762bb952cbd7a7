"""Steps, rates and weights of the training of lifted charts."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from learnedmanifolds._check import integer, non_negative, positive
from learnedmanifolds.models.losses import LATENT_NOISE


@dataclass(frozen=True)
class Schedule:
    """Steps, rates and weights of the three stages: regression, mixture, overlap.

    Attributes
    ----------
    regression_steps, mixture_steps, overlap_steps : int
    batch_size : int
        Points a step of the mixture and the overlap stage; as many codes of each chart in the first.
    learning_rate : float
        Peak of the rate of Adam in the regression.
    mixture_peak, overlap_peak : float
        Peaks of the rate in the other stages, relative to `learning_rate`.
    clip : float
        Bound of the gradient's norm.
    overlap_factor : float
        How much wider a chart's claim is made.
    lipschitz_weight, guide_weight, consensus_weight : float
        Of the Lipschitz term; of the distance from the charts that the training starts from, all over
        their domains; of the disagreement of charts.
    latent_noise : float
        Standard deviation sigma_z of the encoder's noise, in units of the box.

    Raises
    ------
    TypeError, ValueError
        If a number of steps or points is no integer or negative, or another value not positive; weights
        may be zero.
    """

    regression_steps: int = 500
    mixture_steps: int = 30
    overlap_steps: int = 80
    batch_size: int = 128
    learning_rate: float = 1e-2
    mixture_peak: float = 0.2
    overlap_peak: float = 0.2
    clip: float = 2000.0
    overlap_factor: float = 1.5
    lipschitz_weight: float = 1.0
    guide_weight: float = 30.0
    consensus_weight: float = 1.0
    latent_noise: float = LATENT_NOISE

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_steps"):
                integer(value, field.name, minimum=0)
            elif field.name == "batch_size":
                integer(value, field.name, minimum=1)
            elif field.name.endswith("_weight"):
                non_negative(value, field.name)
            else:
                positive(value, field.name)

    @classmethod
    def suited(cls, n_charts: int, dim: int) -> Schedule:
        """The default for an atlas: the more dimensions and charts, the longer the regression."""
        return cls(regression_steps=min(1000, 500 + 40 * max(0, n_charts * dim - 4)))

    @property
    def n_steps(self) -> int:
        """All steps together."""
        return self.regression_steps + self.mixture_steps + self.overlap_steps

    def stage(self, step: int) -> tuple[str, float]:
        """Name of the stage that a step is in, and the fraction of it that is done."""
        if step < self.regression_steps:
            return "regression", step / self.regression_steps
        step -= self.regression_steps
        if step < self.mixture_steps:
            return "mixture", step / self.mixture_steps
        return "overlap", (step - self.mixture_steps) / max(1, self.overlap_steps)

    def rate(self, step: int) -> float:
        """Learning rate relative to `learning_rate`: warm-up, then a cosine in each stage."""
        name, done = self.stage(step)
        peak = {"regression": 1.0, "mixture": self.mixture_peak, "overlap": self.overlap_peak}[name]
        warm = min(1.0, 20 * done + 0.05)
        return warm * peak * 0.5 * (1 + math.cos(math.pi * done))
