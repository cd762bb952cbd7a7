"""The Radon transform of images, parallel beams."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor, integer, positive
from learnedmanifolds.operators._images import image_shape
from learnedmanifolds.operators.base import AffineOperator

__all__ = ["Radon"]

# Weights below this part of the largest are rounding: detectors that a pixel's shadow only touches.
_SMALLEST_WEIGHT = 1e-12


class Radon(AffineOperator):
    """Parallel-beam Radon transform: integrals of an image along lines, means over detectors.

    The line of angle theta and offset s is {(x, y) : x cos(theta) + y sin(theta) = s}. The origin
    is the middle of the image, x grows with the columns, y against the rows, as one looks at it.
    The image is constant on each pixel and a detector measures the mean over its width, both
    without further approximation: the shadow of a pixel is a trapezoid of area pixel_size^2, and
    the observation times the detector spacing adds up to the image's integral at every angle.

    Images are (H, W) or (C, H, W), the observation (n_angles, n_detectors), one a channel; its unit
    is that of the image times that of the pixel size. The matrix is made once for every size of
    image and kept, at about 2.3 entries for every pixel and angle with the default detectors.

    Parameters
    ----------
    angles : array, shape (n_angles,)
        Radians.
    pixel_size : float
        Side of a pixel, in any unit of length.
    n_detectors : int, optional
        Side by side, the middle of the row at s = 0; by default as many as cover the diagonal of
        the image.
    detector_spacing : float, optional
        Width of a detector, in the unit of ``pixel_size``, which is the default.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or value.

    References
    ----------
    Natterer, The Mathematics of Computerized Tomography, 2001, section II.1.
    """

    def __init__(
        self,
        angles: ArrayLike,
        pixel_size: float = 1.0,
        n_detectors: int | None = None,
        detector_spacing: float | None = None,
    ) -> None:
        checked = as_tensor(angles, "angles", shape=(None,), allow_empty=False)
        self.angles = checked.detach().to(device="cpu", dtype=torch.float64)
        self.pixel_size = positive(pixel_size, "pixel_size")
        self.detector_spacing = (
            self.pixel_size
            if detector_spacing is None
            else positive(detector_spacing, "detector_spacing")
        )
        self._n_detectors = (
            None if n_detectors is None else integer(n_detectors, "n_detectors", minimum=1)
        )
        self._matrices: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # torch cannot copy its sparse matrices; they are made again where they are needed.
        return {**vars(self), "_matrices": {}}

    def __repr__(self) -> str:
        return (
            f"Radon({len(self.angles)} angles, pixel_size={self.pixel_size:g}, "
            f"n_detectors={self._n_detectors}, detector_spacing={self.detector_spacing:g})"
        )

    def detectors(self, height: int, width: int) -> Tensor:
        """Offsets s of the middles of the detectors for an image of a size in pixels, (n,)."""
        n = self._n_detectors
        if n is None:
            n = math.ceil(math.hypot(height, width) * self.pixel_size / self.detector_spacing)
        return (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * self.detector_spacing

    def batch(self, points: Tensor) -> Tensor:
        """The transforms.

        Raises
        ------
        ValueError
            If a point is no image.
        """
        image_shape(points)
        return super().batch(points)

    def derivative(self, vectors: Tensor) -> Tensor:
        """The transforms."""
        matrix, _ = self._pair(vectors.shape[-2], vectors.shape[-1], vectors)
        rows = _multiply(matrix, vectors.flatten(-2))
        return rows.unflatten(-1, (len(self.angles), -1))

    def adjoint(self, covectors: Tensor, ambient_shape: tuple[int, ...]) -> Tensor:
        """The back projections."""
        height, width = ambient_shape[-2:]
        _, transpose = self._pair(height, width, covectors)
        return _multiply(transpose, covectors.flatten(-2)).unflatten(-1, (height, width))

    def _pair(self, height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix and its transpose: torch multiplies by columns a hundred times slower."""
        # torch has no sparse products in half precision, in which sums would lose more anyway.
        dtype = torch.promote_types(like.dtype, torch.float32)
        key = (height, width, dtype, like.device)
        if key not in self._matrices:
            matrix, like = self._assemble(height, width), like.to(dtype)
            self._matrices[key] = _to_torch(matrix, like), _to_torch(matrix.T.tocsr(), like)
        return self._matrices[key]

    def _assemble(self, height: int, width: int) -> scipy.sparse.csr_array:
        x = (np.arange(width) - (width - 1) / 2) * self.pixel_size
        y = ((height - 1) / 2 - np.arange(height)) * self.pixel_size
        n = len(self.detectors(height, width))
        blocks = []
        for angle in self.angles.tolist():
            centres = (y[:, None] * math.sin(angle) + x * math.cos(angle)).ravel()
            blocks.append(self._one_angle(centres, angle, n))
        return scipy.sparse.vstack(blocks, format="csr")

    def _one_angle(self, centres: np.ndarray, angle: float, n: int) -> scipy.sparse.csr_array:
        """Shadows of the pixels with projected centres on n detectors, (n, n_pixels)."""
        sides = sorted((abs(math.cos(angle)), abs(math.sin(angle))))
        short, long = (self.pixel_size * side for side in sides)
        spacing = self.detector_spacing
        half = (short + long) / 2
        # The detectors that the shadow may reach, from the first on; their edges are one more.
        first = np.floor((centres - half) / spacing + n / 2).astype(int)
        reach = math.ceil(2 * half / spacing) + 1
        detector = first[:, None] + np.arange(reach + 1)
        edges = (detector - n / 2) * spacing - centres[:, None]
        weights = np.diff(_shadow(edges, short, long), axis=1) * self.pixel_size**2 / spacing
        pixel = np.broadcast_to(np.arange(len(centres))[:, None], weights.shape)
        detector = detector[:, :-1]
        kept = (detector >= 0) & (detector < n) & (weights > _SMALLEST_WEIGHT * weights.max())
        return scipy.sparse.csr_array(
            (weights[kept], (detector[kept], pixel[kept])), shape=(n, len(centres))
        )


def _shadow(s: np.ndarray, short: float, long: float) -> np.ndarray:
    """Integral up to s of the trapezoid of area 1: of a box of one width smoothed by another."""
    ramp = max(short, _SMALLEST_WEIGHT * long)
    flat = (long - ramp) / 2
    rising = np.clip((s + flat) / ramp + 1, 0, 1)
    falling = np.clip((s - flat) / ramp, 0, 1)
    ramps = ramp * (rising**2 / 2 + falling - falling**2 / 2)
    return (ramps + np.clip(s + flat, 0, 2 * flat)) / long


def _to_torch(matrix: scipy.sparse.csr_array, like: Tensor) -> Tensor:
    with warnings.catch_warnings():
        # torch calls its compressed matrices a beta at their first use.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr),
            torch.from_numpy(matrix.indices),
            torch.from_numpy(matrix.data).to(like.dtype),
            matrix.shape,
            check_invariants=True,
        ).to(like.device)


def _multiply(matrix: Tensor, rows: Tensor) -> Tensor:
    """The matrix times every row (..., n)."""
    columns = rows.to(matrix.dtype).reshape(-1, rows.shape[-1]).T.contiguous()
    return (matrix @ columns).T.reshape(*rows.shape[:-1], matrix.shape[0]).to(rows.dtype)
