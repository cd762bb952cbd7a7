"""The toy manifolds by name, and their training data in one call."""

from __future__ import annotations

import torch

from learnedmanifolds._check import one_of
from learnedmanifolds.datasets.circle import Circle
from learnedmanifolds.datasets.circles import TwoCircles
from learnedmanifolds.datasets.loop import Loop
from learnedmanifolds.datasets.manifold import ToyManifold
from learnedmanifolds.datasets.ring import Ring
from learnedmanifolds.datasets.sphere import Sphere
from learnedmanifolds.datasets.swiss_roll import SwissRoll
from learnedmanifolds.datasets.torus import Torus

TOYS: dict[str, ToyManifold] = {
    manifold.name: manifold
    for manifold in (TwoCircles(), Ring(), Sphere(), SwissRoll(), Torus(), Circle(), Loop())
}
"""The toy manifolds by name: those of the published method with its sizes, a circle and a loop."""


def toy(name: str) -> ToyManifold:
    """Return a toy manifold by its name in `TOYS`.

    Raises
    ------
    TypeError
        If the name is not a string.
    ValueError
        If there is no such manifold; the message lists the names.
    """
    return TOYS[one_of(name, "name", TOYS)]


def two_circles(
    n: int, noise: float = 0.01, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw noisy points of `TwoCircles`, shape (n, 2); see `ToyManifold.sample`."""
    return TOYS["two_circles"].sample(n, noise, seed, dtype)


def circle(
    n: int, noise: float = 0.01, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw noisy points of `Circle`, shape (n, 2); see `ToyManifold.sample`."""
    return TOYS["circle"].sample(n, noise, seed, dtype)


def loop(
    n: int, noise: float = 0.01, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw noisy points of `Loop`, shape (n, 3); see `ToyManifold.sample`."""
    return TOYS["loop"].sample(n, noise, seed, dtype)


def ring(
    n: int, noise: float = 0.01, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw noisy points of `Ring`, shape (n, 2); see `ToyManifold.sample`."""
    return TOYS["ring"].sample(n, noise, seed, dtype)


def sphere(
    n: int, noise: float = 0.01, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw noisy points of `Sphere`, shape (n, 3); see `ToyManifold.sample`."""
    return TOYS["sphere"].sample(n, noise, seed, dtype)


def swiss_roll(
    n: int, noise: float = 0.05, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw noisy points of `SwissRoll`, shape (n, 3); see `ToyManifold.sample`."""
    return TOYS["swiss_roll"].sample(n, noise, seed, dtype)


def torus(
    n: int, noise: float = 0.01, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw noisy points of `Torus`, shape (n, 3); see `ToyManifold.sample`."""
    return TOYS["torus"].sample(n, noise, seed, dtype)
