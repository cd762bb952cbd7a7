"""Triangle meshes of the body, with their border in counterclockwise order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import skfem
import torch
from skfem.models.poisson import unit_load

from learnedmanifolds._check import as_tensor, integer, positive

# Area of a triangle as a share of its longest edge squared; an equilateral one has 0.43.
SMALLEST_SHAPE = 1e-8


@dataclass(frozen=True, eq=False, repr=False)
class ImpedanceMesh:
    """Triangles of a body without holes, checked once.

    Parameters
    ----------
    nodes : array, shape (N, 2)
        Vertices, metres.
    triangles : array of int, shape (T, 3)
        Vertices of each triangle, in any orientation.

    Raises
    ------
    TypeError, ValueError
        If an array has a wrong shape or dtype or is not finite, a triangle names no vertex or is
        degenerate, a vertex belongs to none, neighbours overlap, or the border is not one closed
        curve.
    """

    nodes: np.ndarray
    triangles: np.ndarray

    def __post_init__(self) -> None:
        nodes = as_tensor(self.nodes, "nodes", dtype=torch.float64, shape=(None, 2))
        object.__setattr__(self, "nodes", frozen(nodes.detach().cpu().numpy()))
        # Meshes are often kept in unsigned integers.
        object.__setattr__(self, "triangles", _triangles(self.triangles, len(nodes)))
        area, edge = self._signed_areas, self.nodes[self.triangles] - self._rolled
        shape = np.abs(area) / (edge**2).sum(2).max(1)
        if shape.min() < SMALLEST_SHAPE:
            worst = int(shape.argmin())
            raise ValueError(
                f"triangles must not be degenerate: triangle {worst} with the vertices "
                f"{self.triangles[worst].tolist()} has the area {abs(area[worst]):.3g}."
            )
        # A border that is not one closed curve is refused here.
        _ = self.boundary

    def __repr__(self) -> str:
        return f"ImpedanceMesh({len(self.nodes)} nodes, {len(self.triangles)} triangles)"

    @classmethod
    def rectangle(
        cls, columns: int, rows: int | None = None, *, width: float = 1.0, height: float = 1.0
    ) -> ImpedanceMesh:
        """A rectangle with its lower left corner at the origin, in 2 * columns * rows triangles.

        Parameters
        ----------
        columns, rows : int
            Cells along each side; as many rows as columns by default.
        width, height : float
            Metres.

        Raises
        ------
        TypeError, ValueError
            If a number of cells is not a positive integer or a length not positive.
        """
        across = integer(columns, "columns", minimum=1)
        along = across if rows is None else integer(rows, "rows", minimum=1)
        x = np.linspace(0, positive(width, "width"), across + 1)
        y = np.linspace(0, positive(height, "height"), along + 1)
        mesh = skfem.MeshTri.init_tensor(x, y)
        return cls(mesh.p.T, mesh.t.T)

    @classmethod
    def disc(cls, refinements: int, *, radius: float = 0.5) -> ImpedanceMesh:
        """A disc that touches both axes from the right and above, in 4 * 4**refinements triangles.

        Parameters
        ----------
        refinements : int
            At least 1; the border has 4 * 2**refinements vertices.
        radius : float
            Metres; the centre is (radius, radius).

        Raises
        ------
        TypeError, ValueError
            If the number of refinements or the radius is out of range.
        """
        mesh = skfem.MeshTri.init_circle(integer(refinements, "refinements", minimum=1))
        return cls(positive(radius, "radius") * (1 + mesh.p.T), mesh.t.T)

    @cached_property
    def areas(self) -> np.ndarray:
        """Of the triangles, square metres, (T,)."""
        return np.abs(self._signed_areas)

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower left and upper right corner of the box around the mesh, (2,) each."""
        return self.nodes.min(0), self.nodes.max(0)

    @cached_property
    def boundary(self) -> np.ndarray:
        """Vertices on the border, counterclockwise from the one nearest the lower right, (M,)."""
        following = _following(self._counterclockwise)
        corner = np.array([self.bounds[1][0], self.bounds[0][1]])
        members = np.flatnonzero(following >= 0)
        distance = np.hypot(*(self.nodes[members] - corner).T)
        # Rounded, so that of two vertices equally far the first one is taken on every machine.
        start = members[np.round(distance / np.ptp(self.nodes), 9).argmin()]
        loop = [int(start)]
        while (after := int(following[loop[-1]])) != start:
            loop.append(after)
        if len(loop) != len(members):
            raise ValueError(
                f"triangles must have one closed curve as border, without holes: the curve from "
                f"vertex {start} has {len(loop)} of the {len(members)} border vertices."
            )
        return np.array(loop)

    @cached_property
    def boundary_lengths(self) -> np.ndarray:
        """Length of the border edge that starts at each border vertex, metres, (M,)."""
        points = self.nodes[self.boundary]
        return np.hypot(*(np.roll(points, -1, 0) - points).T)

    @cached_property
    def perimeter(self) -> float:
        """Length of the border, metres."""
        return float(self.boundary_lengths.sum())

    @cached_property
    def boundary_parameter(self) -> np.ndarray:
        """Arc length up to each border vertex as a share of the perimeter, in [0, 1), (M,)."""
        ends = np.cumsum(self.boundary_lengths)
        return np.concatenate([[0.0], ends[:-1]]) / ends[-1]

    @cached_property
    def gradients(self) -> np.ndarray:
        """Gradients of the three hat functions on each triangle, 1/metre, (T, 3, 2)."""
        functions = self._basis.basis
        return np.stack([np.asarray(f[0].grad)[:, :, 0].T for f in functions], axis=1)

    @cached_property
    def hat_integrals(self) -> np.ndarray:
        """Integrals of the hat functions over the body, square metres, (N,)."""
        return np.asarray(unit_load.assemble(self._basis))

    @cached_property
    def _basis(self) -> Any:
        mesh = skfem.MeshTri(self.nodes.T.copy(), self.triangles.T.copy(), sort_t=False)
        return skfem.Basis(mesh, skfem.ElementTriP1(), intorder=1)

    @cached_property
    def _rolled(self) -> np.ndarray:
        return self.nodes[np.roll(self.triangles, -1, 1)]

    @cached_property
    def _signed_areas(self) -> np.ndarray:
        a, b, c = np.moveaxis(self.nodes[self.triangles], 1, 0)
        u, v = b - a, c - a
        return 0.5 * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])

    @cached_property
    def _counterclockwise(self) -> np.ndarray:
        turned = self.triangles[:, [0, 2, 1]]
        return np.where(self._signed_areas[:, None] < 0, turned, self.triangles)


