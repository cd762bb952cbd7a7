"""Blur by a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from learnedmanifolds._check import integer, positive
from learnedmanifolds.operators.base import AffineOperator
from learnedmanifolds.operators.blur import Blur

__all__ = ["GaussianBlur"]

# Standard deviations at which the kernel is cut off by default, as in scipy.ndimage: 6e-5 of the
# Gaussian's mass lie outside, in each direction.
_TRUNCATE = 4.0

# The widest kernel, 800 MB; wider than any image that is blurred with it.
_WIDEST = 10_001


@dataclass(frozen=True)
class GaussianBlur(AffineOperator):
    """Convolution with a normalised Gaussian, exp(-|r|^2 / (2 sigma^2)) at the pixels of a square.

    Images are (H, W) or (C, H, W), each channel for itself; the result has their size. The kernel
    of an even size is symmetric about the middle of its square, which shifts the image by half a
    pixel towards its start; see `Blur`.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels.
    kernel_size : int, optional
        Side of the square in pixels, odd or even; by default 2 r + 1 with r = 4 sigma rounded, as
        `scipy.ndimage.gaussian_filter` takes it.
    padding_value : float
        What lies outside the image, in its units.
    padding : {"constant", "circular", "reflect"}
        See `Blur`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or the kernel is wider than 10,001 pixels.
    """

    sigma: float
    kernel_size: int | None = None
    padding_value: float = 0.0
    padding: str = field(default="constant", kw_only=True)
    _blur: Blur = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sigma = positive(self.sigma, "sigma")
        if self.kernel_size is None:
            radius = _TRUNCATE * sigma + 0.5
            if radius >= _WIDEST // 2 + 1:
                raise ValueError(
                    f"sigma must be at most {(_WIDEST - 1) / (2 * _TRUNCATE):g} pixels where "
                    f"kernel_size is not given, got {self.sigma}."
                )
            size = 2 * int(radius) + 1
        else:
            size = integer(self.kernel_size, "kernel_size", minimum=1)
            if size > _WIDEST:
                raise ValueError(f"kernel_size must be at most {_WIDEST}, got {size}.")
        offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        profile = (-0.5 * (offsets / sigma).square()).exp()
        blur = Blur(torch.outer(profile, profile), self.padding, self.padding_value)
        object.__setattr__(self, "_blur", blur)

    @property
    def kernel(self) -> Tensor:
        """The kernel, shape (k, k), of sum 1."""
        return self._blur.kernel

    def batch(self, points: Tensor) -> Tensor:
        """The blurred images; `ValueError` if a point is no image."""
        return self._blur.batch(points)

    def derivative(self, vectors: Tensor) -> Tensor:
        """The blur with zeros for ``padding_value``."""
        return self._blur.derivative(vectors)

    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """Its transpose."""
        return self._blur.adjoint(covectors, ambient_shape)
