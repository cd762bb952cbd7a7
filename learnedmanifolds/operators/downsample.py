"""Averages over blocks of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from learnedmanifolds._check import integer
from learnedmanifolds.operators._images import image_shape
from learnedmanifolds.operators.base import AffineOperator

__all__ = ["Downsample"]


@dataclass(frozen=True)
class Downsample(AffineOperator):
    """Means over blocks of factor x factor pixels: images of a coarser detector.

    Of an image (H, W) or (C, H, W) whose height and width the factor divides; the observation is
    (H / factor, W / factor), or one such image a channel.

    Parameters
    ----------
    factor : int
        Side of a block in pixels.

    Raises
    ------
    TypeError, ValueError
        If the factor is not an integer of at least 1.
    """

    factor: int

    def __post_init__(self) -> None:
        integer(self.factor, "factor", minimum=1)

    def batch(self, points: Tensor) -> Tensor:
        """The means.

        Raises
        ------
        ValueError
            If a point is no image, or the factor does not divide its height and width.
        """
        height, width = image_shape(points)
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"factor must divide the height and width of an image, got factor {self.factor} "
                f"for ({height}, {width})."
            )
        return super().batch(points)

    def derivative(self, vectors: Tensor) -> Tensor:
        """The means."""
        blocks = vectors.unflatten(-1, (-1, self.factor)).unflatten(-3, (-1, self.factor))
        return blocks.mean((-3, -1))

    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """Every mean spread evenly over its block."""
        block = torch.full(
            (self.factor, self.factor),
            1 / self.factor**2,
            dtype=covectors.dtype,
            device=covectors.device,
        )
        return torch.kron(covectors, block).view(len(covectors), *ambient_shape)
