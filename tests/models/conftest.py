"""One small trained model for all tests of this folder."""

import pytest
import torch

from learnedmanifolds.datasets import toy
from learnedmanifolds.models import MixtureVAE, Schedule

SHORT = Schedule(regression_steps=200, mixture_steps=20, overlap_steps=30, batch_size=64)


@pytest.fixture(scope="session")
def circles() -> torch.Tensor:
    return toy("two_circles").sample(2000, noise=0.02, seed=1)


@pytest.fixture(scope="session")
def model(circles: torch.Tensor) -> MixtureVAE:
    return MixtureVAE(hidden=32, n_blocks=3, schedule=SHORT, random_state=0).fit(circles)
