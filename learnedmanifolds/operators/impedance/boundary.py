"""Integrals along the border of a mesh, exact also where an arc ends inside an edge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh


class ArcIntegrals(NamedTuple):
    """Integrals of border hat functions, and of their products, over arcs.

    Attributes
    ----------
    hats : ndarray, shape (A, M)
        Of the hat function of each border vertex, metres.
    products : tuple of three ndarray, shape (A, M)
        On the edge from each border vertex to the next, metres: of the first hat squared, of
        both, of the second squared.
    """

    hats: np.ndarray
    products: tuple[np.ndarray, np.ndarray, np.ndarray]


def arc_integrals(mesh: ImpedanceMesh, starts: np.ndarray, lengths: np.ndarray) -> ArcIntegrals:
    """Integrate over arcs of the border.

    Parameters
    ----------
    mesh : ImpedanceMesh
    starts, lengths : ndarray, shape (A,)
        Shares of the perimeter, counterclockwise from the first border vertex; an arc may pass
        the end of the border.
    """
    edge = mesh.boundary_lengths
    share = edge / mesh.perimeter
    left = mesh.boundary_parameter
    first, both, second, right = np.zeros((4, len(starts), len(edge)))
    for turn in (-1, 0):
        begin = (starts + turn)[:, None]
        # Where the arc enters and leaves an edge, 0 at the edge's first vertex and 1 at its second.
        a = np.clip((begin - left) / share, 0, 1)
        b = np.clip((begin + lengths[:, None] - left) / share, 0, 1)
        square, cube = (b**2 - a**2) / 2, (b**3 - a**3) / 3
        second += edge * cube
        both += edge * (square - cube)
        first += edge * ((b - a) - 2 * square + cube)
        right += edge * square
    return ArcIntegrals(first + both + np.roll(right, 1, 1), (first, both, second))


def boundary_mass(mesh: ImpedanceMesh, values: np.ndarray) -> np.ndarray:
    """Integrals of a function, linear along each edge, times each border hat function.

    Parameters
    ----------
    mesh : ImpedanceMesh
    values : ndarray, shape (A, M)
        At the border vertices.

    Returns
    -------
    ndarray, shape (A, M)
    """
    edge = mesh.boundary_lengths
    before = np.roll(edge, 1)
    after, behind = np.roll(values, -1, 1), np.roll(values, 1, 1)
    return (edge * (2 * values + after) + before * (2 * values + behind)) / 6


def rays(mesh: ImpedanceMesh, centre: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Where rays from a point meet the border.

    Parameters
    ----------
    mesh : ImpedanceMesh
    centre : ndarray, shape (2,)
    angles : ndarray, shape (A,)
        Radians, counterclockwise from the first axis.

    Returns
    -------
    ndarray, shape (A,)
        Shares of the perimeter, in [0, 1).

    Raises
    ------
    ValueError
        If a ray may meet the border more than once.
    """
    points = mesh.nodes[mesh.boundary] - centre
    after = np.roll(points, -1, 0)
    turn = _cross(points, after)
    if turn.min() <= 0:
        raise ValueError(
            "mesh must be star-shaped around the centre of the image for currents by the angle; "
            f"the border turns back at vertex {mesh.boundary[turn.argmin()]}."
        )
    direction = np.stack([np.cos(angles), np.sin(angles)], 1)[:, None]
    side, next_side = _cross(direction, points), _cross(direction, after)
    ahead = (direction * (points + after)).sum(-1) > 0
    edge = ((side <= 0) & (next_side > 0) & ahead).argmax(1)
    rows = np.arange(len(angles))
    before, beyond = side[rows, edge], next_side[rows, edge]
    share = mesh.boundary_lengths[edge] / mesh.perimeter
    return (mesh.boundary_parameter[edge] + share * before / (before - beyond)) % 1.0


def interpolate(data: ArrayLike, source: ImpedanceMesh, target: ImpedanceMesh) -> Tensor:
    """Carry data from the border of one mesh to that of another of the same body.

    Linear in the arc length, taken as a share of each mesh's perimeter. Data computed on a finer
    mesh than the one of the reconstruction avoid an inverse crime.

    Parameters
    ----------
    data : array, shape (..., M_source)
        At the border vertices of ``source``, counterclockwise as in `ImpedanceMesh.boundary`.
    source, target : ImpedanceMesh

    Returns
    -------
    Tensor, float64, shape (..., M_target)

    Raises
    ------
    TypeError, ValueError
        If the data are not finite or have another number of vertices, or a mesh is none.
    """
    for mesh, name in ((source, "source"), (target, "target")):
        if not isinstance(mesh, ImpedanceMesh):
            raise TypeError(f"{name} must be an ImpedanceMesh, got {type(mesh).__name__}.")
    count = len(source.boundary)
    values = as_tensor(data, "data", dtype=torch.float64, shape=(..., count)).detach().numpy()
    rows = [
        np.interp(target.boundary_parameter, source.boundary_parameter, row, period=1.0)
        for row in values.reshape(-1, count)
    ]
    return torch.from_numpy(np.array(rows)).reshape(*values.shape[:-1], len(target.boundary))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
