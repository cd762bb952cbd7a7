"""One small trained model for all tests of this folder."""

import pytest
import torch

from learnedmanifolds.datasets import toy
from learnedmanifolds.models import MixtureVAE, Schedule

SHORT = Schedule(seeding_steps=150, mixture_steps=100, overlap_steps=300, batch_size=128)


@pytest.fixture(scope="session")
def circles() -> torch.Tensor:
    return toy("two_circles").sample(2000, noise=0.02, seed=1)


@pytest.fixture(scope="session")
def model(circles: torch.Tensor) -> MixtureVAE:
    return MixtureVAE(
        4,
        1,
        noise_std=0.02,
        hidden=32,
        n_blocks=3,
        n_latent_blocks=2,
        schedule=SHORT,
        max_restarts=0,
        random_state=0,
    ).fit(circles)
