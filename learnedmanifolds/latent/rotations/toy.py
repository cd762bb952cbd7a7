"""Data on an orbit of SO(3): one random spectrum, turned by random rotations."""

from __future__ import annotations

import torch
from torch import Tensor

from learnedmanifolds._check import floating_dtype, generator, integer
from learnedmanifolds.latent.rotations.action import act
from learnedmanifolds.latent.rotations.algebra import from_quaternion

_NORM = 10.0


def random_spectrum(
    n: int,
    degree: int = 3,
    channels: int = 3,
    seed: int | None = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:
    """Points x = (D^0(R) h_0, ..., D^L(R) h_L) of uniform rotations R and one normal h, |h| = 10.

    Parameters
    ----------
    n : int
        Number of points.
    degree, channels : int
        L and the number c of copies of every representation.
    seed : int, optional
        Seed of the spectrum and the rotations.
    dtype : torch.dtype
        Floating point dtype of the result; the draw itself is in float64.

    Returns
    -------
    x : Tensor, shape (n, (L + 1)^2 c)
    rotations : Tensor, shape (n, 3, 3)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or range.

    References
    ----------
    Falorsi et al., Explorations in homeomorphic variational auto-encoding, arXiv 1807.04689,
    section 5.
    """
    dtype = floating_dtype(dtype)
    count, source = integer(n, "n", minimum=1), generator(seed)
    shape = (
        (integer(degree, "degree", minimum=0) + 1) ** 2,
        integer(channels, "channels", minimum=1),
    )
    spectrum = torch.randn(shape, generator=source, dtype=torch.float64)
    spectrum = _NORM * spectrum / spectrum.norm()
    rotations = from_quaternion(torch.randn(count, 4, generator=source, dtype=torch.float64))
    return act(rotations, spectrum).flatten(1).to(dtype), rotations.to(dtype)
