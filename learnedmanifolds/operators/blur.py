"""Convolution of images with a kernel, by the fast Fourier transform."""

from __future__ import annotations

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, one_of
from learnedmanifolds._grad import ordinary
from learnedmanifolds.operators._images import image_shape
from learnedmanifolds.operators.base import AffineOperator

__all__ = ["Blur"]

PADDINGS = ("constant", "circular", "reflect")

# A kernel whose sum is this small beside its entries cannot be normalised.
_SMALLEST_SUM = 1e-12


class Blur(AffineOperator):
    """Convolution of an image with a kernel: y[i] = sum_j k[j] x[i - j + c], of the image's size.

    The centre of the kernel is c = size // 2 in each direction, so that a single bright pixel
    becomes the kernel, and with the kernel turned by half a turn this is
    ``torch.nn.functional.conv2d(..., padding="same")``: it pads (size - 1) // 2 pixels before and
    size // 2 after. An even kernel that is symmetric shifts the image by half a pixel towards
    its start.

    Images are (H, W) or (C, H, W), each channel for itself.

    Parameters
    ----------
    kernel : array, shape (h, w)
        Of any size, even and larger than the image included.
    padding : {"constant", "circular", "reflect"}
        What lies outside the image: ``padding_value``, the image again, or its mirror image about
        the centres of the pixels at the border.
    padding_value : float
        In the units of the image. If it is not 0 the operator is affine.
    normalize : bool
        Whether to divide the kernel by its sum, so that brightness is kept.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value, or the sum to divide by is 0.
    """

    def __init__(
        self,
        kernel: ArrayLike,
        padding: str = "constant",
        padding_value: float = 0.0,
        *,
        normalize: bool = True,
    ) -> None:
        values = as_tensor(kernel, "kernel", shape=(None, None), allow_empty=False)
        values = values.detach().to(device="cpu", dtype=torch.float64)
        self.padding = one_of(padding, "padding", PADDINGS)
        self.padding_value = float(as_tensor(padding_value, "padding_value", shape=()))
        if self.padding_value and self.padding != "constant":
            raise ValueError(
                f"padding_value must be 0 with padding {padding!r}, got {padding_value}."
            )
        total = float(values.sum())
        if normalize:
            if abs(total) <= _SMALLEST_SUM * float(values.abs().sum()):
                raise ValueError(
                    f"kernel must have a sum other than 0 to be normalised, got {total:g}; "
                    f"normalize=False takes it as it is."
                )
            values, total = values / total, 1.0
        self.kernel = ordinary(values)
        self._sum = total
        self._spectra: dict[tuple[object, ...], Tensor] = {}

    def __repr__(self) -> str:
        return (
            f"Blur(kernel of shape {tuple(self.kernel.shape)}, padding={self.padding!r}, "
            f"padding_value={self.padding_value:g})"
        )

    def batch(self, points: Tensor) -> Tensor:
        """The convolved images.

        Raises
        ------
        ValueError
            If a point is no image.
        """
        image_shape(points)
        if not self.padding_value:
            return super().batch(points)
        outside = self.padding_value
        return super().batch(points - outside) + outside * self._sum

    def derivative(self, vectors: Tensor) -> Tensor:
        """The convolution with zeros for ``padding_value``."""
        if self.padding != "reflect":
            return self._filter(vectors, transposed=False)
        height, width = vectors.shape[-2:]
        rows, columns = self._mirrors(vectors)
        padded = vectors.index_select(-2, rows).index_select(-1, columns)
        (top, _), (left, _) = self._margins
        convolved = self._filter(padded, transposed=False)
        return convolved[..., top : top + height, left : left + width]

    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """The correlation with the kernel, what lies outside the image folded back."""
        if self.padding != "reflect":
            return self._filter(covectors, transposed=True)
        height, width = covectors.shape[-2:]
        rows, columns = self._mirrors(covectors)
        (top, bottom), (left, right) = self._margins
        padded = torch.nn.functional.pad(covectors, (left, right, top, bottom))
        spread = self._filter(padded, transposed=True)
        folded = spread.new_zeros(*spread.shape[:-2], height, spread.shape[-1])
        folded = folded.index_add(-2, rows, spread)
        return torch.zeros_like(covectors).index_add(-1, columns, folded)

    @property
    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels that the convolution reads before and after an image, in both directions."""
        height, width = self.kernel.shape
        return ((height - 1) // 2, height // 2), ((width - 1) // 2, width // 2)

    def _mirrors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Rows and columns of the image that stand at those of the padded image."""
        rows, columns = (
            np.pad(np.arange(n), margins, mode="reflect")
            for n, margins in zip(images.shape[-2:], self._margins, strict=True)
        )
        return torch.as_tensor(rows, device=images.device), torch.as_tensor(
            columns, device=images.device
        )

    def _filter(self, images: Tensor, *, transposed: bool) -> Tensor:
        if not images.numel():
            return images  # torch transforms no empty batch.
        height, width = images.shape[-2:]
        sizes = (self._period(height, 0), self._period(width, 1))
        # torch has no transforms of half precision.
        work = images.to(torch.promote_types(images.dtype, torch.float32))
        spectrum = self._spectrum(sizes, work)
        if transposed:
            spectrum = spectrum.conj()
        product = torch.fft.rfft2(work, s=sizes) * spectrum
        return torch.fft.irfft2(product, s=sizes)[..., :height, :width].to(images.dtype)

    def _period(self, n: int, axis: int) -> int:
        """Length of the transform; what wraps around does not reach the image."""
        if self.padding == "circular":
            return n
        return int(scipy.fft.next_fast_len(n + max(self._margins[axis]), real=True))

    def _spectrum(self, sizes: tuple[int, int], like: Tensor) -> Tensor:
        key = (*sizes, like.dtype, like.device)
        if key not in self._spectra:
            places = [
                (np.arange(k) - k // 2) % n for k, n in zip(self.kernel.shape, sizes, strict=True)
            ]
            wrapped = np.zeros(sizes)
            np.add.at(wrapped, np.ix_(*places), self.kernel.numpy())
            spectrum = torch.fft.rfft2(torch.from_numpy(wrapped))
            dtype = torch.complex64 if like.dtype == torch.float32 else torch.complex128
            self._spectra[key] = spectrum.to(like.device, dtype)
        return self._spectra[key]
