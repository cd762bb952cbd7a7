"""From the pixels of an image to the triangles of a mesh, as sparse matrices.

Pixel (i, j) of an H x W image over the rectangle [0, w] x [0, h] is the square between
x = j w / W and (j + 1) w / W, y = (H - 1 - i) h / H and (H - i) h / H: row 0 is on top.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh


def area_average(
    mesh: ImpedanceMesh, shape: tuple[int, int], extent: tuple[float, float]
) -> sp.csr_array:
    """Mean of the image over each triangle, exact: weights are areas of triangle with pixel.

    Parameters
    ----------
    mesh : ImpedanceMesh
        Inside the image.
    shape : tuple of int
        H and W.
    extent : tuple of float
        Width and height of the image, metres.

    Returns
    -------
    sparse array, shape (T, H * W)
        Rows sum to one.
    """
    height, width = shape
    corners = _in_pixels(mesh.nodes, shape, extent)[mesh.triangles]
    low = np.floor(corners.min(1)).astype(np.int64)
    size = np.maximum(np.ceil(corners.max(1)).astype(np.int64) - low, 1)
    count = size.prod(1)
    triangle = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count)
    column = low[triangle, 0] + within % size[triangle, 0]
    upwards = low[triangle, 1] + within // size[triangle, 0]
    area = _clipped_area(corners[triangle] - np.stack([column, upwards], 1)[:, None])
    # A triangle on the rim may reach past the image by rounding.
    seen = (area > 0) & (column < width) & (upwards < height) & (column >= 0) & (upwards >= 0)
    area, triangle = area[seen], triangle[seen]
    pixel = (height - 1 - upwards[seen]) * width + column[seen]
    total = np.bincount(triangle, area, minlength=len(count))
    weight = area / total[triangle]
    return sp.csr_array((weight, (triangle, pixel)), shape=(len(count), height * width))


def midpoint_pixel(
    mesh: ImpedanceMesh, shape: tuple[int, int], extent: tuple[float, float]
) -> sp.csr_array:
    """The pixel under each triangle's midpoint, as in the published implementation.

    A midpoint on the line between two pixels belongs to the left or lower one. Whether it is on
    the line depends on rounding: here (1 - 1/3 - 1/3) a + 1/3 b + 1/3 c with a, b, c in the order
    of their numbers in the mesh, the published arithmetic.

    Parameters, returns: see `area_average`.
    """
    height, width = shape
    a, b, c = np.moveaxis(mesh.nodes[np.sort(mesh.triangles, 1)], 1, 0)
    third = 1 / 3
    middle = _in_pixels((1 - third - third) * a + third * b + third * c, shape, extent)
    column, upwards = np.clip(np.ceil(middle).astype(np.int64) - 1, 0, [width - 1, height - 1]).T
    pixel = (height - 1 - upwards) * width + column
    rows = np.arange(len(pixel))
    return sp.csr_array((np.ones(len(rows)), (rows, pixel)), shape=(len(rows), height * width))


def _in_pixels(
    points: np.ndarray, shape: tuple[int, int], extent: tuple[float, float]
) -> np.ndarray:
    return points / np.array(extent) * np.array(shape[::-1])


def _clipped_area(polygon: np.ndarray) -> np.ndarray:
    """Areas of polygons (P, V, 2) inside the unit square, (P,).

    Green's theorem: the integral of y dx along the border, with x kept to [0, 1] and y clamped to
    it, which is linear between the points where an edge enters or leaves.
    """
    start, step = polygon, np.roll(polygon, -1, 1) - polygon
    begin, end = _inside(start[..., 0], step[..., 0], 0.0, 1.0)
    enter, leave = _inside(start[..., 1], step[..., 1], begin, end)
    knots = np.stack([begin, enter, leave, end])
    y = np.clip(start[..., 1] + knots * step[..., 1], 0, 1)
    pieces = np.diff(knots, axis=0) * (y[1:] + y[:-1]) / 2
    return np.abs((pieces.sum(0) * step[..., 0]).sum(1))


def _inside(
    start: np.ndarray, step: np.ndarray, begin: float | np.ndarray, end: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where start + s * step is in [0, 1], as an interval of s within [begin, end]."""
    # A step of zero leaves the whole interval: its edge has no length along this axis.
    moves = step != 0
    inverse = 1 / np.where(moves, step, 1)
    at_zero = np.where(moves, -start * inverse, begin)
    at_one = np.where(moves, (1 - start) * inverse, end)
    low, high = np.minimum(at_zero, at_one), np.maximum(at_zero, at_one)
    return np.clip(low, begin, end), np.clip(high, begin, end)
