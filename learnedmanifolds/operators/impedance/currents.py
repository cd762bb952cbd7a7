"""Current densities on the border (the continuum model)."""

from __future__ import annotations

import numpy as np
import torch

from learnedmanifolds._check import ArrayLike, as_tensor
from learnedmanifolds.operators.impedance.boundary import (
    arc_integrals,
    boundary_mass,
    rays,
)
from learnedmanifolds.operators.impedance.mesh import ImpedanceMesh

SEGMENTS = 16
# Net current accepted from an array, as a share of the current that flows.
NET_CURRENT = 1e-8


def haar_patterns(segments: int = SEGMENTS) -> np.ndarray:
    """Signs of the Haar patterns on segments of the border, the constant left out.

    Parameters
    ----------
    segments : int
        A power of two.

    Returns
    -------
    ndarray, shape (segments - 1, segments)
        Of -1, 0 and 1: one pattern with the two halves of the border, two with its quarters, ...
    """
    rows = []
    size = segments
    while size > 1:
        block = np.repeat([1.0, -1.0], size // 2)
        rows.append(np.kron(np.eye(segments // size), block))
        size //= 2
    return np.concatenate(rows)


def balanced(mesh: ImpedanceMesh, centre: np.ndarray) -> np.ndarray:
    """Loads of Haar patterns on segments of equal angle, integrated exactly, without net current.

    A pattern is constant where it is positive and where it is negative, with as much current in
    as out: half the perimeter in metres times 1 A/m. Where both parts are equally long this is the
    published density, ``16 / (number of segments with current)`` A/m; segments of equal angle are
    not equally long on a square, and its published patterns on two segments have a net current.

    Parameters
    ----------
    mesh : ImpedanceMesh
        Star-shaped around the centre.
    centre : ndarray, shape (2,)

    Returns
    -------
    ndarray, shape (15, M)
        Integrals of each density times the hat function of each border vertex, amperes.
    """
    angles = np.arange(SEGMENTS) * (2 * np.pi / SEGMENTS) - np.pi / 4
    starts = rays(mesh, centre, angles)
    lengths = (np.roll(starts, -1) - starts) % 1.0
    hats = arc_integrals(mesh, starts, lengths).hats
    signs = haar_patterns()
    density = np.zeros_like(signs)
    for part in (signs > 0, signs < 0):
        density += part * signs / (2 * part @ lengths)[:, None]
    return density @ hats


def published(mesh: ImpedanceMesh, centre: np.ndarray) -> np.ndarray:
    """Loads of the published currents: Haar patterns read off at the border vertices.

    They are interpolated linearly between vertices, so that they depend on the mesh, and half of
    them have a net current.

    Parameters, returns: see `balanced`.
    """
    x, y = (mesh.nodes[mesh.boundary] - centre).T
    angles = (np.arctan2(y, x) + np.pi / 4) % (2 * np.pi)
    segment = np.floor(angles / (2 * np.pi) * SEGMENTS).astype(np.int64) % SEGMENTS
    signs = haar_patterns()
    density = signs * (SEGMENTS / np.abs(signs).sum(1, keepdims=True))
    return boundary_mass(mesh, density[:, segment])


def sampled(mesh: ImpedanceMesh, density: ArrayLike) -> np.ndarray:
    """Loads of densities given at the border vertices, linear in between.

    Parameters
    ----------
    mesh : ImpedanceMesh
    density : array, shape (P, M)
        A/m, counterclockwise as in `ImpedanceMesh.boundary`.

    Returns
    -------
    ndarray, shape (P, M)
        See `balanced`.

    Raises
    ------
    TypeError, ValueError
        If the array has another number of vertices or is not finite, or if a current does not
        integrate to zero.
    """
    shape = (None, len(mesh.boundary))
    values = as_tensor(density, "currents", dtype=torch.float64, shape=shape, allow_empty=False)
    loads = boundary_mass(mesh, values.detach().numpy())
    flow = boundary_mass(mesh, np.abs(values.detach().numpy())).sum(1)
    require_balance(loads.sum(1), flow, "currents must integrate to zero along the border")
    return loads


def require_balance(net: np.ndarray, flow: np.ndarray, expectation: str) -> None:
    """Refuse currents whose net is not small against what flows, both (P,), amperes."""
    wrong = np.flatnonzero(np.abs(net) > NET_CURRENT * flow)
    if len(wrong):
        raise ValueError(
            f"{expectation}: pattern {wrong[0]} has a net current of {net[wrong[0]]:.3g} A, "
            f"where {flow[wrong[0]]:.3g} A flow."
        )
