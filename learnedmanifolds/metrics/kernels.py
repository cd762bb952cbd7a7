"""Kernels for the maximum mean discrepancy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from torch import Tensor

from learnedmanifolds._check import positive

# Of the median distance: distances of clouds on a manifold spread over about this range.
_FACTORS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Kernel(ABC):
    """A characteristic, radial kernel with values in (0, 1], 1 at distance 0.

    Parameters
    ----------
    length : float
        Its length, in the units of the data.

    Raises
    ------
    TypeError, ValueError
        If the length is not a positive finite number.
    """

    length: float

    def __post_init__(self) -> None:
        positive(self.length, "length")

    @abstractmethod
    def __call__(self, square: Tensor) -> Tensor:
        """Values of the kernel at squared distances of any shape."""


@final
@dataclass(frozen=True)
class GaussianKernel(Kernel):
    """exp(-r^2 / (2 length^2)), the radial basis function kernel."""

    def __call__(self, square: Tensor) -> Tensor:
        return (square * (-0.5 / self.length**2)).exp()


@final
@dataclass(frozen=True)
class InverseMultiquadric(Kernel):
    """1 / (1 + r^2 / length^2): heavy tails, so that it sees far outliers.

    References
    ----------
    Tolstikhin, Bousquet, Gelly, Schoelkopf, Wasserstein auto-encoders, ICLR 2018, section 4.
    """

    def __call__(self, square: Tensor) -> Tensor:
        return 1 / (1 + square / self.length**2)


def median_bank(square: Tensor) -> tuple[Kernel, ...]:
    """Kernels of both kinds with half, once and twice the median distance as length.

    Parameters
    ----------
    square : Tensor
        Squared distances between different points.

    Raises
    ------
    ValueError
        If the median is zero.
    """
    median = float(square.median().sqrt())
    if median == 0:
        raise ValueError(
            "x and y must hold different points, got more than half of the distances zero; give "
            "kernels with a length"
        )
    return tuple(
        kind(factor * median)
        for kind in (GaussianKernel, InverseMultiquadric)
        for factor in _FACTORS
    )