def frozen(array: np.ndarray) -> np.ndarray:
    """A copy that cannot be written to."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy


def _triangles(value: Any, count: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"triangles must be an array of integers, got dtype {array.dtype}.")
    if array.ndim != 2 or array.shape[1] != 3 or len(array) == 0:
        raise ValueError(f"triangles must have shape (any, 3), got {array.shape}.")
    if array.min() < 0 or array.max() >= count:
        raise ValueError(
            f"triangles must name vertices 0 to {count - 1}, got {array.min()} to {array.max()}."
        )
    unused = np.setdiff1d(np.arange(count), array)
    if len(unused):
        raise ValueError(
            f"every vertex must belong to a triangle: {len(unused)} do not, the first is "
            f"{unused[0]}."
        )
    return frozen(array.astype(np.int64))


def _following(triangles: np.ndarray) -> np.ndarray:
    """The next border vertex of each vertex, -1 inside, (N,); triangles counterclockwise."""
    count = int(triangles.max()) + 1
    start, end = triangles.ravel(), np.roll(triangles, -1, 1).ravel()
    code, reverse = start * count + end, end * count + start
    outer = ~np.isin(code, reverse)
    if len(np.unique(code)) < len(code) or len(np.unique(start[outer])) < outer.sum():
        raise ValueError(
            "triangles must share each edge with at most one other, on its other side, and have "
            "one closed curve as border: they overlap, or touch in a vertex only."
        )
    following = np.full(count, -1)
    following[start[outer]] = end[outer]
    return following
