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
from learnedmanifolds.models.kernel_atlas import KernelAtlas

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
    options : dict
        Further arguments of `KernelAtlas`.
    seed : int
        Of the training; the images are drawn with the next one.
    """

    data: str
    size: int
    n_images: int
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def manifold(self) -> ImageManifold:
        """The image manifold."""
        return IMAGES[self.data](self.size)

    def with_seed(self, seed: int) -> Recipe:
        """The same recipe from another seed."""
        return replace(self, seed=seed)

    def estimator(self, **changes: Any) -> KernelAtlas:
        """The estimator, not yet fitted; ``changes`` replace its arguments."""
        options = {"random_state": self.seed, "dim": self.manifold.dim, **self.options, **changes}
        return KernelAtlas(**options)

    def fit(self, **changes: Any) -> KernelAtlas:
        """Draw the images and train."""
        images = self.manifold.sample(self.n_images, self.seed + 1)
        return self.estimator(**changes).fit(images)


RECIPES: dict[str, Recipe] = {
    "bars-32": Recipe("bars", 32, 2_000, {"n_charts": 2}),
    "bars-64": Recipe("bars", 64, 2_000, {"n_charts": 2}),
    "bars-128": Recipe("bars", 128, 2_000, {"n_charts": 2}),
    "balls-32": Recipe("balls", 32, 40_000),
    "balls-64": Recipe("balls", 64, 30_000),
    "balls-128": Recipe("balls", 128, 20_000),
}
"""Recipes by name; ``learnedmanifolds learn NAME`` follows one."""


def recipe(name: str) -> Recipe:
    """The recipe of a name in `RECIPES`; TypeError or ValueError if there is none."""
    return RECIPES[one_of(name, "name", RECIPES)]


def pretrained_names() -> tuple[str, ...]:
    """Names of the trained models that ship with the package."""
    return tuple(sorted(path.stem for path in _WEIGHTS.glob("*.safetensors")))


def pretrained(name: str) -> Atlas:
    """A trained atlas that ships with the package, float32, of the data of the recipe of its name.

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
