"""Recipes: models that anyone can train again by name, and the trained ones that ship."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from learnedmanifolds._check import one_of
from learnedmanifolds.atlas.atlas import Atlas
from learnedmanifolds.datasets.images import IMAGES, ImageManifold
from learnedmanifolds.files.io import load
from learnedmanifolds.models.mixture_vae import MixtureVAE
from learnedmanifolds.models.schedule import Schedule

_WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Recipe:
    """All that decides a trained image model.

    Attributes
    ----------
    data : str
        Name of the image manifold in `learnedmanifolds.datasets.IMAGES`.
    size : int
        Side of the images in pixels.
    n_images : int
        Number of training images.
    seed : int
        Of the training; the images are drawn with the next one.
    schedule : Schedule
    options : dict
        Further arguments of `MixtureVAE`.
    """

    data: str
    size: int
    n_images: int
    schedule: Schedule
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def manifold(self) -> ImageManifold:
        """The image manifold."""
        return IMAGES[self.data](self.size)

    def with_seed(self, seed: int) -> Recipe:
        """The same recipe from another seed."""
        return replace(self, seed=seed)

    def estimator(self, **changes: Any) -> MixtureVAE:
        """The estimator, not yet fitted; ``changes`` replace its arguments."""
        options = {"random_state": self.seed, "schedule": self.schedule, **self.options, **changes}
        return MixtureVAE(dim=self.manifold.dim, **options)

    def fit(self, **changes: Any) -> MixtureVAE:
        """Draw the images and train."""
        images = self.manifold.sample(self.n_images, self.seed + 1)
        return self.estimator(**changes).fit(images)


_NARROW = {"hidden": 64, "n_blocks": 3, "conv_hidden": 16}
_WIDE = {"hidden": 128, "n_blocks": 3, "conv_hidden": 64}

_BARS = {"n_charts": 2, "noise_std": 0.1, "max_restarts": 0}
_BALLS = {"n_charts": 2, "noise_std": 0.1, "max_restarts": 0}

# Charts of high ambient dimension: a slower overlap stage, that trims no boxes.
_IMAGES: dict[str, Any] = {
    "batch_size": 128,
    "overlap_peak": 0.3,
    "latent_noise": 0.003,
    "tail_rate": 1000.0,
    "trim": False,
}
_SHORT = Schedule(seeding_steps=400, mixture_steps=150, overlap_steps=600, **_IMAGES)
# Six dimensions: a chart that is widened by half in each of them takes in nearly everything.
_LONG = Schedule(
    seeding_steps=1500,
    mixture_steps=20,
    overlap_steps=2000,
    mixture_peak=0.1,
    overlap_factor=1.1,
    consensus_weight=0.5,
    **{**_IMAGES, "overlap_peak": 1.0},
)

RECIPES: dict[str, Recipe] = {
    "bars-32": Recipe("bars", 32, 5_000, _SHORT, {**_BARS, **_NARROW}),
    "bars-64": Recipe("bars", 64, 5_000, _SHORT, {**_BARS, **_NARROW}),
    "bars-128": Recipe("bars", 128, 10_000, _LONG, {**_BARS, **_WIDE}),
    "balls-32": Recipe("balls", 32, 20_000, _LONG, {**_BALLS, **_NARROW}),
    "balls-64": Recipe("balls", 64, 20_000, _LONG, {**_BALLS, **_WIDE}),
    "balls-128": Recipe("balls", 128, 20_000, _LONG, {**_BALLS, **_WIDE}),
}
"""Recipes by name; ``learnedmanifolds learn NAME`` follows one."""


def recipe(name: str) -> Recipe:
    """The recipe of a name in `RECIPES`; TypeError or ValueError if there is none."""
    return RECIPES[one_of(name, "name", RECIPES)]


def pretrained_names() -> tuple[str, ...]:
    """Names of the trained models that ship with the package."""
    return tuple(sorted(path.stem for path in _WEIGHTS.glob("*.safetensors")))


def pretrained(name: str) -> Atlas:
    """A trained atlas that ships with the package, float32, made by the recipe of its name.

    Parameters
    ----------
    name : str
        One of `pretrained_names`.

    Raises
    ------
    TypeError, ValueError
        If there is none of that name.
    """
    file = _WEIGHTS / f"{one_of(name, 'name', pretrained_names())}.safetensors"
    # Half precision on disk keeps the package small.
    return load(file).to(torch.float32)
